// One simulated file: what programs see (the page cache) and what is on the platter, sector by
// sector. A sync moves dirty sectors to the platter; a failed one only forgets that they are dirty,
// as Linux does, so that they read well until the crash. A crash keeps the platter, and of each
// dirty page either everything, nothing or, torn, any of its sectors.

import type { SeededRandom } from './seeded-random.ts'

/** The unit a disk writes whole. */
const SECTOR = 512

export class SimFile {
  readonly kind = 'file'
  #cache = Buffer.alloc(0)
  #size = 0
  #platter = Buffer.alloc(0)
  #platterSize = 0
  /** Sectors of the cache that differ from the platter and would be written by a sync. */
  readonly #dirty = new Set<number>()
  readonly #bad = new Set<number>()

  get size(): number {
    return this.#size
  }

  clone(): SimFile {
    const copy = new SimFile()
    copy.#cache = Buffer.from(this.#cache.subarray(0, this.#size))
    copy.#size = this.#size
    copy.#platter = Buffer.from(this.#platter.subarray(0, this.#platterSize))
    copy.#platterSize = this.#platterSize
    for (const sector of this.#dirty) copy.#dirty.add(sector)
    for (const sector of this.#bad) copy.#bad.add(sector)
    return copy
  }

  read(target: Uint8Array, position: number): number {
    const count = Math.max(0, Math.min(target.length, this.#size - position))
    target.set(this.#cache.subarray(position, position + count))
    return count
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length
    this.#markDirty(Math.min(position, this.#size), end)
    if (this.#cache.length < end) this.#cache = grown(this.#cache, end)
    this.#cache.set(bytes, position)
    this.#size = Math.max(this.#size, end)
    for (let sector = Math.ceil(position / SECTOR); sector < Math.floor(end / SECTOR); sector++) {
      this.#bad.delete(sector)
    }
  }

  truncate(size: number): void {
    this.#markDirty(Math.min(size, this.#size), Math.max(size, this.#size))
    if (size > this.#cache.length) this.#cache = grown(this.#cache, size)
    this.#cache.fill(0, Math.min(size, this.#size), Math.max(size, this.#size))
    this.#size = size
    // What is written there again goes to other sectors.
    for (const sector of this.#bad) if ((sector + 1) * SECTOR > size) this.#bad.delete(sector)
  }

  sync(): void {
    if (this.#platter.length < this.#size) this.#platter = grown(this.#platter, this.#size)
    for (const sector of this.#dirty) this.#keep(sector)
    this.#dirty.clear()
    this.#platter.fill(0, this.#size)
    this.#platterSize = this.#size
  }

  /** A sync that fails: some sectors got through, all are clean from now on. */
  failSync(random: SeededRandom): void {
    if (this.#platter.length < this.#size) this.#platter = grown(this.#platter, this.#size)
    for (const sector of this.#dirty) {
      if (random.chance(0.3)) this.#keep(sector)
    }
    this.#dirty.clear()
  }

  /** What a power cut leaves. */
  crash(random: SeededRandom, pageBytes: number): void {
    const sizes = [this.#platterSize, this.#size]
    if (this.#platter.length < this.#size) this.#platter = grown(this.#platter, this.#size)
    const sectorsPerPage = pageBytes / SECTOR
    const fates = new Map<number, number>()
    for (const sector of this.#dirty) {
      const page = Math.floor(sector / sectorsPerPage)
      const fate = fates.get(page) ?? random.next()
      fates.set(page, fate)
      const kept = fate < 0.4 || (fate < 0.8 ? false : random.chance(0.5))
      if (kept) this.#keep(sector)
    }
    const [low, high] = [Math.min(...sizes), Math.max(...sizes)]
    const between = low + random.below(high - low + 1)
    const sectorEnd = Math.min(high, Math.ceil(between / SECTOR) * SECTOR)
    const size = [low, high, sectorEnd, between][random.below(4)]!
    this.#platter.fill(0, size)
    this.#platterSize = size
    this.#size = size
    this.#cache = Buffer.from(this.#platter)
    this.#dirty.clear()
  }

  /** Changes bits of a byte, in the cache and on the platter: rot. */
  rot(position: number, mask: number): void {
    this.#cache[position]! ^= mask
    if (position < this.#platter.length) this.#platter[position]! ^= mask
  }

  /** Makes the sector holding this byte unreadable until it is written whole. */
  spoil(position: number): void {
    this.#bad.add(Math.floor(position / SECTOR))
  }

  isReadable(position: number, length: number): boolean {
    if (this.#bad.size === 0) return true
    const end = Math.min(position + length, this.#size)
    for (let sector = Math.floor(position / SECTOR); sector * SECTOR < end; sector++) {
      if (this.#bad.has(sector)) return false
    }
    return true
  }

  #markDirty(from: number, to: number): void {
    for (let sector = Math.floor(from / SECTOR); sector * SECTOR < to; sector++) {
      this.#dirty.add(sector)
    }
  }

  #keep(sector: number): void {
    const from = sector * SECTOR
    const to = Math.min(from + SECTOR, this.#platter.length)
    if (from >= to) return
    this.#platter.fill(0, from, to)
    if (from < this.#size) this.#cache.copy(this.#platter, from, from, Math.min(to, this.#size))
  }
}

function grown(bytes: Buffer<ArrayBuffer>, size: number): Buffer<ArrayBuffer> {
  const larger = Buffer.alloc(Math.max(size, bytes.length * 2, 4096))
  bytes.copy(larger)
  return larger
}
