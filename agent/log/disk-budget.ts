// How full the disk may get: a budget for everything in the data directory, and what must stay free
// on the file system whoever fills it. The stricter of the two wins.
//
// Looked at every second while something is written, and sooner near the limit: in between, appends go
// by the last look, and a fast disk must not write more than is left.

import type { Clock, Timer } from '../base/clock.ts'
import type { FileSystem } from './file-system.ts'

export interface DiskLimits {
  /** Bytes, or a share (0…1) of the file system. */
  budgetBytes: number | undefined
  budgetShare: number | undefined
  keepFreeBytes: number
}

const LOOK_EVERY_MS = 1000
const LOOK_AGAIN_MS = 20
/** Faster than any disk of a gateway. */
const BYTES_PER_MS = 200_000

export interface DiskBudgetOptions {
  fs: FileSystem
  directory: string
  limits: DiskLimits
  clock: Clock
  usedBytes: () => number
  changed: (isFull: boolean) => void
}

export class DiskBudget {
  readonly #fs: FileSystem
  readonly #directory: string
  readonly #limits: DiskLimits
  readonly #clock: Clock
  readonly #usedBytes: () => number
  readonly #changed: (isFull: boolean) => void
  #timer: Timer | undefined
  #lastWritten = -1
  #closed = false
  /** Bytes that may still be written, as of the last look. */
  #left = 0
  budgetBytes = Number.POSITIVE_INFINITY
  /** Why nothing is taken at the moment. */
  reason: string | undefined

  constructor(options: DiskBudgetOptions) {
    this.#fs = options.fs
    this.#directory = options.directory
    this.#limits = options.limits
    this.#clock = options.clock
    this.#usedBytes = options.usedBytes
    this.#changed = options.changed
  }

  get isFull(): boolean {
    return this.reason !== undefined
  }

  /** Looks now, and again every second; `written` is a count that moves when there is news. */
  async start(written: () => number): Promise<void> {
    await this.look()
    const again = () => {
      const soon = Math.max(LOOK_AGAIN_MS, Math.floor(this.#left / BYTES_PER_MS))
      const wait = this.isFull ? LOOK_EVERY_MS : Math.min(LOOK_EVERY_MS, soon)
      this.#timer = this.#clock.after(wait, () => {
        const count = written()
        // A full disk is looked at even when nothing is written: somebody may have made room.
        const look = count !== this.#lastWritten || this.isFull ? this.look() : Promise.resolve()
        this.#lastWritten = count
        look.then(() => {
          if (!this.#closed) again()
        })
      })
    }
    again()
  }

  async look(): Promise<void> {
    const { budgetBytes, budgetShare, keepFreeBytes } = this.#limits
    const wasFull = this.isFull
    try {
      const { free, total } = await this.#fs.freeBytes(this.#directory)
      const share = budgetShare === undefined ? Number.POSITIVE_INFINITY : budgetShare * total
      this.budgetBytes = Math.min(budgetBytes ?? Number.POSITIVE_INFINITY, share)
      const used = this.#usedBytes()
      this.reason = undefined
      this.#left = Math.max(0, Math.min(this.budgetBytes - used, free - keepFreeBytes))
      if (used > this.budgetBytes) {
        this.reason = `disk full: ${used} of storage.diskBudget ${Math.floor(this.budgetBytes)} bytes used`
      } else if (free < keepFreeBytes) {
        this.reason = `disk full: ${free} bytes free, storage.keepFree is ${keepFreeBytes}`
      }
    } catch (error) {
      this.reason = `the data directory cannot be looked at: ${String(error)}`
    }
    if (wasFull !== this.isFull) this.#changed(this.isFull)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}
