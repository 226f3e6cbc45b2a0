// The two sparse indexes beside a segment's `.log`, byte for byte Kafka's:
//
//   .index      8 bytes an entry: i32 offset − base offset, i32 position of the batch that ends
//               with that offset
//   .timeindex  12 bytes an entry: i64 greatest timestamp so far, i32 offset − base offset of the
//               end of the batch that holds it
//
// - Both columns of a file strictly rise. Entries are searched as (key, value).
// - Nothing in them is needed: they are derived from the `.log`, written lazily, never believed
//   without a look at the batch they point to, and made again when they are missing or wrong.
// - Newest entries are in memory until `flush`. Searches run in the kernel over pages of entries
//   that a cache shared by all segments keeps in kernel memory.

import { INDEX, INDEX_BYTES } from '../../wasm/assembly/limits.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import { codeOf } from '../base/errors.ts'
import { readInt64 } from './journal-entry.ts'
import type { OpenFiles } from './open-files.ts'

export interface IndexEntry {
  key: number
  value: number
}

export type IndexLookup =
  | ({ kind: 'entry' } & IndexEntry)
  /** The key lies before the first entry. */
  | { kind: 'none' }
  /** The file is not what was written: make it again. */
  | { kind: 'bad' }

export type IndexKind = 'offset' | 'time'

export const OFFSET_ENTRY_BYTES = 8
export const TIME_ENTRY_BYTES = 12
const PAGE_BYTES = 4096
/** This many entries wait in memory before they are written (2 MiB of batches or more). */
const PENDING_ENTRIES_MAX = 512

/** Pages of index entries in kernel memory, for all segments; the page used least recently goes. */
export class IndexCache {
  readonly kernel: Kernel
  readonly #slots: number
  /** Page key → slot, in order of use. */
  readonly #pages = new Map<number, number>()
  readonly #free: number[] = []
  #owners = 0

  constructor(kernel: Kernel, slots = Math.floor(INDEX_BYTES / PAGE_BYTES)) {
    assert(slots > 0 && slots * PAGE_BYTES <= INDEX_BYTES, 'the index region holds its slots')
    this.kernel = kernel
    this.#slots = slots
    for (let slot = slots - 1; slot >= 0; slot--) this.#free.push(slot)
  }

  /** A number for an index; its pages are known by it. */
  register(): number {
    return this.#owners++
  }

  /** Pointer to the page, or −1. */
  find(owner: number, page: number): number {
    const key = pageKey(owner, page)
    const slot = this.#pages.get(key)
    if (slot === undefined) return -1
    this.#pages.delete(key)
    this.#pages.set(key, slot)
    return INDEX + slot * PAGE_BYTES
  }

  put(owner: number, page: number, bytes: Uint8Array): number {
    let pointer = this.find(owner, page)
    if (pointer < 0) {
      if (this.#free.length === 0) {
        const [oldest, slot] = this.#pages.entries().next().value!
        this.#pages.delete(oldest)
        this.#free.push(slot)
      }
      const slot = this.#free.pop()!
      this.#pages.set(pageKey(owner, page), slot)
      pointer = INDEX + slot * PAGE_BYTES
    }
    this.kernel.u8.set(bytes, pointer)
    return pointer
  }

  drop(owner: number): void {
    for (const [key, slot] of this.#pages) {
      if (Math.floor(key / PAGES_PER_OWNER) !== owner) continue
      this.#pages.delete(key)
      this.#free.push(slot)
    }
    assert(this.#pages.size + this.#free.length === this.#slots, 'no index slot is lost')
  }
}

const PAGES_PER_OWNER = 2 ** 21
const pageKey = (owner: number, page: number) => owner * PAGES_PER_OWNER + page

/** One index file. Changes (append, flush, cut, clear) come one at a time; lookups at any time. */
export class SegmentIndex {
  readonly path: string
  readonly #kind: IndexKind
  readonly #entryBytes: number
  readonly #pageEntries: number
  readonly #files: OpenFiles
  readonly #cache: IndexCache
  readonly #owner: number
  /** Entries in the file. */
  #flushed = 0
  #pending: Buffer
  #pendingCount = 0
  /** Counts what makes a page read before it out of date. */
  #version = 0
  #isWritten = false

