// What reading costs beside a plain loop over the same files, one buffer of 1 MiB: `verify` and a
// consumer that fetches everything from the start beside all segments, a start after kill -9 beside all
// journal files. Each pair runs one right after the other; the page cache is emptied before each where
// that is allowed, and a disk as slow as a card is put in front.

import { cpSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FileSystem } from '../../agent/log/file-system.ts'
import {
  type BuiltLog,
  nodeFileSystem,
  openLog,
  reading,
  roomAgain,
  verifyStore,
} from './built-log.ts'
import { pacedDisk } from './paced-disk.ts'
import { median } from './process-usage.ts'
import { markdownTable, plain } from './table.ts'

export interface ReadBenchOptions {
  rounds: number
  /** Of the log that is read, 128 bytes each. */
  messages: number
}

interface Disk {
  name: string
  fs: FileSystem
  isCold: boolean
}

interface Work {
  name: string
  floor: number
  /** Seconds of a plain loop over so much, seconds of ours. */
  run: (disk: Disk) => Promise<{ bytes: number; loop: number; ours: number }>
}

const MIB = 1024 * 1024
const CARD_BYTES_PER_SECOND = 90 * MIB
const GROUP = 1000

/** Prints the table; resolves with the number of floors that were missed. */
export async function benchRead({ rounds, messages }: ReadBenchOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-read-'))
  try {
    const store = join(folder, 'store')
    const killed = join(folder, 'killed')
    await makeStores(store, killed, messages)
    return await compare(worksOf(store, killed), rounds)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** One that was stopped, and what kill -9 leaves of it while its journal is about to be full. */
async function makeStores(store: string, killed: string, messages: number): Promise<void> {
  const log = await openLog(store)
  const [partition] = log.ensureTopic('log', { partitions: 1, replicated: false }).partitions
  for (let first = 0; first < messages; first += GROUP) {
    for (let order = first; order < first + GROUP; order++) {
      const key = Buffer.from(`sensors/dev${order % 200}/climate`)
      const record = { timestamp: Date.now(), key, value: reading(order) }
      while (partition!.appendRecord(record) < 0) await roomAgain(log)
    }
    await log.durable(log.openCommit)
  }
  cpSync(store, killed, { recursive: true })
  rmSync(join(killed, 'lock'), { force: true })
  await log.close()
}

function worksOf(store: string, killed: string): Work[] {
  const segments = filesIn(join(store, 'log-0'), /\.log$/)
  return [
    {
      name: 'verify',
      floor: 0.5,
      run: (disk) =>
        side(disk, filesIn(store, /./), async () => {
          const { ok } = await verifyStore(disk.fs, store)
          if (!ok) throw new Error('the store does not verify')
        }),
    },
    {
      name: 'sequential fetch',
      floor: 0.8,
      run: async (disk) => {
        const log = await openLog(store, disk.fs)
        try {
          return await side(disk, segments, () => fetchAll(log))
        } finally {
          await log.close()
        }
      },
    },
    {
      name: 'start after kill -9',
      floor: 0.5,
      run: (disk) => restart(disk, killed),
    },
  ]
}

async function restart(disk: Disk, killed: string) {
  const copy = `${killed}-${Math.random()}`
  cpSync(killed, copy, { recursive: true })
  let log: BuiltLog | undefined
  try {
    return await side(disk, filesIn(copy, /^journal-/), async () => {
      log = await openLog(copy, disk.fs)
    })
  } finally {
    await log?.close()
    rmSync(copy, { recursive: true })
  }
}

async function fetchAll(log: BuiltLog): Promise<void> {
  const partition = log.topic('log')!.partitions[0]!
  for (let offset = 0; offset < partition.highWatermark; ) {
    const read = await partition.read(offset, MIB)
    if (read.kind !== 'batches') throw new Error(`offset ${offset}: ${read.kind}`)
    offset = read.nextOffset
  }
}

async function side(disk: Disk, files: readonly string[], ours: () => Promise<unknown>) {
  const bytes = files.reduce((sum, path) => sum + statSync(path).size, 0)
  const timed = async (work: () => Promise<unknown>) => {
    if (disk.isCold) emptyPageCache()
    const start = performance.now()
    await work()
    return (performance.now() - start) / 1000
  }
  // Once for nothing, so that a warm cache is one.
  if (!disk.isCold) await loop(nodeFileSystem, files)
  return { bytes, loop: await timed(() => loop(disk.fs, files)), ours: await timed(ours) }
}

async function loop(fs: FileSystem, files: readonly string[]): Promise<void> {
  const buffer = Buffer.allocUnsafe(MIB)
  for (const path of files) {
    const file = await fs.open(path, 'read')
    let position = 0
    for (let length = -1; length !== 0; position += length) {
      length = await file.read(buffer, position)
    }
    await file.close()
  }
}

async function compare(works: readonly Work[], rounds: number): Promise<number> {
  const disks: Disk[] = [{ name: 'page cache', fs: nodeFileSystem, isCold: false }]
  if (emptyPageCache()) disks.push({ name: 'this disk, cold', fs: nodeFileSystem, isCold: true })
  disks.push({
    name: `a card, ${CARD_BYTES_PER_SECOND / MIB} MiB/s`,
    fs: pacedDisk(nodeFileSystem, CARD_BYTES_PER_SECOND),
    isCold: false,
  })
  const rows: string[][] = []
  let missed = 0
  for (const { name, floor, run } of works) {
    for (const disk of disks) {
      const ratios: number[] = []
      const speeds: [ours: number, loop: number][] = []
      // The first makes the machine code.
      for (let round = 0; round <= rounds; round++) {
        const { bytes, loop, ours } = await run(disk)
        if (round === 0) continue
        ratios.push(loop / ours)
        speeds.push([bytes / MIB / ours, bytes / MIB / loop])
      }
      const ratio = median(ratios)
      const spread = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`
      const isMet = ratio >= floor
      if (!isMet) missed++
      const speed = (at: 0 | 1) => plain(median(speeds.map((pair) => pair[at])))
      rows.push([
        name,
        disk.name,
        speed(0),
        speed(1),
        `${ratio.toFixed(2)} (${spread})`,
        `≥ ${floor}`,
        isMet ? 'met' : '**missed**',
      ])
      console.error(rows.at(-1)!.join('  '))
    }
  }
  const head = ['', 'disk', 'MiB/s', 'plain loop', 'ratio (spread)', 'floor', '']
  console.log(markdownTable(head, rows))
  return missed
}

/** False: not allowed here (wants root). */
function emptyPageCache(): boolean {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '1')
    return true
  } catch {
    return false
  }
}

function filesIn(folder: string, pattern: RegExp): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
}
