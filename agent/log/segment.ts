// One segment of a partition: `<base offset, 20 digits>.log`, record batches v2 one after the other
// as Kafka stores them, with its `.index` and `.timeindex`.
//
// - Offsets are dense: each batch begins where the one before it ends.
// - Changes run one after the other; reads run beside them and see only what is whole.
// - Opening reads nothing; the open files are bounded.
// - An index entry is believed only when the batch it points to agrees; a missing or wrong index
//   is made again from the headers of the batches.
// - Nothing is durable before `sync`; until then the journal has it.

import type { Codecs } from '../../wasm/codecs.ts'
import { assert } from '../base/assert.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import { BATCH_HEADER_BYTES } from '../record/record-batch.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import { type BatchStart, IndexPair } from './index-pair.ts'
import type { OpenFiles } from './open-files.ts'
import type { IndexCache } from './segment-index.ts'
import {
  type BatchVisitor,
  copyRange,
  firstAtTime,
  firstBatch,
  readAll,
  readScanned,
  type ScannedBatch,
  type ScanOutcome,
  scanBatches,
  wholeBatches,
} from './segment-scan.ts'

/** What all segments of a log share. */
export interface SegmentContext {
  fs: FileSystem
  codecs: Codecs
  files: OpenFiles
  indexCache: IndexCache
}

export type SegmentRead =
  | { kind: 'batches'; bytes: Buffer; baseOffset: number; nextOffset: number }
  /** The batch holding the offset reaches the limit, or the segment was removed meanwhile. */
  | { kind: 'empty' }
  /** What stands at `position` is not the batch holding the offset. */
  | { kind: 'corrupt'; position: number; reason: string }

export interface SegmentRecovery {
  /** How the scan of what was not known to be synced ended. */
  outcome: ScanOutcome
  nextOffset: number
  /** Bytes behind the last good batch that were cut off. */
  cutBytes: number
}

/** Positions and relative offsets in an index are i32. */
const RELATIVE_MAX = 0x7fffffff
/** Places where a sequential reader goes on, remembered to save it the search. */
const RESUME_PLACES_MAX = 8

type Located =
  | { kind: 'at'; position: number }
  | { kind: 'corrupt'; position: number; reason: string }

/** Names sort as their offsets do. */
export function segmentName(baseOffset: number): string {
  return String(baseOffset).padStart(20, '0')
}

/** The base offset of `<20 digits>.log`; undefined for any other name. */
export function baseOffsetOf(fileName: string): number | undefined {
  return /^\d{20}\.log$/.test(fileName) ? Number(fileName.slice(0, 20)) : undefined
}

export class Segment {
  readonly baseOffset: number
  readonly path: string
  readonly #context: SegmentContext
  readonly #indexes: IndexPair
  readonly #resume = new Map<number, number>()
  #size = 0
  #nextOffset: number
  #isUnsynced = false
  #syncFailed = false
  #isRemoved = false
  #last: Promise<unknown> = Promise.resolve()

