// Latencies in logarithmic buckets: 5 % wide, from 10 µs to a day, constant memory.

const LOWEST_MS = 0.01
const GROWTH = Math.log(1.05)
const BUCKETS = 480

export class LatencyHistogram {
  readonly #buckets = new Float64Array(BUCKETS)
  #count = 0
  #maxMs = 0

  record(ms: number): void {
    const at = Math.log(Math.max(ms, LOWEST_MS) / LOWEST_MS) / GROWTH
    this.#buckets[Math.min(BUCKETS - 1, Math.floor(at))]!++
    this.#count++
    if (ms > this.#maxMs) this.#maxMs = ms
  }

  get count(): number {
    return this.#count
  }

  get maxMs(): number {
    return this.#maxMs
  }

  /** The latency that `part` (0 … 1) of the records do not exceed, to 5 %; 0 without records. */
  quantile(part: number): number {
    let left = Math.ceil(this.#count * part)
    if (left === 0) return 0
    for (let index = 0; index < BUCKETS; index++) {
      left -= this.#buckets[index]!
      if (left <= 0) return Math.min(this.#maxMs, LOWEST_MS * Math.exp((index + 1) * GROWTH))
    }
    return this.#maxMs
  }
}
