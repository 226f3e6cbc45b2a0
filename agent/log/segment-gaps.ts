// Offsets of a partition that no segment holds and no journal has: segments that were missing when the
// log was opened. They are filled with hollow ones; until then nothing can be read there.

import type { LostRange } from './loss.ts'

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
  filled({ from, to }: LostRange): void {
    this.#ranges = this.#ranges.filter((range) => range.to <= from || range.from >= to)
  }

  clear(): void {
    this.#ranges = []
  }
}
