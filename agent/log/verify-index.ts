// One index file against the batches of its segment: the entries must be those that the rule of
// FORMAT.md makes, one for one. What the batches say is compared as they come by, so that nothing but
// the file itself is held in memory.

import { readTolerantly } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import { INDEX_INTERVAL_BYTES } from './index-pair.ts'
import {
  type IndexEntry,
  type IndexKind,
  OFFSET_ENTRY_BYTES,
  readIndexEntry,
  TIME_ENTRY_BYTES,
} from './segment-index.ts'
import type { ScannedBatch } from './segment-scan.ts'

export interface IndexToCheck {
  fs: FileSystem
  /** The path without its suffix. */
  stem: string
  baseOffset: number
  /** The segment is complete and synced, so its indexes must be, too. */
  isFinished: boolean
}

export interface IndexDamage {
  path: string
  position: number
  what: string
}

export class IndexCheck {
  readonly path: string
  readonly #index: IndexToCheck
  readonly #kind: IndexKind
  readonly #entryBytes: number
  #bytes: Buffer = Buffer.alloc(0)
  #at = 0
  #damage: IndexDamage | undefined
  // What the rule goes by.
  #indexedPosition = 0
  #indexedTimestamp = -1
  #maxTimestamp = -1
  #maxTimestampOffset: number

  constructor(index: IndexToCheck, kind: IndexKind) {
    this.#index = index
    this.#kind = kind
    this.#maxTimestampOffset = index.baseOffset
    this.path = `${index.stem}.${kind === 'offset' ? 'index' : 'timeindex'}`
    this.#entryBytes = kind === 'offset' ? OFFSET_ENTRY_BYTES : TIME_ENTRY_BYTES
  }

  async load(): Promise<void> {
    const { fs, isFinished } = this.#index
    if ((await fs.size(this.path)) === undefined) {
      if (isFinished) this.#wrong(0, 'missing')
      return
    }
    const bytes = await readTolerantly(fs, this.path)
    if (bytes === undefined) this.#wrong(0, 'cannot be read')
    else this.#bytes = bytes
  }

  see({ position, nextOffset, maxTimestamp }: ScannedBatch): void {
    const lastOffset = nextOffset - 1
    if (maxTimestamp > this.#maxTimestamp) {
      this.#maxTimestamp = maxTimestamp
      this.#maxTimestampOffset = lastOffset
    }
    if (position - this.#indexedPosition <= INDEX_INTERVAL_BYTES) return
    this.#indexedPosition = position
    if (this.#kind === 'time') this.#expectTime()
    else this.#expect({ key: lastOffset - this.#index.baseOffset, value: position })
  }

  /** The first thing that is wrong, when all batches were seen. */
  finish(): IndexDamage | undefined {
    // One that was finished while no checkpoint could be written has its last entry, too.
    const isComplete = this.#index.isFinished || this.#at < this.#bytes.length
    if (isComplete && this.#kind === 'time') this.#expectTime()
    const left = this.#bytes.length - this.#at
    if (left > 0) {
      const count = Math.floor(left / this.#entryBytes)
      this.#wrong(this.#at, count === 0 ? 'half an entry' : `${count} entries without a batch`)
    }
    return this.#damage
  }

  #expectTime(): void {
    if (this.#maxTimestamp <= this.#indexedTimestamp) return
    this.#indexedTimestamp = this.#maxTimestamp
    const value = this.#maxTimestampOffset - this.#index.baseOffset
    this.#expect({ key: this.#maxTimestamp, value })
  }

  #expect({ key, value }: IndexEntry): void {
    if (this.#damage !== undefined) return
    if (this.#at + this.#entryBytes > this.#bytes.length) {
      // One that is still written to has its newest entries in memory.
      if (this.#index.isFinished) this.#wrong(this.#at, `no entry for ${key}`)
      return
    }
    const entry = readIndexEntry(this.#kind, this.#bytes, this.#at)
    if (entry.key !== key || entry.value !== value) {
      this.#wrong(this.#at, `says ${entry.key}, ${entry.value} instead of ${key}, ${value}`)
    }
    this.#at += this.#entryBytes
  }

  #wrong(position: number, what: string): void {
    this.#damage ??= { path: this.path, position, what }
  }
}
