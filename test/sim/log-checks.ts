// Comparisons of a log with the model of it: everything that can be read is what was written, or is
// hollow and was reported.

import { type DecodedRecord, decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { BrokenPromise } from '../support/broken-promise.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import type { Target } from './log-model.ts'
import { OffsetSet } from './offset-set.ts'

/** After a start. `end`: the state that was put with the last record; undefined when it is in doubt. */
export function checkEnds({ partition, model }: Target, end: number | undefined): void {
  const { name, logEndOffset } = partition
  const acked = Math.min(model.durable, model.mayEnd)
  if (logEndOffset < acked) {
    throw new BrokenPromise(`${name}: acked to ${acked}, recovered to ${logEndOffset}`)
  }
  model.mayEnd = Number.POSITIVE_INFINITY
  if (logEndOffset > model.records.length) throw new BrokenPromise(`${name}: invented records`)
  if (partition.highWatermark !== logEndOffset)
    throw new BrokenPromise(`${name}: not all is visible`)
  if (end !== undefined && end !== logEndOffset) {
    throw new BrokenPromise(`${name}: state ${end}, log ${logEndOffset}`)
  }
  model.records.length = logEndOffset
  model.mayBeLost.cut(logEndOffset)
  model.lost.cut(logEndOffset)
  model.durable = logEndOffset
  model.start = partition.logStartOffset
  model.mayBeGone = false
}

/** A cursor that was acked does not go back. */
export function checkCursor({ partition, model }: Target, isDoubtful: boolean): void {
  const { name, replicatedOffset } = partition
  if (!isDoubtful && replicatedOffset < model.durableCursor) {
    throw new BrokenPromise(`${name}: cursor ${replicatedOffset}, acked ${model.durableCursor}`)
  }
  model.cursor = model.durableCursor = replicatedOffset
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
    // Retention, or a disk that is full, may take what is being read.
    if (read.kind === 'outOfRange' && offset < partition.logStartOffset) {
      offset = partition.logStartOffset
      continue
    }
    if (read.kind !== 'batches')
      throw new BrokenPromise(`${partition.name}@${offset}: ${read.kind}`)
    if (read.nextOffset <= offset)
      throw new BrokenPromise(`${partition.name}@${offset} does not go on`)
    const last = checkBytes({ partition, model }, read.bytes, false)
    if (last + 1 !== read.nextOffset)
      throw new BrokenPromise(`${partition.name}: next ${read.nextOffset}`)
    offset = read.nextOffset
  }
}

/** The first record from a time on, whatever is sealed meanwhile. */
export async function checkTime({ partition, model }: Target, time: number): Promise<void> {
  const { logStartOffset: from, highWatermark: to } = partition
  const first = model.records.findIndex(({ timestamp }, at) => at >= from && timestamp >= time)
  const found = await partition.offsetForTime(time)
  // An empty record has the time of its loss.
  if (model.lost.size > 0 || partition.losses.total > 0) return
  if (partition.logStartOffset !== from || first < 0 || first >= to) return
  if (found?.offset !== first) {
    throw new BrokenPromise(`${partition.name}: time ${time} at ${found?.offset}, not ${first}`)
  }
}

