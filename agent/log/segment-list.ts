// The segments of one partition, oldest first; the last one is written to.
//
//   segment i ends where segment i + 1 begins; everything below the recovery point is synced
//
// - A segment is rolled at `segmentBytes`. Its arrival time (of its newest record, wall time of the
//   commit) is what retention goes by; it lives in the checkpoint.
// - A segment that is missing below the recovery point is a gap in the list, until hollow segments
//   fill it. So is one that the disk does not open, and all of them when it does not list them.
// - What does not hold when it is read is handed to the one who mends it, and read again.

import { AgentError, codeOf, isBug } from '../base/errors.ts'
import type { AsideContext } from './asides.ts'
import { isDamage, tryToRead } from './bad-sectors.ts'
import type { PartitionMark, SegmentMark } from './checkpoint.ts'
import type { JournaledBatch } from './journal-records.ts'
import type { LostRange } from './loss.ts'
import { PartitionDirectory, removeDirectory } from './partition-directory.ts'
import { isNoSpace } from './reserve.ts'
import type { SegmentFacts } from './retention.ts'
import type { Damage } from './salvage.ts'
import { Segment, type SegmentContext, type SegmentRead } from './segment.ts'
import { segmentName } from './segment-file.ts'
import { batchFillings, type Filling, hollowFillings, SegmentGaps } from './segment-gaps.ts'
import { replaceSegment } from './segment-rewrite.ts'

export interface SegmentListContext extends SegmentContext, AsideContext {
  segmentBytes: number
}

/** Who puts right what does not hold. */
export interface Mender {
  /** A segment, or what is missing between segments. Rejects when it cannot: CORRUPT_STORE. */
  mend(segment: Segment | undefined): Promise<void>
  /** Bytes that are about to be cut, and are nowhere else. */
  keep(segment: Segment, damage: Damage): Promise<void>
  /** What the journal has of offsets that a segment is to hold. Must not wait for a checkpoint. */
  journaled(ranges: readonly LostRange[]): Promise<readonly JournaledBatch[]>
  /** A segment has it again. */
  restored(batches: readonly JournaledBatch[]): void
}

/** Sequential readers that are told from others. */
const READERS_MAX = 8
/** A read is repeated after a mending so often; each time finds something else damaged. */
const MENDINGS_MAX = 4

export class SegmentList {
  readonly #context: SegmentListContext
  readonly #directory: PartitionDirectory
  readonly #mender: Mender
  readonly #segments: Segment[] = []
  /** What is missing below the recovery point. */
  readonly #gaps = new SegmentGaps()
  /** Where the newest reads ended. */
  readonly #reached: number[] = []
  /** Damaged, as recovery found. */
  readonly #damagedSegments = new Set<Segment>()
  /** Rolled since the last sync: their indexes are completed there. */
  readonly #rolled = new Set<Segment>()
  /** Where the recovery point was: what is missing below it stays lost, and is never written anew. */
  #recoveryOffset = 0
  /** Could not be written to: the next batch goes to a new one. */
  #damaged: Segment | undefined
  #appending: Promise<unknown> = Promise.resolve()
  #isRemoved = false

