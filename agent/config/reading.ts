// Walks the schema and a raw tree together: values, defaults, and a problem for all that does not fit.
// Nothing stops at the first problem, so that `config check` shows them all.

import { resolve } from 'node:path'
import { nearest } from './did-you-mean.ts'
import { CONFIG } from './schema.ts'
import type { Dictionary, Fields, Node, Scalar, ScalarList, ScalarType } from './setting.ts'
import { emptyMap, mappingSentence, type Problem, type Raw } from './yaml-source.ts'

/** A file that the configuration names. */
export interface NamedFile {
  readonly key: string
  readonly path: string
  readonly place: string
}

/** What reading leaves behind beside the value. */
export interface Reading {
  /** Relative paths start here. */
  readonly directory: string
  readonly problems: Problem[]
  readonly files: NamedFile[]
  /** Where each key that was set stands: `upstream.linger` → `tributary.yaml:9`. */
  readonly places: Map<string, string>
}

const NOT_YET = 'not in this version'

/** The value of `raw` under `node`. Where a problem was found the value is a stand-in. */
export function readNode(
  reading: Reading,
  node: Node,
  raw: Raw | undefined,
  path: string,
): unknown {
  if (raw !== undefined) reading.places.set(path, raw.place)
  switch (node.kind) {
    case 'scalar':
      return readScalar(reading, node, raw, path)
    case 'list':
      return readList(reading, node, raw, path)
    case 'section':
      if (raw?.kind === 'scalar' && node.shorthand !== undefined) {
        const map = emptyMap(raw.place)
        map.entries.set(node.shorthand, { keyPlace: raw.place, value: raw })
        return readFields(reading, node.fields, map, path)
      }
      return readFields(reading, node.fields, raw, path)
    case 'optionalSection':
      if (raw === undefined || isEmpty(raw)) return undefined
      return readFields(reading, node.fields, raw, path)
    case 'sections':
      return readSections(reading, node.fields, raw, path)
    case 'dictionary':
      return readDictionary(reading, node, raw, path)
  }
}

/** True when every line below is a comment, as in the file that `init` writes. */
function isEmpty(raw: Raw): boolean {
  if (raw.kind === 'nothing') return true
  return raw.kind === 'map' && [...raw.entries.values()].every(({ value }) => isEmpty(value))
}

function wrong(reading: Reading, place: string, sentence: string): void {
  reading.problems.push({ place, sentence })
}

function readScalar(
  reading: Reading,
  node: Scalar<unknown>,
  raw: Raw | undefined,
  path: string,
): unknown {
  const fallback = () =>
    node.fallback === undefined ? undefined : convert(reading, node.type, node.fallback)?.value
  if (raw === undefined) return fallback()
  if (node.later === 'all') wrong(reading, raw.place, `${path}: ${NOT_YET}`)
  if (raw.kind === 'nothing') {
    if (raw.comment === 'value' || (raw.comment === 'prose' && node.required)) {
      wrong(reading, raw.place, `${lastPart(path)}: # is a YAML comment; quote it`)
    } else if (node.required || node.fallback !== undefined) {
      wrong(reading, raw.place, `${path} has no value; expected ${node.type.expected}`)
    }
    return fallback()
  }
  const value = readText(reading, node.type, raw, path)
  if (value === undefined) return fallback()
  if (raw.kind === 'scalar' && node.later.includes(raw.text)) {
    wrong(reading, raw.place, `${path}: ${raw.text} is ${NOT_YET}`)
  }
  if (node.type.path === 'file') {
    reading.files.push({ key: path, path: String(value.value), place: raw.place })
  }
  return value.value
}