/** Returns the last offset. A sealed batch says of its records exactly what is true. */
export function checkBytes(target: Target, bytes: Buffer, isSealed: boolean): number {
  const { name } = target.partition
  let last = -1
  for (let at = 0; at < bytes.length; ) {
    const batch = bytes.subarray(at, at + bytes.readInt32BE(at + 8) + 12)
    if (codecs.crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) {
      throw new BrokenPromise(`${name}: a batch with a wrong CRC was served`)
    }
    let newest = -1
    const records = [...decodeRecords(batch, codecs)]
    if (records[0]?.value === null) checkGap(name, records)
    for (const record of records) {
      if (record.value === null) checkHollow(target, record.offset)
      else checkRecord(target, record.offset, { ...record, value: record.value })
      if (last >= 0 && record.offset !== last + 1) throw new BrokenPromise(`${name}: a gap`)
      last = record.offset
      newest = Math.max(newest, record.timestamp)
    }
    if (isSealed && newest !== Number(batch.readBigInt64BE(35))) {
      throw new BrokenPromise(`${name}@${last}: a batch with a wrong greatest timestamp`)
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
  throw new BrokenPromise(`${partition.name}@${offset}: ${value} instead of ${expected?.value}`)
}

/** No record of a simulation is empty: this one stands for one that is lost, which was said before. */
function checkHollow(target: Target, offset: number): void {
  const { partition, model } = target
  if (!model.lost.has(offset)) collectLosses(target)
  if (!model.lost.has(offset))
    throw new BrokenPromise(`${partition.name}@${offset} is hollow, not lost`)
}

/** Takes in what the log says is lost, and whether it could be. */
export function collectLosses({ partition, model }: Target): void {
  for (const { from, to, reason } of partition.losses.ranges) {
    for (let offset = from; offset < to; offset++) {
      if (model.lost.has(offset)) continue
      const isDropped = reason === 'dropped' && partition.topic.settings.whenFull === 'dropOldest'
      if (isDropped ? offset < model.pinned : !model.mayBeLost.has(offset)) {
        throw new BrokenPromise(`${partition.name}@${offset} is lost (${reason}) for nothing`)
      }
    }
    model.lost.add(from, to)
  }
}

/** A batch of empty records says which offsets it stands for. */
function checkGap(name: string, records: readonly DecodedRecord[]): void {
  const [first, last] = [records[0]!, records.at(-1)!]
  const header = first.headers.find(([key]) => key.toString() === 'edge-gap')?.[1]
  const said = header?.toString().split(',').slice(0, 2).join(',')
  const hasValue = records.some(({ value }) => value !== null)
  if (!hasValue && said === `${first.offset},${last.offset}`) return
  throw new BrokenPromise(
    `${name}: ${first.offset},${last.offset} is hollow, the header says ${said}`,
  )
}

/**
 * Reads everything twice: the first time may find damage. After it what is hollow is what is lost, no
 * more and no less. `isCounted`: the log knows all of its past; `isOld`: its state may be one that was.
 */
export async function checkLosses(
  target: Target,
  random: SeededRandom,
  { isCounted, isOld }: { isCounted: boolean; isOld: boolean },
): Promise<void> {
  const { partition, model } = target
  const { logStartOffset: start, highWatermark: end } = partition
  const wasGivingUp = partition.dropping !== undefined
  await checkRange(target, start, end, random)
  collectLosses(target)
  const said = partition.losses.total
  const hollow = new OffsetSet()
  for (let offset = start; offset < end; ) {
    const read = await partition.read(offset, 65_536)
    if (read.kind === 'outOfRange' && offset < partition.logStartOffset) break
    if (read.kind !== 'batches')
      throw new BrokenPromise(`${partition.name}@${offset}: ${read.kind}`)
    for (const record of recordsOf(read.bytes)) {
      if (record.value === null) hollow.add(record.offset, record.offset + 1)
    }
    offset = read.nextOffset
  }
  // Something was given up meanwhile: the next time will do.
  const isGivingUp =
    wasGivingUp || partition.dropping !== undefined || partition.losses.total !== said
  if (partition.logStartOffset !== start || isGivingUp) return
  for (const { from, to } of isCounted ? partition.losses.ranges : []) {
    for (let offset = Math.max(from, start); offset < Math.min(to, end); offset++) {
      if (!hollow.has(offset))
        throw new BrokenPromise(`${partition.name}@${offset}: lost, and there`)
    }
  }
  const { total } = partition.losses
  if (start === 0 && isCounted && total !== hollow.size) {
    const ranges = JSON.stringify(partition.losses.ranges)
    throw new BrokenPromise(
      `${partition.name}: ${total} are said to be lost, ${hollow.size} are: ${ranges}`,
    )
  }
  // What a crash undid may be lost once more, or not; an old state may tell of losses that never were.
  for (const { from, to } of partition.losses.ranges) {
    hollow.add(from, isOld ? to : Math.min(to, start))
  }
  model.lost = hollow
}

function* recordsOf(bytes: Buffer): Iterable<DecodedRecord> {
  for (let at = 0; at < bytes.length; ) {
    const batch = bytes.subarray(at, at + bytes.readInt32BE(at + 8) + 12)
    yield* decodeRecords(batch, codecs)
    at += batch.length
  }
}
