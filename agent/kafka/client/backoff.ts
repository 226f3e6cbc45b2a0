// Bounded exponential back-off with jitter, so that a fleet does not come back all at once.

export interface BackoffSettings {
  firstMs: number
  longestMs: number
  /** 0 ≤ value < 1; injected so that tests can repeat themselves. */
  random: () => number
}

export class Backoff {
  readonly #settings: BackoffSettings
  #failures = 0

  constructor(settings: BackoffSettings) {
    this.#settings = settings
  }

  /** How long to wait after one more failure: half to all of the doubled delay. */
  next(): number {
    const { firstMs, longestMs, random } = this.#settings
    const delay = Math.min(longestMs, firstMs * 2 ** Math.min(this.#failures, 30))
    this.#failures++
    return delay * (0.5 + random() / 2)
  }

  reset(): void {
    this.#failures = 0
  }
}
