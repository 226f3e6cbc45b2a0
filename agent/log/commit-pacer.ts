// When the next commit begins: at once, or a moment later because that makes two commits one.
//
// - A set interval keeps the beginnings of two commits that far apart; the first one after a longer
//   pause begins at once. None at all (0) never waits.
// - By itself (auto) commits follow each other. Publishers that wait for their acks answer a commit with
//   their next messages a moment after the others have filled the open one, so that each waits for
//   two writes and every commit holds half of them. So a commit right behind another waits for the
//   echo: for a tenth of what a write takes (bounded below, where a turn of the loop is all it
//   needs), longer only while the echo comes twice as fast as messages do on average, never for more
//   than half a write, and more and more rarely where nobody answers.
// - Where a write is long the wait is for the echo or a timer. Where it is shorter than a timer can
//   measure, turns of the loop are counted.

import type { Clock } from '../base/clock.ts'

/** Of the recent time of a write: what the wait may always cost, and what it may ever cost. */
const LEAST_SHARE = 0.1
const MOST_SHARE = 0.5
const LEAST_MS = 0.15
/** From here on a timer is fine enough. */
const LONG_WRITE_MS = 3
const TURNS_MAX = 512
/** After waits in vain, this power of two is how many commits at most begin at once. */
const FAILURES_MAX = 6
/** Newest writes weigh an eighth. */
const AVERAGE_SHARE = 1 / 8

export class CommitPacer {
  readonly #clock: Clock
  readonly #intervalMs: number | 'auto'
  #began = Number.NEGATIVE_INFINITY
  #ended = Number.NEGATIVE_INFINITY
  #writeMs = 0
  /** Appends and state changes in the open commit, and in the last one that began. */
  #open = 0
  #last = 0
  /** What publishers may have out: the last commit, and what came while it was written. */
  #echo = 0
  #pause = 0
  #failures = 0
  #wakeAt = Number.POSITIVE_INFINITY
  #wake = () => {}

  constructor(clock: Clock, intervalMs: number | 'auto') {
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  /** One more append or change of state waits for the next commit. */
  add(): void {
    if (++this.#open >= this.#wakeAt) this.#wake()
  }

  /** Milliseconds since the last commit began. */
  get sinceBegin(): number {
    return this.#clock.monotonic() - this.#began
  }

  /** Resolves when the next commit may begin; undefined: now. */
  wait(): Promise<void> | undefined {
    const interval = this.#intervalMs
    if (interval !== 'auto') {
      return this.sinceBegin < interval ? this.#waitForInterval(interval) : undefined
    }
    if (this.#open >= this.#echo) return undefined
    // One that comes later is no echo, and whoever sent it may be waiting for it alone.
    if (this.#clock.monotonic() - this.#ended >= this.#leastMs) return undefined
    if (this.#pause > 0) {
      this.#pause--
      return undefined
    }
    return this.#waitForEcho()
  }

  begin(): void {
    this.#began = this.#clock.monotonic()
    this.#last = this.#open
    this.#open = 0
  }

  /** The commit that began is on the disk. Returns how long that took, milliseconds. */
  end(): number {
    this.#ended = this.#clock.monotonic()
    const took = this.#ended - this.#began
    this.#writeMs += (took - this.#writeMs) * AVERAGE_SHARE
    this.#echo = this.#last + this.#open
    return took
  }

  get #leastMs(): number {
    return Math.max(this.#writeMs * LEAST_SHARE, Math.min(this.#writeMs * MOST_SHARE, LEAST_MS))
  }

  async #waitForInterval(intervalMs: number): Promise<void> {
    // A timer may be early by a fraction.
    for (;;) {
      const left = intervalMs - this.sinceBegin
      if (left <= 0) return
      await new Promise<void>((resolve) => void this.#clock.after(Math.ceil(left), resolve))
    }
  }

  async #waitForEcho(): Promise<void> {
    const writeMs = this.#writeMs
    const leastMs = this.#leastMs
    const before = this.#open
    const missing = this.#echo - before
    for (let turn = 0; turn < TURNS_MAX && this.#open < this.#echo; turn++) {
      const elapsed = this.#clock.monotonic() - this.#ended
      const isComing = (this.#open - before) * writeMs >= 2 * missing * elapsed
      if (elapsed >= leastMs && (!isComing || elapsed >= writeMs * MOST_SHARE)) break
      if (writeMs >= LONG_WRITE_MS) await this.#echoOrTimer()
      else await new Promise<void>((resolve) => this.#clock.soon(resolve))
    }
    const isWorth = this.#open - before >= missing / 2
    // By luck the next message of somebody who waits for nothing counts as well: one does not undo
    // what many have shown.
    this.#failures = isWorth
      ? Math.max(0, this.#failures - 1)
      : Math.min(this.#failures + 1, FAILURES_MAX)
    if (!isWorth) this.#pause = 2 ** this.#failures
  }

  #echoOrTimer(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(1, () => this.#wake())
      this.#wakeAt = this.#echo
      this.#wake = () => {
        this.#wakeAt = Number.POSITIVE_INFINITY
        timer.cancel()
        // What is ready now belongs to the echo too.
        this.#clock.soon(resolve)
      }
    })
  }
}
