// One segment of a partition: `<base offset, 20 digits>.log`, record batches v2 one after the other
// as Kafka stores them, with its `.index` and `.timeindex`.
//
// - Offsets are dense: each batch begins where the one before it ends.
// - Changes run one after the other; reads run beside them and see only what is whole.
// - Opening reads nothing: what is not asked for stays closed, and the open files are bounded.
// - An index entry is believed only when the batch it points to agrees; a missing or wrong index
//   is made again from the headers of the batches.
// - Nothing here is durable before `sync`; until then the journal has it.

import type { Codecs } from '../../wasm/codecs.ts'
import { assert } from '../base/assert.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import { BATCH_HEADER_BYTES } from '../record/record-batch.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import type { OpenFiles } from './open-files.ts'
import { type IndexCache, type IndexLookup, SegmentIndex } from './segment-index.ts'
import {
  firstAtTime,
  readScanned,
  type ScannedBatch,
  type ScanOutcome,
  scanBatches,
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

/** Kafka's index.interval.bytes: an entry for the first batch this far behind the last entry's. */
export const INDEX_INTERVAL_BYTES = 4096
/** Index entries hold positions and relative offsets as i32. */
const RELATIVE_MAX = 0x7fffffff
/** Places where a sequential reader goes on, remembered to save it the search. */
const RESUME_PLACES_MAX = 8

type Located =
  | { kind: 'at'; position: number }
  | { kind: 'corrupt'; position: number; reason: string }

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
  /** Bytes of whole batches, written. */
  size = 0
  /** Offset behind the last written batch. */
  nextOffset: number
  readonly #context: SegmentContext
  readonly #offsetIndex: SegmentIndex
  readonly #timeIndex: SegmentIndex
  /** Greatest record timestamp; undefined until somebody needs it of a segment that was opened. */
  #maxTimestamp: number | undefined
  #maxTimestampOffset: number
  #indexedTimestamp = -1
  #indexedPosition = 0
  #indexesKnown = false
  #unsynced = false
  #isRemoved = false
  #last: Promise<unknown> = Promise.resolve()
  readonly #resume = new Map<number, number>()

  private constructor(context: SegmentContext, directory: string, baseOffset: number) {
    const stem = `${directory}/${segmentName(baseOffset)}`
    const { files, indexCache } = context
    this.baseOffset = baseOffset
    this.nextOffset = baseOffset
    this.path = `${stem}.log`
    this.#context = context
    this.#maxTimestampOffset = baseOffset
    this.#offsetIndex = new SegmentIndex('offset', `${stem}.index`, files, indexCache)
    this.#timeIndex = new SegmentIndex('time', `${stem}.timeindex`, files, indexCache)
  }

  /** A new, empty segment. Its name is durable after a sync of the directory. */
  static async create(
    context: SegmentContext,
    directory: string,
    baseOffset: number,
  ): Promise<Segment> {
    const segment = new Segment(context, directory, baseOffset)
    await (await context.fs.open(segment.path, 'exclusive')).close()
    segment.#maxTimestamp = -1
    segment.#indexesKnown = true
    return segment
  }

  /**
   * A segment that exists; nothing of it is read. `nextOffset` is the base of the segment behind it;
   * without it `recover` must come before anything else.
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
    segment.size = size
    segment.nextOffset = nextOffset
    return segment
  }

  /** Whether so many bytes up to this last offset can still be indexed. */
  canTake(bytes: number, lastOffset: number): boolean {
    return this.size + bytes <= RELATIVE_MAX && lastOffset - this.baseOffset <= RELATIVE_MAX
  }

  /** Bytes were written since the last sync. */
  get isUnsynced(): boolean {
    return this.#unsynced
  }

  /**
   * Appends whole batches. Written, not durable, when it resolves; the bytes may be a view of kernel
   * memory and must not change until then. After a failure the segment is as it was.
   */
  append(batches: Uint8Array): Promise<void> {
    return this.#serially(async () => {
      const bytes = Buffer.from(batches.buffer, batches.byteOffset, batches.length)
      const start = this.size
      const added = readAll(bytes, start, this.nextOffset)
      const end = added.at(-1)!
      assert(
        this.canTake(bytes.length, end.nextOffset - 1),
        'a segment is rolled before it is full',
      )
      await this.#context.files.use(this.path, 'write', (file) => this.#write(file, bytes, start))
      for (const batch of added) this.#index(batch)
      this.size = start + bytes.length
      this.nextOffset = end.nextOffset
      if (this.#offsetIndex.needsFlush) await this.#flushIndexes()
    })
  }

  /** What was appended before the call is durable when it resolves. */
  async sync(): Promise<void> {
    await this.#last
    if (!this.#unsynced) return
    const { size } = this
    await this.#context.files.use(this.path, 'write', (file) => file.sync())
    if (size !== this.size) return
    this.#unsynced = false
    this.#context.files.release(this.path)
  }

  /** Index entries are written, not durable, when it resolves. */
  flush(): Promise<void> {
    return this.#serially(() => this.#flushIndexes())
  }

  /** The last append was the last one: its indexes are whole and durable when it resolves. */
  finish(): Promise<void> {
    return this.#serially(async () => {
      this.#indexTime()
      await this.#offsetIndex.sync()
      await this.#timeIndex.sync()
    })
  }

  /** Raw bytes: how many were read. */
  read(position: number, target: Uint8Array): Promise<number> {
    return this.#context.files.use(this.path, 'write', (file) => file.read(target, position))
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
      const [end, limit] = [this.size, Math.min(limitOffset, this.nextOffset)]
      let bytes = await this.#bytesAt(position, Math.max(maxBytes, BATCH_HEADER_BYTES), end)
      const first = this.#firstOf(bytes, position, end, offset)
      if (typeof first === 'string') return { kind: 'corrupt', position, reason: first }
      if (first.nextOffset > limit) return { kind: 'empty' }
      if (first.size > bytes.length) bytes = await this.#bytesAt(position, first.size, end)
      const { length, nextOffset } = wholeBatches(bytes, first, limit)
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
    if (this.nextOffset <= fromOffset || (await this.maxTimestamp()) < timestamp) return undefined
    const entry = await this.#lookup(this.#timeIndex, timestamp)
    const indexed = entry.kind === 'entry' ? this.baseOffset + entry.value : this.baseOffset
    let offset = Math.min(Math.max(indexed, fromOffset), this.nextOffset - 1)
    while (offset < this.nextOffset) {
      const batch = await this.#batchAtTime(await this.positionOf(offset), timestamp)
      if (batch === undefined) return undefined
      const bytes = await this.#bytesAt(batch.position, batch.size, this.size)
      const found = firstAtTime(bytes, timestamp, fromOffset, this.#context.codecs)
      if (found !== undefined) return found
      offset = batch.nextOffset
    }
    return undefined
  }

  /** Greatest record timestamp; −1 when there is none. */
  async maxTimestamp(): Promise<number> {
    if (this.#maxTimestamp === undefined) await this.#serially(() => this.#learnMaxTimestamp())
    return this.#maxTimestamp ?? -1
  }

  /** Checks the batches from one on, whose offset must be `offset`; see segment-scan.ts. */
  scan(
    fromPosition: number,
    offset: number,
    visit: (batch: ScannedBatch) => boolean | void,
  ): Promise<ScanOutcome> {
    const range = { from: fromPosition, to: this.size, offset, codecs: this.#context.codecs }
    return this.#context.files.use(this.path, 'write', (file) => scanBatches(file, range, visit))
  }

  /** Cuts off everything from a batch on. Written, not durable, when it resolves. */
  truncate(position: number, nextOffset: number): Promise<void> {
    return this.#serially(async () => {
      assert(
        position <= this.size && nextOffset >= this.baseOffset,
        'a cut lies inside the segment',
      )
      this.#resume.clear()
      await this.#context.files.use(this.path, 'write', (file) => file.truncate(position))
      this.#touched()
      this.size = position
      this.nextOffset = nextOffset
      await this.#reindex(nextOffset)
    })
  }

  /**
   * After a crash: believes the batches below `recoveryOffset`, checks the others, cuts the file at
   * the first bad one and completes the indexes. When the file has no batch boundary at
   * `recoveryOffset` everything is checked, and the result ends below it.
   */
  async recover(recoveryOffset: number): Promise<SegmentRecovery> {
    let recovery: SegmentRecovery | undefined
    await this.#serially(async () => {
      this.#resume.clear()
      recovery = await this.#context.files.use(this.path, 'write', async (file) => {
        const fileBytes = await file.size()
        this.size = fileBytes
        const at = await this.#reindex(recoveryOffset)
        const found = at !== undefined && this.nextOffset === recoveryOffset
        if (!found) this.#forgetIndexes()
        const [from, offset] = found ? [at, recoveryOffset] : [0, this.baseOffset]
        const range = { from, to: fileBytes, offset, codecs: this.#context.codecs }
        this.nextOffset = offset
        const outcome = await scanBatches(file, range, (batch) => this.#index(batch))
        this.size = outcome.position
        const cutBytes = fileBytes - outcome.position
        this.#touched()
        if (cutBytes > 0) await file.truncate(outcome.position)
        return { outcome, nextOffset: this.nextOffset, cutBytes }
      })
      await this.#flushIndexes()
    })
    assert(recovery !== undefined, 'a recovery has an outcome')
    return recovery
  }

  /** Deletes the three files; the directory is the caller's to sync. Readers see it as empty. */
  remove(): Promise<void> {
    return this.#serially(async () => {
      this.#isRemoved = true
      await this.#closeFiles()
      for (const path of [this.#timeIndex.path, this.#offsetIndex.path, this.path]) {
        await this.#context.fs.remove(path).catch((error) => {
          if (codeOf(error) !== 'ENOENT') throw error
        })
      }
    })
  }

  /** Lets go of files and cached pages; syncs nothing. */
  close(): Promise<void> {
    return this.#serially(async () => {
      if (this.#indexesKnown && !this.#isRemoved) await this.#flushIndexes()
      await this.#closeFiles()
    })
  }

  async #write(file: OpenFile, bytes: Buffer, position: number): Promise<void> {
    this.#touched()
    try {
      await file.write([bytes], position)
    } catch (error) {
      // What got through is behind the end and would be cut or overwritten anyway.
      await file.truncate(position).catch(() => {})
      throw error
    }
  }

  async #locate(offset: number): Promise<Located> {
    assert(offset >= this.baseOffset && offset < this.nextOffset, 'the segment holds the offset')
    const known = this.#resume.get(offset)
    if (known !== undefined) return { kind: 'at', position: known }
    const entry = await this.#lookup(this.#offsetIndex, offset - this.baseOffset)
    let from = entry.kind === 'entry' ? await this.#believed(entry.key, entry.value) : undefined
    if (entry.kind === 'entry' && from === undefined) {
      await this.#serially(() => this.#rebuildIndexes())
      const again = await this.#lookup(this.#offsetIndex, offset - this.baseOffset)
      from = again.kind === 'entry' ? await this.#believed(again.key, again.value) : undefined
    }
    let position = -1
    const outcome = await this.#walk(
      from ?? { position: 0, baseOffset: this.baseOffset },
      (batch) => {
        if (batch.nextOffset <= offset) return false
        position = batch.position
        return true
      },
    )
    if (outcome.kind === 'stopped') return { kind: 'at', position }
    const reason = 'reason' in outcome ? outcome.reason : `ends before offset ${offset}`
    return { kind: 'corrupt', position: outcome.position, reason }
  }

  /** Goes from header to header. */
  #walk(
    from: { position: number; baseOffset: number },
    visit: (batch: ScannedBatch) => boolean | void,
  ): Promise<ScanOutcome> {
    const range = { from: from.position, to: this.size, offset: from.baseOffset }
    return this.#context.files.use(this.path, 'write', (file) => scanBatches(file, range, visit))
  }

  /** The batch that an offset index entry points to, if it is the one the entry was made for. */
  async #believed(relativeOffset: number, position: number): Promise<ScannedBatch | undefined> {
    if (position + BATCH_HEADER_BYTES > this.size) return undefined
    const header = await this.#bytesAt(position, BATCH_HEADER_BYTES, this.size)
    if (header.length < BATCH_HEADER_BYTES) return undefined
    const batch = readScanned(header, 0, position)
    if (typeof batch === 'string') return undefined
    return batch.nextOffset - 1 === this.baseOffset + relativeOffset ? batch : undefined
  }

  async #lookup(index: SegmentIndex, key: number): Promise<IndexLookup> {
    if (!this.#indexesKnown) await this.#serially(() => this.#adoptIndexes())
    let found = await index.lookup(key)
    if (found.kind !== 'bad') return found
    await this.#serially(() => this.#rebuildIndexes())
    found = await index.lookup(key)
    return found
  }

  async #bytesAt(position: number, count: number, end: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(count, end - position)))
    return bytes.subarray(0, await this.read(position, bytes))
  }

  #firstOf(bytes: Buffer, position: number, end: number, offset: number): ScannedBatch | string {
    if (bytes.length < BATCH_HEADER_BYTES) return 'file is shorter'
    const first = readScanned(bytes, 0, position)
    if (typeof first === 'string') return first
    if (first.size > end - position) return `${first.size} bytes announced, ${end - position} left`
    const holds = first.baseOffset <= offset && offset < first.nextOffset
    return holds ? first : `offset ${first.baseOffset} instead of ${offset}`
  }

  async #batchAtTime(position: number, timestamp: number): Promise<ScannedBatch | undefined> {
    const header = await this.#bytesAt(position, BATCH_HEADER_BYTES, this.size)
    const first = header.length < BATCH_HEADER_BYTES ? 'short' : readScanned(header, 0, position)
    if (typeof first === 'string') throw this.#corrupt(position, first)
    let found: ScannedBatch | undefined
    const outcome = await this.#walk(first, (batch) => {
      if (batch.maxTimestamp < timestamp) return false
      found = batch
      return true
    })
    if (outcome.kind === 'torn' || outcome.kind === 'corrupt') {
      throw this.#corrupt(outcome.position, outcome.reason)
    }
    return found
  }

  #remember(offset: number, position: number): void {
    if (position >= this.size) return
    this.#resume.set(offset, position)
    if (this.#resume.size <= RESUME_PLACES_MAX) return
    this.#resume.delete(this.#resume.keys().next().value!)
  }

  /** The entries that Kafka would make for this batch. */
  #index(batch: ScannedBatch): void {
    if (batch.maxTimestamp > (this.#maxTimestamp ?? -1)) {
      this.#maxTimestamp = batch.maxTimestamp
      this.#maxTimestampOffset = batch.nextOffset - 1
    }
    if (batch.position - this.#indexedPosition > INDEX_INTERVAL_BYTES) {
      this.#offsetIndex.append(batch.nextOffset - 1 - this.baseOffset, batch.position)
      this.#indexTime()
      this.#indexedPosition = batch.position
    }
    this.nextOffset = batch.nextOffset
  }

  #indexTime(): void {
    const timestamp = this.#maxTimestamp ?? -1
    if (timestamp <= this.#indexedTimestamp) return
    this.#timeIndex.append(timestamp, this.#maxTimestampOffset - this.baseOffset)
    this.#indexedTimestamp = timestamp
  }

  async #flushIndexes(): Promise<void> {
    await this.#offsetIndex.flush()
    await this.#timeIndex.flush()
  }

  async #adoptIndexes(): Promise<void> {
    if (this.#indexesKnown) return
    const { fs } = this.#context
    const offsets = this.#offsetIndex.adopt(await fs.size(this.#offsetIndex.path))
    const times = this.#timeIndex.adopt(await fs.size(this.#timeIndex.path))
    this.#indexesKnown = true
    if (!offsets || !times) await this.#rebuildIndexes()
  }

  #forgetIndexes(): void {
    this.#offsetIndex.clear()
    this.#timeIndex.clear()
    this.#indexesKnown = true
    this.#maxTimestamp = -1
    this.#maxTimestampOffset = this.baseOffset
    this.#indexedTimestamp = -1
    this.#indexedPosition = 0
  }

  /** Both indexes again, from the headers of a segment whose end is known. */
  async #rebuildIndexes(): Promise<void> {
    const { nextOffset } = this
    this.#forgetIndexes()
    await this.#walk({ position: 0, baseOffset: this.baseOffset }, (batch) => this.#index(batch))
    this.nextOffset = nextOffset
    this.#indexTime()
    await this.#flushIndexes()
  }

  /**
   * Cuts the indexes at an offset and completes them up to it. Returns the position where that
   * offset begins and leaves `nextOffset` at it; undefined, and lower, when no batch begins there.
   */
  async #reindex(offset: number): Promise<number | undefined> {
    const { fs } = this.#context
    if (!this.#indexesKnown) {
      const offsets = this.#offsetIndex.adopt(await fs.size(this.#offsetIndex.path))
      const times = this.#timeIndex.adopt(await fs.size(this.#timeIndex.path))
      this.#indexesKnown = true
      if (!offsets || !times) this.#forgetIndexes()
    }
    const start = await this.#cutIndexes(offset)
    this.nextOffset = start.baseOffset
    if (offset <= this.nextOffset) return offset === this.nextOffset ? start.position : undefined
    const outcome = await this.#walk(start, (batch) => {
      if (batch.nextOffset > offset) return true
      this.#index(batch)
      return batch.nextOffset === offset
    })
    return this.nextOffset === offset ? outcome.position : undefined
  }

  /** Drops the entries that reach `offset`; where to go on making entries. */
  async #cutIndexes(offset: number): Promise<{ position: number; baseOffset: number }> {
    const first = { position: 0, baseOffset: this.baseOffset }
    const bound = await this.#offsetIndex.lookup(offset - this.baseOffset - 1)
    const believed =
      bound.kind === 'entry' ? await this.#believed(bound.key, bound.value) : undefined
    const isWhole =
      believed !== undefined &&
      (await this.#offsetIndex.cut(believed.position + 1)) &&
      (await this.#timeIndex.cut(believed.nextOffset - this.baseOffset))
    if (!isWhole) {
      this.#forgetIndexes()
      return first
    }
    const time = await this.#timeIndex.last()
    if (time.kind === 'bad') {
      this.#forgetIndexes()
      return first
    }
    this.#indexedPosition = believed.position
    this.#indexedTimestamp = time.kind === 'entry' ? time.key : -1
    this.#maxTimestamp = this.#indexedTimestamp
    this.#maxTimestampOffset = this.baseOffset + (time.kind === 'entry' ? time.value : 0)
    return believed
  }

  /** The last entry of a finished segment's time index; of any other, the headers behind it too. */
  async #learnMaxTimestamp(): Promise<void> {
    await this.#adoptIndexes()
    if (this.#maxTimestamp !== undefined) return
    const last = await this.#timeIndex.last()
    if (last.kind !== 'entry') await this.#rebuildIndexes()
    else this.#maxTimestamp = last.key
  }

  async #closeFiles(): Promise<void> {
    this.#context.files.release(this.path)
    await this.#context.files.forget(this.path)
    await this.#offsetIndex.close()
    await this.#timeIndex.close()
  }

  #touched(): void {
    this.#unsynced = true
    this.#context.files.hold(this.path)
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

