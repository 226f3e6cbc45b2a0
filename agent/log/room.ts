// Room for new records: on the disk, in the arena, in the open commit. Whoever was refused hears of it
// when there is some again; when the arena runs short, the largest tails go to segments.

import type { Logger } from '../base/telemetry.ts'
import type { Arena } from './arena.ts'
import type { Committer } from './committer.ts'
import { DiskBudget, type DiskBudgetOptions } from './disk-budget.ts'
import type { PartitionLog } from './partition-log.ts'

/** Sealing starts by itself when less than this share of the arena's blocks is free. */
const ARENA_FREE_SHARE = 0.25

export interface RoomOptions {
  arena: Arena
  committer: Committer
  partitions: () => Iterable<PartitionLog>
  logger: Logger
  disk: Omit<DiskBudgetOptions, 'changed'>
}

export class Room {
  readonly budget: DiskBudget
  readonly #options: RoomOptions
  readonly #listeners = new Set<() => void>()
  #someoneRefused = false
  #isClosed = false

  constructor(options: RoomOptions) {
    this.#options = options
    this.budget = new DiskBudget({
      ...options.disk,
      changed: (isFull) => this.#diskChanged(isFull),
    })
  }

  /** False: append returns −1 for everything. */
  get hasAny(): boolean {
    if (this.isBlocked) return false
    const { committer, arena } = this.#options
    return committer.hasRoomFor(1024) && arena.freeBlocks > 0
  }

  /** Nothing is taken, whatever memory is free. */
  get isBlocked(): boolean {
    return this.#isClosed || this.budget.isFull
  }

  /** The arena is nearly used up. */
  get isArenaShort(): boolean {
    const { arena } = this.#options
    const reserve = Math.max(2, Math.floor((arena.bytes / 262_144) * ARENA_FREE_SHARE))
    return arena.freeBlocks < reserve
  }

  /** Called when there is room again after an append was refused. */
  onRoom(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** An append was refused. */
  refused(reason: 'arena' | 'busy' | 'disk'): void {
    // Who waits for the disk is told when that changes, not after every commit.
    if (reason === 'disk') return
    this.#someoneRefused = true
    if (reason === 'arena') this.#relieve()
  }

  /** A commit has ended or a tail was sealed: there may be room again. */
  offer(): void {
    if (!this.#someoneRefused) return
    if (!this.hasAny) {
      // What was sealed left no block wholly free: more must go, or nobody ever hears of room.
      if (this.#options.arena.freeBlocks === 0) this.#relieve()
      return
    }
    this.#someoneRefused = false
    for (const listener of this.#listeners) listener()
  }

  /** After a commit. */
  committed(): void {
    if (this.isArenaShort) this.#relieve()
    this.offer()
  }

  /** Appends are refused from now on. */
  end(): void {
    this.#isClosed = true
  }

  close(): void {
    this.end()
    this.budget.close()
  }

  /** Freezes the largest tails until enough of the arena is on its way to a segment. */
  #relieve(): void {
    const wanted = this.#options.arena.bytes * ARENA_FREE_SHARE
    let coming = 0
    const open: PartitionLog[] = []
    for (const partition of this.#options.partitions()) {
      const last = partition.tails.at(-1)
      for (const tail of partition.tails)
        if (tail.kind === 'records' && tail.frozen) coming += tail.slotBytes
      if (last !== undefined && !last.frozen) open.push(partition)
    }
    open.sort((a, b) => b.tailBytes - a.tailBytes)
    for (const partition of open) {
      if (coming >= wanted) return
      coming += partition.tailBytes
      partition.freeze()
    }
  }

  #diskChanged(isFull: boolean): void {
    const { logger } = this.#options
    if (isFull) logger.error(`${this.budget.reason}; nothing is acked until there is room`)
    else logger.info('the disk has room again')
    this.offer()
  }
}
