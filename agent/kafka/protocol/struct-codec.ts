// How a definition becomes a codec: the fields that a version has, in their order, then tagged fields.
//
// Whatever depends on version or name is decided here, once; the closures that come out only read
// and write. A decoded struct starts as a copy of a template with every field, so that all structs of
// a kind have one shape.

import { type Reader, Writer } from './wire.ts'

/** Reader and writer of one type in one version. */
export interface Codec {
  read: (reader: Reader) => unknown
  write: (writer: Writer, value: unknown) => void
  /** The fewest bytes a value takes: bounds the count of an array before it is allocated. */
  least: number
}

/** What a type is compiled for. */
export interface Context {
  version: number
  isFlexible: boolean
  isNullable: boolean
}

/** How a value looks on the wire. `carries` exists for inference only. */
export interface Type<Out, In = Out> {
  readonly compile: (context: Context) => Codec
  readonly carries?: readonly [Out, In]
}

/** A type that only some versions have. */
export interface Field<Out, In = Out> {
  readonly type: Type<unknown>
  readonly from: number
  readonly to: number
  /** Set for a tagged field. */
  readonly tag: number | undefined
  readonly fallback: unknown
  readonly carries?: readonly [Out, In]
}

export type Fields = Readonly<Record<string, Type<unknown> | Field<unknown>>>

interface Slot extends Codec {
  name: string
  fallback: unknown
}

export function compileStruct(fields: Fields, { version, isFlexible }: Context): Codec {
  const template: Record<string, unknown> = {}
  const slots: Slot[] = []
  const taggedSlots = new Map<number, Slot>()
  for (const [name, field] of Object.entries(fields)) {
    const isField = 'type' in field
    const fallback = isField ? field.fallback : undefined
    // Every decoded struct of an older version has this very list.
    if (Array.isArray(fallback)) Object.freeze(fallback)
    template[name] = fallback
    if (isField && (version < field.from || version > field.to)) continue
    const type = isField ? field.type : field
    const slot = { ...type.compile({ version, isFlexible, isNullable: false }), name, fallback }
    if (!isField || field.tag === undefined) slots.push(slot)
    else if (isFlexible) taggedSlots.set(field.tag, slot)
  }
  const least = slots.reduce((sum, slot) => sum + slot.least, isFlexible ? 1 : 0)
  return {
    least: Math.max(1, least),
    read(reader) {
      const value = { ...template }
      for (let index = 0; index < slots.length; index++) {
        const slot = slots[index]!
        value[slot.name] = slot.read(reader)
      }
      if (isFlexible) readTagged(reader, taggedSlots, value)
      return value
    },
    write(writer, value) {
      const object = value as Record<string, unknown>
      for (let index = 0; index < slots.length; index++) {
        const slot = slots[index]!
        const given = object[slot.name]
        slot.write(writer, given === undefined ? slot.fallback : given)
      }
      if (isFlexible) writeTagged(writer, taggedSlots, object)
    },
  }
}

function readTagged(
  reader: Reader,
  slots: ReadonlyMap<number, Slot>,
  value: Record<string, unknown>,
): void {
  for (let left = reader.taggedCount(); left > 0; left--) {
    const slot = slots.get(reader.uvarint())
    const section = reader.section(reader.uvarint())
    if (slot === undefined) continue
    value[slot.name] = slot.read(section)
    if (section.remaining !== 0) section.refuse(`tagged field ${slot.name} is longer than its type`)
  }
}

/** Tags go out in ascending order, and only where the value is not the one of an absent field. */
function writeTagged(
  writer: Writer,
  slots: ReadonlyMap<number, Slot>,
  value: Record<string, unknown>,
): void {
  const present = [...slots].filter(([, { name, fallback }]) => !isAbsent(value[name], fallback))
  writer.uvarint(present.length)
  for (const [tag, slot] of present.sort(([a], [b]) => a - b)) {
    const content = new Writer(64)
    slot.write(content, value[slot.name])
    writer.uvarint(tag)
    writer.uvarint(content.size)
    writer.append(content)
  }
}

function isAbsent(value: unknown, fallback: unknown): boolean {
  if (value === undefined || value === fallback) return true
  return Array.isArray(value) && value.length === 0 && Array.isArray(fallback)
}
