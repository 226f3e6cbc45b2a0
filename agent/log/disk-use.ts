// What everything in the data directory takes: partitions by what they know of themselves, the rest
// by looking at the directory now and then.
//
// A partition counts its segments, their indexes by what they come to, the pages that files fill only
// in part, and its tails, which have no room on the disk yet and are promised it.

import type { Clock } from '../base/clock.ts'
import { codeOf, unlessBug } from '../base/errors.ts'
import { isAside } from './asides.ts'
import type { FileSystem } from './file-system.ts'
import type { PartitionLog } from './partition-log.ts'
import { RESERVE_NAME } from './reserve.ts'

/** Entries of both indexes for each 4096 bytes of a segment. */
const INDEX_BYTES_PER_BYTE = 20 / 4096
/** Half a page for each of a segment's three files. */
const SEGMENT_OVERHEAD_BYTES = 3 * 2048
/** The directory and `partition.metadata`. */
const PARTITION_OVERHEAD_BYTES = 2 * 4096
const LOOK_EVERY_MS = 10_000
/** Folders of others may be of any depth and size. */
const ENTRIES_MAX = 10_000

export interface DiskUseOptions {
  fs: FileSystem
  directory: string
  clock: Clock
  partitions: () => Iterable<PartitionLog>
  journalBytes: () => number
  /** The reserve counts whole: what it lacks is not there for others. */
  reserveBytes: number
}

export function diskBytesOf({ segments, tailBytes }: PartitionLog): number {
  const { bytes, count } = segments
  // A segment that was only just begun has no pages yet.
  const overhead = Math.min(count * SEGMENT_OVERHEAD_BYTES, bytes) + PARTITION_OVERHEAD_BYTES
  return Math.ceil(bytes * (1 + INDEX_BYTES_PER_BYTE)) + overhead + tailBytes
}

export class DiskUse {
  readonly #options: DiskUseOptions
  #otherBytes = 0
  /** Segments that are set aside, in the directories of partitions. */
  #asides: string[] | undefined
  #lookedAt = Number.NEGATIVE_INFINITY
  #entriesLeft = 0

  constructor(options: DiskUseOptions) {
    this.#options = options
  }

  /** Of everything that is no partition. */
  get fixedBytes(): number {
    const { journalBytes, reserveBytes } = this.#options
    return journalBytes() + reserveBytes + this.#otherBytes
  }

  get bytes(): number {
    let bytes = this.fixedBytes
    for (const partition of this.#options.partitions()) bytes += diskBytesOf(partition)
    return bytes
  }

  /** Looks at what is no partition and no journal, unless that was done a moment ago. */
  async look(): Promise<void> {
    const { clock, fs, directory, partitions } = this.#options
    if (clock.monotonic() - this.#lookedAt < LOOK_EVERY_MS) return
    this.#lookedAt = clock.monotonic()
    const known = new Set([RESERVE_NAME])
    for (const { name } of partitions()) known.add(name)
    this.#entriesLeft = ENTRIES_MAX
    let bytes = 0
    this.#asides ??= await this.#findAsides()
    for (const path of this.#asides) bytes += (await fs.size(path).catch(unlessBug)) ?? 0
    for (const name of await fs.list(directory)) {
      if (!known.has(name) && !/^journal-\d+$/.test(name))
        bytes += await this.#sizeOf(`${directory}/${name}`)
    }
    this.#otherBytes = bytes
  }

  /** A partition does not know of them, and only a start makes any. */
  async #findAsides(): Promise<string[]> {
    const { fs, directory, partitions } = this.#options
    const paths: string[] = []
    for (const { name } of partitions()) {
      // Not there yet, or not listed.
      const names = await fs.list(`${directory}/${name}`).catch(unlessBug)
      for (const file of names ?? []) if (isAside(file)) paths.push(`${directory}/${name}/${file}`)
    }
    return paths
  }

  async #sizeOf(path: string): Promise<number> {
    const { fs } = this.#options
    if (this.#entriesLeft-- <= 0) return 0
    let bytes = 0
    try {
      for (const name of await fs.list(path)) bytes += await this.#sizeOf(`${path}/${name}`)
    } catch (error) {
      if (codeOf(error) === 'ENOTDIR') return (await fs.size(path)) ?? 0
      // It is gone, or not ours to look into.
    }
    return bytes
  }
}
