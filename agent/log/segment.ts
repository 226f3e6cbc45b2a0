// One segment of a partition: `<base offset, 20 digits>.log`, record batches v2 one after the other
// as Kafka stores them, with its `.index` and `.timeindex`.
//
// - Offsets are dense: each batch begins where the one before it ends.
// - Changes run one after the other; reads run beside them and see only what is whole.
// - Opening reads nothing and keeps hardly anything; the open files are bounded.
// - No batch is given out whose CRC does not hold.
// - An index entry is believed only when the batch it points to agrees; a missing or wrong index
//   is made again from the headers of the batches.
// - Nothing is durable before `sync`; until then the journal has it.
// - The file may be replaced by one with the same offsets (segment-rewrite.ts) under a reader's hands.

import type { Codecs } from '../../wasm/codecs.ts'
import { assert } from '../base/assert.ts'
import { AgentError, codeOf, unlessBug } from '../base/errors.ts'
import { BATCH_HEADER_BYTES } from '../record/record-batch.ts'
import type { SegmentMark } from './checkpoint.ts'
import type { OpenFile } from './file-system.ts'
import { type BatchStart, IndexPair } from './index-pair.ts'
import type { LostRange } from './loss.ts'
import type { ReadAhead } from './read-ahead.ts'
import { ResumePlaces } from './resume-places.ts'
import type { Damage, SalvageRange } from './salvage.ts'
import { type Journaled, SegmentFile, type SegmentFileContext } from './segment-file.ts'
import type { IndexCache } from './segment-index.ts'
import { recoverSegment, type SegmentRecovery } from './segment-recovery.ts'
import {
  missingPlan,
  type Part,
  type PlacedPlan,
  planRewrite,
  surveyRange,
  wholePlan,
} from './segment-rewrite.ts'
import {
  type BatchVisitor,
  firstBatch,
  readAll,
  readScanned,
  type ScannedBatch,
  type ScanOutcome,
  scanBatches,
  wholeBatches,
} from './segment-scan.ts'
import { offsetForTime } from './segment-time.ts'

/** What all segments of a log share. */
export interface SegmentContext extends SegmentFileContext {
  indexCache: IndexCache
  readAhead: ReadAhead
}

export type SegmentRead =
  | { kind: 'batches'; bytes: Buffer; baseOffset: number; nextOffset: number }
  /** The batch holding the offset reaches the limit, or the segment was removed meanwhile. */
  | { kind: 'empty' }
  /** What stands at `position` is not the batch holding the offset. */
  | { kind: 'corrupt'; position: number; reason: string }

/** Positions and relative offsets in an index are i32. */
const RELATIVE_MAX = 0x7fffffff

const SETTLED = Promise.resolve()

type Located =
  | { kind: 'at'; position: number }
  | { kind: 'corrupt'; position: number; reason: string }

export class Segment {
  readonly baseOffset: number
  /** Arrival of its newest record, ms; 0: not known. */
  arrival = 0
  readonly #context: SegmentContext
  readonly #file: SegmentFile
  /** Made when it is first needed: a log has thousands of segments that nobody reads. */
  #indexPair: IndexPair | undefined
  /** As the checkpoint has it. */
  #markedTimestamp: number | undefined
  #resume: ResumePlaces | undefined
  #nextOffset: number
  #isRemoved = false
  #last: Promise<unknown> = SETTLED

  private constructor(context: SegmentContext, directory: string, baseOffset: number) {
    this.baseOffset = baseOffset
    this.#file = new SegmentFile(context, directory, baseOffset)
    this.#nextOffset = baseOffset
    this.#context = context
  }

  /** A new, empty segment. Its name is durable after a sync of the directory. */
  static async create(
    context: SegmentContext,
    directory: string,
    baseOffset: number,
  ): Promise<Segment> {
    const segment = new Segment(context, directory, baseOffset)
    await segment.#file.create()
    segment.#indexes.clear()
    return segment
  }

  /**
   * A segment that exists; nothing of it is read. `nextOffset` is where it ends; without it `recover`
   * must come before anything else. With the mark of a checkpoint the disk is not even asked for the
   * size. Fault, without one: CORRUPT_STORE when the file is missing.
   */
  static async open(
    context: SegmentContext,
    directory: string,
    baseOffset: number,
    nextOffset = baseOffset,
    mark?: Pick<SegmentMark, 'bytes' | 'maxTimestamp'>,
  ): Promise<Segment> {
    const segment = new Segment(context, directory, baseOffset)
    await segment.#file.find(mark?.bytes)
    segment.#markedTimestamp = mark?.maxTimestamp
    segment.#nextOffset = nextOffset
    return segment
  }

  get path(): string {
    return this.#file.path
  }