  constructor(kind: IndexKind, path: string, files: OpenFiles, cache: IndexCache) {
    this.path = path
    this.#kind = kind
    this.#entryBytes = kind === 'offset' ? OFFSET_ENTRY_BYTES : TIME_ENTRY_BYTES
    this.#pageEntries = Math.floor(PAGE_BYTES / this.#entryBytes)
    this.#files = files
    this.#cache = cache
    this.#owner = cache.register()
    this.#pending = Buffer.alloc(0)
  }

  get count(): number {
    return this.#flushed + this.#pendingCount
  }

  get needsFlush(): boolean {
    return this.#pendingCount >= PENDING_ENTRIES_MAX
  }

  /** Takes the file as it is; false when it is missing or has half an entry. */
  adopt(size: number | undefined): boolean {
    assert(this.count === 0, 'an index is adopted once')
    if (size === undefined || size % this.#entryBytes !== 0) return false
    this.#flushed = size / this.#entryBytes
    this.#isWritten = true
    return true
  }

  /** In memory when it returns. */
  append(key: number, value: number): void {
    const at = this.#pendingCount * this.#entryBytes
    if (at === this.#pending.length) {
      const larger = Buffer.alloc(Math.max(16 * this.#entryBytes, this.#pending.length * 2))
      this.#pending.copy(larger)
      this.#pending = larger
    }
    this.#writeEntry(this.#pending, at, key, value)
    const page = Math.floor(this.count / this.#pageEntries)
    const pointer = this.#cache.find(this.#owner, page)
    if (pointer >= 0) {
      const slot = this.count % this.#pageEntries
      this.#writeEntry(this.#cache.kernel.buffer, pointer + slot * this.#entryBytes, key, value)
    }
    this.#pendingCount++
  }

  /** The last entry with this key or a smaller one. */
  async lookup(key: number): Promise<IndexLookup> {
    let low = 0
    let high = Math.floor((this.count - 1) / this.#pageEntries)
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      const first = await this.#onPage(middle, (pointer) => this.#readKey(pointer))
      if (first === undefined) return { kind: 'bad' }
      if (first <= key) low = middle
      else high = middle - 1
    }
    if (high < 0) return { kind: 'none' }
    const found = await this.#onPage(low, (pointer, count) => {
      const { kernel } = this.#cache
      const slot =
        this.#kind === 'offset'
          ? kernel.searchOffsetIndex(pointer, count, key)
          : kernel.searchTimeIndex(pointer, count, key)
      return slot < 0 ? null : this.#readEntry(pointer + slot * this.#entryBytes)
    })
    if (found === undefined) return { kind: 'bad' }
    return found === null ? { kind: 'none' } : { kind: 'entry', ...found }
  }

  /** The newest entry. */
  last(): Promise<IndexLookup> {
    return this.lookup(this.#kind === 'time' ? MAX_TIME : MAX_OFFSET)
  }

  /** Written when it resolves, not durable; makes the file even when it is empty. */
  async flush(): Promise<void> {
    if (this.#pendingCount === 0 && this.#isWritten) return
    const bytes = this.#pending.subarray(0, this.#pendingCount * this.#entryBytes)
    const position = this.#flushed * this.#entryBytes
    await this.#files.use(this.path, 'create', async (file) => {
      await file.write([bytes], position)
      if (!this.#isWritten) await file.truncate(position + bytes.length)
    })
    this.#flushed += this.#pendingCount
    this.#pendingCount = 0
    this.#pending = Buffer.alloc(0)
    this.#isWritten = true
    this.#version++
  }

  /** Durable when it resolves. */
  async sync(): Promise<void> {
    await this.flush()
    await this.#files.use(this.path, 'create', (file) => file.sync())
  }

  /** Drops every entry with this value or a larger one; false when the index is bad. */
  async cut(value: number): Promise<boolean> {
    let keep = this.count
    while (keep > 0) {
      const page = Math.floor((keep - 1) / this.#pageEntries)
      const kept = await this.#onPage(page, (pointer, count) => {
        let left = Math.min(count, keep - page * this.#pageEntries)
        while (
          left > 0 &&
          this.#readEntry(pointer + (left - 1) * this.#entryBytes).value >= value
        ) {
          left--
        }
        return left
      })
      if (kept === undefined) return false
      keep = page * this.#pageEntries + kept
      if (kept > 0) break
    }
    if (keep < this.count) await this.#keep(keep)
    return true
  }

  /** Forgets all entries; the file is cut by the next flush. */
  clear(): void {
    this.#version++
    this.#cache.drop(this.#owner)
    this.#flushed = 0
    this.#pendingCount = 0
    this.#isWritten = false
  }

  /** Frees its pages; the file stays. */
  async close(): Promise<void> {
    this.#cache.drop(this.#owner)
    await this.#files.forget(this.path)
  }

  async #keep(count: number): Promise<void> {
    this.#version++
    this.#cache.drop(this.#owner)
    if (count >= this.#flushed) {
      this.#pendingCount = count - this.#flushed
      return
    }
    this.#pendingCount = 0
    this.#flushed = count
    const size = count * this.#entryBytes
    await this.#files.use(this.path, 'create', (file) => file.truncate(size))
  }

  /** Runs `look` on a page in kernel memory at once, before anything can move it; undefined = bad. */
  async #onPage<T>(
    page: number,
    look: (pointer: number, count: number) => T,
  ): Promise<T | undefined> {
    const first = page * this.#pageEntries
    for (;;) {
      const cached = this.#cache.find(this.#owner, page)
      if (cached >= 0) return look(cached, Math.min(this.#pageEntries, this.count - first))
      const version = this.#version
      const bytes = Buffer.alloc(PAGE_BYTES)
      const fromFile = Math.max(0, Math.min(this.#flushed - first, this.#pageEntries))
      const isWhole = await this.#readFile(bytes, first, fromFile)
      if (version !== this.#version) {
        if (first >= this.count) return undefined
        continue
      }
      const count = Math.min(this.#pageEntries, this.count - first)
      if (fromFile < count) {
        const fromMemory = first + fromFile - this.#flushed
        this.#pending.copy(
          bytes,
          fromFile * this.#entryBytes,
          fromMemory * this.#entryBytes,
          (fromMemory + count - fromFile) * this.#entryBytes,
        )
      }
      if (!isWhole || !this.#rises(bytes, count)) return undefined
      return look(this.#cache.put(this.#owner, page, bytes), count)
    }
  }

  async #readFile(target: Buffer, first: number, count: number): Promise<boolean> {
    if (count === 0) return true
    const wanted = target.subarray(0, count * this.#entryBytes)
    try {
      const position = first * this.#entryBytes
      const length = await this.#files.use(this.path, 'write', (file) =>
        file.read(wanted, position),
      )
      return length === wanted.length
    } catch (error) {
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'EIO') return false
      throw error
    }
  }

  #rises(bytes: Buffer, count: number): boolean {
    let before: IndexEntry = { key: -1, value: -1 }
    for (let slot = 0; slot < count; slot++) {
      const entry = readIndexEntry(this.#kind, bytes, slot * this.#entryBytes)
      if (entry.key <= before.key || entry.value <= before.value) return false
      before = entry
    }
    return true
  }

  #readKey(pointer: number): number {
    return this.#readEntry(pointer).key
  }

  #readEntry(pointer: number): IndexEntry {
    return readIndexEntry(this.#kind, this.#cache.kernel.buffer, pointer)
  }

  #writeEntry(bytes: Buffer, at: number, key: number, value: number): void {
    if (this.#kind === 'offset') {
      bytes.writeInt32BE(key, at)
      bytes.writeInt32BE(value, at + 4)
      return
    }
    bytes.writeBigInt64BE(BigInt(key), at)
    bytes.writeInt32BE(value, at + 8)
  }
}

const MAX_OFFSET = 0x7fffffff
const MAX_TIME = Number.MAX_SAFE_INTEGER

export function readIndexEntry(kind: IndexKind, bytes: Buffer, at: number): IndexEntry {
  if (kind === 'offset') return { key: bytes.readInt32BE(at), value: bytes.readInt32BE(at + 4) }
  return { key: readInt64(bytes, at), value: bytes.readInt32BE(at + 8) }
}