  private constructor(context: SegmentContext, directory: string, baseOffset: number) {
    const stem = `${directory}/${segmentName(baseOffset)}`
    this.baseOffset = baseOffset
    this.path = `${stem}.log`
    this.#nextOffset = baseOffset
    this.#context = context
    this.#indexes = new IndexPair(context, stem, baseOffset, {
      walk: (from, visit) => this.#walk(from, visit),
      headerAt: (position) => this.#headerAt(position),
    })
  }

  /** A new, empty segment. Its name is durable after a sync of the directory. */
  static async create(
    context: SegmentContext,
    directory: string,
    baseOffset: number,
  ): Promise<Segment> {
    const segment = new Segment(context, directory, baseOffset)
    await (await context.fs.open(segment.path, 'exclusive')).close()
    segment.#indexes.clear()
    return segment
  }

  /**
   * A segment that exists; nothing of it is read. `nextOffset` is the base of the segment behind it;
   * without it `recover` must come before anything else. Fault: CORRUPT_STORE when it is missing.
   */
  static async open(
    context: SegmentContext,
    directory: string,
    baseOffset: number,
    nextOffset = baseOffset,
  ): Promise<Segment> {
    const segment = new Segment(context, directory, baseOffset)
    const size = await context.fs.size(segment.path)
    if (size === undefined) throw new AgentError('CORRUPT_STORE', `${segment.path} is missing`)
    segment.#size = size
    segment.#nextOffset = nextOffset
    return segment
  }

  /** Bytes of whole batches, written. */
  get size(): number {
    return this.#size
  }

  /** Offset behind the last written batch. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  get isUnsynced(): boolean {
    return this.#isUnsynced
  }

  get isRemoved(): boolean {
    return this.#isRemoved
  }

  /** Whether so many bytes up to this last offset can still be indexed. */
  canTake(bytes: number, lastOffset: number): boolean {
    return this.#size + bytes <= RELATIVE_MAX && lastOffset - this.baseOffset <= RELATIVE_MAX
  }

  /**
   * Appends whole batches. Written, not durable, when it resolves; the bytes may be a view of kernel
   * memory and must not change until then. After a failure the segment is as it was.
   */
  append(batches: Uint8Array): Promise<void> {
    return this.#serially(async () => {
      const bytes = Buffer.from(batches.buffer, batches.byteOffset, batches.length)
      const start = this.#size
      const added = readAll(bytes, start, this.#nextOffset)
      const { nextOffset } = added.at(-1)!
      assert(this.canTake(bytes.length, nextOffset - 1), 'a segment is rolled before it is full')
      await this.#use((file) => this.#write(file, bytes, start))
      for (const batch of added) this.#indexes.add(batch)
      this.#size = start + bytes.length
      this.#nextOffset = nextOffset
      // Indexes can be made again: a disk that has no room for them fails nothing here.
      if (this.#indexes.offsets.needsFlush) await this.#indexes.flush().catch(() => {})
    })
  }

  /** What was appended or cut before the call is durable when it resolves. */
  async sync(): Promise<void> {
    await this.#last
    if (!this.#isUnsynced || this.#isRemoved) return
    // Set again by a write that begins before the sync has ended.
    this.#isUnsynced = false
    try {
      // Once one has failed, no later sync of this file proves anything.
      if (!this.#syncFailed) await this.#use((file) => file.sync())
    } catch {
      this.#syncFailed = true
    }
    if (this.#syncFailed) {
      this.#isUnsynced = true
      await this.#serially(() => this.#rewrite())
    }
    if (!this.#isUnsynced) this.#context.files.release(this.path)
  }

  /** Index entries are written, not durable, when it resolves. */
  flush(): Promise<void> {
    return this.#serially(async () => void (this.#isRemoved || (await this.#indexes.flush())))
  }

  /** The last append was the last one: its indexes are whole and durable when it resolves. */
  finish(): Promise<void> {
    return this.#serially(async () => void (this.#isRemoved || (await this.#indexes.finish())))
  }

  /** Raw bytes: how many were read. */
  read(position: number, target: Uint8Array): Promise<number> {
    return this.#use((file) => file.read(target, position))
  }

  /** Position of the batch that holds an offset of this segment. Fault: CORRUPT_STORE. */
  async positionOf(offset: number): Promise<number> {
    const located = await this.#locate(offset)
    if (located.kind === 'at') return located.position
    throw this.#corrupt(located.position, located.reason)
  }

  /**
   * Whole batches from the one that holds `offset`, at least one however large, none that reaches
   * `limitOffset`.
   */
  async readBatchesAt(
    offset: number,
    maxBytes: number,
    limitOffset = Number.MAX_SAFE_INTEGER,
  ): Promise<SegmentRead> {
    try {
      const located = await this.#locate(offset)
      if (located.kind === 'corrupt') return located
      const { position } = located
      const [end, limit] = [this.#size, Math.min(limitOffset, this.#nextOffset)]
      let bytes = await this.#bytesAt(position, Math.max(maxBytes, BATCH_HEADER_BYTES), end)
      const first = firstBatch(bytes, position, end, offset)
      if (typeof first === 'string') return { kind: 'corrupt', position, reason: first }
      if (first.nextOffset > limit) return { kind: 'empty' }
      if (first.size > bytes.length) bytes = await this.#bytesAt(position, first.size, end)
      const { length, nextOffset } = wholeBatches(bytes, first.baseOffset, limit)
      if (length === 0) return { kind: 'corrupt', position, reason: 'file is shorter' }
      this.#remember(nextOffset, position + length)
      const { baseOffset } = first
      return { kind: 'batches', bytes: bytes.subarray(0, length), baseOffset, nextOffset }
    } catch (error) {
      if (this.#isRemoved && codeOf(error) === 'ENOENT') return { kind: 'empty' }
      throw error
    }
  }

  /** The first record at or after a time, at or after an offset; by the records' own time. */
  async offsetForTime(
    timestamp: number,
    fromOffset = this.baseOffset,
  ): Promise<{ offset: number; timestamp: number } | undefined> {
    if (this.#nextOffset <= fromOffset || (await this.maxTimestamp()) < timestamp) return undefined
    let offset = Math.max(await this.#offsetBefore(timestamp), fromOffset)
    while (offset < this.#nextOffset) {
      const batch = await this.#batchAtTime(await this.positionOf(offset), timestamp)
      if (batch === undefined) return undefined
      const bytes = await this.#bytesAt(batch.position, batch.size, this.#size)
      const found = firstAtTime(bytes, timestamp, fromOffset, this.#context.codecs)
      if (found !== undefined) return found
      offset = batch.nextOffset
    }
    return undefined
  }

  /** Greatest record timestamp; −1 when there is none. */
  async maxTimestamp(): Promise<number> {
    if (this.#indexes.maxTimestamp === undefined) {
      await this.#serially(() => this.#indexes.learnMaxTimestamp())
    }
    return this.#indexes.maxTimestamp ?? -1
  }

  /** Checks the batches from one on, whose offset must be `offset`; see segment-scan.ts. */
  scan(fromPosition: number, offset: number, visit: BatchVisitor): Promise<ScanOutcome> {
    const range = { from: fromPosition, to: this.#size, offset, codecs: this.#context.codecs }
    return this.#use((file) => scanBatches(file, range, visit))
  }

  /** Cuts off everything from a batch on. Written, not durable, when it resolves. */
  truncate(position: number, nextOffset: number): Promise<void> {
    return this.#serially(async () => {
      assert(position <= this.#size, 'a cut lies inside the segment')
      this.#resume.clear()
      this.#touched()
      await this.#use((file) => file.truncate(position))
      this.#size = position
      this.#nextOffset = nextOffset
      const end = await this.#indexes.cutAt(nextOffset)
      assert(end.position === position, 'a cut lies between two batches')
    })
  }

  /**
   * After a crash: believes the batches below `recoveryOffset`, checks the others, cuts the file at
   * the first bad one and completes the indexes. When the file has no batch boundary at
   * `recoveryOffset`, everything is checked and the result may end below it.
   */
  async recover(recoveryOffset: number): Promise<SegmentRecovery> {
    let recovery: SegmentRecovery | undefined
    await this.#serially(async () => {
      this.#resume.clear()
      recovery = await this.#use((file) => this.#recover(file, recoveryOffset))
      // A full disk must not keep the log from starting.
      await this.#indexes.flush().catch(() => {})
    })
    assert(recovery !== undefined, 'a recovery has an outcome')
    return recovery
  }

  /** Deletes the three files; the directory is the caller's to sync. Readers see it as empty. */
  remove(): Promise<void> {
    return this.#serially(async () => {
      this.#isRemoved = true
      for (const path of [this.#indexes.times.path, this.#indexes.offsets.path, this.path]) {
        await this.#context.fs.remove(path).catch((error) => {
          if (codeOf(error) !== 'ENOENT') throw error
        })
      }
      // Only now: a reader could have opened one again in between, and kept its room on the disk.
      await this.#closeFiles()
    })
  }

  /** Writes index entries and lets go of files and cached pages; syncs nothing. */
  close(): Promise<void> {
    return this.#serially(async () => {
      if (this.#indexes.isKnown && !this.#isRemoved) await this.#indexes.flush().catch(() => {})
      await this.#closeFiles()
    })
  }

  async #write(file: OpenFile, bytes: Buffer, position: number): Promise<void> {
    this.#touched()
    try {
      await file.write([bytes], position)
    } catch (error) {
      // What got through lies behind the end, where it is overwritten or cut at the next start.
      await file.truncate(position).catch(() => {})
      throw error
    }
  }

  /**
   * After a failed sync the pages count as clean without being on disk, so another sync proves
   * nothing: the batches, if they still read back whole, go to a fresh file that takes the name.
   */
  async #rewrite(): Promise<void> {
    if (this.#isRemoved) return
    const { fs, files, codecs } = this.#context
    const fresh = `${this.path}.rewrite`
    const size = this.#size
    const target = await fs.open(fresh, 'create')
    try {
      await target.truncate(0)
      await this.#use(async (file) => {
        const range = { from: 0, to: size, offset: this.baseOffset, codecs }
        const outcome = await scanBatches(file, range, () => {})
        if ('reason' in outcome) throw this.#corrupt(outcome.position, outcome.reason)
        await copyRange(file, target, 0, size)
      })
      await target.sync()
    } finally {
      await target.close()
    }
    await fs.rename(fresh, this.path)
    // Whoever reads goes on in the old file; it is closed when they are done.
    await files.forget(this.path)
    await fs.syncDirectory(this.path.slice(0, this.path.lastIndexOf('/')))
    this.#isUnsynced = false
    this.#syncFailed = false
  }

  async #recover(file: OpenFile, recoveryOffset: number): Promise<SegmentRecovery> {
    const fileBytes = await file.size()
    this.#size = fileBytes
    let from = await this.#indexes.cutAt(recoveryOffset)
    if (from.baseOffset !== recoveryOffset) {
      this.#indexes.clear()
      from = { position: 0, baseOffset: this.baseOffset }
    }
    const { codecs } = this.#context
    const range = { from: from.position, to: fileBytes, offset: from.baseOffset, codecs }
    this.#nextOffset = from.baseOffset
    const outcome = await scanBatches(file, range, (batch) => {
      this.#indexes.add(batch)
      this.#nextOffset = batch.nextOffset
    })
    const cutBytes = fileBytes - outcome.position
    this.#size = outcome.position
    this.#touched()
    if (cutBytes > 0) await file.truncate(outcome.position)
    // A sync that failed before the crash may have left these pages clean and not on disk.
    await copyRange(file, file, from.position, outcome.position)
    return { outcome, nextOffset: this.#nextOffset, cutBytes }
  }

  async #locate(offset: number): Promise<Located> {
    assert(offset >= this.baseOffset && offset < this.#nextOffset, 'the segment holds the offset')
    const known = this.#resume.get(offset)
    if (known !== undefined) return { kind: 'at', position: known }
    const { start, isDoubtful } = await this.#floor(offset)
    let position = -1
    const outcome = await this.#walk(start, (batch) => {
      position = batch.position
      return batch.nextOffset > offset
    })
    if (outcome.kind === 'stopped') {
      // The log can be followed past the entries that disagree with it: they are wrong.
      if (isDoubtful) await this.#serially(() => this.#indexes.rebuild())
      return { kind: 'at', position }
    }
    const reason = 'reason' in outcome ? outcome.reason : `ends before offset ${offset}`
    return { kind: 'corrupt', position: outcome.position, reason }
  }

  async #floor(offset: number): Promise<{ start: BatchStart; isDoubtful: boolean }> {
    if (!this.#indexes.isKnown) await this.#serially(() => this.#indexes.load())
    let floor = await this.#indexes.floor(offset)
    if (floor.kind === 'bad') {
      await this.#serially(() => this.#indexes.rebuild())
      floor = await this.#indexes.floor(offset)
    }
    if (floor.kind === 'start') return floor
    return { start: { position: 0, baseOffset: this.baseOffset }, isDoubtful: false }
  }

  /** An offset at or before the first record that is not older than `timestamp`. */
  async #offsetBefore(timestamp: number): Promise<number> {
    const entry = await this.#indexes.beforeTime(timestamp)
    if (entry === undefined) return this.baseOffset
    const { lastOffset, maxTimestamp } = entry
    if (lastOffset < this.#nextOffset) {
      const batch = await this.#headerAt(await this.positionOf(lastOffset))
      if (batch?.nextOffset === lastOffset + 1 && batch.maxTimestamp === maxTimestamp) {
        return batch.baseOffset
      }
    }
    await this.#serially(() => this.#indexes.rebuild())
    return this.baseOffset
  }

  #walk(from: BatchStart, visit: BatchVisitor): Promise<ScanOutcome> {
    const range = { from: from.position, to: this.#size, offset: from.baseOffset }
    return this.#use((file) => scanBatches(file, range, visit))
  }

  async #headerAt(position: number): Promise<ScannedBatch | undefined> {
    const header = await this.#bytesAt(position, BATCH_HEADER_BYTES, this.#size)
    if (header.length < BATCH_HEADER_BYTES) return undefined
    const batch = readScanned(header, 0, position)
    return typeof batch === 'string' ? undefined : batch
  }

  async #batchAtTime(position: number, timestamp: number): Promise<ScannedBatch | undefined> {
    const first = await this.#headerAt(position)
    if (first === undefined) throw this.#corrupt(position, 'no batch')
    let found: ScannedBatch | undefined
    const outcome = await this.#walk(first, (batch) => {
      if (batch.maxTimestamp < timestamp) return false
      found = batch
      return true
    })
    if ('reason' in outcome) throw this.#corrupt(outcome.position, outcome.reason)
    return found
  }

  async #bytesAt(position: number, count: number, end: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(count, end - position)))
    return bytes.subarray(0, await this.read(position, bytes))
  }

  #remember(offset: number, position: number): void {
    this.#resume.set(offset, position)
    if (this.#resume.size <= RESUME_PLACES_MAX) return
    this.#resume.delete(this.#resume.keys().next().value!)
  }

  async #closeFiles(): Promise<void> {
    await this.#context.files.forget(this.path)
    await this.#indexes.close()
  }

  #touched(): void {
    this.#isUnsynced = true
    this.#context.files.hold(this.path)
  }

  #use<T>(work: (file: OpenFile) => Promise<T>): Promise<T> {
    return this.#context.files.use(this.path, 'write', work)
  }

  #serially(change: () => Promise<void>): Promise<void> {
    const result = this.#last.then(change)
    this.#last = result.catch(() => {})
    return result
  }

  #corrupt(position: number, reason: string): AgentError {
    return new AgentError('CORRUPT_STORE', `${this.path} at ${position}: ${reason}`, {
      details: { path: this.path, position },
    })
  }
}
