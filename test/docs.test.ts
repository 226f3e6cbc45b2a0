// The documents against the tree: the file map of ARCHITECTURE.md names every source file and nothing
// that is gone, links lead somewhere, scripts and files exist.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as assert from 'uvu/assert'
import { suite } from './support/suite.ts'

const test = suite('docs')

const PAGES = [
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'agent/log/FORMAT.md',
  'cloud-bridge/README.md',
  'wasm/README.md',
]
const SOURCE_FOLDERS = ['agent', 'cloud-bridge', 'devices', 'firmware-sim', 'wasm']

/** The paths in the file map: a heading is a folder, the first cell of a row a file in it. */
function mapped(page: string): string[] {
  const paths: string[] = []
  let folder = ''
  for (const line of page.slice(page.indexOf('\n## File map')).split('\n')) {
    const heading = line.match(/^### (\S+)/)
    if (heading !== null) folder = heading[1]!
    if (!line.startsWith('| `')) continue
    const [, cell] = line.split('|')
    for (const [, name] of cell!.matchAll(/`([^`]+)`/g)) paths.push(`${folder}/${name}`)
  }
  return paths
}

function sources(): string[] {
  return SOURCE_FOLDERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
      .map((name) => `${folder}/${name}`),
  ).sort()
}

const map = mapped(readFileSync('ARCHITECTURE.md', 'utf8'))

test('every source file has a line in the file map of ARCHITECTURE.md', () => {
  const missing = sources().filter((path) => !map.includes(path))
  assert.equal(missing, [], `no line in the file map: ${missing.join(', ')}`)
})

test('the file map names nothing that is not there, and nothing twice', () => {
  assert.equal(
    map.filter((path) => !existsSync(path)),
    [],
  )
  assert.is(new Set(map).size, map.length)
  assert.ok(map.length > 150)
})

test('links between the documents lead to files', () => {
  for (const page of PAGES) {
    for (const [, target] of readFileSync(page, 'utf8').matchAll(/\]\(([^)#:]+)\)/g)) {
      assert.ok(existsSync(join(dirname(page), target!)), `${page} links to ${target}`)
    }
  }
})

test('every script that a document names is in package.json', () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'))
  for (const page of PAGES) {
    for (const [, name] of readFileSync(page, 'utf8').matchAll(/npm run ([a-z:-]+)/g)) {
      assert.ok(name! in scripts, `${page}: npm run ${name}`)
    }
  }
})

test('documents name source files that exist', () => {
  const pattern = /\b((?:agent|wasm|devices|firmware-sim|test)\/[\w/.-]+\.(?:ts|md))\b/g
  for (const page of PAGES) {
    for (const [, path] of readFileSync(page, 'utf8').matchAll(pattern)) {
      if (!path!.includes('/NN-')) assert.ok(existsSync(path!), `${page} names ${path}`)
    }
  }
})

test.run()