  constructor(context: SegmentListContext, directory: string, mender: Mender) {
    this.#context = context
    this.#directory = new PartitionDirectory(context, directory)
    this.#mender = mender
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.size, 0)
  }

  get count(): number {
    return this.#segments.length
  }

  /**
   * Finds the segments on disk and checks those above the recovery point: what does not hold there
   * is cut, with all segments behind it, because the journal has it. What is missing below the
   * recovery point is a gap. Returns the end. What lies above `syncedOffset` is written once more.
   */
  async open(
    recoveryOffset: number,
    marks: readonly SegmentMark[],
    syncedOffset = recoveryOffset,
  ): Promise<number> {
    const bases = await this.#directory.findSegments()
    const marked = new Map(marks.map((mark) => [mark.baseOffset, mark]))
    const present = new Set(bases)
    this.#directory.isNew = marks.length === 0
    const missing = [...marked.keys()]
      .filter((base) => base < recoveryOffset && !present.has(base))
      .sort((a, b) => a - b)
    let end = bases[0] !== undefined && bases[0] <= recoveryOffset ? bases[0] : 0
    for (const [index, baseOffset] of bases.entries()) {
      // Names and bytes above the recovery point reach the disk in any order, or not at all.
      if (baseOffset < end || (baseOffset > end && baseOffset > recoveryOffset)) {
        await this.#removeFiles(bases.slice(index))
        break
      }
      if (baseOffset > end) this.#miss(end, baseOffset, missing)
      const nextMissing = missing.find((base) => base > baseOffset) ?? Infinity
      const next = Math.min(bases[index + 1] ?? Infinity, nextMissing)
      const mark = marked.get(baseOffset)
      const segment = await this.#open(baseOffset, next, recoveryOffset, mark, marks.at(-1))
      if (segment === undefined) missing.push(baseOffset)
      if (segment === undefined) continue
      segment.arrival = mark?.arrival ?? this.#context.clock.now()
      if (segment.nextOffset > syncedOffset && syncedOffset < recoveryOffset) {
        this.#directory.hasNewNames = true
        await segment.writeAgain(syncedOffset > 0)
      }
      this.#segments.push(segment)
      end = segment.nextOffset
    }
    if (end < recoveryOffset) this.#miss(end, recoveryOffset, missing)
    this.#recoveryOffset = recoveryOffset
    return Math.max(end, recoveryOffset)
  }

  async #open(
    baseOffset: number,
    next: number,
    recoveryOffset: number,
    mark: SegmentMark | undefined,
    lastMark: SegmentMark | undefined,
  ): Promise<Segment | undefined> {
    const isFinished = Number.isFinite(next)
    // One that ends right at the recovery point may have been rolled after it was synced.
    const isSynced = next < recoveryOffset
    const end = isFinished ? next : undefined
    // The last mark is of a segment that was still written to, and may have been for long.
    const known = isSynced && mark !== lastMark ? mark : undefined
    const { path } = this.#directory
    const segment = await tryToRead(async () => {
      const opened = await Segment.open(this.#context, path, baseOffset, end, known)
      // The disk may not even open it.
      if (!isSynced) await opened.read(0, Buffer.alloc(0))
      return opened
    }, this.#context.clock)
    if (segment === undefined) {
      this.#context.asides.refused(path, `${path}/${segmentName(baseOffset)}.log`)
    }
    if (segment === undefined || isSynced) return segment
    const keep = (damage: Damage) => this.#mender.keep(segment, damage)
    const { damages } = await segment.recover(Math.max(recoveryOffset, baseOffset), keep)
    if (damages.length > 0) this.#damagedSegments.add(segment)
    // Its name may be one that no checkpoint has synced, and its indexes are not complete.
    this.#directory.hasNewNames = true
    if (isFinished) this.#rolled.add(segment)
    return segment
  }

  #miss(from: number, to: number, missing: readonly number[]): void {
    const isFile = this.#segments.length === 0 || missing.some((base) => base >= from && base < to)
    this.#gaps.add({ from, to, reason: isFile ? 'file' : 'rot' })
  }

  /** Appends one sealed batch, rolling first if need be. Written, not durable, when it resolves. */
  append(
    batch: Uint8Array,
    place: { baseOffset: number; endOffset: number; arrival: number },
  ): Promise<void> {
    const appending = this.#appending.then(() => this.#append(batch, place))
    this.#appending = appending.catch(() => {})
    return appending
  }

  async #append(
    batch: Uint8Array,
    place: { baseOffset: number; endOffset: number; arrival: number },
  ): Promise<void> {
    if (this.#isRemoved) return
    let active = this.#segments.at(-1)
    // Retention may have moved the log start past everything that a crash left in the segments.
    const isFull =
      active !== undefined &&
      (active.nextOffset !== place.baseOffset ||
        (active.size > 0 && active.size + batch.length > this.#context.segmentBytes) ||
        (active.size > 0 && active === this.#damaged) ||
        !active.canTake(batch.length, place.endOffset - 1))
    if (active === undefined || isFull) {
      if (active !== undefined) this.#rolled.add(active)
      active = await this.#create(place.baseOffset)
    }
    try {
      await active.append(batch)
    } catch (error) {
      // One bad place on the disk must not hold up a partition for ever; a full disk is no damage.
      if (!isNoSpace(error)) this.#damaged = active
      throw error
    }
    active.arrival = place.arrival
  }

  /**
   * Whole batches from the one that holds `offset`; undefined when retention took it. Fault:
   * CORRUPT_STORE, when what does not hold cannot be mended.
   */
  async read(
    offset: number,
    maxBytes: number,
  ): Promise<{ bytes: Buffer; baseOffset: number; nextOffset: number } | undefined> {
    for (let mendings = 0; ; mendings++) {
      const segment = this.#holding(offset)
      if (segment === undefined && !this.#gaps.holds(offset)) return undefined
      const rewrites = segment?.rewrites
      const read = await this.#tryRead(segment, offset, maxBytes)
      if (read.kind === 'batches') {
        this.#lookAhead(offset, read.nextOffset, maxBytes)
        return read
      }
      if (read.kind === 'empty' || segment?.isRemoved === true) return undefined
      if (mendings === MENDINGS_MAX) {
        const place = `${segment?.path ?? this.#directory.path} at ${read.position}`
        throw new AgentError('CORRUPT_STORE', `${place}: ${read.reason}`)
      }
      // When the file was replaced meanwhile, the place was looked for in the old one.
      if (segment?.rewrites === rewrites) await this.#mender.mend(segment)
    }
  }

  /** Whoever reads on where a read ended will do so again. */
  #lookAhead(offset: number, nextOffset: number, maxBytes: number): void {
    const reader = this.#reached.indexOf(offset)
    if (reader >= 0) this.#reached.splice(reader, 1)
    this.#reached.push(nextOffset)
    if (this.#reached.length > READERS_MAX) this.#reached.shift()
    if (reader >= 0) this.#holding(nextOffset)?.prefetch(nextOffset, maxBytes)
  }

  async #tryRead(
    segment: Segment | undefined,
    offset: number,
    maxBytes: number,
  ): Promise<SegmentRead> {
    if (segment === undefined)
      return { kind: 'corrupt', position: 0, reason: 'a segment is missing' }
    try {
      return await segment.readBatchesAt(offset, maxBytes)
    } catch (error) {
      if (!isDamage(error)) throw error
      // What comes before the bad place can still be had.
      if (maxBytes > 1) return this.#tryRead(segment, offset, 1)
      return { kind: 'corrupt', position: 0, reason: String(error) }
    }
  }

  async offsetForTime(
    timestamp: number,
    fromOffset: number,
  ): Promise<{ offset: number; timestamp: number } | undefined> {
    for (const segment of [...this.#segments]) {
      const { nextOffset, knownMaxTimestamp = timestamp } = segment
      if (nextOffset <= fromOffset || knownMaxTimestamp < timestamp) continue
      const found = await this.#searchTime(segment, timestamp, fromOffset)
      if (found !== undefined) return found
    }
    return undefined
  }

  async #searchTime(
    segment: Segment,
    timestamp: number,
    fromOffset: number,
  ): Promise<{ offset: number; timestamp: number } | undefined> {
    for (let mendings = 0; ; mendings++) {
      const { rewrites } = segment
      try {
        return await segment.offsetForTime(timestamp, Math.max(fromOffset, segment.baseOffset))
      } catch (error) {
        if (segment.isRemoved) return undefined
        if (!isDamage(error) || mendings === MENDINGS_MAX) throw error
        if (segment.rewrites === rewrites) await this.#mender.mend(segment)
      }
    }
  }

  // ---- mending

  get end(): number {
    return this.#segments.at(-1)?.nextOffset ?? 0
  }

  /** Those that hold an offset of a range. */
  within({ from, to }: { from: number; to: number }): Segment[] {
    return this.#segments.filter(
      ({ baseOffset, nextOffset }) => baseOffset < to && nextOffset > from,
    )
  }

  /** What recovery found damaged and nobody has mended. */
  get damaged(): Segment[] {
    return [...this.#damagedSegments].filter(({ isRemoved }) => !isRemoved)
  }

  /** Recovery knows where the log starts: what is missing before the first segment is a gap. */
  startAt(logStartOffset: number): void {
    this.#gaps.startAt(logStartOffset, this.#segments[0]?.baseOffset)
  }

  /** The offsets from the log start on that no segment holds. */
  gaps(logStartOffset: number): LostRange[] {
    return this.#gaps.from(logStartOffset)
  }

  /** Puts hollow segments where a gap is; durable when it resolves. */
  fill(gap: LostRange): Promise<void> {
    const { segmentBytes } = this.#context
    return this.#fill(gap, (timestamp) => hollowFillings(gap, timestamp, segmentBytes))
  }

  /** The same with what there is after all: batches that follow each other. */
  putBack(batches: readonly JournaledBatch[]): Promise<void> {
    const [from, to] = [batches[0]!.from, batches.at(-1)!.to]
    return this.#fill({ from, to }, () => batchFillings(batches, this.#context.segmentBytes))
  }

  async #fill(
    gap: { from: number; to: number },
    fillingsAt: (timestamp: number) => Filling[],
  ): Promise<void> {
    const { fs, codecs } = this.#context
    // What was cut down to nothing is in the way.
    const empty = this.#segments.findIndex(({ baseOffset }) => baseOffset === gap.from)
    if (empty >= 0) {
      const [segment] = this.#segments.splice(empty, 1)
      this.#rolled.delete(segment!)
      await segment!.remove()
    }
    const before = this.#segments.findLast(({ nextOffset }) => nextOffset <= gap.from)
    const behind = this.#segments.find(({ baseOffset }) => baseOffset >= gap.to)
    const arrival = (before ?? behind)?.arrival ?? this.#context.clock.now()
    const newest = (await before?.maxTimestamp().catch(() => -1)) ?? -1
    const timestamp = newest < 0 ? arrival : newest
    // If it was the last one, it is not any more.
    if (before !== undefined) this.#rolled.add(before)
    for (const { from, to, parts } of fillingsAt(timestamp)) {
      const path = `${this.#directory.path}/${segmentName(from)}.log`
      await this.#directory.add(() => replaceSegment(fs, path, undefined, parts, codecs))
      // Recovery may have had what was left of the old file open.
      await this.#context.files.forget(path)
      const segment = await Segment.open(this.#context, this.#directory.path, from, to)
      segment.arrival = arrival
      await segment.reindex()
      const index = this.#segments.findIndex(({ baseOffset }) => baseOffset >= to)
      this.#segments.splice(index < 0 ? this.#segments.length : index, 0, segment)
      this.#rolled.add(segment)
      this.#gaps.filled({ from, to })
    }
  }

  /** The file of a segment was replaced; its indexes are to be finished again. */
  mended(segment: Segment): void {
    this.#damagedSegments.delete(segment)
    if (segment !== this.#segments.at(-1)) this.#rolled.add(segment)
  }

  /** Names are durable when it resolves. */
  async syncNames(): Promise<void> {
    await this.#directory.sync().catch((error) => {
      // Of a partition that is deleted meanwhile nothing is left to be durable.
      if (!this.#isRemoved || codeOf(error) !== 'CORRUPT_STORE') throw error
    })
  }

  // ---- durability and retention

  /** Everything appended before the call is durable, names included. Returns what that is. */
  async sync(): Promise<Omit<PartitionMark, 'logId'>> {
    const marking = this.#appending.then(() => this.#marks())
    this.#appending = marking
    const marks = await marking
    for (const segment of [...this.#rolled]) {
      try {
        await segment.finish()
        this.#rolled.delete(segment)
      } catch (error) {
        // Indexes can be made again: neither a full disk nor a bad place in the segment, which is
        // mended behind a checkpoint, holds one up. A fault without a code is a bug.
        if (isBug(error)) throw error
      }
    }
    for (const segment of [...this.#segments])
      if (segment.isUnsynced) await this.#syncSegment(segment)
    await this.syncNames()
    return marks
  }

  async #syncSegment(segment: Segment): Promise<void> {
    let restored: readonly JournaledBatch[] = []
    try {
      await segment.sync(async ({ from, to }) => {
        restored = await this.#mender.journaled([{ from, to, reason: 'rot' }])
        return restored
      })
    } catch (error) {
      // No fresh file could be synced either. This one is tried again, and nothing more goes to it.
      if (!isNoSpace(error) && segment === this.#segments.at(-1)) this.#damaged = segment
      throw error
    }
    this.#mender.restored(restored)
  }

  /** Between two appends: the bytes are those below the offset. */
  #marks(): Omit<PartitionMark, 'logId'> {
    const segments = this.#segments.map((segment) => ({
      baseOffset: segment.baseOffset,
      arrival: segment.arrival,
      bytes: segment.size,
      maxTimestamp: segment.knownMaxTimestamp,
    }))
    return { recoveryOffset: Math.max(this.end, this.#recoveryOffset), segments }
  }

  /** What retention judges by, oldest first. */
  facts(): SegmentFacts[] {
    return this.#segments.map(({ baseOffset, nextOffset, size, arrival }) => ({
      baseOffset,
      nextOffset,
      bytes: size,
      lastArrivalMs: arrival,
    }))
  }

  /** What was written so far ends in a segment that is not written to any more, so that it may go. */
  roll(): Promise<void> {
    const rolling = this.#appending.then(async () => {
      const active = this.#segments.at(-1)
      if (active === undefined || active.size === 0 || this.#isRemoved) return
      this.#rolled.add(active)
      const fresh = await this.#create(active.nextOffset)
      fresh.arrival = active.arrival
    })
    this.#appending = rolling.catch(() => {})
    return rolling
  }

  /** Deletes the segments that end at or below `offset`; one is left, whose name says where the log ends. */
  async removeBelow(offset: number): Promise<void> {
    const isAny = this.#segments.length > 1 && this.#segments[0]!.nextOffset <= offset
    if (isAny) await this.syncNames()
    while (this.#segments.length > 1 && this.#segments[0]!.nextOffset <= offset) {
      const segment = this.#segments.shift()!
      this.#rolled.delete(segment)
      this.#damagedSegments.delete(segment)
      await segment.remove()
    }
  }

  /** Deletes everything, the directory too. */
  async removeAll(): Promise<void> {
    this.#isRemoved = true
    await this.#appending
    for (const segment of this.#segments.splice(0)) await segment.remove()
    this.#rolled.clear()
    this.#damagedSegments.clear()
    this.#gaps.clear()
    await removeDirectory(this.#context, this.#directory.path)
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await segment.close()
  }

  async #create(baseOffset: number): Promise<Segment> {
    const segment = await this.#directory.add(() =>
      Segment.create(this.#context, this.#directory.path, baseOffset),
    )
    this.#segments.push(segment)
    return segment
  }

  #holding(offset: number): Segment | undefined {
    let [low, high] = [0, this.#segments.length - 1]
    while (low <= high) {
      const middle = (low + high) >> 1
      const segment = this.#segments[middle]!
      if (offset < segment.baseOffset) high = middle - 1
      else if (offset >= segment.nextOffset) low = middle + 1
      else return segment
    }
    return undefined
  }

  async #removeFiles(bases: readonly number[]): Promise<void> {
    for (const baseOffset of bases) {
      const segment = await Segment.open(this.#context, this.#directory.path, baseOffset)
      await segment.remove()
    }
    // As with a cut: they must not come back behind other records.
    await this.#context.fs.syncDirectory(this.#directory.path)
  }
}
