// The search for a time in one segment: the time index says where to begin, the headers of the
// batches which of them to look into, the records the rest.

import type { Segment } from './segment.ts'
import { firstAtTime, type ScannedBatch } from './segment-scan.ts'

/** The first record at or after a time, at or after an offset. Fault: CORRUPT_STORE. */
export async function offsetForTime(
  segment: Segment,
  timestamp: number,
  fromOffset: number,
): Promise<{ offset: number; timestamp: number } | undefined> {
  const { nextOffset } = segment
  if (nextOffset <= fromOffset || (await segment.maxTimestamp()) < timestamp) return undefined
  let offset = Math.max(await segment.offsetBefore(timestamp), fromOffset)
  while (offset < nextOffset) {
    const batch = await batchAtTime(segment, offset, timestamp)
    if (batch === undefined) return undefined
    const bytes = await segment.wholeBatch(batch)
    const found = firstAtTime(bytes, timestamp, fromOffset, segment.codecs)
    if (found !== undefined) return found
    offset = batch.nextOffset
  }
  return undefined
}

/** From the batch that holds `offset` on, the first that has a record of a time or later. */
async function batchAtTime(
  segment: Segment,
  offset: number,
  timestamp: number,
): Promise<ScannedBatch | undefined> {
  const position = await segment.positionOf(offset)
  const first = await segment.headerAt(position)
  if (first === undefined) throw segment.corrupt(position, 'no batch')
  let found: ScannedBatch | undefined
  const outcome = await segment.walk(first, (batch) => {
    if (batch.maxTimestamp < timestamp) return false
    found = batch
    return true
  })
  if ('reason' in outcome) throw segment.corrupt(outcome.position, outcome.reason)
  return found
}
