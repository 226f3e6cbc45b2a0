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

  /** Those from the log start on; what is missing before the first segment is one too. */
  from(logStartOffset: number, firstBase: number | undefined): LostRange[] {
    const isMissing = firstBase !== undefined && firstBase > logStartOffset
    if (isMissing && !this.holds(logStartOffset)) {
      this.#ranges.unshift({ from: logStartOffset, to: firstBase, reason: 'file' })
    }
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
