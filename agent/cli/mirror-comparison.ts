// Compares every record of a partition with its mirror: same offset, key, value, headers, timestamp.
//
// Both sides come in offset order. Only the range that both sides hold is compared: what retention
// took on one side, and what is not replicated yet, is no difference. What damage took on this side
// while the mirror has it is counted by itself: the mirror is right.

import { GapTracker } from '../log/gap-tracker.ts'
import type { DecodedRecord } from '../record/record-batch.ts'

export interface Comparison {
  /** Records that one side or both hold in the range. */
  readonly compared: number
  readonly identical: number
  /** Lost here to damage, and real there; not among those compared. */
  readonly lostHere: number
  /** The first few differences, each a phrase. */
  readonly differences: readonly string[]
}

const DIFFERENCES_SHOWN_MAX = 5

/**
 * Walks both sides in step; both must lie in the same range of offsets. The local side may begin below
 * `from`, so that a gap around it is seen as a whole.
 */
export async function compareRecords(
  local: AsyncIterable<DecodedRecord>,
  mirror: AsyncIterable<DecodedRecord>,
  from = 0,
): Promise<Comparison> {
  const gaps = new GapTracker()
  let isDamaged = false
  const nextLocal = async () => {
    for (;;) {
      const next = await left.next()
      if (next.done) return next
      const reason = gaps.take(next.value)
      isDamaged = reason !== undefined && reason !== 'dropped'
      if (next.value.offset >= from) return next
    }
  }
  const [left, right] = [local[Symbol.asyncIterator](), mirror[Symbol.asyncIterator]()]
  let [compared, identical, lostHere] = [0, 0, 0]
  const differences: string[] = []
  const differ = (what: string) => {
    if (differences.length < DIFFERENCES_SHOWN_MAX) differences.push(what)
  }
  try {
    let [mine, theirs] = [await nextLocal(), await right.next()]
    while (!mine.done || !theirs.done) {
      compared++
      const [mineAt, theirsAt] = [offsetOf(mine), offsetOf(theirs)]
      if (mineAt === theirsAt) {
        const what = difference(mine.value, theirs.value)
        if (what === undefined) identical++
        else if (isDamaged) lostHere++
        else differ(`offset ${mineAt} has another ${what} there`)
      } else if (mineAt < theirsAt) differ(`offset ${mineAt} is missing there`)
      else differ(`offset ${theirsAt} is only there`)
      if (mineAt <= theirsAt) mine = await nextLocal()
      if (theirsAt <= mineAt) theirs = await right.next()
    }
  } finally {
    await Promise.all([left.return?.(), right.return?.()])
  }
  return { compared: compared - lostHere, identical, lostHere, differences }
}

function offsetOf(result: IteratorResult<DecodedRecord, unknown>): number {
  return result.done ? Number.POSITIVE_INFINITY : result.value.offset
}

/** The first field that differs; undefined when none does. */
function difference(a: DecodedRecord, b: DecodedRecord): string | undefined {
  if (a.timestamp !== b.timestamp) return 'timestamp'
  if (!sameBytes(a.key, b.key)) return 'key'
  if (!sameBytes(a.value, b.value)) return 'value'
  const sameHeaders =
    a.headers.length === b.headers.length &&
    a.headers.every(([key, value], index) => {
      const [otherKey, otherValue] = b.headers[index]!
      return sameBytes(key, otherKey) && sameBytes(value, otherValue)
    })
  return sameHeaders ? undefined : 'header'
}

function sameBytes(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}
