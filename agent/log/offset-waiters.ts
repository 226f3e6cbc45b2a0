// Whoever waits until a partition has reached an offset in some way. Every wait ends: the offset is
// reached, or it never will be.

import type { AgentError } from '../base/errors.ts'

interface Waiter {
  offset: number
  resolve: () => void
  reject: (error: AgentError) => void
}

export class OffsetWaiters {
  #waiters: Waiter[] = []

  wait(offset: number): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.push({ offset, resolve, reject }))
  }

  reached(offset: number): void {
    if (this.#waiters.length === 0) return
    const done = this.#waiters.filter((waiter) => waiter.offset <= offset)
    this.#waiters = this.#waiters.filter((waiter) => waiter.offset > offset)
    for (const waiter of done) waiter.resolve()
  }

  reject(error: AgentError): void {
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
  }
}
