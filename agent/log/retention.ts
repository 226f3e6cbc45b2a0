// Which segments may go. Pure: facts in, a number out.
//
// - Only whole segments, oldest first, and never the last one, which is written to.
// - Age is arrival age on the log's own arrival clock, never the event time of a device: `now` is
//   that clock too, so a wall clock that jumps forward makes nothing old, and an arrival that seems
//   to lie in the future is young.
// - Of a replicated topic nothing at or above `replicatedOffset` goes, and what is below stays a heal
//   window longer, to refill an upstream that lost its tail.

export interface SegmentFacts {
  baseOffset: number
  nextOffset: number
  bytes: number
  /** Arrival of its newest record. */
  lastArrivalMs: number
}

export interface RetentionLimits {
  /** Undefined: for ever. */
  retentionMs?: number | undefined
  /** Of all segments of the partition together; undefined: no limit. */
  retentionBytes?: number | undefined
  healWindowMs: number
  /** First offset that the upstream has not acked; undefined when the topic is not replicated. */
  replicatedOffset: number | undefined
  /** On the clock that gave the arrivals. */
  now: number
}

/** How many of the segments, from the oldest on, may be removed. */
export function segmentsToRemove(
  segments: readonly SegmentFacts[],
  limits: RetentionLimits,
): number {
  const { retentionMs, retentionBytes, healWindowMs, replicatedOffset, now } = limits
  const healMs = replicatedOffset === undefined ? 0 : healWindowMs
  let excess =
    retentionBytes === undefined
      ? 0
      : segments.reduce((sum, { bytes }) => sum + bytes, 0) - retentionBytes
  let count = 0
  for (const { nextOffset, bytes, lastArrivalMs } of segments.slice(0, -1)) {
    if (replicatedOffset !== undefined && nextOffset > replicatedOffset) break
    const age = now - lastArrivalMs
    const isExpired = retentionMs !== undefined && age > retentionMs + healMs
    // As in Kafka, what is left is at least retentionBytes.
    const isExcess = retentionBytes !== undefined && excess >= bytes && age >= healMs
    if (!isExpired && !isExcess) break
    excess -= bytes
    count++
  }
  return count
}
