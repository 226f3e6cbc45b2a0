// A clock that stands still until it is told to go on.

import type { Clock, Timer } from '../../../agent/base/clock.ts'

export class ManualClock implements Clock {
  #now = 1_700_000_000_000
  readonly #start = this.#now
  readonly #timers = new Set<{ at: number; run: () => void }>()

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now - this.#start
  }

  after(ms: number, run: () => void): Timer {
    const timer = { at: this.#now + ms, run }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  soon(run: () => void): void {
    setImmediate(run)
  }

  get timersCount(): number {
    return this.#timers.size
  }

  /** Moves on and runs what is due, in the order of its time. */
  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#now = Math.max(this.#now, due.at)
      due.run()
    }
    this.#now = until
  }
}

/** Lets `clock` run whenever somebody waits for it, until `work` is done. */
export async function runWith<T>(clock: ManualClock, work: Promise<T>): Promise<T> {
  let isDone = false
  const end = () => (isDone = true)
  work.then(end, end)
  while (!isDone) {
    await new Promise((resolve) => setImmediate(resolve))
    if (clock.timersCount > 0) clock.advance(10)
  }
  return work
}
