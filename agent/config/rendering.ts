// The configuration as YAML text: the effective one with secrets masked, and the commented file that
// `init` writes. Both walk the schema, so neither can forget a key.

import { CONFIG, type Config } from './schema.ts'
import type { Fields, Node, Scalar, ScalarList } from './setting.ts'

const MASK = '********'
/** Comments start here where the line leaves room, and stand above it where not. */
const COMMENT_COLUMN = 44
const COLUMNS = 110

/** The effective configuration; reading it again gives the same one, secrets aside. */
export function showConfig(config: Config): string {
  return `${showFields(CONFIG.fields, config, '').join('\n')}\n`
}

function showFields(fields: Fields, values: object, indent: string): string[] {
  return Object.entries(fields).flatMap(([key, node]) =>
    isLater(node) ? [] : showNode(node, key, (values as Record<string, unknown>)[key], indent),
  )
}

function showNode(node: Node, key: string, value: unknown, indent: string): string[] {
  if (value === undefined) return []
  const name = quoted(key)
  switch (node.kind) {
    case 'scalar':
      return [`${indent}${name}: ${showScalar(node, value)}`]
    case 'list':
      return [`${indent}${name}: ${flow((value as unknown[]).map((item) => node.type.show(item)))}`]
    case 'section':
    case 'optionalSection':
      return headed(
        `${indent}${name}`,
        '{}',
        showFields(node.fields, value as object, `${indent}  `),
      )
    case 'sections': {
      const items = (value as object[]).map((item) =>
        showFields(node.fields, item, `${indent}    `),
      )
      for (const item of items) item[0] = `${indent}  - ${item[0]!.trimStart()}`
      return headed(`${indent}${name}`, '[]', items.flat())
    }
    case 'dictionary':
      return headed(
        `${indent}${name}`,
        '{}',
        Object.entries(value as object).flatMap(([inner, innerValue]) =>
          showNode(node.of, inner, innerValue, `${indent}  `),
        ),
      )
  }
}

function headed(head: string, empty: string, lines: string[]): string[] {
  return lines.length === 0 ? [`${head}: ${empty}`] : [`${head}:`, ...lines]
}

function showScalar(node: Scalar<unknown>, value: unknown): string {
  return node.type.secret ? quoted(MASK) : quoted(node.type.show(value))
}

function flow(items: (string | number | boolean)[]): string {
  return `[${items.map((item) => (typeof item === 'string' ? JSON.stringify(item) : item)).join(', ')}]`
}

/** Plain where YAML cannot mistake it, else in double quotes. */
function quoted(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value)
  const isPlain = /^[A-Za-z./][\w./-]*$|^\d+(\.\d+)?(%|ms|[smhdw]|[KMGT]i?B)$/.test(value)
  return isPlain && !/^(true|false|null)$/i.test(value) ? value : JSON.stringify(value)
}

/** True for keys that this version refuses: nobody needs to see them. */
function isLater(node: Node): boolean {
  if (node.kind === 'list') return node.later
  if (node.kind === 'section') return Object.values(node.fields).every(isLater)
  if (node.kind !== 'scalar') return false
  return node.later === 'all' || (node.fallback !== undefined && node.later.includes(node.fallback))
}

/** The file of `tributary init`: what a beginner needs is live, all else is there as comments. */
export function templateConfig(gateway: string): string {
  const live: Record<string, string[]> = {
    gateway: [`gateway: ${quoted(gateway)}`],
    routes: [
      'routes:',
      '  - mqttTopic: sensors/{device}/{metric}',
      '    topic: sensors',
      '    key: "{device}"',
    ],
  }
  const lines = [
    '# Tributary: what this gateway does. Lines after "# " show the defaults; a key without a value is unset.',
    '# tributary config check says what is wrong, tributary config show what holds.',
    '# Durations are written 500ms, 30s, 7d, sizes 64KiB, 16MiB; paths are relative to this file.',
    '',
  ]
  for (const [key, node] of Object.entries(CONFIG.fields)) {
    const own = live[key]
    const part = own === undefined ? templateNode(node, key, '') : [`# ${node.about}`, ...own]
    if (key === 'routes') part.push(...templateFields(otherRouteFields(), '    '))
    const isShort = node.kind === 'scalar' && own === undefined
    if (!isShort && lines.at(-1) !== '') lines.push('')
    lines.push(...part)
    if (!isShort) lines.push('')
  }
  return `${lines.join('\n').trimEnd()}\n`
}

/** The keys of a route that the live example leaves at their defaults. */
function otherRouteFields(): Fields {
  const { mqttTopic: _mqttTopic, topic: _topic, key: _key, ...rest } = CONFIG.fields.routes.fields
  return rest
}

function templateFields(fields: Fields, indent: string): string[] {
  return Object.entries(fields).flatMap(([key, node]) => templateNode(node, key, indent))
}

function templateNode(node: Node, key: string, indent: string): string[] {
  if (isLater(node)) return []
  switch (node.kind) {
    case 'scalar':
    case 'list':
      return commented(`${indent}# ${key}: ${fallbackText(node)}`.trimEnd(), node.about, indent)
    case 'section':
    case 'optionalSection':
      return [
        ...commented(`${indent}${key}:`, node.about, indent),
        ...templateFields(node.fields, `${indent}  `),
      ]
    case 'sections':
      return commented(`${indent}# ${key}: []`, node.about, indent)
    case 'dictionary':
      return commented(`${indent}# ${key}: {}`, node.about, indent)
  }
}

function fallbackText(node: Scalar<unknown> | ScalarList<unknown>): string {
  if (node.kind === 'list') return flow([...node.fallback])
  const read = node.fallback === undefined ? undefined : node.type.read(node.fallback)
  return read === undefined ? '' : quoted(node.type.show(read.value))
}

function commented(line: string, about: string, indent: string): string[] {
  const inline = `${line.padEnd(COMMENT_COLUMN)}# ${about}`
  return inline.length <= COLUMNS && line.length < COMMENT_COLUMN
    ? [inline]
    : [`${indent}#   ${about}`, line]
}
