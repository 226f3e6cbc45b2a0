// Room for new records: on the disk, in the arena, in the open commit. Whoever was refused hears of it
// when there is some again; when the arena runs short, the largest tails go to segments.
//
// The disk is judged for each partition (disk-shares.ts): one that nobody drains is full before the
// others are. Before anything is full, room is made of what may go.

import type { Clock } from '../base/clock.ts'
import { unlessBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { type Arena, BLOCK_BYTES } from './arena.ts'
import type { Committer } from './committer.ts'
import { DiskBudget, type DiskLimits, type DiskLook, type NextLook } from './disk-budget.ts'
import {
  type DiskFigures,
  type DiskLevel,
  isFull,
  levelOf,
  type Shortage,
  shortageOf,
  spaceOf,
  untilNext,
} from './disk-shares.ts'
import { DiskUse, diskBytesOf } from './disk-use.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Reserve } from './reserve.ts'

/** Sealing starts by itself when less than this share of the arena's blocks is free. */
const ARENA_FREE_SHARE = 0.25
/** When nothing could go, it is not tried again before. */
const RELIEF_PAUSE_MS = 1000
const NAMES_TOLD_MAX = 3

export interface RoomOptions {
  arena: Arena
  committer: Committer
  partitions: () => Iterable<PartitionLog>
  journalBytes: () => number
  directory: string
  limits: DiskLimits
  reserve: Reserve
  clock: Clock
  logger: Logger
  /** Deletes or drops what may go; true when anything went. */
  relieve: (shortage: Shortage, shareBytes: number) => Promise<boolean>
  /** Partitions have so much space together. */
  sized: (spaceBytes: number) => void
}

export class Room {
  readonly use: DiskUse
  readonly #options: RoomOptions
  readonly #budget: DiskBudget
  readonly #listeners = new Set<() => void>()
  #level: DiskLevel = 'ample'
  /** Who is held back, as the log line of the last change says. */
  #told: 'none' | 'some' | 'all' = 'none'
  #someoneRefused = false
  #relieving: Promise<void> | undefined
  #relievedAt = Number.NEGATIVE_INFINITY
  #isStarted = false
  #isClosed = false
  /** Partitions that are full. */
  fullCount = 0
  /** Why not everybody can append. */
  reason: string | undefined

  constructor(options: RoomOptions) {
    const { reserve, directory, clock, partitions, journalBytes, limits } = options
    this.#options = options
    this.use = new DiskUse({
      fs: reserve,
      directory,
      clock,
      partitions,
      journalBytes,
      reserveBytes: reserve.bytes,
    })
    this.#budget = new DiskBudget({
      fs: reserve,
      directory,
      limits,
      clock,
      used: async () => {
        await this.use.look()
        return { bytes: this.use.bytes, missingBytes: reserve.bytes - reserve.heldBytes }
      },
      looked: (look) => this.#looked(look),
      failed: (error) => this.#blind(error),
    })
  }

  /** False: append returns −1 for everything. */
  get hasAny(): boolean {
    const { committer, arena } = this.#options
    return !this.isBlocked && committer.hasRoomFor(1024) && arena.freeBlocks > 0
  }

  /** Nothing is taken, whatever memory is free. */
  get isBlocked(): boolean {
    return this.#isClosed || this.#level === 'all'
  }

  /** What everything in the data directory may take: the stricter of both limits. */
  get limitBytes(): number {
    return this.#budget.limitBytes
  }

  /** The arena is nearly used up. */
  get isArenaShort(): boolean {
    const { arena } = this.#options
    const reserve = Math.max(2, Math.floor((arena.bytes / BLOCK_BYTES) * ARENA_FREE_SHARE))
    return arena.freeBlocks < reserve
  }

  /** Called when there is room again after an append was refused. */
  onRoom(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Watches the disk from now on; `written` is a count that moves when something is written. */
  start(written: () => number): Promise<void> {
    this.#isStarted = true
    return this.#budget.start(written)
  }

  /** Looks at the disk now; not before the start: what half of a log has to give up, nobody can say. */
  look(): Promise<void> {
    if (!this.#isStarted) return Promise.resolve()
    return this.#budget.look()
  }

  /** An append was refused. */
  refused(reason: 'arena' | 'busy' | 'disk'): void {
    // Who waits for the disk is told when that changes, not after every commit.
    if (reason === 'disk') return
    this.#someoneRefused = true
    if (reason === 'arena') this.#relieveArena()
  }

  /** A commit has ended or a tail was sealed: there may be room again. */
  offer(): void {
    if (!this.#someoneRefused) return
    if (!this.hasAny) {
      // What was sealed left no block wholly free: more must go, or nobody ever hears of room.
      if (this.#options.arena.freeBlocks === 0) this.#relieveArena()
      return
    }
    this.#announce()
  }

  /** After a commit. */
  committed(): void {
    const { arena } = this.#options
    // What is free already counts: a thousand small tails are not sealed because of one large one.
    if (this.isArenaShort) this.#relieveArena(arena.freeBlocks * BLOCK_BYTES)
    this.offer()
  }

  /** Appends are refused from now on. */
  end(): void {
    this.#isClosed = true
  }

  async close(): Promise<void> {
    this.end()
    await this.#budget.close()
    await this.#relieving
  }

  #announce(): void {
    this.#someoneRefused = false
    for (const listener of this.#listeners) listener()
  }

  /** Freezes the largest tails until enough of the arena is free or on its way to a segment. */
  #relieveArena(free = 0): void {
    const wanted = this.#options.arena.bytes * ARENA_FREE_SHARE
    let coming = free
    const open: PartitionLog[] = []
    for (const partition of this.#options.partitions()) {
      const last = partition.tails.at(-1)
      for (const tail of partition.tails)
        if (tail.kind === 'records' && tail.frozen) coming += tail.slotBytes
      if (last !== undefined && !last.frozen) open.push(partition)
    }
    if (coming >= wanted) return
    open.sort((a, b) => b.tailBytes - a.tailBytes)
    for (const partition of open) {
      if (coming >= wanted) return
      coming += partition.tailBytes
      partition.freeze()
    }
  }

  // ---- the disk

  async #looked({ used, limit, free, reason, advice }: DiskLook): Promise<NextLook> {
    const figures: DiskFigures = { used, limit, fixed: this.use.fixedBytes }
    const space = spaceOf(figures)
    this.#options.sized(space)
    const share = space / Math.max(1, [...this.#options.partitions()].length)
    this.#level = levelOf(figures, this.#level)
    const wasFull = this.fullCount
    const { names, hasNewRoom } = this.#judge(share)
    const told =
      this.#level === 'all'
        ? reason
        : `${listed(names)} above a share of ${Math.floor(share)} bytes`
    this.reason =
      this.fullCount === 0 && this.#level !== 'all' ? undefined : `disk full: ${told}; ${advice}`
    this.#tell(wasFull, names)
    if (hasNewRoom) this.#announce()
    this.#relieve(shortageOf(figures), share)
    const { reserve, logger } = this.#options
    await reserve.refill(free).catch((error) => logger.warn(`no reserve: ${String(error)}`))
    const isAwaited = this.isBlocked || this.fullCount > 0
    return { leftBytes: this.#level === 'all' ? 0 : untilNext(figures), isAwaited }
  }

  /** Says of each partition whether it is full. */
  #judge(share: number): { names: string[]; hasNewRoom: boolean } {
    const now = this.#options.clock.monotonic()
    const names: string[] = []
    let hasNewRoom = false
    for (const partition of this.#options.partitions()) {
      const wasFull = partition.fullSince !== undefined
      if (isFull(this.#level, { bytes: diskBytesOf(partition), share, wasFull })) {
        partition.fullSince ??= now
        names.push(partition.name)
      } else if (wasFull) {
        partition.fullSince = undefined
        hasNewRoom = true
      }
    }
    this.fullCount = names.length
    return { names, hasNewRoom }
  }

  /** One line for each change of state. */
  #tell(wasFull: number, names: readonly string[]): void {
    const { logger } = this.#options
    const state = this.#level === 'all' ? 'all' : names.length > 0 ? 'some' : 'none'
    if (state === this.#told) return
    this.#told = state
    if (state === 'all') logger.error(`${this.reason}; nothing is acked until there is room`)
    else if (state === 'some') logger.warn(`${this.reason}; the other partitions go on`)
    else if (wasFull > 0) logger.info('the disk has room again')
  }

  #blind(error: unknown): void {
    this.#level = 'all'
    this.reason = `the data directory cannot be looked at: ${String(error)}`
    this.#tell(this.fullCount, this.#judge(0).names)
  }

  #relieve(shortage: Shortage, share: number): void {
    const { relieve, clock, logger } = this.#options
    const isPaused = clock.monotonic() - this.#relievedAt < RELIEF_PAUSE_MS
    if (
      shortage.reclaimBytes === 0 ||
      isPaused ||
      this.#relieving !== undefined ||
      this.#isClosed
    ) {
      return
    }
    this.#relieving = relieve(shortage, share)
      .catch((error) => {
        unlessBug(error)
        logger.warn('room cannot be made', { error: String(error) })
        return false
      })
      .then((hasMade) => {
        this.#relieving = undefined
        if (!hasMade) this.#relievedAt = clock.monotonic()
        else if (!this.#isClosed) return this.look()
      })
  }
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMES_TOLD_MAX
  const told = names.slice(0, NAMES_TOLD_MAX).join(', ')
  return more > 0 ? `${told} and ${more} more are` : names.length > 1 ? `${told} are` : `${told} is`
}
