// Offsets of a partition that no segment holds and no journal has: segments that were missing when the
// log was opened. They are filled with hollow ones; until then nothing can be read there.

import type { JournaledBatch } from './journal-records.ts'
import type { LostRange } from './loss.ts'
import { HOLLOW_RECORDS_MAX } from './made-batch.ts'
import type { Part } from './segment-rewrite.ts'

/** A segment that takes the place of a gap, or of some of it. */
export interface Filling {
  from: number
  to: number
  parts: Part[]
}

/** Empty records take less in a hollow batch. */
const HOLLOW_BATCH_BYTES = 100_000

export class SegmentGaps {
  /** In order. */
  #ranges: LostRange[] = []

  add(range: LostRange): void {
    this.#ranges.push(range)
  }

  holds(offset: number): boolean {
    return this.#ranges.some(({ from, to }) => from <= offset && offset < to)
  }

  /** What is missing before the first segment is one too. */
  startAt(logStartOffset: number, firstBase: number | undefined): void {
    if (firstBase === undefined || firstBase <= logStartOffset || this.holds(logStartOffset)) return
    this.#ranges.unshift({ from: logStartOffset, to: firstBase, reason: 'file' })
  }

  /** Those from the log start on. */
  from(logStartOffset: number): LostRange[] {
    return this.#ranges
      .map((range) => ({ ...range, from: Math.max(range.from, logStartOffset) }))
      .filter(({ from, to }) => from < to)
  }

  /** There are segments now. */
  filled({ from, to }: { from: number; to: number }): void {
    this.#ranges = this.#ranges.flatMap((range) => {
      if (range.to <= from || range.from >= to) return [range]
      const left = [
        { ...range, to: from },
        { ...range, from: to },
      ]
      return left.filter((part) => part.from < part.to)
    })
  }

  clear(): void {
    this.#ranges = []
  }
}

/** The same offsets always make the same segments. */
export function hollowFillings(gap: LostRange, timestamp: number, segmentBytes: number): Filling[] {
  const span = Math.max(1, Math.floor(segmentBytes / HOLLOW_BATCH_BYTES)) * HOLLOW_RECORDS_MAX
  const fillings: Filling[] = []
  for (let from = gap.from; from < gap.to; from = fillings.at(-1)!.to) {
    const to = Math.min(gap.to, (Math.floor(from / span) + 1) * span)
    fillings.push({ from, to, parts: [{ ...gap, from, to, kind: 'hollow', timestamp }] })
  }
  return fillings
}

/** `batches` follow each other. */
export function batchFillings(batches: readonly JournaledBatch[], segmentBytes: number): Filling[] {
  const fillings: Filling[] = []
  let size = 0
  for (const { from, to, bytes } of batches) {
    const part = { kind: 'batch', bytes } as const
    const last = fillings.at(-1)
    size += bytes.length
    if (last !== undefined && size <= segmentBytes) {
      last.parts.push(part)
      last.to = to
      continue
    }
    fillings.push({ from, to, parts: [part] })
    size = bytes.length
  }
  return fillings
}
