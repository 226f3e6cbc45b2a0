// Room kept for ourselves on a disk that others fill: the file `reserve`.
//
//   <data directory>/reserve     bytes without meaning, `bytes` of them while the disk has room
//
// A FileSystem in front of another: when an operation of ours finds no space, part of the file is
// given up and the operation is tried again. So with 0 bytes left the log can still take its lock,
// write a checkpoint, hollow, delete and end cleanly.
//
// - It goes in halves, and what segments and their indexes want leaves a quarter of it: the journal has
//   what they cannot take, and the last part is for what frees space or lets the process end.
// - The last piece is for the lock, a block at a time: without one nothing starts, and nobody frees
//   anything. Others on the disk are quick, so that a start may take a block and its end not give it back.
// - It is made again only when there is room for it, and later each time when it does not last: a disk
//   without inodes, or a quota that nobody sees, must not cost a write of the whole file every second.
// - Its bytes are random: a file system that compresses would keep no room for zeros.

import { randomFillSync } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { FileSystem, OpenFile, OpenMode, OpenOptions } from './file-system.ts'

export const RESERVE_NAME = 'reserve'

const DATA_SHARE = 0.25
/** What only takes room. */
const DATA_PATTERN = /\.(log|index|timeindex|bytes)$/
/** The lock, and what is taken while the one of a process that was killed is replaced. */
const LOCK_PATTERN = /\/lock(\.[^/]+)?$/
const BLOCK_BYTES = 4096
/** What has no more than twice this is not halved. */
const PIECE_BYTES = 16 * 1024
const CHUNK_BYTES = 256 * 1024
const PAUSE_MS = 1000
const PAUSE_MS_MAX = 600_000
/** Lasting longer than this, it was worth making. */
const LASTING_MS = 60_000

export interface ReserveOptions {
  fs: FileSystem
  directory: string
  /** 0: none is kept. */
  bytes: number
  clock: Clock
  /** Part of it was given up: the disk is full. */
  spent: () => void
}

/** No space, whoever owns it: the disk is full, or the user's quota is used up. */
export function isNoSpace(error: unknown): boolean {
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT' || code === 'STORAGE_FULL') return true
  return error instanceof Error && error.cause !== undefined && isNoSpace(error.cause)
}

export class Reserve implements FileSystem {
  readonly #options: ReserveOptions
  readonly #path: string
  /** What the file has now; undefined until it was looked at. */
  #size: number | undefined
  #giving: Promise<boolean> = Promise.resolve(false)
  #spentAt = Number.NEGATIVE_INFINITY
  #madeAt = Number.NEGATIVE_INFINITY
  #pauseMs = PAUSE_MS
  readonly list: FileSystem['list']
  readonly remove: FileSystem['remove']
  readonly removeDirectory: FileSystem['removeDirectory']
  readonly size: FileSystem['size']
  readonly freeBytes: FileSystem['freeBytes']

  constructor(options: ReserveOptions) {
    const { fs, directory } = options
    this.#options = options
    this.#path = `${directory}/${RESERVE_NAME}`
    this.list = (path) => fs.list(path)
    this.remove = (path) => fs.remove(path)
    this.removeDirectory = (path) => fs.removeDirectory(path)
    this.size = (path) => fs.size(path)
    this.freeBytes = (path) => fs.freeBytes(path)
  }

  /** What it should have. */
  get bytes(): number {
    return this.#options.bytes
  }

  /** What it has. */
  get heldBytes(): number {
    return this.#size ?? 0
  }

