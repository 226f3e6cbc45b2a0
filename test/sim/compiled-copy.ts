// A compiled copy of the simulation and the log under it, with changes: how a mutant is made.

import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** A text that stands exactly once in a file, and what stands there instead. */
export interface Change {
  file: string
  find: string
  replace: string
}

/** The copy that every other is compared with: it has to be made first. */
export const UNCHANGED = 'nothing'
/** Beneath the repository, so that compiled copies find its packages. */
const COPIES = 'node_modules/.cache/tributary-mutants'
const SOURCES = ['package.json', 'agent', 'wasm', 'test/sim', 'test/support']

/**
 * Returns the path of its seed-worker. Throws when a change does not find its place, is no program that
 * the compiler takes, or makes no other program.
 */
export async function compiledCopy(name: string, changes: readonly Change[]): Promise<string> {
  const out = join(COPIES, name)
  rmSync(out, { recursive: true, force: true })
  // Elsewhere: a compiler takes sources in a packages folder for somebody else's.
  const source = mkdtempSync(join(tmpdir(), 'tributary-mutant-'))
  try {
    for (const path of SOURCES) cpSync(path, join(source, path), { recursive: true })
    for (const change of changes) apply(source, change)
    await compile(source, out, name)
  } finally {
    rmSync(source, { recursive: true })
  }
  mkdirSync(join(out, 'wasm'), { recursive: true })
  cpSync('wasm/kernel.wasm', join(out, 'wasm/kernel.wasm'))
  cpSync('package.json', join(out, 'package.json'))
  for (const { file } of changes) checkDiffers(name, file)
  return join(out, 'test/sim/seed-worker.js')
}

/** What it becomes is compared, not its text: a comment, or a type, changes nothing. */
function checkDiffers(name: string, file: string): void {
  const compiled = file.replace(/\.ts$/, '.js')
  const [mine, unchanged] = [name, UNCHANGED].map((copy) =>
    readFileSync(join(COPIES, copy, compiled), 'utf8'),
  )
  if (mine === unchanged) throw new Error(`${name}: ${file} is the same program`)
}

/** With its types: a name that is not there would be found by every seed, and prove nothing. */
async function compile(source: string, out: string, name: string): Promise<void> {
  const config = {
    extends: resolve('tsconfig.test.json'),
    compilerOptions: {
      rootDir: '.',
      outDir: resolve(out),
      inlineSourceMap: false,
      noCheck: false,
      typeRoots: [resolve('node_modules/@types')],
    },
    include: [],
    files: ['test/sim/seed-worker.ts'],
  }
  writeFileSync(join(source, 'tsconfig.json'), JSON.stringify(config))
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', source]).catch((error) => {
    throw new Error(`${name} does not compile: ${error.stdout || error.message}`)
  })
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
