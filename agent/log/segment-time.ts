// The search for a time in one segment: the time index says where to begin, the headers of the
// batches which of them to look into, the records the rest.

import type { Segment } from './segment.ts'
import { firstAtTime } from './segment-scan.ts'

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
    const batch = await segment.batchAtTime(offset, timestamp)
    if (batch === undefined) return undefined
    const bytes = await segment.wholeBatch(batch)
    const found = firstAtTime(bytes, timestamp, fromOffset, segment.codecs)
    if (found !== undefined) return found
    offset = batch.nextOffset
  }
  return undefined
}
