// The kernels beside the native add-ons that a user would install instead: same process, same data, one
// processor. The table goes between the markers of wasm/README.md with `--write`.
//
//   wasm-measure.ts  rounds, ratios, quartiles     wasm-rows.ts, wasm-zstd-rows.ts  what is measured
//   wasm-data.ts     on what                       wasm-peers.ts, wasm-plain.ts     beside what

import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { Kernel } from '../../wasm/kernel.ts'
import { findProgram } from '../support/peers.ts'
import { markdownTable } from './table.ts'
import { type DataSet, dataSets } from './wasm-data.ts'
import { cellsOf, isMissed, type Measured, measure } from './wasm-measure.ts'
import { loadPeers, type Peers } from './wasm-peers.ts'
import {
  crcRows,
  indexRows,
  lz4Rows,
  scanRows,
  sealRows,
  sizeName,
  startRows,
} from './wasm-rows.ts'
import { zstdRows } from './wasm-zstd-rows.ts'

export interface WasmBenchOptions {
  rounds: number
  /** Put the tables into wasm/README.md. */
  write: boolean
}

const KIB = 1024
const PINNED = 'TRIBUTARY_BENCH_PINNED'
const README = new URL('../../wasm/README.md', import.meta.url)
const [BEGIN, END] = ['<!-- bench -->', '<!-- /bench -->']

/** Prints the tables; resolves with the number of floors that were missed. */
export async function benchWasm({ rounds, write }: WasmBenchOptions): Promise<number> {
  const status = onOneProcessor()
  if (status !== undefined) return status
  const kernel = new Kernel()
  const peers = loadPeers()
  const sets = await dataSets()
  const [json] = sets as [DataSet]
  const rows = measure(
    [
      ...crcRows(kernel, peers, json),
      ...lz4Rows(kernel, peers, json, 16 * KIB),
      ...zstdRows(kernel, peers, json, 16 * KIB),
      ...sealRows(kernel, peers),
      ...scanRows(kernel, peers),
      ...indexRows(kernel),
      ...startRows(),
    ],
    rounds,
  )
  const head = ['', 'goal', 'floor', `measured (quartiles of ${rounds} rounds)`, '']
  const tables = [markdownTable(head, rows.map(cellsOf))]
  if (peers.lz4 !== undefined) tables.push(otherTable(kernel, peers, sets, rounds))
  const text = tables.join('\n\n')
  console.log(text)
  if (write) writeTables(text)
  return rows.filter(isMissed).length
}

/** The same codecs on other data and at other sizes: told, without goals. */
function otherTable(
  kernel: Kernel,
  peers: Peers,
  sets: readonly DataSet[],
  rounds: number,
): string {
  const lines: string[][] = []
  for (const set of sets) {
    for (const length of [1, 16, 64, 256, 1024].map((kib) => kib * KIB)) {
      const lz4 = lz4Rows(kernel, peers, set, length)
      const zstd = zstdRows(kernel, peers, set, length)
      const told = new Map(measure([...lz4, ...zstd], rounds).map((row) => [row.name, row]))
      const figure = (row: { name: string } | undefined) => plainFigure(row && told.get(row.name))
      lines.push([
        `${set.name} ${sizeName(length)}`,
        ...[0, 1, 2, 3].map((i) => figure(lz4[i])),
        ...[0, 1, 2].map((i) => figure(zstd[i])),
      ])
      console.error(lines.at(-1)!.join('  '))
    }
  }
  const head = ['', 'LZ4 / lz4-napi', 'LZ4 / C', 'ratio / C', 'LZ4⁻¹ / C']
  return markdownTable([...head, 'zstd ratio / level 1', 'zstd / zstd-napi', 'zstd⁻¹'], lines)
}

const plainFigure = (row: Measured | undefined): string =>
  row === undefined ? '' : `${row.median.toFixed(2)}×`

function writeTables(tables: string): void {
  const text = readFileSync(README, 'utf8')
  const [start, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (start < 0 || end < start) throw new Error(`wasm/README.md has no ${BEGIN} … ${END}`)
  writeFileSync(README, `${text.slice(0, start + BEGIN.length)}\n\n${tables}\n\n${text.slice(end)}`)
}

/** Runs all of this again where it may use one processor only, and tells how that ended. */
function onOneProcessor(): number | undefined {
  const taskset = findProgram('taskset')
  if (process.env[PINNED] !== undefined || taskset === undefined) return undefined
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const env = { ...process.env, [PINNED]: '1' }
  const { status } = spawnSync(taskset, ['-c', '0', ...self], { stdio: 'inherit', env })
  return status ?? 1
}
