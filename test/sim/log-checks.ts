// Comparisons of a log with the model of it: everything that can be read is what was written, or is
// hollow and was reported.

import { decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import type { Target } from './log-model.ts'

/** After a start. `end`: the state that was put with the last record; undefined when it is in doubt. */
export function checkEnds({ partition, model }: Target, end: number | undefined): void {
  const { name, logEndOffset } = partition
  if (logEndOffset < model.durable) {
    throw new Error(`${name}: acked to ${model.durable}, recovered to ${logEndOffset}`)
  }
  if (logEndOffset > model.records.length) throw new Error(`${name}: invented records`)
  if (partition.highWatermark !== logEndOffset) throw new Error(`${name}: not all is visible`)
  if (end !== undefined && end !== logEndOffset) {
    throw new Error(`${name}: state ${end}, log ${logEndOffset}`)
  }
  model.records.length = logEndOffset
  model.durable = logEndOffset
  model.start = partition.logStartOffset
  model.mayBeGone = false
}

export async function checkRange(
  { partition, model }: Target,
  from: number,
  to: number,
  random: SeededRandom,
): Promise<void> {
  let offset = from
  while (offset < Math.min(to, partition.highWatermark)) {
    const read = await partition.read(offset, 1 + random.below(4000))
    if (read.kind !== 'batches') throw new Error(`${partition.name}@${offset}: ${read.kind}`)
    if (read.nextOffset <= offset) throw new Error(`${partition.name}@${offset} does not go on`)
    const last = checkBytes({ partition, model }, read.bytes, false)
    if (last + 1 !== read.nextOffset) throw new Error(`${partition.name}: next ${read.nextOffset}`)
    offset = read.nextOffset
  }
}

/** The first record from a time on, whatever is sealed meanwhile. */
export async function checkTime({ partition, model }: Target, time: number): Promise<void> {
  const { logStartOffset: from, highWatermark: to } = partition
  const first = model.records.findIndex(({ timestamp }, at) => at >= from && timestamp >= time)
  const found = await partition.offsetForTime(time)
  // An empty record has the time of its loss.
  if (model.lost.size > 0) return
  if (partition.logStartOffset !== from || first < 0 || first >= to) return
  if (found?.offset !== first) {
    throw new Error(`${partition.name}: time ${time} at ${found?.offset}, not ${first}`)
  }
}

/** Returns the last offset. A sealed batch says of its records exactly what is true. */
export function checkBytes(target: Target, bytes: Buffer, isSealed: boolean): number {
  const { name } = target.partition
  let last = -1
  for (let at = 0; at < bytes.length; ) {
    const batch = bytes.subarray(at, at + bytes.readInt32BE(at + 8) + 12)
    if (codecs.crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) {
      throw new Error(`${name}: a batch with a wrong CRC was served`)
    }
    let newest = -1
    for (const record of decodeRecords(batch, codecs)) {
      if (record.value === null) checkHollow(target, record.offset)
      else checkRecord(target, record.offset, { ...record, value: record.value })
      if (last >= 0 && record.offset !== last + 1) throw new Error(`${name}: a gap`)
      last = record.offset
      newest = Math.max(newest, record.timestamp)
    }
    if (isSealed && newest !== Number(batch.readBigInt64BE(35))) {
      throw new Error(`${name}@${last}: a batch with a wrong greatest timestamp`)
    }
    at += batch.length
  }
  return last
}

function checkRecord(
  { partition, model }: Target,
  offset: number,
  { timestamp, key, value }: { timestamp: number; key: Buffer | null; value: Buffer },
): void {
  const expected = model.records[offset]
  const isValue = expected?.value === value.toString('latin1')
  const isKey = expected?.key === (key === null ? null : key.toString('latin1'))
  if (isValue && isKey && expected.timestamp === timestamp) return
  throw new Error(`${partition.name}@${offset}: ${value} instead of ${expected?.value}`)
}

/** No record of a simulation is empty: this one stands for one that is lost. */
function checkHollow({ partition, model }: Target, offset: number): void {
  if (!model.mayBeLost.has(offset))
    throw new Error(`${partition.name}@${offset} is lost for nothing`)
  model.lost.add(offset, offset + 1)
}
