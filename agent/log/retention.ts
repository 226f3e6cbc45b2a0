// Which segments may go, and which go first when the disk is short of room. Pure: facts in, numbers
// out.
//
// - Only whole segments, oldest first, and never the last one, which is written to.
// - Age is arrival age on the log's own arrival clock, never the event time of a device: `now` is
//   that clock too, so a wall clock that jumps forward makes nothing old, and an arrival that seems
//   to lie in the future is young.
// - Of a replicated topic nothing at or above `replicatedOffset` goes, and what is below stays for a
//   heal window from when it was acked, to refill an upstream that lost its tail.
// - A disk that is short of room takes what the upstream has at once, the oldest arrival first.

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
  /** By when the upstream had acked everything below an offset; undefined: a moment ago. */
  ackedTime: (offset: number) => number | undefined
  /** On the clock that gave the arrivals. */
  now: number
}

/** How many of the segments, from the oldest on, may be removed. */
export function segmentsToRemove(
  segments: readonly SegmentFacts[],
  limits: RetentionLimits,
): number {
  const { retentionMs, retentionBytes, now } = limits
  let excess =
    retentionBytes === undefined
      ? 0
      : segments.reduce((sum, { bytes }) => sum + bytes, 0) - retentionBytes
  let count = 0
  for (const { nextOffset, bytes, lastArrivalMs } of segments.slice(0, -1)) {
    if (!isHealed(nextOffset, limits)) break
    const isExpired = retentionMs !== undefined && now - lastArrivalMs > retentionMs
    // As in Kafka, what is left is at least retentionBytes.
    const isExcess = retentionBytes !== undefined && excess >= bytes
    if (!isExpired && !isExcess) break
    excess -= bytes
    count++
  }
  return count
}

/** The upstream has everything below `offset`, and has had it for long enough. */
function isHealed(offset: number, limits: RetentionLimits): boolean {
  const { replicatedOffset, healWindowMs, ackedTime, now } = limits
  if (replicatedOffset === undefined) return true
  return offset <= replicatedOffset && now - (ackedTime(offset) ?? now) >= healWindowMs
}

/** What of one partition may go, oldest first, as a prefix of `segments`. */
export interface Prefix<P> {
  partition: P
  segments: readonly SegmentFacts[]
}

/**
 * Of all prefixes together the oldest arrivals, until `bytes` are had: the new log start of each
 * partition that has to give.
 */
export function oldestFirst<P>(prefixes: readonly Prefix<P>[], bytes: number): Map<P, number> {
  const candidates = prefixes.flatMap(({ partition, segments }) => {
    // One behind a younger one goes after it: clocks were set back, offsets were not.
    let age = Number.NEGATIVE_INFINITY
    return segments.map((segment) => {
      age = Math.max(age, segment.lastArrivalMs)
      return { partition, segment, age }
    })
  })
  candidates.sort((a, b) => a.age - b.age || a.segment.baseOffset - b.segment.baseOffset)
  const starts = new Map<P, number>()
  let left = bytes
  for (const { partition, segment } of candidates) {
    if (left <= 0) break
    starts.set(partition, segment.nextOffset)
    left -= segment.bytes
  }
  return starts
}
