// How fast a total grows, seen over the last one to two steps.

export interface RateOptions {
  /** Milliseconds between two kept samples. */
  readonly stepMs: number
  /** No rate is told before the totals have been watched this long. */
  readonly leastMs: number
}

/** Keeps two samples; bounded, and right after a pause of any length. */
export class Rate {
  readonly #options: RateOptions
  #older: { at: number; total: number }
  #newer: { at: number; total: number }

  constructor(options: RateOptions, now: number, total: number) {
    this.#options = options
    this.#older = { at: now, total }
    this.#newer = this.#older
  }

  /** Takes the total of now (monotonic ms); call it at least once a step. */
  sample(now: number, total: number): void {
    if (now - this.#newer.at < this.#options.stepMs) return
    this.#older = this.#newer
    this.#newer = { at: now, total }
  }

  /** Per second; undefined while there is too little to tell. */
  perSecond(now: number, total: number): number | undefined {
    const elapsed = now - this.#older.at
    if (elapsed < this.#options.leastMs || elapsed <= 0) return undefined
    return ((total - this.#older.total) * 1000) / elapsed
  }
}
