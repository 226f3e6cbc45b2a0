// A small log with records that are all known, and what is served of them: for tests of damage.

import * as assert from 'uvu/assert'
import type { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { decodeRecords } from '../../agent/record/record-batch.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { codecs } from './batches.ts'
import { SimFileSystem } from './sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from './small-log.ts'

export const DIRECTORY = `${STORE}/t-0`

let boots = 0

export interface ServedRecord {
  offset: number
  value: string | undefined
  timestamp: number
}

/** Every record from the log start to the end, in reads of some size. */
export async function served(partition: PartitionLog, maxBytes = 3000): Promise<ServedRecord[]> {
  const records: ServedRecord[] = []
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const read = await partition.read(offset, maxBytes)
    if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
    for (let at = 0; at < read.bytes.length; ) {
      const batch = read.bytes.subarray(at, at + read.bytes.readInt32BE(at + 8) + 12)
      for (const record of decodeRecords(batch, codecs)) {
        if (record.offset < offset) continue
        const { value, timestamp } = record
        records.push({ offset: record.offset, value: value?.toString('hex'), timestamp })
      }
      at += batch.length
    }
    offset = read.nextOffset
  }
  const { logStartOffset } = partition
  for (const [order, { offset }] of records.entries()) assert.is(offset, logStartOffset + order)
  return records
}

/** Offsets that are served as empty records. */
export function hollowOffsets(records: readonly ServedRecord[]): number[] {
  return records.filter(({ value }) => value === undefined).map(({ offset }) => offset)
}

/** What is there is what was appended; what is empty is exactly what is said to be lost. */
export function checkServed(
  partition: PartitionLog,
  records: readonly ServedRecord[],
  original: readonly ServedRecord[],
): void {
  for (const record of records) {
    if (record.value !== undefined) assert.equal(record, original[record.offset])
  }
  const hollow = hollowOffsets(records)
  const { ranges, total } = partition.losses
  for (const offset of hollow) {
    assert.ok(
      ranges.some(({ from, to }) => from <= offset && offset < to),
      `offset ${offset} is hollow and not said to be lost`,
    )
  }
  assert.is(total, hollow.length)
}

/** A store of several segments that was stopped, and what it holds. */
export async function stoppedStore(count = 400, seed = 1) {
  const fs = new SimFileSystem(seed)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('t', { partitions: 1, replicated: false })
  await appendRecords(log, topic.partitions[0]!, count)
  const original = await served(topic.partitions[0]!)
  await log.close()
  const bases = segmentBases(fs)
  return { fs, original, bases }
}

export function segmentBases(fs: SimFileSystem): number[] {
  return fs
    .paths()
    .filter((path) => path.startsWith(DIRECTORY) && path.endsWith('.log'))
    .map((path) => Number(path.slice(DIRECTORY.length + 1, -4)))
}

export function segmentPath(base: number, suffix = 'log'): string {
  return `${DIRECTORY}/${String(base).padStart(20, '0')}.${suffix}`
}

export async function opened(
  fs: SimFileSystem,
  options: Partial<LogOptions> = {},
): Promise<{ log: Log; partition: PartitionLog }> {
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  // A process that is not asked for: that would take real time.
  const boot = String(boots++)
  const lock = { pid: 1, startOf: async () => boot }
  const log = await clock.until(openSmallLog(fs, { clock, lock, ...options }))
  return { log, partition: log.topic('t')!.partitions[0]! }
}
