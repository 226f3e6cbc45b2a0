// Bytes per second on the uplink, as a bucket that holds one second's worth.

import type { Clock } from '../base/clock.ts'

export class RateLimit {
  readonly #clock: Clock
  readonly #perMs: number
  readonly #capacity: number
  #tokens: number
  #at: number

  /** Undefined: no limit. */
  constructor(clock: Clock, bytesPerSecond: number | undefined) {
    this.#clock = clock
    this.#capacity = bytesPerSecond ?? Number.POSITIVE_INFINITY
    this.#perMs = this.#capacity / 1000
    this.#tokens = this.#capacity
    this.#at = clock.monotonic()
  }

  /** Milliseconds until something may be sent; 0: now. */
  waitMs(): number {
    if (this.#capacity === Number.POSITIVE_INFINITY) return 0
    const now = this.#clock.monotonic()
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
    return this.#tokens > 0 ? 0 : Math.ceil(-this.#tokens / this.#perMs) + 1
  }

  /** A request larger than the bucket is paid back before the next one. */
  spend(bytes: number): void {
    this.#tokens -= bytes
  }
}
