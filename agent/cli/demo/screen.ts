// What the visitor sees: milestones that stay, and on a terminal one line below them that lives.

import type { Clock } from '../../base/clock.ts'
import { type Output, print } from '../command.ts'

const CLEAR_LINE = '\r\x1b[K'
/** Without wrapping, a line that is too long for the terminal is still one line. */
const WRAP_OFF = '\x1b[?7l'
const WRAP_ON = '\x1b[?7h'

export class Screen {
  readonly #output: Output
  readonly #clock: Clock
  readonly #start: number

  constructor(output: Output, clock: Clock) {
    this.#output = output
    this.#clock = clock
    this.#start = clock.monotonic()
  }

  get isLive(): boolean {
    return this.#output.isTTY === true
  }

  /** Seconds since the demo began. */
  get elapsedS(): number {
    return (this.#clock.monotonic() - this.#start) / 1000
  }

  /** A line without a time. */
  async say(text: string): Promise<void> {
    await print(this.#output, `${this.isLive ? CLEAR_LINE : ''}${text}\n`)
  }

  async milestone(text: string): Promise<void> {
    await this.say(` ${this.#time()}  ${text}`)
  }

  /** Replaces the living line; nothing without a terminal. */
  live(text: string): void {
    if (!this.isLive) return
    this.#output.write(`${CLEAR_LINE}${WRAP_OFF} ${this.#time()}  ${text}${WRAP_ON}`)
  }

  clear(): void {
    if (this.isLive) this.#output.write(CLEAR_LINE)
  }

  #time(): string {
    const whole = Math.floor(this.elapsedS)
    const two = (value: number) => String(value).padStart(2, '0')
    return `${two(Math.floor(whole / 60))}:${two(whole % 60)}`
  }
}
