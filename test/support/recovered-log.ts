// A small log that is opened again on what is left of it, and what of it can be compared.

import * as assert from 'uvu/assert'
import { Logger } from '../../agent/base/telemetry.ts'
import { CHECKPOINT_FILES, type Checkpoint, decodeCheckpoint } from '../../agent/log/checkpoint.ts'
import type { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs, kernel } from './batches.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimFileSystem } from './sim-file-system.ts'
import { openSmallLog, STORE } from './small-log.ts'

export const TOPIC = 'small.t'
export const NAME = `${TOPIC}-0`
let boots = 0

/** The next process on the same store; what it says from level warn on. */
export async function open(
  fs: SimFileSystem,
  options: Partial<LogOptions> = {},
): Promise<{ log: Log; lines: string[] }> {
  const lines: string[] = []
  const write = (line: string) => void lines.push(line.replace(/^\S+ +/, '').trim())
  const boot = String(boots++)
  const log = await openSmallLog(fs, {
    logger: new Logger({ level: 'warn', format: 'text', now: () => 0, write }),
    lock: { pid: 1, startOf: async () => boot },
    commitIntervalMs: 0,
    ...options,
  })
  return { log, lines }
}

export async function settle(): Promise<void> {
  for (let turns = 0; turns < 5000; turns++) await undefined
}

/** Durable records whose value is their offset and something that does not compress. */
export async function append(log: Log, partition: PartitionLog, count: number): Promise<void> {
  const random = new SeededRandom(partition.logEndOffset)
  for (let left = count; left > 0; left--) {
    const value = Buffer.concat([Buffer.from(`${partition.logEndOffset} `), random.bytes(90)])
    while (partition.appendRecord({ timestamp: 1, key: null, value }) < 0) await settle()
    if (left % 5 === 0) await log.durable(log.openCommit)
  }
  await log.durable(log.openCommit)
}

/** What each offset of a partition holds: its own record, or the reason why not. */
export async function contents(partition: PartitionLog): Promise<(number | string)[]> {
  const found: (number | string)[] = []
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const read = await partition.read(offset, 1)
    if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
    for (const record of decodeRecords(read.bytes, codecs)) {
      if (record.offset < offset) continue
      const text = record.value?.toString('latin1') ?? ''
      const gap = record.headers[0]?.[1]?.toString() ?? ''
      found.push(record.value === null ? gap.replace(/.*,/, '') : Number(text.split(' ')[0]))
    }
    offset = read.nextOffset
  }
  return found
}

export const upTo = (end: number) => Array.from({ length: end }, (_, offset) => offset)
export const own = (found: (number | string)[]) =>
  found.filter((content, offset) => content === offset).length

export async function newStore(
  seed: number,
  records = 100,
): Promise<{ fs: SimFileSystem; log: Log }> {
  const fs = new SimFileSystem(seed)
  const { log } = await open(fs)
  const topic = await log.createTopic(TOPIC, { partitions: 2, replicated: true })
  log.state.put('session/c', Buffer.from('[]'))
  await append(log, topic.partitions[0]!, records)
  await settle()
  return { fs, log }
}

export const partitionOf = (log: Log) => log.topic(TOPIC)!.partitions[0]!

/** After damage: the next start has nothing to say, and the store verifies. */
export async function checkHealthy(
  fs: SimFileSystem,
  expected: (number | string)[],
): Promise<void> {
  const later = fs.kill()
  const { log, lines } = await open(later)
  assert.equal(lines, [])
  assert.equal(await contents(partitionOf(log)), expected)
  await log.close()
  const { findings } = await verifyStore(later, STORE, { kernel })
  assert.equal(
    findings.map(({ path, what }) => `${path}: ${what}`),
    [],
  )
}

export function journalsOf(fs: SimFileSystem): { path: string; generation: number }[] {
  return fs
    .paths()
    .filter((path) => /\/journal-\d+$/.test(path))
    .map((path) => ({ path, generation: Number(fs.contents(path).readBigUInt64BE(8)) }))
    .sort((a, b) => a.generation - b.generation)
}

export function framesOf(bytes: Buffer): number[] {
  const positions: number[] = []
  for (let at = 512; at + 4 <= bytes.length; at += 512) {
    if (bytes.toString('latin1', at, at + 4) === 'TRJF') positions.push(at)
  }
  return positions
}

export function checkpointsOf(fs: SimFileSystem): (Checkpoint & { path: string })[] {
  return CHECKPOINT_FILES.map((name) => `${STORE}/${name}`)
    .filter((path) => fs.paths().includes(path.replace(/^\/?/, '/')))
    .flatMap((path) => {
      const outcome = decodeCheckpoint(fs.contents(path), codecs)
      return outcome.kind === 'checkpoint' ? [{ path, ...outcome.checkpoint }] : []
    })
    .sort((a, b) => a.number - b.number)
}

export const filesOf = (fs: SimFileSystem) =>
  Object.fromEntries(fs.paths().map((path) => [path, fs.contents(path).toString('base64')]))