  get codecs(): Codecs {
    return this.#context.codecs
  }

  /** How often its file was replaced: positions of before then mean nothing any more. */
  get rewrites(): number {
    return this.#file.rewrites
  }

  /** Bytes of whole batches, written. */
  get size(): number {
    return this.#file.size
  }

  /** Offset behind the last written batch. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  get isUnsynced(): boolean {
    return this.#file.isUnsynced
  }

  get isRemoved(): boolean {
    return this.#isRemoved
  }

  /** Whether so many bytes up to this last offset can still be indexed. */
  canTake(bytes: number, lastOffset: number): boolean {
    return this.size + bytes <= RELATIVE_MAX && lastOffset - this.baseOffset <= RELATIVE_MAX
  }

  /**
   * Appends whole batches. Written, not durable, when it resolves; the bytes may be a view of kernel
   * memory and must not change until then. After a failure the segment is as it was.
   */
  append(batches: Uint8Array): Promise<void> {
    return this.#serially(async () => {
      const bytes = Buffer.from(batches.buffer, batches.byteOffset, batches.length)
      const added = readAll(bytes, this.size, this.#nextOffset)
      const { nextOffset } = added.at(-1)!
      assert(this.canTake(bytes.length, nextOffset - 1), 'a segment is rolled before it is full')
      await this.#indexes.complete(this.#nextOffset)
      await this.#file.append(bytes)
      for (const batch of added) this.#indexes.add(batch)
      this.#nextOffset = nextOffset
      // Indexes can be made again: a disk that has no room for them fails nothing here.
      if (this.#indexes.offsets.needsFlush) await this.#indexes.flush().catch(unlessBug)
    })
  }

  /** What was appended or cut before the call is durable when it resolves. Faults: as `partsAnew`. */
  async sync(journaled: Journaled = async () => []): Promise<void> {
    const end = await this.#serially(async () => this.#end)
    if (!this.isUnsynced || this.#isRemoved || (await this.#file.sync(end))) return
    await this.#serially(async () => {
      if (this.#isRemoved) return
      const parts = await this.#file.partsAnew(this.#nextOffset, journaled)
      const isMoved = parts.some(({ kind }) => kind === 'batch')
      await this.#replace(parts, isMoved)
    })
  }

  /** The last append was the last one: its indexes are whole and durable when it resolves. */
  finish(): Promise<void> {
    const finish = () => this.#indexes.finish(this.#nextOffset)
    return this.#serially(async () => (this.#isRemoved ? undefined : finish()))
  }

  writeAgain(inPlace: boolean): Promise<void> {
    return this.#file.writeAgain(inPlace)
  }

  /** Raw bytes: how many were read. */
  read(position: number, target: Uint8Array): Promise<number> {
    return this.#file.read(position, target)
  }

  /** Position of the batch that holds an offset of this segment. Fault: CORRUPT_STORE. */
  async positionOf(offset: number): Promise<number> {
    const located = await this.#locate(offset)
    if (located.kind === 'at') return located.position
    throw this.corrupt(located.position, located.reason)
  }