/** The batches in `bytes`, which begin with `offset`: ours, so anything odd is a bug. */
function readAll(bytes: Buffer, position: number, offset: number): ScannedBatch[] {
  const batches: ScannedBatch[] = []
  let next = offset
  for (let at = 0; at < bytes.length; ) {
    assert(at + BATCH_HEADER_BYTES <= bytes.length, 'whole batches are appended')
    const batch = readScanned(bytes, at, position + at)
    assert(typeof batch !== 'string', `appended batches have good headers: ${batch}`)
    assert(batch.baseOffset === next, `offset ${batch.baseOffset} follows ${next - 1}`)
    batches.push(batch)
    at += batch.size
    assert(at <= bytes.length, 'whole batches are appended')
    next = batch.nextOffset
  }
  assert(batches.length > 0, 'at least one batch is appended')
  return batches
}

/** How many bytes are whole, dense batches below the limit. */
function wholeBatches(
  bytes: Buffer,
  first: ScannedBatch,
  limitOffset: number,
): { length: number; nextOffset: number } {
  let length = 0
  let nextOffset = first.baseOffset
  while (length + BATCH_HEADER_BYTES <= bytes.length) {
    const batch = readScanned(bytes, length, first.position + length)
    if (typeof batch === 'string' || batch.baseOffset !== nextOffset) break
    if (length + batch.size > bytes.length || batch.nextOffset > limitOffset) break
    length += batch.size
    nextOffset = batch.nextOffset
  }
  return { length, nextOffset }
}
