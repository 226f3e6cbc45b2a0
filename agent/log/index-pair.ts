// What a segment knows of its two index files together: when an entry is due, whether an entry may
// be believed, and how to make or complete both from the headers of the batches.
//
// - Entries are those that Kafka would make: for the first batch that begins more than 4096 bytes
//   behind the last indexed one, its last offset and position, and the greatest timestamp so far;
//   a finished segment has its greatest timestamp as the last time entry.
// - Changes come one at a time, from the segment; searches at any time.

import { isBug } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'
import type { OpenFiles } from './open-files.ts'
import { type IndexCache, type IndexLookup, SegmentIndex } from './segment-index.ts'
import type { BatchVisitor, ScannedBatch, ScanOutcome } from './segment-scan.ts'

/** Where a batch begins. */
export interface BatchStart {
  position: number
  baseOffset: number
}

/** The `.log` the indexes are about. */
export interface IndexedLog {
  /** Goes from header to header until the visitor says true or the log ends. */
  walk(from: BatchStart, visit: BatchVisitor): Promise<ScanOutcome>
  /** The batch at a position, undefined when none can stand there. */
  headerAt(position: number): Promise<ScannedBatch | undefined>
}

export type Floor =
  /** `isDoubtful`: entries nearer to the offset disagree with the log. */
  { kind: 'start'; start: BatchStart; isDoubtful: boolean } | { kind: 'bad' }

/** Kafka's index.interval.bytes. */
export const INDEX_INTERVAL_BYTES = 4096
/** Entries that disagree with the log before the search gives up on the index. */
const DISBELIEVED_MAX = 4

export class IndexPair {
  readonly offsets: SegmentIndex
  readonly times: SegmentIndex
  /** What is in the files is known: they are looked at when they are first needed. */
  isKnown = false
  readonly #fs: FileSystem
  readonly #baseOffset: number
  readonly #log: IndexedLog
  /** The entries go up to the end of the log, so that others may be added. */
  #isComplete = false
  #syncFailed = false
  #maxTimestamp: number | undefined
  #maxTimestampOffset: number
  #indexedTimestamp = -1
  #indexedPosition = 0

  constructor(
    context: { fs: FileSystem; files: OpenFiles; indexCache: IndexCache },
    stem: string,
    baseOffset: number,
    log: IndexedLog,
  ) {
    const { fs, files, indexCache } = context
    this.offsets = new SegmentIndex('offset', `${stem}.index`, files, indexCache)
    this.times = new SegmentIndex('time', `${stem}.timeindex`, files, indexCache)
    this.#fs = fs
    this.#baseOffset = baseOffset
    this.#maxTimestampOffset = baseOffset
    this.#log = log
  }

  /** Greatest timestamp of the whole log; undefined until the log was followed to its end. */
  get maxTimestamp(): number | undefined {
    return this.#isComplete ? this.#maxTimestamp : undefined
  }

  /** No entries: the segment is empty, or what is in the files is not to be believed. */
  clear(): void {
    this.offsets.clear()
    this.times.clear()
    this.isKnown = true
    this.#isComplete = true
    this.#maxTimestamp = -1
    this.#maxTimestampOffset = this.#baseOffset
    this.#indexedTimestamp = -1
    this.#indexedPosition = 0
  }

