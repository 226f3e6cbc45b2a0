// Time that moves only when a simulation says so; what is "soon" runs on the next microtask.

import type { Clock, Timer } from '../../agent/base/clock.ts'

export class SimClock implements Clock {
  #now: number
  #monotonic = 0
  #timers: { at: number; run: () => void }[] = []

  constructor(now: number) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  after(ms: number, run: () => void): Timer {
    const timer = { at: this.#monotonic + ms, run }
    this.#timers.push(timer)
    return { cancel: () => (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  soon(run: () => void): void {
    queueMicrotask(run)
  }

  /** Moves both clocks and runs what has become due, in order. */
  advance(ms: number): void {
    this.#now += ms
    this.#monotonic += ms
    const due = this.#timers.filter((timer) => timer.at <= this.#monotonic)
    this.#timers = this.#timers.filter((timer) => timer.at > this.#monotonic)
    for (const timer of due.sort((a, b) => a.at - b.at)) timer.run()
  }

  /** Time passes only when nothing else gets `work` on. */
  async until<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    const end = () => (isDone = true)
    work.then(end, end)
    for (let rounds = 0; !isDone; rounds++) {
      for (let turns = 0; turns < 1000; turns++) await undefined
      await new Promise(setImmediate)
      if (rounds > 20) this.advance(1000)
      if (rounds > 2000) throw new Error('it hangs')
    }
    return work
  }

  /** Wall time alone, either way, as when somebody sets the clock. */
  jump(ms: number): void {
    this.#now += ms
  }

  /** Forgets all timers: the process that armed them is dead. */
  forget(): void {
    this.#timers = []
  }
}
