// A store on the real file system with every kind of file, small enough to be copied thousands of
// times, and what it serves.
//
//   killed    as kill -9 leaves it: two journal generations that are both needed, because the
//             checkpoint between them could not be written; tails that are only there
//   stopped   as a clean stop leaves it: everything in segments, no journal needed

import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { Logger, Metrics } from '../../agent/base/telemetry.ts'
import { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { kernel, makeBatches } from '../support/batches.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { type QuickDisk, quickDisk } from './quick-disk.ts'
import { type Served, servedBy } from './served.ts'

export type StoreKind = 'killed' | 'stopped'

export interface MadeStore {
  kind: StoreKind
  directory: string
  served: Served
  /** Paths below the directory. */
  files: string[]
}

export interface LogLine {
  level: string
  message: string
}

export const LIMITS = {
  journalBytes: 48 * 1024,
  frameBytesMax: 4096,
  batchBytes: 2048,
  segmentBytes: 12_288,
  carryTailBytes: 512,
} as const
/** Rounds until checkpoints fail, and after the first that did. */
const ROUNDS_BEFORE = 70
const ROUNDS_AFTER = 8
const START = Date.UTC(2026, 0, 1)

/** An hour after the store was made. */
export function storeClock(): SimClock {
  return new SimClock(START + 3_600_000)
}

/** A log with small limits; what it says goes to `lines`. */
export function openLog(
  directory: string,
  fs: QuickDisk,
  lines: LogLine[],
  clock = storeClock(),
): Promise<Log> {
  const logger = new Logger({
    level: 'debug',
    format: 'json',
    now: () => clock.now(),
    write: (line) => lines.push(JSON.parse(line) as LogLine),
  })
  return Log.open({
    directory,
    fs,
    kernel,
    clock,
    logger,
    metrics: new Metrics(),
    gateway: 'flip',
    ...LIMITS,
  })
}

export async function makeStore(kind: StoreKind, directory: string): Promise<MadeStore> {
  const live = `${directory}.live`
  mkdirSync(live, { recursive: true })
  const fs = quickDisk()
  const clock = new SimClock(START)
  const log = await openLog(live, fs, [], clock)
  await fill(log, fs)
  const served = await servedBy(log)
  const end = async () => {
    fs.refuse = undefined
    // The checkpoint that failed is tried again.
    clock.advance(60_000)
    await log.close()
  }
  if (kind === 'stopped') await end()
  else await settled(log, fs)
  await cp(live, directory, { recursive: true, filter: (path) => !path.endsWith('/lock') })
  // Nothing of what the dead process still does is seen any more.
  if (kind === 'killed') await end()
  rmSync(live, { recursive: true })
  return { kind, directory, served, files: filesOf(directory) }
}

async function fill(log: Log, fs: QuickDisk): Promise<void> {
  const random = new SeededRandom(7)
  const sensors = await log.createTopic('flip.sensors', { partitions: 2, replicated: true })
  const local = await log.createTopic('local', { partitions: 1, replicated: false })
  const partitions = [...sensors.partitions, ...local.partitions]
  log.state.put('repl/1', Buffer.from(JSON.stringify({ clusterId: 'c', acked: 12 })))
  let rest = ROUNDS_AFTER
  for (let round = 0; rest > 0; round++) {
    // The checkpoint that would free the file before the last one does not come.
    if (round === ROUNDS_BEFORE) fs.refuse = /checkpoint-/
    if (fs.refusals > 0) rest--
    for (const [order, partition] of partitions.entries()) {
      const count = order === 0 ? 6 : 2
      for (let made = 0; made < count; made++) await append(log, partition, random, round)
    }
    if (round % 20 === 10) await appendBatch(log, partitions[1]!, round)
    log.state.put(`qos2/client-${round % 9}/${round}`, random.bytes(8))
    if (round > 20) log.state.delete(`qos2/client-${(round - 20) % 9}/${round - 20}`)
    await log.durable(log.openCommit)
    await settled(log, fs)
  }
}

async function append(
  log: Log,
  partition: PartitionLog,
  random: SeededRandom,
  round: number,
): Promise<void> {
  const record = {
    timestamp: START + round * 1000 + random.below(900),
    key: Buffer.from(`device-${random.below(5)}`),
    value: random.bytes(20 + random.below(160)),
    headers: random.chance(0.3) ? ([['source', random.bytes(4)]] as [string, Buffer][]) : [],
  }
  for (let tries = 0; partition.appendRecord(record) < 0; tries++) {
    if (tries > 1000) throw new Error('no room in the store that is made')
    await log.durable(log.openCommit)
  }
}

async function appendBatch(log: Log, partition: PartitionLog, seed: number): Promise<void> {
  const [batch] = makeBatches(1, seed, { recordsMax: 30, valueBytesMax: 300 })
  if (partition.appendBatch(batch!.bytes) < 0) throw new Error('no room for a batch')
  await log.durable(log.openCommit)
}

/** Nothing is on its way to the disk, and nothing that could go there by itself is left. */
async function settled(log: Log, fs: QuickDisk): Promise<void> {
  await log.durable(log.durableCommit)
  for (let quiet = 0; quiet < 5; ) {
    await new Promise((resolve) => setImmediate(resolve))
    quiet = fs.busy === 0 ? quiet + 1 : 0
  }
}

/** Every file below a directory. */
export function filesOf(directory: string): string[] {
  return (readdirSync(directory, { recursive: true }) as string[])
    .filter((path) => statSync(join(directory, path)).isFile())
    .sort()
}
