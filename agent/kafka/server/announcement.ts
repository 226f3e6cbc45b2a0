// Waits for something the log announces (a commit, room), each for a limited time and no longer than
// the client stays. All of them share one subscription; a wait costs one timer.

import type { Clock, Timer } from '../../base/clock.ts'

/** Somebody who may go away while others work for him. */
export interface Lifetime {
  readonly isOver: boolean
  /** Calls `run` once when it is over; returns how to take that back. */
  onOver(run: () => void): () => void
}

interface Wait {
  holds: () => boolean
  end: () => void
}

export class Announcement {
  readonly #clock: Clock
  readonly #waits = new Set<Wait>()
  readonly #unsubscribe: () => void
  isClosed = false

  constructor(clock: Clock, subscribe: (listener: () => void) => () => void) {
    this.#clock = clock
    this.#unsubscribe = subscribe(() => this.#announced())
  }

  /** How many wait now: at most one for each connection. */
  get size(): number {
    return this.#waits.size
  }

  /**
   * Resolves when `holds` is true at an announcement, after `ms`, when the client's life is over or
   * when this is closed, whichever comes first. The caller looks at the world again.
   */
  wait(ms: number, client: Lifetime, holds: () => boolean): Promise<void> {
    if (this.isClosed || ms <= 0 || client.isOver || holds()) return Promise.resolve()
    return new Promise((resolve) => {
      let timer: Timer | undefined
      let forget = () => {}
      const wait = {
        holds,
        end: () => {
          this.#waits.delete(wait)
          timer?.cancel()
          forget()
          resolve()
        },
      }
      this.#waits.add(wait)
      timer = this.#clock.after(ms, wait.end)
      forget = client.onOver(wait.end)
    })
  }

  /** Ends all waits, and every later one at once. */
  close(): void {
    this.isClosed = true
    this.#unsubscribe()
    for (const wait of [...this.#waits]) wait.end()
  }

  #announced(): void {
    for (const wait of this.#waits) if (wait.holds()) wait.end()
  }
}
