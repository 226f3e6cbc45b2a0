// The only place that reads a clock or arms a timer. Tests pass a virtual one.

/** Wall time is for record timestamps and people; monotonic time is for every measured interval. */
export interface Clock {
  /** Milliseconds since the epoch; may jump either way. */
  now(): number
  /** Milliseconds since some fixed moment, never going back; has a fraction. */
  monotonic(): number
  /** Calls `run` once after `ms`. The timer does not keep the process alive. */
  after(ms: number, run: () => void): Timer
  /** Calls `run` once when the input that is ready now has been read (`setImmediate`). */
  soon(run: () => void): void
}

export interface Timer {
  cancel(): void
}

export const systemClock: Clock = {
  now: Date.now,
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
  soon(run) {
    setImmediate(run)
  },
}

/** Resolves after `ms` on this clock. */
export function sleep(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => {
    clock.after(ms, resolve)
  })
}
