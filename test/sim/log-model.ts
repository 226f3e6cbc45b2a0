// What a simulation remembers of a partition, and the comparison of a log with it.

import type { Log } from '../../agent/log/log.ts'
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

export interface Target {
  partition: PartitionLog
  model: ModelPartition
}

/** By the topic's id: another topic of the same name is another one. */
export function endKey(partition: PartitionLog): string {
  return `end/${partition.topic.id}/${partition.name}`
}

export function targetsOf(log: Log, models: ReadonlyMap<string, ModelPartition>): Target[] {
  const found: Target[] = []
  for (const topic of log.topics()) {
    for (const partition of topic.partitions) {
      const model = models.get(endKey(partition))
      if (model === undefined) throw new Error(`${partition.name} was never created`)
      found.push({ partition, model })
    }
  }
  return found
}

/** After a start: everything that may be asked of a log that has just recovered. */
export async function checkLog(
  log: Log,
  models: Map<string, ModelPartition>,
  ackedPut: number,
  random: SeededRandom,
): Promise<void> {
  const found = new Set<string>()
  for (const { partition, model } of targetsOf(log, models)) {
    found.add(endKey(partition))
    const end = Number(log.state.get(endKey(partition))?.toString() ?? '0')
    checkPartition(partition, model, end)
    await checkRange(partition, model, partition.logStartOffset, end, random)
  }
  for (const [name, model] of models) {
    if (found.has(name)) continue
    if (model.durable > 0 && !model.mayBeGone) throw new Error(`${name} is gone`)
    models.delete(name)
  }
  if (Number(log.state.get('closing')?.toString() ?? 0) < ackedPut) {
    throw new Error(`acked state ${ackedPut} is gone`)
  }
  const many = [...log.state.entries('many/')].map(([, value]) => value.toString())
  if (new Set(many).size > 1 || ![0, 60].includes(many.length)) {
    throw new Error(`half a commit came back: ${many.length} entries, ${new Set(many).size} values`)
  }
}

/** `end` is the state that was put with the last record. */
function checkPartition(partition: PartitionLog, model: ModelPartition, end: number): void {
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
