// Compares every record of a partition with its mirror: same offset, key, value, headers, timestamp.
//
// Both sides come in offset order. Only the range that both sides hold is compared: what retention
// took on one side, and what is not replicated yet, is no difference.

import type { DecodedRecord } from '../record/record-batch.ts'

export interface Comparison {
  /** Records that one side or both hold in the range. */
  readonly compared: number
  readonly identical: number
  /** The first few differences, each a phrase. */
  readonly differences: readonly string[]
}

const DIFFERENCES_SHOWN_MAX = 5

/** Walks both sides in step; both must lie in the same range of offsets. */
export async function compareRecords(
  local: AsyncIterable<DecodedRecord>,
  mirror: AsyncIterable<DecodedRecord>,
): Promise<Comparison> {
  const [left, right] = [local[Symbol.asyncIterator](), mirror[Symbol.asyncIterator]()]
  let [compared, identical] = [0, 0]
  const differences: string[] = []
  const differ = (what: string) => {
    if (differences.length < DIFFERENCES_SHOWN_MAX) differences.push(what)
  }
  try {
    let [mine, theirs] = [await left.next(), await right.next()]
    while (!mine.done || !theirs.done) {
      compared++
      const [mineAt, theirsAt] = [offsetOf(mine), offsetOf(theirs)]
      if (mineAt === theirsAt) {
        const what = difference(mine.value, theirs.value)
        if (what === undefined) identical++
        else differ(`offset ${mineAt} has another ${what} there`)
      } else if (mineAt < theirsAt) differ(`offset ${mineAt} is missing there`)
      else differ(`offset ${theirsAt} is only there`)
      if (mineAt <= theirsAt) mine = await left.next()
      if (theirsAt <= mineAt) theirs = await right.next()
    }
  } finally {
    await Promise.all([left.return?.(), right.return?.()])
  }
  return { compared, identical, differences }
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
