// How old is the oldest record of a partition that the upstream has not acked? Told from samples of
// (durable end, time): the newest sample that is acked marks the time.
//
//   acked ≤ all samples but the first; at most SAMPLES_MAX of them
//
// What is acked is forgotten. When the rest is too many every other one goes, and the next ones keep a
// greater distance: seconds are told to within a quarter, days to within half an hour.

import type { Clock } from '../base/clock.ts'

const SAMPLES_MAX = 128

export class LagClock {
  readonly #clock: Clock
  #samples: { end: number; at: number }[] = []
  #apartMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What is durable and what is acked now. */
  sample(end: number, acked: number): void {
    const at = this.#clock.monotonic()
    const last = this.#samples.at(-1)
    if (last?.end === end) last.at = at
    else if (last === undefined || at - last.at >= this.#apartMs) this.#samples.push({ end, at })
    this.#forget(acked)
    if (this.#samples.length <= SAMPLES_MAX) return
    this.#samples = this.#samples.filter((_, index) => index % 2 === 0)
    this.#apartMs = (2 * (at - this.#samples[0]!.at)) / SAMPLES_MAX
  }

  /** Age of the record at `acked`, in seconds: never less than it is. */
  seconds(acked: number): number {
    this.#forget(acked)
    const now = this.#clock.monotonic()
    return (now - (this.#samples[0]?.at ?? now)) / 1000
  }

  #forget(acked: number): void {
    let first = 0
    while ((this.#samples[first + 1]?.end ?? Number.POSITIVE_INFINITY) <= acked) first++
    if (first > 0) this.#samples.splice(0, first)
    if (this.#samples.length <= 2) this.#apartMs = 0
  }
}