  open(path: string, mode: OpenMode, options?: OpenOptions): Promise<OpenFile> {
    return this.#trying(path, async () => {
      return new GuardedFile(await this.#options.fs.open(path, mode, options), (work) =>
        this.#trying(path, work),
      )
    })
  }

  makeDirectory(path: string): Promise<void> {
    return this.#trying(path, () => this.#options.fs.makeDirectory(path))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#trying(to, () => this.#options.fs.rename(from, to))
  }

  syncDirectory(path: string): Promise<void> {
    return this.#trying(path, () => this.#options.fs.syncDirectory(path))
  }

  /** Makes it whole again if that can be done with `free` bytes and it is not too soon. */
  async refill(free: number): Promise<void> {
    const { fs, bytes, clock } = this.#options
    const now = clock.monotonic()
    const has = await this.#known()
    const isTooSoon = now - this.#spentAt < this.#pauseMs
    if (has >= bytes || isTooSoon || free < 2 * (bytes - has)) return
    const file = await fs.open(this.#path, 'create')
    try {
      const chunk = randomFillSync(Buffer.alloc(Math.min(CHUNK_BYTES, bytes)))
      for (let at = has; at < bytes; at += chunk.length) {
        await file.write([chunk.subarray(0, bytes - at)], at)
      }
      await file.sync()
      this.#size = bytes
      this.#madeAt = now
    } catch (error) {
      // Whoever was quicker has the room; what was begun is given back, and it is tried again later.
      await file.truncate(has).catch(() => {})
      this.#spentAt = now
      if (!isNoSpace(error)) throw error
    } finally {
      await file.close()
    }
    if (has === 0) await fs.syncDirectory(this.#options.directory)
  }

  async #trying<T>(path: string, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!isNoSpace(error) || !(await this.#give(path))) throw error
      }
    }
  }

  /** False when there is nothing left for this file. One at a time: each gets a part of its own. */
  #give(path: string): Promise<boolean> {
    this.#giving = this.#giving.then(() => this.#shrink(path)).catch(() => false)
    return this.#giving
  }

  async #shrink(path: string): Promise<boolean> {
    const { fs, bytes, clock, spent } = this.#options
    const has = await this.#known()
    const isLock = LOCK_PATTERN.test(path)
    const least = DATA_PATTERN.test(path) ? bytes * DATA_SHARE : isLock ? 0 : 1
    const isLast = has / 2 < PIECE_BYTES
    const half = isLast ? 0 : Math.floor(has / 2)
    const left = isLast && isLock ? Math.max(0, has - BLOCK_BYTES) : half
    if (has === 0 || left < least) return false
    const file = await fs.open(this.#path, 'write')
    try {
      // Counted as missing before it is free.
      this.#size = left
      await file.truncate(left)
    } catch (error) {
      this.#size = undefined
      throw error
    } finally {
      await file.close()
    }
    const now = clock.monotonic()
    const hasLasted = now - this.#madeAt > LASTING_MS
    if (has === bytes) {
      this.#pauseMs = hasLasted ? PAUSE_MS : Math.min(this.#pauseMs * 2, PAUSE_MS_MAX)
    }
    this.#spentAt = now
    spent()
    return true
  }

  async #known(): Promise<number> {
    this.#size ??= (await this.#options.fs.size(this.#path)) ?? 0
    return this.#size
  }
}

class GuardedFile implements OpenFile {
  readonly #file: OpenFile
  readonly #trying: <T>(work: () => Promise<T>) => Promise<T>

  constructor(file: OpenFile, trying: <T>(work: () => Promise<T>) => Promise<T>) {
    this.#file = file
    this.#trying = trying
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#file.read(target, position)
  }

  /** Again from its beginning: what got through the first time is overwritten with the same. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    return this.#trying(() => this.#file.write(buffers, position))
  }

  sync(): Promise<void> {
    return this.#file.sync()
  }

  truncate(size: number): Promise<void> {
    return this.#trying(() => this.#file.truncate(size))
  }

  size(): Promise<number> {
    return this.#file.size()
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

/** The same for somebody who keeps no reserve and may use what an agent has left. */
export function withReserveOf(directory: string, fs: FileSystem, clock: Clock): FileSystem {
  return new Reserve({ fs, directory, bytes: 0, clock, spent: () => {} })
}