  /** Makes the entries that are due for a batch behind all others. */
  add(batch: ScannedBatch): void {
    const lastOffset = batch.nextOffset - 1
    if (batch.maxTimestamp > (this.#maxTimestamp ?? -1)) {
      this.#maxTimestamp = batch.maxTimestamp
      this.#maxTimestampOffset = lastOffset
    }
    if (batch.position - this.#indexedPosition <= INDEX_INTERVAL_BYTES) return
    this.offsets.append(lastOffset - this.#baseOffset, batch.position)
    this.#addTime()
    this.#indexedPosition = batch.position
  }

  /** Written, not durable, when it resolves. */
  async flush(): Promise<void> {
    await this.offsets.flush()
    await this.times.flush()
  }

  /** Adds the last time entry; both files are durable when it resolves. */
  async finish(endOffset: number): Promise<void> {
    // After a failed sync another one proves nothing: all of it is written again. What is not known
    // may be of a file that was replaced.
    if (this.#syncFailed || !this.isKnown) await this.rebuild()
    await this.complete(endOffset)
    this.#addTime()
    this.#syncFailed = true
    await this.offsets.sync()
    await this.times.sync()
    this.#syncFailed = false
  }

  /** Takes the files as they are; makes them again when one is missing or odd. */
  async load(): Promise<void> {
    if (this.isKnown) return
    if (!(await this.#adopt())) await this.rebuild()
  }

  /** Both again, from all headers that can be followed. */
  async rebuild(): Promise<void> {
    this.clear()
    this.#isComplete = false
    await this.#log.walk({ position: 0, baseOffset: this.#baseOffset }, (batch) => this.add(batch))
    this.#isComplete = true
    this.#addTime()
    await this.#tryFlush()
  }

  /** The nearest indexed batch that does not lie behind an offset. */
  async floor(offset: number): Promise<Floor> {
    let key = offset - this.#baseOffset
    for (let tries = 0; tries < DISBELIEVED_MAX; tries++) {
      const entry = await this.offsets.lookup(key)
      if (entry.kind === 'bad') return entry
      if (entry.kind === 'none') {
        const start = { position: 0, baseOffset: this.#baseOffset }
        return { kind: 'start', start, isDoubtful: tries > 0 }
      }
      const start = await this.#believed(entry.key, entry.value)
      if (start !== undefined) return { kind: 'start', start, isDoubtful: tries > 0 }
      key = entry.key - 1
    }
    return { kind: 'bad' }
  }

  /**
   * Where to look for a time: the batch that ends with `lastOffset` was the first to reach
   * `maxTimestamp`, which is not greater. To be believed only if it did. Undefined: from the start.
   */
  async beforeTime(
    timestamp: number,
  ): Promise<{ lastOffset: number; maxTimestamp: number } | undefined> {
    const entry = await this.times.lookup(timestamp)
    if (entry.kind !== 'entry') return undefined
    return { lastOffset: this.#baseOffset + entry.value, maxTimestamp: entry.key }
  }

  /** The log ends at an offset: what entries lack up to there is made from the headers. */
  async complete(endOffset: number): Promise<void> {
    if (!this.#isComplete) await this.cutAt(endOffset)
  }

  /** The same, for a log that nothing is added to: what was wrong in the files is written again. */
  async learn(endOffset: number): Promise<void> {
    await this.complete(endOffset)
    this.#addTime()
    await this.#tryFlush()
  }

  /**
   * Cuts the entries at an offset and completes those before it. Returns where that offset begins;
   * a lower offset when no batch begins there.
   */
  async cutAt(offset: number): Promise<BatchStart> {
    if (!this.isKnown && !(await this.#adopt())) this.clear()
    this.#isComplete = false
    let at = await this.#dropFrom(offset)
    if (at === undefined) {
      this.clear()
      this.#isComplete = false
      at = { position: 0, baseOffset: this.#baseOffset }
    }
    let reached = at
    if (at.baseOffset < offset) {
      await this.#log.walk(at, (batch) => {
        if (batch.nextOffset > offset) return true
        this.add(batch)
        reached = { position: batch.position + batch.size, baseOffset: batch.nextOffset }
        return batch.nextOffset === offset
      })
    }
    this.#isComplete = true
    return reached
  }

  async close(): Promise<void> {
    await this.offsets.close()
    await this.times.close()
  }

  /** Whoever only wants to read must not fail because the disk is full. */
  async #tryFlush(): Promise<void> {
    await this.flush().catch((error) => {
      if (isBug(error)) throw error
    })
  }

  async #adopt(): Promise<boolean> {
    // Both before either is taken: the disk may refuse to tell.
    const offsetBytes = await this.#fs.size(this.offsets.path)
    const timeBytes = await this.#fs.size(this.times.path)
    const offsets = this.offsets.adopt(offsetBytes)
    const times = this.times.adopt(timeBytes)
    this.isKnown = true
    return offsets && times
  }

  #addTime(): void {
    const timestamp = this.#maxTimestamp ?? -1
    if (timestamp <= this.#indexedTimestamp) return
    this.times.append(timestamp, this.#maxTimestampOffset - this.#baseOffset)
    this.#indexedTimestamp = timestamp
  }

  /** The last indexed batch wholly below an offset; undefined when the indexes are no help. */
  async #dropFrom(offset: number): Promise<BatchStart | undefined> {
    const entry = await this.offsets.lookup(offset - 1 - this.#baseOffset)
    if (entry.kind !== 'entry') return undefined
    const batch = await this.#believed(entry.key, entry.value)
    if (batch === undefined) return undefined
    if (!(await this.offsets.cut(batch.position + 1))) return undefined
    if (!(await this.times.cut(batch.nextOffset - this.#baseOffset))) return undefined
    const time: IndexLookup = await this.times.last()
    if (time.kind === 'bad') return undefined
    this.#indexedPosition = batch.position
    this.#indexedTimestamp = time.kind === 'entry' ? time.key : -1
    this.#maxTimestamp = this.#indexedTimestamp
    this.#maxTimestampOffset = this.#baseOffset + (time.kind === 'entry' ? time.value : 0)
    return (await this.#catchUpTime(batch.nextOffset)) ? batch : undefined
  }

  /**
   * A crash may have kept the entries of one file and lost those of the other: the headers between
   * the last time entry and the last offset entry tell what the greatest timestamp really is. False
   * when the last time entry is not one of this log.
   */
  async #catchUpTime(end: number): Promise<boolean> {
    const from = this.#maxTimestampOffset
    let isFound = this.#indexedTimestamp < 0
    const entry = await this.offsets.lookup(from - this.#baseOffset)
    const known = entry.kind === 'entry' ? await this.#believed(entry.key, entry.value) : undefined
    const start = known ?? { position: 0, baseOffset: this.#baseOffset }
    await this.#log.walk(start, (batch) => {
      isFound ||= batch.nextOffset === from + 1 && batch.maxTimestamp === this.#indexedTimestamp
      if (batch.maxTimestamp > (this.#maxTimestamp ?? -1)) {
        this.#maxTimestamp = batch.maxTimestamp
        this.#maxTimestampOffset = batch.nextOffset - 1
      }
      return batch.nextOffset >= end
    })
    return isFound
  }

  /** The batch an entry points to, if it is the one the entry was made for. */
  async #believed(relativeOffset: number, position: number): Promise<ScannedBatch | undefined> {
    const batch = await this.#log.headerAt(position)
    return batch?.nextOffset === this.#baseOffset + relativeOffset + 1 ? batch : undefined
  }
}
