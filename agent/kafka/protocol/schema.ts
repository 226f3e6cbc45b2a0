// Messages as data: one definition per message gives the decoder and the encoder of every version.
//
// A definition is an object of named types in wire order. A field that some versions lack says so
// (`since`, `until`, `between`) and names the value it has there; it may be left out when encoding.
// From the message's `flexible` version on, lengths are compact and every struct ends in tagged
// fields; those we know are declared with `tagged`, the others are skipped.
//
// Definitions are compiled once per (message, version) into closures: nothing on the way of a frame
// asks for versions or type names. TypeScript types are inferred: `Decoded<typeof request>` is what
// decode returns, `Encodable<typeof request>` what encode takes.

import { assert } from '../../base/assert.ts'
import { type Codec, compileStruct, type Field, type Fields, type Type } from './struct-codec.ts'
import type { Reader, Writer } from './wire.ts'

type OutOf<F> = F extends { readonly carries?: readonly [infer Out, unknown] } ? Out : never
type InOf<F> = F extends { readonly carries?: readonly [unknown, infer In] } ? In : never
type OptionalNames<F> = {
  [N in keyof F]: F[N] extends { readonly fallback: unknown } ? N : never
}[keyof F]
type DecodedFields<F> = { [N in keyof F]: OutOf<F[N]> }
type EncodableFields<F> = Flat<
  { [N in Exclude<keyof F, OptionalNames<F>>]: InOf<F[N]> } & {
    [N in OptionalNames<F>]?: InOf<F[N]> | undefined
  }
>
type Flat<T> = { [N in keyof T]: T[N] }

// ---- primitives

function primitive<T>(
  least: number,
  read: (reader: Reader) => T,
  write: (writer: Writer, value: T) => void,
): Type<T> {
  return { compile: () => ({ least, read, write: write as Codec['write'] }) }
}

const INT8 = primitive(
  1,
  (reader) => reader.int8(),
  (writer, value: number) => writer.int8(value),
)
const INT16 = primitive(
  2,
  (reader) => reader.int16(),
  (writer, value: number) => writer.int16(value),
)
const INT32 = primitive(
  4,
  (reader) => reader.int32(),
  (writer, value: number) => writer.int32(value),
)
const INT64 = primitive(
  8,
  (reader) => reader.int64(),
  (writer, value: number) => writer.int64(value),
)
const INT64_BIG = primitive(
  8,
  (reader) => reader.int64Big(),
  (writer, value: bigint) => writer.int64Big(value),
)
const FLOAT64 = primitive(
  8,
  (reader) => reader.float64(),
  (writer, value: number) => writer.float64(value),
)
const BOOLEAN = primitive(
  1,
  (reader) => reader.boolean(),
  (writer, value: boolean) => writer.boolean(value),
)
const UUID = primitive(
  16,
  (reader) => reader.uuid(),
  (writer, value: string) => writer.uuid(value),
)

export const int8 = (): Type<number> => INT8
export const int16 = (): Type<number> => INT16
export const int32 = (): Type<number> => INT32
/** A safe integer; a peer's value beyond 2^53 is refused. */
export const int64 = (): Type<number> => INT64
/** For opaque 64-bit ids. */
export const int64Big = (): Type<bigint> => INT64_BIG
export const float64 = (): Type<number> => FLOAT64
export const boolean = (): Type<boolean> => BOOLEAN
/** Hyphenated hexadecimal, as `randomUUID` makes it. */
export const uuid = (): Type<string> => UUID

// ---- what has a length

function lengthy<Out, In>(
  least: number,
  plain: Pick<Codec, 'read' | 'write'>,
  compact: Pick<Codec, 'read' | 'write'>,
): Type<Out, In> {
  return {
    compile({ isFlexible, isNullable }) {
      const { read, write } = isFlexible ? compact : plain
      const readPresent = (reader: Reader) => {
        const value = read(reader)
        return value === null ? reader.refuse('null where a value must be') : value
      }
      return { least: isFlexible ? 1 : least, read: isNullable ? read : readPresent, write }
    },
  }
}

const STRING = lengthy<string, string>(
  2,
  {
    read: (reader) => reader.string(),
    write: (writer, value) => writer.string(value as string | null),
  },
  {
    read: (reader) => reader.compactString(),
    write: (writer, value) => writer.compactString(value as string | null),
  },
)
const BYTES = lengthy<Buffer, Uint8Array>(
  4,
  {
    read: (reader) => reader.bytes(),
    write: (writer, value) => writer.bytes(value as Uint8Array | null),
  },
  {
    read: (reader) => reader.compactBytes(),
    write: (writer, value) => writer.compactBytes(value as Uint8Array | null),
  },
)

/** Record batches for a Writer: one range, or ranges that follow each other. */
export type RecordBytes = Uint8Array | readonly Uint8Array[]

function writeRecords(writer: Writer, value: RecordBytes | null, isFlexible: boolean): void {
  const ranges = value === null ? [] : value instanceof Uint8Array ? [value] : value
  let size = value === null ? -1 : 0
  for (const range of ranges) size += range.length
  if (isFlexible) writer.uvarint(size + 1)
  else writer.int32(size)
  for (const range of ranges) writer.reference(range)
}

