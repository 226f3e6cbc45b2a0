// One byte of a store changes, everywhere in turn.
//
//   npm run flip-a-byte -- [--places 200] [--seed S] [--file PATTERN] [--store killed|stopped]
//
// For every file of two made stores, and so many random places of each: a copy is damaged there and
// judged (judgement.ts). Each file is also cut, loses a sector, and is removed. Prints what failed,
// grouped, with one place of each kind; exit code 1 when anything did.

import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { SeededRandom } from '../support/seeded-random.ts'
import { type Damage, damageText, judge } from './judgement.ts'
import { type MadeStore, makeStore, type StoreKind } from './made-store.ts'
import { StoreMap } from './store-map.ts'

export interface FlipOptions {
  kind: StoreKind
  /** Of each file. */
  places: number
  seed: number
  /** Only files whose path contains it. */
  file?: string
  /** Of all damages only each so many. */
  every?: number
}

export interface FlipReport {
  files: number
  damages: number
  faults: { damage: string; what: string }[]
}

export async function flipABytes(options: FlipOptions): Promise<FlipReport> {
  const folder = mkdtempSync(join(tmpdir(), 'flip-'))
  const random = new SeededRandom(options.seed)
  try {
    const store = await makeStore(options.kind, join(folder, 'store'))
    const map = new StoreMap(store)
    const report: FlipReport = { files: 0, damages: 0, faults: [] }
    let order = 0
    for (const file of store.files) {
      if (options.file !== undefined && !file.includes(options.file)) continue
      report.files++
      for (const damage of damagesOf(store, file, options.places, random)) {
        if (order++ % (options.every ?? 1) !== 0) continue
        report.damages++
        const what = map.at(file, Math.min(damage.position, sizeOf(store, file) - 1))?.what ?? ''
        for (const fault of await judge(store, map, damage)) {
          report.faults.push({ damage: `${damageText(damage)} (${what})`, what: fault })
        }
      }
    }
    return report
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const sizeOf = (store: MadeStore, file: string) => statSync(join(store.directory, file)).size

function* damagesOf(
  store: MadeStore,
  file: string,
  places: number,
  random: SeededRandom,
): Iterable<Damage> {
  const size = sizeOf(store, file)
  for (let place = 0; place < places && size > 0; place++) {
    const mask = 1 + random.below(255)
    yield { kind: 'flip', file, position: random.below(size), mask }
  }
  yield { kind: 'gone', file, position: 0 }
  if (size === 0) return
  yield { kind: 'cut', file, position: random.below(size) }
  yield { kind: 'zeros', file, position: Math.floor(random.below(size) / 512) * 512 }
}

/** The faults of a report, those that differ only in numbers together. */
export function grouped({ faults }: FlipReport): string[] {
  const groups = new Map<string, { count: number; damage: string; what: string }>()
  for (const { damage, what } of faults) {
    const shape = `${damage.replace(/.* /, '')} ${what}`.replace(/\d+/g, '#').slice(0, 160)
    const group = groups.get(shape) ?? { count: 0, damage, what }
    group.count++
    groups.set(shape, group)
  }
  return [...groups.values()]
    .sort((a, b) => b.count - a.count)
    .map(({ count, damage, what }) => `${count} ×  ${damage}\n      ${what}`)
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      places: { type: 'string', default: '200' },
      seed: { type: 'string', default: '1' },
      file: { type: 'string' },
      store: { type: 'string' },
    },
  })
  const kinds = values.store === undefined ? ['killed', 'stopped'] : [values.store]
  let faults = 0
  for (const kind of kinds as StoreKind[]) {
    const started = performance.now()
    const report = await flipABytes({
      kind,
      places: Number(values.places),
      seed: Number(values.seed),
      ...(values.file === undefined ? {} : { file: values.file }),
    })
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    for (const line of grouped(report)) console.log(line)
    const { files, damages } = report
    faults += report.faults.length
    console.log(
      `${kind}: ${files} files, ${damages} damages, ${report.faults.length} faults, ${seconds} s`,
    )
  }
  process.exit(faults === 0 ? 0 : 1)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main()
