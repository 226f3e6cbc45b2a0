// A set of sequence numbers as runs [from, to], sorted and never touching each other.
//
// What a device publishes is nearly contiguous, so the runs stay few however long it lives: memory
// grows with the gaps, not with the messages.

export type Run = readonly [from: number, to: number]

export class SequenceSet {
  readonly #runs: [number, number][] = []
  #size = 0

  static of(runs: Iterable<Run>): SequenceSet {
    const set = new SequenceSet()
    for (const [from, to] of runs) set.#addRun(from, to)
    return set
  }

  /** How many numbers are in the set. */
  get size(): number {
    return this.#size
  }

  /** The greatest number; 0 when empty. */
  get highest(): number {
    return this.#runs[this.#runs.length - 1]?.[1] ?? 0
  }

  /** The greatest n such that 1 … n are all there; 0 when 1 is not. */
  get contiguous(): number {
    const first = this.#runs[0]
    return first !== undefined && first[0] === 1 ? first[1] : 0
  }

  get runs(): readonly Run[] {
    return this.#runs
  }

  has(sequence: number): boolean {
    const run = this.#runs[this.#indexOf(sequence)]
    return run !== undefined && run[0] <= sequence
  }

  /** False when it was there already. */
  add(sequence: number): boolean {
    const last = this.#runs[this.#runs.length - 1]
    if (last === undefined || sequence > last[1]) {
      if (last !== undefined && sequence === last[1] + 1) last[1] = sequence
      else this.#runs.push([sequence, sequence])
      this.#size++
      return true
    }
    const index = this.#indexOf(sequence)
    const next = this.#runs[index]!
    if (next[0] <= sequence) return false
    const before = this.#runs[index - 1]
    const joinsBefore = before !== undefined && before[1] === sequence - 1
    const joinsNext = next[0] === sequence + 1
    if (joinsBefore && joinsNext) {
      before[1] = next[1]
      this.#runs.splice(index, 1)
    } else if (joinsBefore) before[1] = sequence
    else if (joinsNext) next[0] = sequence
    else this.#runs.splice(index, 0, [sequence, sequence])
    this.#size++
    return true
  }

  /** How many numbers of this set are not in `other`. */
  countMissingIn(other: SequenceSet): number {
    return this.#size - this.#countShared(other)
  }

  /** The first runs of this set that are not in `other`, at most `limit` of them. */
  missingIn(other: SequenceSet, limit: number): Run[] {
    const missing: Run[] = []
    for (const [from, to] of this.#runs) {
      let position = from
      for (let index = other.#indexOf(from); index < other.#runs.length; index++) {
        const [otherFrom, otherTo] = other.#runs[index]!
        if (otherFrom > to) break
        if (position < otherFrom) missing.push([position, otherFrom - 1])
        position = otherTo + 1
      }
      if (position <= to) missing.push([position, to])
      if (missing.length >= limit) return missing.slice(0, limit)
    }
    return missing
  }

  #countShared(other: SequenceSet): number {
    let [shared, mine, theirs] = [0, 0, 0]
    while (mine < this.#runs.length && theirs < other.#runs.length) {
      const [from, to] = this.#runs[mine]!
      const [otherFrom, otherTo] = other.#runs[theirs]!
      shared += Math.max(0, Math.min(to, otherTo) - Math.max(from, otherFrom) + 1)
      if (to < otherTo) mine++
      else theirs++
    }
    return shared
  }

  #addRun(from: number, to: number): void {
    const last = this.#runs[this.#runs.length - 1]
    if (last !== undefined && from <= last[1] + 1) {
      for (let sequence = from; sequence <= to; sequence++) this.add(sequence)
      return
    }
    this.#runs.push([from, to])
    this.#size += to - from + 1
  }

  /** Index of the first run that ends at or behind `sequence`. */
  #indexOf(sequence: number): number {
    let [low, high] = [0, this.#runs.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#runs[middle]![1] < sequence) low = middle + 1
      else high = middle
    }
    return low
  }
}