function readText(
  reading: Reading,
  type: ScalarType<unknown>,
  raw: Raw,
  path: string,
): { value: unknown } | undefined {
  if (raw.kind !== 'scalar') {
    const trap = raw.kind === 'map' && /^\{[^:"']*\}$/.test(raw.source)
    wrong(
      reading,
      raw.place,
      trap
        ? mappingSentence(lastPart(path), raw.source)
        : `${path} has a ${raw.kind === 'map' ? 'mapping' : raw.kind}; expected ${type.expected}`,
    )
    return undefined
  }
  const value = convert(reading, type, raw.text)
  if (value !== undefined) return value
  const shown = type.secret ? 'the value' : JSON.stringify(raw.text.slice(0, 80))
  wrong(reading, raw.place, `${path}: ${shown} does not fit; expected ${type.expected}`)
  return undefined
}

function convert(
  reading: Reading,
  type: ScalarType<unknown>,
  text: string,
): { value: unknown } | undefined {
  if (type.path === undefined) return type.read(text)
  return text === '' ? undefined : { value: resolve(reading.directory, text) }
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1)
}

function readList(
  reading: Reading,
  node: ScalarList<unknown>,
  raw: Raw | undefined,
  path: string,
): unknown[] {
  const defaults = () => node.fallback.map((text) => convert(reading, node.type, text)?.value)
  if (raw === undefined) return defaults()
  if (node.later) wrong(reading, raw.place, `${path}: ${NOT_YET}`)
  if (raw.kind === 'nothing') {
    wrong(reading, raw.place, `${path} has no value; write [] for none`)
    return defaults()
  }
  // One value alone is a list of one.
  const items = raw.kind === 'list' ? raw.items : [raw]
  const values: unknown[] = []
  for (const [index, item] of items.entries()) {
    const key = raw.kind === 'list' ? `${path}[${index}]` : path
    reading.places.set(key, item.place)
    if (item.kind === 'nothing') {
      wrong(reading, item.place, `${key} has no value; expected ${node.type.expected}`)
      continue
    }
    const value = readText(reading, node.type, item, key)
    if (value === undefined) continue
    values.push(value.value)
    if (node.type.path === 'file') {
      reading.files.push({ key, path: String(value.value), place: item.place })
    }
  }
  return values
}

function readFields(
  reading: Reading,
  fields: Fields,
  raw: Raw | undefined,
  path: string,
): Record<string, unknown> {
  const prefix = path === '' ? '' : `${path}.`
  const map = raw?.kind === 'map' ? raw : undefined
  if (raw !== undefined && map === undefined && raw.kind !== 'nothing') {
    const keys = Object.keys(fields).slice(0, 3).join(', ')
    const what = path === '' ? 'the configuration' : path
    wrong(reading, raw.place, `${what} is a ${raw.kind}; expected keys such as ${keys}`)
  }
  for (const [key, { keyPlace }] of map?.entries ?? []) {
    if (!Object.hasOwn(fields, key)) {
      wrong(reading, keyPlace, `unknown key ${prefix}${key}${suggestion(key, fields, prefix)}`)
    }
  }
  const values: Record<string, unknown> = {}
  for (const [key, node] of Object.entries(fields)) {
    const value = map?.entries.get(key)?.value
    if (map !== undefined && value === undefined && node.kind === 'scalar' && node.required) {
      wrong(reading, map.place, `${prefix}${key} is missing: ${node.about}`)
    }
    values[key] = readNode(reading, node, value, prefix + key)
  }
  return values
}

function suggestion(key: string, fields: Fields, prefix: string): string {
  const near = nearest(key, Object.keys(fields))
  if (near !== undefined) return `; did you mean ${prefix}${near}?`
  const elsewhere = [...keyPaths(CONFIG, '')].filter((path) => path.includes('.'))
  const byName = new Map(elsewhere.map((path) => [lastPart(path), path]))
  const other = nearest(key, byName.keys())
  return other === undefined ? '' : `; did you mean ${byName.get(other)}?`
}

/** Every key of the schema outside routes and dictionaries. */
function* keyPaths(node: Node, path: string): Iterable<string> {
  if (path !== '') yield path
  if (node.kind !== 'section' && node.kind !== 'optionalSection') return
  for (const [key, field] of Object.entries(node.fields)) {
    yield* keyPaths(field, path === '' ? key : `${path}.${key}`)
  }
}

function readSections(
  reading: Reading,
  fields: Fields,
  raw: Raw | undefined,
  path: string,
): Record<string, unknown>[] {
  if (raw === undefined || raw.kind === 'nothing') return []
  if (raw.kind !== 'list') {
    wrong(reading, raw.place, `${path} is a ${raw.kind}; expected a list, each line with "- "`)
    return []
  }
  return raw.items.map((item, index) => {
    reading.places.set(`${path}[${index}]`, item.place)
    return readFields(reading, fields, item, `${path}[${index}]`)
  })
}

function readDictionary(
  reading: Reading,
  node: Dictionary<Node>,
  raw: Raw | undefined,
  path: string,
): Record<string, unknown> {
  const values: Record<string, unknown> = Object.create(null)
  if (raw === undefined || raw.kind === 'nothing') return values
  if (raw.kind !== 'map') {
    wrong(reading, raw.place, `${path} is a ${raw.kind}; expected names with values`)
    return values
  }
  for (const [key, { value }] of raw.entries) {
    values[key] = readNode(reading, node.of, value, `${path}.${key}`)
  }
  return values
}
