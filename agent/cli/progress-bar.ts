// One line on a terminal that says how far long work has come. Nothing without a terminal, nothing for
// work of less than a second.

import type { Clock } from '../base/clock.ts'
import type { Output } from './command.ts'

const AFTER_MS = 1_000
const EVERY_MS = 100
const WIDTH = 24

export class ProgressBar {
  readonly #output: Output
  readonly #clock: Clock
  #next: number
  #isShown = false

  constructor(output: Output, clock: Clock) {
    this.#output = output
    this.#clock = clock
    this.#next = clock.monotonic() + AFTER_MS
  }

  /** `share`: 0 to 1; undefined: nobody knows how much there is. */
  show(share: number | undefined, text: () => string): void {
    if (this.#output.isTTY !== true) return
    const now = this.#clock.monotonic()
    if (now < this.#next) return
    this.#next = now + EVERY_MS
    this.#isShown = true
    this.#output.write(`\r\x1b[K${share === undefined ? '' : `${bar(share)} `}${text()}`)
  }

  clear(): void {
    if (this.#isShown) this.#output.write('\r\x1b[K')
    this.#isShown = false
  }
}

function bar(share: number): string {
  const bounded = Math.min(1, Math.max(0, share))
  const full = Math.floor(bounded * WIDTH)
  const percent = String(Math.floor(bounded * 100)).padStart(3)
  return `[${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${percent} %`
}
