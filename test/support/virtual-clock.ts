// A clock that stands still until a test moves it. `soon` runs at the next turn of the real loop.

import type { Clock, Timer } from '../../agent/base/clock.ts'

export class VirtualClock implements Clock {
  wall = Date.UTC(2026, 0, 1)
  #monotonic = 1_000
  #timers: { at: number; run: () => void }[] = []

  now(): number {
    return this.wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  after(ms: number, run: () => void): Timer {
    const timer = { at: this.#monotonic + ms, run }
    this.#timers.push(timer)
    return { cancel: () => this.#drop(timer) }
  }

  soon(run: () => void): void {
    setImmediate(run)
  }

  /** Moves both times and runs the timers that come due, in their order. */
  advance(ms: number): void {
    const end = this.#monotonic + ms
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)
      if (next === undefined) break
      this.#drop(next)
      this.#move(Math.max(next.at, this.#monotonic))
      next.run()
    }
    this.#move(end)
  }

  #move(to: number): void {
    this.wall += to - this.#monotonic
    this.#monotonic = to
  }

  #drop(timer: { at: number; run: () => void }): void {
    this.#timers = this.#timers.filter((known) => known !== timer)
  }
}
