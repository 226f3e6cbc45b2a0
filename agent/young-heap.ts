// Keeps the memory of short-lived socket chunks small.
//
// Node frees the 64 KiB behind each chunk it read only when V8 collects the tiny object that owns it,
// and V8 waits for 64 MiB of them and for a young generation of up to 48 MiB to fill. On a gateway
// that is most of the memory. So the young generation is kept from growing, and a minor collection
// (well under a millisecond: nearly everything is dead) is asked for when chunks have piled up.

import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock, Timer } from './base/clock.ts'

type Collect = (options: { type: 'minor' }) => void

/** Between looks: the first while memory grows, up to the second while nothing happens. */
const LOOK_MS = [20, 200] as const
/** More than this since the last look is traffic. */
const BUSY_BYTES = 256 * 1024
const PILE_BYTES = 4 * 1024 * 1024

export class YoungHeap {
  readonly #clock: Clock
  readonly #collect: Collect
  #timer: Timer | undefined
  #waitMs: number = LOOK_MS[0]
  /** What the last look saw. */
  #seen = 0
  /** What the last collection left. */
  #kept = 0

  constructor(clock: Clock) {
    this.#clock = clock
    setFlagsFromString('--semi-space-growth-factor=1')
    setFlagsFromString('--expose-gc')
    this.#collect = runInNewContext('gc') as Collect
    setFlagsFromString('--no-expose-gc')
    this.#look()
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
  }

  #look(): void {
    this.#timer = this.#clock.after(this.#waitMs, () => {
      const { external_memory: bytes } = getHeapStatistics()
      const isBusy = bytes - this.#seen > BUSY_BYTES
      this.#waitMs = isBusy ? LOOK_MS[0] : Math.min(this.#waitMs * 1.5, LOOK_MS[1])
      this.#seen = bytes
      this.#kept = Math.min(this.#kept, bytes)
      if (bytes - this.#kept > PILE_BYTES) {
        this.#collect({ type: 'minor' })
        this.#kept = getHeapStatistics().external_memory
      }
      this.#look()
    })
  }
}
