// YAML text → a plain tree whose every value knows its place ("tributary.yaml:7") and its spelling.
//
// Values stay text here (`gateway: 007` is the name 007), aliases and tags are refused, and the two
// traps that look right to a newcomer get sentences of their own: `key: {device}` and `mqttTopic: #`.

import {
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type Node as YamlNode,
} from 'yaml'

export type Raw =
  | {
      readonly kind: 'scalar'
      /** As written. */
      readonly text: string
      /** As YAML means it. */
      readonly value: unknown
      readonly place: string
    }
  /** `comment`: what looks like a value is a comment to YAML. */
  | {
      readonly kind: 'nothing'
      readonly place: string
      readonly comment: 'none' | 'prose' | 'value'
    }
  | { readonly kind: 'list'; readonly items: readonly Raw[]; readonly place: string }
  | {
      readonly kind: 'map'
      readonly entries: Map<string, { keyPlace: string; value: Raw }>
      readonly place: string
      /** As written, for `{device}`. */
      readonly source: string
    }

export interface Problem {
  /** File and line, or the name of a variable. */
  readonly place: string
  /** A sentence that names the key and the way out. */
  readonly sentence: string
}

export const emptyMap = (place: string): Raw & { kind: 'map' } => ({
  kind: 'map',
  entries: new Map(),
  place,
  source: '',
})

/** Far deeper than the schema; bounds recursion on hostile files. */
const DEPTH_MAX = 12

/** Parses one document. `place(line)` says where a line is (lines count from 1). */
export function readYaml(
  source: string,
  place: (line: number) => string,
  problems: Problem[],
): Raw {
  const lines = new LineCounter()
  const document = parseDocument(source, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    merge: false,
  })
  const text = source.split('\n')
  for (const fault of [...document.errors, ...document.warnings]) {
    const { line } = lines.linePos(fault.pos[0])
    const sentence = mappingTrap(text, line) ?? aliasTrap(text, line) ?? yamlSentence(fault.message)
    if (!problems.some((known) => known.place === place(line))) {
      problems.push({ place: place(line), sentence })
    }
  }
  const lineOf = (node: YamlNode | null): number =>
    node?.range ? lines.linePos(node.range[0]).line : 1
  const reader = { source, text, lineOf, place, problems }
  return document.errors.length > 0
    ? emptyMap(place(1))
    : convert(reader, document.contents, place(1), 0)
}

interface TreeReader {
  source: string
  text: string[]
  lineOf: (node: YamlNode | null) => number
  place: (line: number) => string
  problems: Problem[]
}

function convert(reader: TreeReader, node: YamlNode | null, outer: string, depth: number): Raw {
  const place = node?.range ? reader.place(reader.lineOf(node)) : outer
  const nothing: Raw = { kind: 'nothing', place, comment: 'none' }
  if (node === null) return nothing
  if (depth > DEPTH_MAX) {
    reader.problems.push({ place, sentence: 'nested too deeply' })
    return nothing
  }
  if (isScalar(node)) {
    if (node.value === null) return nothing
    const text = typeof node.value === 'string' ? node.value : (node.source ?? String(node.value))
    return { kind: 'scalar', text, value: node.value, place }
  }
  if (isSeq(node)) {
    const items = node.items.map((item) => convert(reader, item as YamlNode, place, depth + 1))
    return { kind: 'list', items, place }
  }
  if (isMap(node)) {
    const entries = new Map<string, { keyPlace: string; value: Raw }>()
    for (const pair of node.items) addPair(reader, entries, pair as Pair<YamlNode, YamlNode>, depth)
    const source = node.range ? reader.source.slice(node.range[0], node.range[1]).trim() : ''
    return { kind: 'map', entries, place, source }
  }
  const line = reader.lineOf(node)
  const sentence = aliasTrap(reader.text, line) ?? 'aliases are not read here; write the value out'
  reader.problems.push({ place, sentence })
  return nothing
}

function addPair(
  reader: TreeReader,
  entries: Map<string, { keyPlace: string; value: Raw }>,
  pair: Pair<YamlNode, YamlNode>,
  depth: number,
): void {
  const line = reader.lineOf(pair.key)
  const keyPlace = reader.place(line)
  if (!isScalar(pair.key)) {
    reader.problems.push({ place: keyPlace, sentence: 'a key must be plain text' })
    return
  }
  const key = String(pair.key.source ?? pair.key.value)
  const value = convert(reader, pair.value, keyPlace, depth + 1)
  const written = reader.text[line - 1] ?? ''
  const comment = new RegExp(`(?:^|[\\s"'])${escaped(key)}["']?\\s*:\\s+#(.*)$`).exec(written)?.[1]
  if (value.kind === 'nothing' && comment !== undefined) {
    const kind = /^(\/|\s*$)/.test(comment) ? 'value' : 'prose'
    entries.set(key, { keyPlace, value: { ...value, comment: kind } })
  } else {
    entries.set(key, { keyPlace, value })
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** `topicPrefix: {gateway}.` is a syntax error to YAML, and says nothing to whoever wrote it. */
function mappingTrap(text: string[], line: number): string | undefined {
  for (const candidate of [line, line - 1]) {
    const match = /^\s*(?:-\s+)?([\w.-]+):\s+(\{[^"'#,]*?)\s*(?:#.*)?$/.exec(
      text[candidate - 1] ?? '',
    )
    if (match !== null) return mappingSentence(match[1]!, match[2]!)
  }
  return undefined
}

/** The sentence for a template that was left without quotes. */
export function mappingSentence(key: string, written: string): string {
  return `${key}: ${written} is a YAML mapping; write ${key}: "${written}"`
}

function aliasTrap(text: string[], line: number): string | undefined {
  const match = /(?:[[,]|:|-)\s*(\*[^\s,\]]*)/.exec(text[line - 1] ?? '')
  return match === null ? undefined : `${match[1]} is a YAML alias; quote it: "${match[1]}"`
}

function yamlSentence(message: string): string {
  const [first = 'not YAML'] = message.split('\n')
  return `not YAML: ${first.replace(/\s+at line \d+.*$/, '')}`
}

/** The tree as plain values, read as YAML's core schema does: `7` a number, `"7"` a text. */
export function plainValue(raw: Raw): unknown {
  switch (raw.kind) {
    case 'nothing':
      return null
    case 'scalar':
      return raw.value
    case 'list':
      return raw.items.map(plainValue)
    case 'map':
      return Object.fromEntries(
        [...raw.entries].map(([key, { value }]) => [key, plainValue(value)]),
      )
  }
}
