// Our own rules, enforced: the ranks of ARCHITECTURE.md, test hygiene, file sizes, error codes.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import * as assert from 'uvu/assert'
import { ERROR_CODES } from '../agent/base/errors.ts'
import { suite } from './support/suite.ts'

const test = suite('tidy')

/** Folder → the folders it may import, itself and agent/base aside. */
const LAYERS: Record<string, readonly string[]> = {
  wasm: [],
  devices: [],
  'firmware-sim': ['devices'],
  'agent/base': [],
  'agent/record': ['wasm'],
  'agent/kafka/protocol': [],
  'agent/log': ['agent/record', 'wasm'],
  'agent/ingest': ['agent/log', 'agent/record', 'devices', 'wasm'],
  'agent/kafka/group': ['agent/log', 'agent/record', 'agent/kafka/protocol'],
  'agent/kafka/client': ['agent/kafka/protocol', 'agent/record', 'wasm'],
  'agent/kafka/server': [
    'agent/kafka/group',
    'agent/log',
    'agent/record',
    'agent/kafka/protocol',
    'wasm',
  ],
  'agent/replication': [
    'agent/log',
    'agent/record',
    'agent/kafka/client',
    'agent/kafka/protocol',
    'wasm',
  ],
  'agent/admin': ['agent/log'],
  'cloud-bridge': ['agent/kafka/protocol', 'agent/kafka/client', 'agent/record', 'wasm'],
}
/** Rank 5 and the tests may import anything. */
const FREE = ['agent', 'agent/cli', 'test']
const NO_BASE = ['wasm', 'devices', 'firmware-sim']

function folderOf(path: string): string {
  const known = [...Object.keys(LAYERS), ...FREE].filter((folder) => path.startsWith(`${folder}/`))
  return known.sort((a, b) => b.length - a.length)[0] ?? dirname(path)
}

/** The imports of one file that go against the ranks, each as a sentence. */
function rankViolations(path: string, source: string): string[] {
  const from = folderOf(path)
  if (FREE.includes(from)) return []
  const allowed = LAYERS[from]
  if (allowed === undefined) return [`${path}: folder ${from} has no rank`]
  const found: string[] = []
  for (const [, target] of source.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
    const to = folderOf(normalize(join(dirname(path), target!)))
    const base = to === 'agent/base' && !NO_BASE.includes(from)
    if (to !== from && !base && !allowed.includes(to)) found.push(`${path}: ${from} imports ${to}`)
  }
  return found
}

const sources = ['agent', 'wasm', 'cloud-bridge', 'devices', 'firmware-sim', 'test']
  .flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path)),
  )
  .filter((path) => /(?<!\.d)\.ts$/.test(path) && !path.includes('node_modules'))
  .map((path) => ({ path, source: readFileSync(path, 'utf8') }))

test('imports go down the ranks only', () => {
  const found = sources.flatMap(({ path, source }) => rankViolations(path, source))
  assert.equal(found, [])
})

test('the rank check sees a bad import', () => {
  const bad = `import { Log } from '../log/log.ts'\nimport x from '../replication/replicator.ts'`
  assert.equal(rankViolations('agent/ingest/sample.ts', bad), [
    'agent/ingest/sample.ts: agent/ingest imports agent/replication',
  ])
  assert.equal(rankViolations('devices/sample.ts', `import '../agent/base/errors.ts'`).length, 1)
  assert.equal(rankViolations('agent/log/s.ts', `await import('../ingest/x.ts')`).length, 1)
  assert.equal(rankViolations('wasm/s.ts', `export * from '../agent/record/varint.ts'`).length, 1)
})

test('every test file runs its suite and leaves no .only', () => {
  for (const { path, source } of sources) {
    if (!path.endsWith('.test.ts')) continue
    assert.match(source, /\.run\(\)/, `${path} calls no .run()`)
    assert.not.match(source, /test\.(only|skip)\(/, `${path} has .only or .skip`)
  }
})

test('no file is longer than 500 lines', () => {
  const long = sources
    .filter(({ source }) => source.split('\n').length > 500)
    .map(({ path }) => path)
  assert.equal(long, [])
})

test('no barrels, no utils, no default exports of ours', () => {
  for (const { path, source } of sources) {
    assert.not.match(path, /(utils|common|types|helpers)\.ts$/, path)
    if (!path.includes('assembly/')) assert.not.match(path, /\/index\.ts$/, path)
    assert.not.match(source, /^export default/m, path)
  }
})

test('an error code is used, and every used code is in the catalogue', () => {
  const code = sources.filter(({ path }) => !path.startsWith('test/')).map(({ source }) => source)
  const used = new Set(
    code.flatMap((source) =>
      [...source.matchAll(/AgentError\(\s*'([A-Z_]+)'/g)].map(([, name]) => name!),
    ),
  )
  for (const name of used) assert.ok(name in ERROR_CODES, `${name} is not in the catalogue`)
})

test.run()
