// A set of offsets as ranges, for what may be lost and what is.

interface Range {
  from: number
  to: number
}

export class OffsetSet {
  #ranges: Range[] = []

  /** How many offsets are in it. */
  get size(): number {
    return this.#ranges.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  /** `to` is not in it. */
  add(from: number, to: number): void {
    if (from >= to) return
    const [low, high] = [[] as Range[], [] as Range[]]
    for (const range of this.#ranges) {
      if (range.to < from) low.push(range)
      else if (range.from > to) high.push(range)
      else [from, to] = [Math.min(from, range.from), Math.max(to, range.to)]
    }
    this.#ranges = [...low, { from, to }, ...high]
  }

  has(offset: number): boolean {
    return this.holding(offset) !== undefined
  }

  /** Whether any offset of a range is in it. */
  touches(from: number, to: number): boolean {
    return this.#ranges.some((range) => range.from < to && from < range.to)
  }

  /** The range that an offset is in. */
  holding(offset: number): Range | undefined {
    return this.#ranges.find(({ from, to }) => from <= offset && offset < to)
  }

  /** Forgets everything at or above an offset. */
  cut(end: number): void {
    this.#ranges = this.#ranges
      .filter(({ from }) => from < end)
      .map(({ from, to }) => ({ from, to: Math.min(to, end) }))
  }
}
