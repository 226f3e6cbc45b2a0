// The clock of a cheap device: it drifts, it is set over the network now and then, and without a
// battery it starts at 1970 after a reboot.

export class DeviceClock {
  readonly #trueNow: () => number
  readonly #driftPpm: number
  #sinceMs: number
  #deviceMs: number

  /** `trueNow`: milliseconds since the epoch of the real world. */
  constructor(trueNow: () => number, driftPpm: number) {
    this.#trueNow = trueNow
    this.#driftPpm = driftPpm
    this.#sinceMs = trueNow()
    this.#deviceMs = this.#sinceMs
  }

  now(): number {
    const elapsed = this.#trueNow() - this.#sinceMs
    return Math.round(this.#deviceMs + elapsed * (1 + this.#driftPpm / 1e6))
  }

  /** Sets the clock right, as NTP would. */
  synchronise(): void {
    this.#sinceMs = this.#trueNow()
    this.#deviceMs = this.#sinceMs
  }

  /** A reboot without a battery behind the clock. */
  loseTime(): void {
    this.#sinceMs = this.#trueNow()
    this.#deviceMs = 0
  }
}
