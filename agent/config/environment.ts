// Environment variables ↔ configuration keys: `upstream.bootstrapServers` is
// `TRIBUTARY_UPSTREAM_BOOTSTRAP_SERVERS`. Lists are `a,b` or YAML `[a, b]`; routes and dictionaries
// are YAML. A variable lays its value over the file's, before anything is checked.

import { nearest } from './did-you-mean.ts'
import { CONFIG } from './schema.ts'
import type { Node } from './setting.ts'
import { emptyMap, type Problem, type Raw, readYaml } from './yaml-source.ts'

const PREFIX = 'TRIBUTARY_'

/** Variables that are no configuration keys. */
const OTHER_VARIABLES: readonly string[] = [
  'TRIBUTARY_CONFIG',
  'TRIBUTARY_DATA',
  'TRIBUTARY_CACHE',
  'TRIBUTARY_REQUIRE_PEERS',
]

interface Variable {
  readonly path: readonly string[]
  readonly node: Node
}

/** The name of the variable that overrides a key. */
function variableOf(path: readonly string[]): string {
  const words = path.map((part) => part.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase())
  return PREFIX + words.join('_')
}

/** Every variable: scalars, lists, routes, dictionaries and sections with a shorthand. */
function variables(): Map<string, Variable> {
  const found = new Map<string, Variable>()
  const visit = (node: Node, path: readonly string[]): void => {
    const isSection = node.kind === 'section' || node.kind === 'optionalSection'
    if (!isSection || (node.kind === 'section' && node.shorthand !== undefined)) {
      found.set(variableOf(path), { path, node })
    }
    if (!isSection) return
    for (const [key, field] of Object.entries(node.fields)) visit(field, [...path, key])
  }
  visit(CONFIG, [])
  return found
}

/** True when some variable sets a configuration key. */
export function setsConfiguration(environment: NodeJS.ProcessEnv): boolean {
  const known = variables()
  return Object.keys(environment).some((name) => known.has(name))
}

/** The file's tree with the variables laid over it. */
export function overlayEnvironment(
  root: Raw & { kind: 'map' },
  environment: NodeJS.ProcessEnv,
  problems: Problem[],
): Raw & { kind: 'map' } {
  const known = variables()
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(PREFIX) || value === undefined || OTHER_VARIABLES.includes(name)) continue
    const variable = known.get(name)
    if (variable === undefined) {
      const meant = nearest(
        name.slice(PREFIX.length),
        [...known.keys(), ...OTHER_VARIABLES].map((each) => each.slice(PREFIX.length)),
      )
      const hint = meant === undefined ? '' : `; did you mean ${PREFIX}${meant}?`
      problems.push({ place: name, sentence: `unknown variable${hint}` })
      continue
    }
    lay(root, variable, rawOf(variable.node, value, name, problems), name)
  }
  return root
}

function lay(root: Raw & { kind: 'map' }, { path }: Variable, value: Raw, name: string): void {
  let map = root
  for (const part of path.slice(0, -1)) {
    const inner = map.entries.get(part)?.value
    if (inner?.kind === 'map') {
      map = inner
      continue
    }
    const fresh = emptyMap(name)
    map.entries.set(part, { keyPlace: name, value: fresh })
    map = fresh
  }
  map.entries.set(path.at(-1)!, { keyPlace: name, value })
}

function rawOf(node: Node, value: string, place: string, problems: Problem[]): Raw {
  const isYaml = /^\s*[[{]/.test(value)
  if (node.kind === 'list' && !isYaml) {
    const items = value.split(',').map((item) => item.trim())
    const filled = items.filter((item) => item !== '')
    return {
      kind: 'list',
      items: filled.map((text) => ({ kind: 'scalar', text, value: text, place })),
      place,
    }
  }
  if (node.kind === 'scalar' || !isYaml) return { kind: 'scalar', text: value, value, place }
  return readYaml(value, () => place, problems)
}
