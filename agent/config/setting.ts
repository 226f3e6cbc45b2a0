// The vocabulary of the configuration schema: what a value may look like, and the TypeScript type
// that follows from it.
//
// A schema node is a scalar, a list of scalars, a section (fixed keys), a list of sections (routes)
// or a dictionary (names chosen by the user → scalar or section). Defaults are written as the text
// a user would write, so that reading, showing and documenting them cannot disagree.

/** How one kind of scalar is read and shown. */
export interface ScalarType<T> {
  /** Completes "expected …". */
  readonly expected: string
  /** Undefined when the text is no such value. */
  read(text: string): { readonly value: T } | undefined
  show(value: T): string | number | boolean
  /** A path is made absolute against the configuration file; a `file` must be readable. */
  readonly path?: 'file' | 'directory'
  readonly secret?: boolean
}

export interface Scalar<T> {
  readonly kind: 'scalar'
  readonly type: ScalarType<T>
  /** Undefined: the key is unset unless the user sets it. */
  readonly fallback: string | undefined
  readonly required: boolean
  readonly about: string
  /** Values whose part is not in this version; `all` refuses the key altogether. */
  readonly later: readonly string[] | 'all'
}

export interface ScalarList<T> {
  readonly kind: 'list'
  readonly type: ScalarType<T>
  readonly fallback: readonly string[]
  readonly about: string
  readonly later: boolean
}

export type Fields = { readonly [key: string]: Node }

export interface Section<F extends Fields> {
  readonly kind: 'section'
  readonly fields: F
  readonly about: string
  /** A scalar in place of the section sets this key. */
  readonly shorthand?: string
}

/** A section that is undefined unless the user writes it. */
export interface OptionalSection<F extends Fields> {
  readonly kind: 'optionalSection'
  readonly fields: F
  readonly about: string
}

export interface SectionList<F extends Fields> {
  readonly kind: 'sections'
  readonly fields: F
  readonly about: string
}

export interface Dictionary<O extends Node> {
  readonly kind: 'dictionary'
  readonly of: O
  readonly about: string
}

export type Node =
  | Scalar<unknown>
  | ScalarList<unknown>
  | Section<Fields>
  | OptionalSection<Fields>
  | SectionList<Fields>
  | Dictionary<Scalar<unknown> | Section<Fields>>

type FieldValues<F extends Fields> = { readonly [K in keyof F]: Value<F[K]> }

/** The type of what is read through a node. */
export type Value<N> =
  N extends Scalar<infer T>
    ? T
    : N extends ScalarList<infer T>
      ? readonly T[]
      : N extends Section<infer F>
        ? FieldValues<F>
        : N extends OptionalSection<infer F>
          ? FieldValues<F> | undefined
          : N extends SectionList<infer F>
            ? readonly FieldValues<F>[]
            : N extends Dictionary<infer O>
              ? Readonly<Record<string, Value<O>>>
              : never

interface Later {
  readonly later?: readonly string[] | 'all'
}

export function setting<T>(
  type: ScalarType<T>,
  fallback: string,
  about: string,
  { later = [] }: Later = {},
): Scalar<T> {
  return { kind: 'scalar', type, fallback, required: false, about, later }
}

/** A key that its section cannot do without. */
export function required<T>(type: ScalarType<T>, about: string): Scalar<T> {
  return { kind: 'scalar', type, fallback: undefined, required: true, about, later: [] }
}

/** A key that stays undefined unless the user sets it. */
export function unset<T>(
  type: ScalarType<T>,
  about: string,
  { later = [] }: Later = {},
): Scalar<T | undefined> {
  const optional: ScalarType<T | undefined> = { ...type, show: (value) => type.show(value as T) }
  return { kind: 'scalar', type: optional, fallback: undefined, required: false, about, later }
}

export function list<T>(
  type: ScalarType<T>,
  fallback: readonly string[],
  about: string,
  { later = false }: { later?: boolean } = {},
): ScalarList<T> {
  return { kind: 'list', type, fallback, about, later }
}

export function section<F extends Fields>(
  about: string,
  fields: F,
  shorthand?: keyof F & string,
): Section<F> {
  return { kind: 'section', fields, about, ...(shorthand === undefined ? {} : { shorthand }) }
}

export function optionalSection<F extends Fields>(about: string, fields: F): OptionalSection<F> {
  return { kind: 'optionalSection', fields, about }
}

export function sections<F extends Fields>(about: string, fields: F): SectionList<F> {
  return { kind: 'sections', fields, about }
}

export function dictionary<O extends Node>(about: string, of: O): Dictionary<O> {
  return { kind: 'dictionary', of, about }
}

