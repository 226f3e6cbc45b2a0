// How old is the oldest record that the upstream has not acked? Told from samples of (count of durable
// records, time): the newest sample whose count is acked marks the time.
//
// The samples are bounded: when they are many, every second of the older half goes, so days are told
// to within minutes and seconds to within a quarter.

import type { Clock } from '../base/clock.ts'

const SAMPLES_MAX = 256

export class LagClock {
  readonly #clock: Clock
  #samples: { count: number; at: number }[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** So many records are durable now. */
  sample(count: number): void {
    const last = this.#samples.at(-1)
    const at = this.#clock.monotonic()
    if (last?.count === count) {
      last.at = at
      return
    }
    this.#samples.push({ count, at })
    if (this.#samples.length <= SAMPLES_MAX) return
    const half = SAMPLES_MAX / 2
    this.#samples = this.#samples.filter((_, index) => index >= half || index % 2 === 0)
  }

  /** Age of the first record above `acked`, in seconds. */
  seconds(acked: number): number {
    const now = this.#clock.monotonic()
    let at = this.#samples[0]?.at ?? now
    for (const sample of this.#samples) {
      if (sample.count > acked) break
      at = sample.at
    }
    return (now - at) / 1000
  }
}
