// A compiled copy of the simulation and the log under it, with changes: how a mutant is made.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** A text that stands exactly once in a file, and what stands there instead. */
export interface Change {
  file: string
  find: string
  replace: string
}

/** Beneath the repository, so that compiled copies find its packages. */
const COPIES = 'node_modules/.cache/tributary-mutants'
const SOURCES = ['package.json', 'agent', 'wasm', 'test/sim', 'test/support']

/** Returns the path of its seed-worker. Throws when a change does not find its place. */
export function compiledCopy(name: string, changes: readonly Change[]): string {
  const out = join(COPIES, name)
  rmSync(out, { recursive: true, force: true })
  // Elsewhere: a compiler takes sources in a packages folder for somebody else's.
  const source = mkdtempSync(join(tmpdir(), 'tributary-mutant-'))
  try {
    for (const path of SOURCES) cpSync(path, join(source, path), { recursive: true })
    for (const change of changes) apply(source, change)
    compile(source, out, name)
  } finally {
    rmSync(source, { recursive: true })
  }
  mkdirSync(join(out, 'wasm'), { recursive: true })
  cpSync('wasm/kernel.wasm', join(out, 'wasm/kernel.wasm'))
  cpSync('package.json', join(out, 'package.json'))
  return join(out, 'test/sim/seed-worker.js')
}

function compile(source: string, out: string, name: string): void {
  const config = {
    extends: resolve('tsconfig.test.json'),
    compilerOptions: { rootDir: '.', outDir: resolve(out), inlineSourceMap: false, types: [] },
    include: [],
    files: ['test/sim/seed-worker.ts'],
  }
  writeFileSync(join(source, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', source], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${name} does not compile\n${stdout}`)
}

function apply(source: string, { file, find, replace }: Change): void {
  const path = join(source, file)
  const text = readFileSync(path, 'utf8')
  const count = text.split(find).length - 1
  if (count !== 1) throw new Error(`${file} has ${count} times, not once: ${find}`)
  writeFileSync(
    path,
    text.replace(find, () => replace),
  )
}
