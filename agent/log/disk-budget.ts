// How full the disk may get: a budget for everything in the data directory, and what must stay free
// on the file system whoever fills it. The stricter of the two wins.
//
// Looked at every second while something is written, and sooner near a mark: in between, appends go
// by the last look, and a fast disk must not write more than is left. Who waits for room has it looked
// at every second, too: others may have made some, or the upstream has acked.

import type { Clock, Timer } from '../base/clock.ts'
import { unlessBug } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'

/** What goes when room is made should be little of what there is. */
const SEGMENT_SHARE = 1 / 16
const SEGMENT_BYTES_MIN = 1024 * 1024

export interface DiskLimits {
  /** Bytes, or a share (0…1) of the file system. */
  budgetBytes: number | undefined
  budgetShare: number | undefined
  keepFreeBytes: number
  /** Size of the reserve, unless the budget is small. */
  reserveBytes?: number
}

/** What one look found. */
export interface DiskLook {
  used: number
  /** What may be used: of the budget, and of what `keepFree` leaves. */
  limit: number
  free: number
  /** Why no more than `limit` may be used, and how it can be more. */
  reason: string
  advice: string
}

export interface NextLook {
  /** Bytes that may be written before it. */
  leftBytes: number
  /** Somebody waits for room: it is looked again although nothing is written. */
  isAwaited: boolean
}

const LOOK_EVERY_MS = 1000
const LOOK_AGAIN_MS = 20
/** Faster than any disk of a gateway. */
const BYTES_PER_MS = 200_000
const RESERVE_SHARE_MAX = 1 / 32
const ADVICE = 'let the upstream catch up, or set whenFull: dropOldest'

export interface DiskBudgetOptions {
  fs: FileSystem
  directory: string
  limits: DiskLimits
  clock: Clock
  /** Bytes of everything in the data directory; those that the reserve lacks count, too. */
  used: () => Promise<{ bytes: number; missingBytes: number }>
  looked: (look: DiskLook) => Promise<NextLook>
  /** The disk cannot be looked at. */
  failed: (error: unknown) => void
}

export class DiskBudget {
  readonly #options: DiskBudgetOptions
  #timer: Timer | undefined
  #lastWritten = -1
  #isClosed = false
  #looking: Promise<void> | undefined
  #next: NextLook = { leftBytes: 0, isAwaited: true }
  /** What may be used, as of the last look. */
  limitBytes = Number.POSITIVE_INFINITY

  constructor(options: DiskBudgetOptions) {
    this.#options = options
  }

  /** Looks now, and again every second; `written` is a count that moves when there is news. */
  async start(written: () => number): Promise<void> {
    await this.look()
    const { clock } = this.#options
    const again = () => {
      if (this.#isClosed) return
      const { leftBytes, isAwaited } = this.#next
      const soon = Math.max(LOOK_AGAIN_MS, Math.floor(leftBytes / BYTES_PER_MS))
      this.#timer = clock.after(
        leftBytes > 0 ? Math.min(LOOK_EVERY_MS, soon) : LOOK_EVERY_MS,
        () => {
          const count = written()
          const isNew = count !== this.#lastWritten
          const look = isNew || isAwaited ? this.look() : Promise.resolve()
          this.#lastWritten = count
          look.then(again)
        },
      )
    }
    again()
  }

  /** Looks now; together with a look that is under way. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Resolves when nothing of it goes on. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#looking
  }

  async #look(): Promise<void> {
    const { fs, directory, limits, used, looked, failed } = this.#options
    try {
      // In this order: what the reserve gives up meanwhile is nobody's to use.
      const { free, total } = await fs.freeBytes(directory)
      const { bytes, missingBytes } = await used()
      if (this.#isClosed) return
      const budget = budgetOf(limits, total)
      const beside = bytes - missingBytes + free - limits.keepFreeBytes
      this.limitBytes = Math.min(budget, beside)
      const look = { used: bytes, limit: this.limitBytes, free }
      const words =
        budget <= beside
          ? {
              reason: `${bytes} of storage.diskBudget ${Math.floor(budget)} bytes used`,
              advice: `raise it, ${ADVICE}`,
            }
          : {
              reason: `${free} bytes free, storage.keepFree is ${limits.keepFreeBytes}`,
              advice: `make room on its disk, ${ADVICE}`,
            }
      this.#next = await looked({ ...look, ...words })
    } catch (error) {
      unlessBug(error)
      this.#next = { leftBytes: 0, isAwaited: true }
      failed(error)
    }
  }
}

/** What is kept for ourselves: little where there is little. */
export function reserveBytesOf({ budgetBytes, reserveBytes = 0 }: DiskLimits): number {
  const share = budgetBytes === undefined ? reserveBytes : budgetBytes * RESERVE_SHARE_MAX
  return Math.floor(Math.min(reserveBytes, share))
}

function budgetOf({ budgetBytes, budgetShare }: DiskLimits, total: number): number {
  const share = budgetShare === undefined ? Number.POSITIVE_INFINITY : budgetShare * total
  return Math.min(budgetBytes ?? Number.POSITIVE_INFINITY, share)
}

/** Segments are no larger than configured, and smaller where there is little space for all. */
export function segmentBytesIn(spaceBytes: number, configured: number): number {
  return Math.min(configured, Math.max(SEGMENT_BYTES_MIN, spaceBytes * SEGMENT_SHARE))
}