  /** Whole batches from the one that holds `offset`, at least one however large. */
  async readBatchesAt(offset: number, maxBytes: number): Promise<SegmentRead> {
    const { rewrites } = this
    try {
      const located = await this.#locate(offset)
      if (located.kind === 'corrupt') return located
      const { position } = located
      const end = await this.#file.known()
      const limit = this.#nextOffset
      const count = Math.max(maxBytes, BATCH_HEADER_BYTES)
      const ahead = await this.#context.readAhead.take(this.#file, position, count)
      let bytes = ahead ?? (await this.#file.bytesAt(position, count, end))
      const first = firstBatch(bytes, position, end, offset)
      if (typeof first === 'string') return { kind: 'corrupt', position, reason: first }
      if (first.nextOffset > limit) {
        return { kind: 'corrupt', position, reason: `offsets up to ${first.nextOffset - 1}` }
      }
      if (first.size > bytes.length) bytes = await this.#file.bytesAt(position, first.size, end)
      const whole = wholeBatches(bytes, first.baseOffset, limit, this.codecs)
      const { length, nextOffset, fault } = whole
      if (length === 0) return { kind: 'corrupt', position, reason: fault ?? 'file is shorter' }
      if (rewrites === this.rewrites) {
        this.#resume ??= new ResumePlaces()
        this.#resume.add(nextOffset, position + length)
      }
      const { baseOffset } = first
      return { kind: 'batches', bytes: bytes.subarray(0, length), baseOffset, nextOffset }
    } catch (error) {
      if (this.#isRemoved && codeOf(error) === 'ENOENT') return { kind: 'empty' }
      throw error
    }
  }

  /** A sequential reader will want this next. */
  prefetch(offset: number, maxBytes: number): void {
    const position = this.#known(offset)
    if (position === undefined || this.#isRemoved) return
    this.#context.readAhead.start(this.#file, position, maxBytes)
  }

  /** The first record at or after a time, at or after an offset; by the records' own time. */
  offsetForTime(
    timestamp: number,
    fromOffset = this.baseOffset,
  ): Promise<{ offset: number; timestamp: number } | undefined> {
    return offsetForTime(this, timestamp, fromOffset)
  }

  /** Where a search for a time may begin: at or before the first record that is not older. */
  async offsetBefore(timestamp: number): Promise<number> {
    await this.loadIndexes()
    const entry = await this.#indexes.beforeTime(timestamp)
    if (entry === undefined) return this.baseOffset
    const { lastOffset, maxTimestamp } = entry
    if (lastOffset < this.#nextOffset) {
      const batch = await this.headerAt(await this.positionOf(lastOffset))
      if (batch?.nextOffset === lastOffset + 1 && batch.maxTimestamp === maxTimestamp) {
        return batch.baseOffset
      }
    }
    await this.#serially(() => this.#indexes.rebuild())
    return this.baseOffset
  }

  /** The bytes of a batch that a walk found. Fault: CORRUPT_STORE when its CRC does not hold. */
  async wholeBatch({ position, size, baseOffset, nextOffset }: ScannedBatch): Promise<Buffer> {
    const bytes = await this.#file.bytesAt(position, size)
    const whole = wholeBatches(bytes, baseOffset, nextOffset, this.codecs)
    if (whole.length !== size) throw this.corrupt(position, whole.fault ?? 'file is shorter')
    return bytes
  }

  /** Greatest record timestamp, −1 when there is none; undefined: the log must be asked. */
  get knownMaxTimestamp(): number | undefined {
    return this.#indexPair?.maxTimestamp ?? this.#markedTimestamp
  }

  async maxTimestamp(): Promise<number> {
    if (this.knownMaxTimestamp === undefined) {
      await this.#serially(() => this.#indexes.learn(this.#nextOffset))
    }
    return this.knownMaxTimestamp ?? -1
  }

  /** After a crash; see segment-recovery.ts. `keep` gets what is cut and no journal has. */
  async recover(
    recoveryOffset: number,
    keep?: (damage: Damage) => Promise<void>,
  ): Promise<SegmentRecovery> {
    let recovery: SegmentRecovery | undefined
    await this.#serially(async () => {
      this.#resume = undefined
      const { codecs } = this.#context
      recovery = await this.#file.use(async (file) => {
        this.#file.size = await file.size()
        this.#file.touched()
        const place = {
          baseOffset: this.baseOffset,
          recoveryOffset,
          indexes: this.#indexes,
          codecs,
        }
        return recoverSegment(file, { ...place, keep: keep ?? (async () => {}) })
      })
      this.#file.size = recovery.size
      this.#file.synced = recovery.synced
      this.#nextOffset = recovery.nextOffset
      // A full disk must not keep the log from starting.
      await this.#indexes.flush().catch(unlessBug)
    })
    assert(recovery !== undefined, 'a recovery has an outcome')
    return recovery
  }

  /**
   * What the segment shall become when `ranges` of it are hollow, and what is damaged. Reads all of it,
   * unless they leave nothing of it.
   */
  async plan(ranges: readonly LostRange[]): Promise<PlacedPlan> {
    const { rewrites, ...range } = await this.#range()
    const [first] = ranges
    if (first !== undefined && first.from <= range.offset && range.endOffset <= first.to) {
      const newest = await this.maxTimestamp().catch(() => -1)
      return { ...wholePlan(range, first.reason, newest < 0 ? this.arrival : newest), rewrites }
    }
    const look = (file: OpenFile) => planRewrite(file, range, ranges, this.codecs, this.arrival)
    try {
      return { ...(await this.#file.use(look)), rewrites }
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || this.#isRemoved) throw error
      return { ...missingPlan(range, this.arrival), rewrites }
    }
  }

  /** Between two appends: the bytes are those of the offsets. A file that is gone is no fault here. */
  #range(): Promise<SalvageRange & { rewrites: number }> {
    return this.#serially(async () => {
      const size = await this.#file.known().catch(() => this.size)
      const { baseOffset: offset, nextOffset: endOffset, rewrites } = this
      return { size, offset, endOffset, rewrites }
    })
  }

  /** What is still there of offsets that were to become hollow. */
  async survey(lost: LostRange): Promise<{ intact: LostRange[]; hasDamage: boolean }> {
    const range = await this.#range()
    return this.#file.use((file) => surveyRange(file, range, lost, this.codecs))
  }

  /**
   * Carries a plan out; what was appended since is kept. Durable when it resolves; false: it was planned
   * for another file. When it fails and `rewrites` has grown, only the new name is not yet durable.
   */
  rewrite(plan: PlacedPlan): Promise<boolean> {
    return this.#serially(async () => {
      if (this.#isRemoved) return true
      if (plan.rewrites !== this.rewrites) return false
      assert(plan.size <= this.size, 'a segment only grows')
      const rest: Part = { kind: 'keep', from: plan.size, to: this.size }
      this.#markedTimestamp = undefined
      await this.#replace(rest.from < rest.to ? [...plan.parts, rest] : plan.parts, true)
      return true
    })
  }

  /** The file came from elsewhere: its indexes are made. */
  reindex(): Promise<void> {
    return this.#serially(() => this.#rebuildIndexes())
  }

  /** Deletes the three files; the directory is the caller's to sync. Readers see it as empty. */
  remove(): Promise<void> {
    return this.#serially(async () => {
      this.#isRemoved = true
      await this.#file.remove()
      // Only now: a reader could have opened one again in between, and kept its room on the disk.
      await this.#closeFiles()
    })
  }

  /** Writes index entries and lets go of files and cached pages; syncs nothing. */
  close(): Promise<void> {
    return this.#serially(async () => {
      if (this.#indexPair?.isKnown && !this.#isRemoved) await this.#indexes.flush().catch(unlessBug)
      await this.#closeFiles()
    })
  }

  /** Hints: what goes wrong here is made good when they are used. */
  async #rebuildIndexes(): Promise<void> {
    await this.#indexes.rebuild().catch(unlessBug)
  }

  async #replace(parts: readonly Part[], isMoved: boolean): Promise<void> {
    const { rewrites } = this
    try {
      await this.#file.replace(parts, this.#nextOffset)
    } finally {
      this.#resume = undefined
      // Also when its name is not durable yet.
      if (isMoved && rewrites < this.rewrites) await this.#rebuildIndexes()
    }
  }

  async #locate(offset: number): Promise<Located> {
    assert(offset >= this.baseOffset && offset < this.#nextOffset, 'the segment holds the offset')
    const known = this.#known(offset)
    if (known !== undefined) return { kind: 'at', position: known }
    const { start, isDoubtful } = await this.#floor(offset)
    let position = -1
    const outcome = await this.walk(start, (batch) => {
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

  /** Makes them again when one is missing. */
  async loadIndexes(): Promise<void> {
    if (!this.#indexes.isKnown) await this.#serially(() => this.#indexes.load())
  }

  async #floor(offset: number): Promise<{ start: BatchStart; isDoubtful: boolean }> {
    await this.loadIndexes()
    let floor = await this.#indexes.floor(offset)
    if (floor.kind === 'bad') {
      await this.#serially(() => this.#indexes.rebuild())
      floor = await this.#indexes.floor(offset)
    }
    if (floor.kind === 'start') return floor
    return { start: { position: 0, baseOffset: this.baseOffset }, isDoubtful: false }
  }

  /** Goes from header to header, until the visitor says true. */
  async walk(from: BatchStart, visit: BatchVisitor): Promise<ScanOutcome> {
    const to = await this.#file.known()
    const range = { from: from.position, to, offset: from.baseOffset }
    return this.#file.use((file) => scanBatches(file, range, visit))
  }

  /** The batch at a position, undefined when none can stand there. */
  async headerAt(position: number): Promise<ScannedBatch | undefined> {
    const header = await this.#file.bytesAt(position, BATCH_HEADER_BYTES)
    if (header.length < BATCH_HEADER_BYTES) return undefined
    const batch = readScanned(header, 0, position)
    return typeof batch === 'string' ? undefined : batch
  }

  /** Where an offset begins, when that is known without a look. */
  #known(offset: number): number | undefined {
    return offset === this.baseOffset ? 0 : this.#resume?.positionOf(offset)
  }

  async #closeFiles(): Promise<void> {
    await this.#file.close()
    await this.#indexPair?.close()
  }

  /** Between two changes. */
  get #end(): BatchStart {
    return { position: this.size, baseOffset: this.#nextOffset }
  }

  get #indexes(): IndexPair {
    if (this.#indexPair === undefined) {
      this.#indexPair = new IndexPair(this.#context, this.#file.stem, this.baseOffset, this)
    }
    return this.#indexPair
  }

  #serially<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#last.then(change)
    this.#last = result.catch(() => {})
    return result
  }

  corrupt(position: number, reason: string): AgentError {
    return new AgentError('CORRUPT_STORE', `${this.path} at ${position}: ${reason}`, {
      details: { path: this.path, position },
    })
  }
}