// ---- kinds of scalars

export const text: ScalarType<string> = {
  expected: 'text',
  read: (value) => ({ value }),
  show: (value) => value,
}

export const secretText: ScalarType<string> = { ...text, secret: true }

export const filePath: ScalarType<string> = { ...text, expected: 'a file', path: 'file' }

export const directoryPath: ScalarType<string> = {
  ...text,
  expected: 'a folder',
  path: 'directory',
}

export const flag: ScalarType<boolean> = {
  expected: 'true or false',
  read: (value) =>
    value === 'true' ? { value: true } : value === 'false' ? { value: false } : undefined,
  show: (value) => value,
}

export function integer(min: number, max: number): ScalarType<number> {
  return {
    expected: `a whole number from ${min} to ${max}`,
    read(value) {
      const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
      return number >= min && number <= max ? { value: number } : undefined
    },
    show: (value) => value,
  }
}

export function choice<const T extends readonly string[]>(...values: T): ScalarType<T[number]> {
  return {
    expected: values.length === 2 ? values.join(' or ') : `one of ${values.join(', ')}`,
    read: (value) => (values.includes(value) ? { value: value as T[number] } : undefined),
    show: (value) => value,
  }
}

const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** `7d`, `500ms`, `1.5h` in milliseconds; undefined when it is none. A bare number but 0 is none. */
export function parseDuration(value: string): number | undefined {
  if (value === '0') return 0
  const match = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h|d|w)$/.exec(value)
  if (match === null) return undefined
  const ms = Number(match[1]) * DURATION_UNITS[match[2] as keyof typeof DURATION_UNITS]
  return Number.isInteger(ms) ? ms : undefined
}

function showDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    // One day is 24h, as people say of a window.
    if (unit === 'd' && ms < 2 * DURATION_UNITS.d) continue
    if (ms > 0 && ms % DURATION_UNITS[unit] === 0) return `${ms / DURATION_UNITS[unit]}${unit}`
  }
  return `${ms}ms`
}

/** Milliseconds. */
export function duration(min: string, max: string): ScalarType<number> {
  const [low, high] = [parseDuration(min)!, parseDuration(max)!]
  return {
    expected: `a duration from ${min} to ${max}, such as 500ms, 30s or 7d`,
    read(value) {
      const ms = parseDuration(value)
      return ms !== undefined && ms >= low && ms <= high ? { value: ms } : undefined
    },
    show: showDuration,
  }
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/** `64KiB`, `1.5GiB`, `1000000` in bytes; undefined when it is none. */
function parseSize(value: string): number | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]*)$/.exec(value)
  const unit = match === null ? undefined : SIZE_UNITS[match[2]!]
  if (match === null || unit === undefined) return undefined
  const bytes = Math.round(Number(match[1]) * unit)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

function showSize(bytes: number): string | number {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    if (bytes > 0 && bytes % SIZE_UNITS[unit]! === 0) return `${bytes / SIZE_UNITS[unit]!}${unit}`
  }
  return bytes
}

/** Bytes. */
export function size(min: string, max: string): ScalarType<number> {
  const [low, high] = [parseSize(min)!, parseSize(max)!]
  return {
    expected: `a size from ${min} to ${max}, such as 64KiB or 16MiB`,
    read(value) {
      const bytes = parseSize(value)
      return bytes !== undefined && bytes >= low && bytes <= high ? { value: bytes } : undefined
    },
    show: showSize,
  }
}

/** Bytes, or a share of the file system. */
export type Budget = { readonly bytes: number } | { readonly percent: number }

export function budget(min: string): ScalarType<Budget> {
  const low = parseSize(min)!
  return {
    expected: `1% to 100% of the file system or a size of at least ${min}, such as 50% or 10GiB`,
    read(value) {
      const percent = /^(\d{1,3})\s*%$/.exec(value)
      if (percent !== null) {
        const share = Number(percent[1])
        return share >= 1 && share <= 100 ? { value: { percent: share } } : undefined
      }
      const bytes = parseSize(value)
      return bytes !== undefined && bytes >= low ? { value: { bytes } } : undefined
    },
    show: (value) => ('percent' in value ? `${value.percent}%` : showSize(value.bytes)),
  }
}

/** The word `auto`, or whatever `type` reads. */
export function autoOr<T>(type: ScalarType<T>): ScalarType<T | 'auto'> {
  return {
    expected: `auto or ${type.expected}`,
    read: (value) => (value === 'auto' ? { value } : type.read(value)),
    show: (value) => (value === 'auto' ? 'auto' : type.show(value as T)),
  }
}
