// What a simulation remembers of a partition, and the comparison of a log with it.

import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import type { SeededRandom } from '../support/seeded-random.ts'

export interface ModelRecord {
  timestamp: number
  value: string
}

export interface ModelPartition {
  records: ModelRecord[]
  /** Everything below was durable once. */
  durable: number
  start: number
  /** Its deletion was begun. */
  mayBeGone: boolean
}

/** After a start; `end` is the state that was put with the last record. */
export function checkPartition(partition: PartitionLog, model: ModelPartition, end: number): void {
  const { name, logEndOffset } = partition
  if (logEndOffset < model.durable) {
    throw new Error(`${name}: acked to ${model.durable}, recovered to ${logEndOffset}`)
  }
  if (logEndOffset > model.records.length) throw new Error(`${name}: invented records`)
  if (partition.highWatermark !== logEndOffset) throw new Error(`${name}: not all is visible`)
  if (end !== logEndOffset) throw new Error(`${name}: state ${end}, log ${logEndOffset}`)
  model.records.length = logEndOffset
  model.durable = logEndOffset
  model.start = partition.logStartOffset
  model.mayBeGone = false
}

export async function checkRange(
  partition: PartitionLog,
  model: ModelPartition,
  from: number,
  to: number,
  random: SeededRandom,
): Promise<void> {
  let offset = from
  while (offset < Math.min(to, partition.highWatermark)) {
    const read = await partition.read(offset, 1 + random.below(4000))
    if (read.kind !== 'batches') throw new Error(`${partition.name}@${offset}: ${read.kind}`)
    if (read.nextOffset <= offset) throw new Error(`${partition.name}@${offset} does not go on`)
    const last = checkBytes(partition, model, read.bytes, false)
    if (last + 1 !== read.nextOffset) throw new Error(`${partition.name}: next ${read.nextOffset}`)
    offset = read.nextOffset
  }
}

/** The first record from a time on, whatever is sealed meanwhile. */
export async function checkTime(
  partition: PartitionLog,
  model: ModelPartition,
  time: number,
): Promise<void> {
  const { logStartOffset: from, highWatermark: to } = partition
  const first = model.records.findIndex(({ timestamp }, at) => at >= from && timestamp >= time)
  const found = await partition.offsetForTime(time)
  if (partition.logStartOffset !== from || first < 0 || first >= to) return
  if (found?.offset !== first) {
    throw new Error(`${partition.name}: time ${time} at ${found?.offset}, not ${first}`)
  }
}

/** Returns the last offset. A sealed batch says of its records exactly what is true. */
export function checkBytes(
  partition: PartitionLog,
  model: ModelPartition,
  bytes: Buffer,
  isSealed: boolean,
): number {
  let last = -1
  for (let at = 0; at < bytes.length; ) {
    const batch = bytes.subarray(at, at + bytes.readInt32BE(at + 8) + 12)
    if (codecs.crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) {
      throw new Error(`${partition.name}: a batch with a wrong CRC was served`)
    }
    let newest = -1
    for (const record of decodeRecords(batch, codecs)) {
      const expected = model.records[record.offset]
      const isSame =
        expected?.value === record.value?.toString() && expected?.timestamp === record.timestamp
      if (!isSame) {
        throw new Error(
          `${partition.name}@${record.offset}: ${record.value} instead of ${expected?.value}`,
        )
      }
      if (last >= 0 && record.offset !== last + 1) throw new Error(`${partition.name}: a gap`)
      last = record.offset
      newest = Math.max(newest, record.timestamp)
    }
    if (isSealed && newest !== Number(batch.readBigInt64BE(35))) {
      throw new Error(`${partition.name}@${last}: a batch with a wrong greatest timestamp`)
    }
    at += batch.length
  }
  return last
}