const RECORDS = lengthy<Buffer, RecordBytes>(
  4,
  {
    read: (reader) => reader.bytes(),
    write: (writer, value) => writeRecords(writer, value as RecordBytes | null, false),
  },
  {
    read: (reader) => reader.compactBytes(),
    write: (writer, value) => writeRecords(writer, value as RecordBytes | null, true),
  },
)

export const string = (): Type<string> => STRING
/** Decoded as a view of the frame; copied when encoded. */
export const bytes = (): Type<Buffer, Uint8Array> => BYTES
/** Record batches, untouched: decoded as a view of the frame, encoded without copying. */
export const records = (): Type<Buffer, RecordBytes> => RECORDS

// ---- composition

/** May be null, in every version. */
export function nullable<Out, In>(type: Type<Out, In>): Type<Out | null, In | null> {
  return { compile: (context) => type.compile({ ...context, isNullable: true }) }
}

export function array<Out, In>(element: Type<Out, In>): Type<Out[], readonly In[]> {
  return {
    compile({ version, isFlexible, isNullable }) {
      const { read, write, least } = element.compile({ version, isFlexible, isNullable: false })
      return {
        least: isFlexible ? 1 : 4,
        read(reader) {
          const count = isFlexible ? reader.compactCount(least) : reader.count(least)
          if (count < 0) return isNullable ? null : reader.refuse('null where an array must be')
          const list: unknown[] = []
          for (let index = 0; index < count; index++) list.push(read(reader))
          return list
        },
        write(writer, value) {
          const list = value as readonly unknown[] | null
          const count = list === null ? -1 : list.length
          if (isFlexible) writer.uvarint(count + 1)
          else writer.int32(count)
          if (list === null) return
          for (let index = 0; index < count; index++) write(writer, list[index])
        },
      }
    },
  }
}

export function struct<F extends Fields>(fields: F): Type<DecodedFields<F>, EncodableFields<F>> {
  return {
    compile(context) {
      const codec = compileStruct(fields, context)
      return context.isNullable ? nullableStruct(codec) : codec
    },
  }
}

/** A nullable struct is preceded by a byte: -1 for null, 1 otherwise. */
function nullableStruct({ read, write }: Codec): Codec {
  return {
    least: 1,
    read: (reader) => (reader.int8() < 0 ? null : read(reader)),
    write(writer, value) {
      writer.int8(value === null ? -1 : 1)
      if (value !== null) write(writer, value)
    },
  }
}

/** Present from version `from` on, `fallback` before. */
export function since<Out, In>(
  from: number,
  type: Type<Out, In>,
  fallback: NoInfer<Out>,
): Field<Out, In> {
  return between(from, Number.POSITIVE_INFINITY, type, fallback)
}

/** Present up to version `to`, `fallback` after. */
export function until<Out, In>(
  to: number,
  type: Type<Out, In>,
  fallback: NoInfer<Out>,
): Field<Out, In> {
  return between(0, to, type, fallback)
}

/** Present from version `from` to version `to`, both included; `fallback` elsewhere. */
export function between<Out, In>(
  from: number,
  to: number,
  type: Type<Out, In>,
  fallback: NoInfer<Out>,
): Field<Out, In> {
  return { type, from, to, tag: undefined, fallback }
}

/** Present in every version, and `fallback` where the encoder is not told. */
export function withDefault<Out, In>(type: Type<Out, In>, fallback: NoInfer<Out>): Field<Out, In> {
  return between(0, Number.POSITIVE_INFINITY, type, fallback)
}

/** An optional field of the tagged section; the value that is never written is `fallback`. */
export function tagged<Out, In, const D>(
  tag: number,
  type: Type<Out, In>,
  fallback: D,
  from = 0,
): Field<Out | D, In | D> {
  return { type, from, to: Number.POSITIVE_INFINITY, tag, fallback }
}

// ---- messages

/** One request or response in all its versions. */
export interface Message<Out, In> {
  /** Lowest and highest version, both included. */
  readonly versions: readonly [number, number]
  isFlexible(version: number): boolean
  /** Throws AgentError INPUT_FRAME and nothing else. */
  decode(reader: Reader, version: number): Out
  encode(writer: Writer, value: In, version: number): void
}

export type Decoded<M> = M extends { decode(reader: Reader, version: number): infer Out }
  ? Out
  : never
export type Encodable<M> = M extends {
  encode(writer: Writer, value: infer In, version: number): void
}
  ? In
  : never

/** `flexible`: the first version with compact lengths and tagged fields; left out: no version. */
export function message<F extends Fields>(
  options: { versions: readonly [number, number]; flexible?: number },
  fields: F,
): Message<DecodedFields<F>, EncodableFields<F>> {
  const { versions, flexible = Number.POSITIVE_INFINITY } = options
  const compiled: (Codec | undefined)[] = []
  const codecOf = (version: number): Codec => {
    const known = compiled[version]
    if (known !== undefined) return known
    assert(version >= versions[0] && version <= versions[1], `message has a version ${version}`)
    const context = { version, isFlexible: version >= flexible, isNullable: false }
    const codec = compileStruct(fields, context)
    compiled[version] = codec
    return codec
  }
  return {
    versions,
    isFlexible: (version) => version >= flexible,
    decode: (reader, version) => codecOf(version).read(reader) as DecodedFields<F>,
    encode: (writer, value, version) => codecOf(version).write(writer, value),
  }
}
