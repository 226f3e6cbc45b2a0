// One partition: segments on disk, then the tails in memory.
//
//   logStartOffset … segments … | tails: frozen, frozen, active |
//                                          highWatermark ≤ logEndOffset
//
// Offsets are dense. A record is in a tail until the segment write of its sealed batch is done; what
// is read at any offset is the same before and after. Nothing at or above the high watermark (the
// durable end) is ever read.

import { BATCH_HEADER_BYTES, SEAL, SEAL_BYTES } from '../../wasm/assembly/limits.ts'
import { assert } from '../base/assert.ts'
import { AgentError } from '../base/errors.ts'
import { type HeapRecord, stageRecord } from './heap-record.ts'
import type { OffsetRun } from './journal-digest.ts'
import type { RecordsEntry } from './journal-entry.ts'
import type { ReadJournaled } from './journal-salvage.ts'
import type { Losses, LossReason, LostRange } from './loss.ts'
import { batchOfLargeRecord, hollowBatch } from './made-batch.ts'
import { Mending, type MendingContext } from './mending.ts'
import { OffsetWaiters } from './offset-waiters.ts'
import { SegmentList, type SegmentListContext } from './segment-list.ts'
import { firstAtTime } from './segment-scan.ts'
import {
  RECORD_OVERHEAD_BYTES,
  SLOT_RECORD_BYTES_MAX,
  type TailContext,
  TailList,
} from './tail-list.ts'
import type { Topic } from './topic.ts'

/** What every partition of one log shares. */
export interface PartitionContext extends TailContext, SegmentListContext, MendingContext {
  /** Where the partitions' directories are. */
  directory: string
  /** Nothing is taken, whatever the partition. */
  isBlocked: () => boolean
  /**
   * An append was refused: seal something if it is the arena, and tell when there is room; `disk`:
   * the partition is full, which `fullSince` says.
   */
  refused: (reason: 'arena' | 'busy' | 'disk') => void
  /** A frozen tail may be ready to seal. */
  sealable: (partition: PartitionLog) => void
}

export type LogRead =
  | { kind: 'batches'; bytes: Buffer; baseOffset: number; nextOffset: number }
  | { kind: 'empty' }
  | { kind: 'outOfRange'; logStartOffset: number; highWatermark: number }

const BATCH_TAIL_BYTES_MAX = 8 * 1024 * 1024
/** An entry of a journal frame holds it whole. */
const BATCH_BYTES_MAX = 1_400_000

export class PartitionLog {
  readonly topic: Topic
  readonly partition: number
  readonly logId: number
  readonly leaderEpoch = 0
  readonly segments: SegmentList
  logStartOffset = 0
  /** Offset of the next record to become visible: the durable end. */
  highWatermark = 0
  /** The first offset that the upstream has not acked. */
  replicatedOffset = 0
  /** The first offset that may be given up on a full disk: what is below may be upstream already. */
  pinnedOffset = 0
  /** No room on the disk for this one since then (monotonic); undefined: there is. */
  fullSince: number | undefined
  /** Something of it is being given up: nobody reads it to send it until that is done. */
  dropping: Promise<void> | undefined
  /** Its segments take nothing, and not for want of room. */
  isStuck = false
  /** Called when a segment took nothing; the checkpointer's. */
  onSealRefused: (() => void) | undefined
  /** Has bytes that are in no commit yet; the committer's mark. */
  dirty = false
  /** End of what the commit in flight holds; the committer's mark. */
  committingOffset = 0
  recordsTotal = 0
  payloadBytesTotal = 0
  readonly #context: PartitionContext
  readonly #tails: TailList
  readonly #mending: Mending
  /** Whoever still has it can read and append nothing. */
  isDeleted = false
  /** Its deletion is durable: nothing of it is needed any more. */
  isDiscarded = false
  readonly #sealWaiters = new OffsetWaiters()

  constructor(context: PartitionContext, topic: Topic, partition: number, logId: number) {
    this.#context = context
    this.topic = topic
    this.partition = partition
    this.logId = logId
    this.#tails = new TailList(context)
    this.#mending = new Mending(context, this)
    const directory = `${context.directory}/${topic.name}-${partition}`
    this.segments = new SegmentList(context, directory, this.#mending)
  }

  /** `<topic>-<partition>`, as Kafka names it. */
  get name(): string {
    return `${this.topic.name}-${this.partition}`
  }

  get logEndOffset(): number {
    return this.#tails.endOffset
  }

  get tails(): TailList['all'] {
    return this.#tails.all
  }

  /** First offset that no segment holds: it is only in memory and the journal. */
  get sealedOffset(): number {
    return this.#tails.sealedOffset
  }

  get tailBytes(): number {
    return this.#tails.bytes
  }

  /** Milliseconds since the oldest durable record that no segment holds arrived; 0 when none. */
  get tailAge(): number {
    const oldest = this.tails[0]
    if (oldest === undefined || oldest.durableLength === 0) return 0
    return Math.max(0.001, this.#context.clock.monotonic() - oldest.since)
  }

  /**
   * Encodes one record into the tail. Pointers are into kernel memory; a length of −1 is null;
   * headers are encoded without their count. In memory when it returns the offset, durable when
   * `durableCommit` has reached the `openCommit` read right after. −1: no room, nothing happened.
   */
  append(
    timestamp: number,
    key: number,
    keyLength: number,
    value: number,
    valueLength: number,
    headers: number,
    headersLength: number,
    headersCount: number,
  ): number {
    const { committer } = this.#context
    const payload = Math.max(keyLength, 0) + Math.max(valueLength, 0)
    const bound = payload + headersLength + RECORD_OVERHEAD_BYTES
    if (this.#isRefused(bound)) return -1
    if (bound > SLOT_RECORD_BYTES_MAX) {
      const fields = { key, keyLength, value, valueLength, headers, headersLength, headersCount }
      return this.appendBatch(batchOfLargeRecord(this.#context.kernel, timestamp, fields))
    }
    const written = this.#tails.append(
      timestamp,
      key,
      keyLength,
      value,
      valueLength,
      headers,
      headersLength,
      headersCount,
    )
    if (written < 0) {
      this.#context.refused('arena')
      return -1
    }
    committer.appended(this, written)
    this.recordsTotal++
    this.payloadBytesTotal += payload
    return this.#tails.endOffset - 1
  }

  /** `append` for bytes on the heap: stages them first. */
  appendRecord(record: HeapRecord): number {
    const staged = stageRecord(this.#context.kernel, record)
    const { key, keyLength, value, valueLength, headers, headersLength, headersCount } = staged
    return this.append(
      record.timestamp,
      key,
      keyLength,
      value,
      valueLength,
      headers,
      headersLength,
      headersCount,
    )
  }

  /**
   * All of them in one commit, or none: the first offset, or −1 when there is no room for all.
   * Together at most what one tail holds.
   */
  appendRecords(records: readonly HeapRecord[]): number {
    const { arena } = this.#context
    let bound = 0
    let largeBytes = 0
    for (const { key, value, headers } of records) {
      let bytes = RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0)
      for (const [name, content] of headers ?? [])
        bytes += 10 + name.length * 3 + (content?.length ?? 0)
      bound += bytes
      if (bytes > SLOT_RECORD_BYTES_MAX) largeBytes += bytes + BATCH_HEADER_BYTES
    }
    if (this.#isRefused(bound, largeBytes)) return -1
    // One free block for each tail that could be started on the way.
    if (arena.freeBlocks < 1 + Math.ceil(bound / (SLOT_RECORD_BYTES_MAX / 2))) {
      this.#context.refused('arena')
      return -1
    }
    const first = this.logEndOffset
    for (const record of records) {
      const offset = this.appendRecord(record)
      assert(offset >= 0, 'room was made for all records of a batch')
    }
    return first
  }

  /** Takes a foreign, validated v2 batch as it is; only base offset and leader epoch are stamped. */
  appendBatch(batch: Buffer): number {
    const { committer } = this.#context
    if (batch.length > BATCH_BYTES_MAX) {
      const message = `a batch of ${batch.length} bytes; at most ${BATCH_BYTES_MAX}`
      throw new AgentError('INPUT_BATCH', message)
    }
    if (this.#isRefused(batch.length, batch.length)) return -1
    const tail = this.#tails.pushBatch(batch, this.leaderEpoch)
    committer.appended(this, batch.length)
    this.recordsTotal += tail.count
    this.payloadBytesTotal += batch.length - BATCH_HEADER_BYTES
    return tail.baseOffset
  }

  /** True, and whoever is concerned knows, when so much cannot be taken now. */
  #isRefused(bytes: number, batchBytes = 0): boolean {
    const { committer, batchTailBytes, isBlocked, refused } = this.#context
    const isFull = this.fullSince !== undefined
    const isLong = batchBytes > 0 && batchTailBytes + batchBytes > BATCH_TAIL_BYTES_MAX
    const isBusy = this.isDeleted || isBlocked() || !committer.hasRoomFor(bytes)
    if (!isFull && !isBusy && !isLong) return false
    refused(isFull ? 'disk' : 'busy')
    return true
  }

  /** The durable mark of the commit that has just ended. */
  markDurable(arrival: number): void {
    for (const tail of this.tails) tail.markDurable(arrival)
    if (this.committingOffset > this.highWatermark) this.highWatermark = this.committingOffset
    if (this.tails[0]?.frozen === true) this.#context.sealable(this)
  }

  /** Whole batches from the one that holds `offset`, at least one, nothing above the high watermark. */
  async read(offset: number, maxBytes: number): Promise<LogRead> {
    const outside = this.#outside(offset)
    if (outside !== undefined) return outside
    if (offset < this.sealedOffset) return this.#readSegments(offset, maxBytes)
    const { parts, baseOffset, nextOffset } = this.#tails.read(offset, maxBytes)
    if (parts.length === 0) return { kind: 'empty' }
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    return { kind: 'batches', bytes, baseOffset, nextOffset }
  }

  /** The same, but only batches that are sealed: their bytes and boundaries no longer change. */
  async readSealed(offset: number, maxBytes: number): Promise<LogRead> {
    await this.dropping
    const outside = this.#outside(offset)
    if (outside !== undefined) return outside
    if (offset >= this.sealedOffset) return { kind: 'empty' }
    return this.#readSegments(offset, maxBytes)
  }

  /** What is in the tails when it is called becomes sealed batches; resolves when they are written. */
  seal(): Promise<void> {
    this.#tails.freeze()
    return this.sealed(this.logEndOffset)
  }

  /** Resolves when segments hold everything below `offset`; rejects when they never will. */
  sealed(offset: number): Promise<void> {
    if (this.sealedOffset >= offset) return Promise.resolve()
    const { failure } = this.#context.committer
    if (failure !== undefined) return Promise.reject(failure)
    const sealed = this.#sealWaiters.wait(offset)
    // One that could not be written while the log was closing is not tried again by itself.
    this.#context.sealable(this)
    return sealed
  }

  freeze(): void {
    this.#tails.freeze()
    this.#context.sealable(this)
  }

  get isSealable(): boolean {
    return this.#tails.sealable() !== undefined
  }

  /** Frees the arena without a disk. Only recovery calls it. */
  condense(): void {
    this.#tails.condense(this.topic.codec)
  }

  /** Writes the oldest tail to a segment and lets go of it. Only the sealer calls it, one at a time. */
  async sealOldest(): Promise<void> {
    const tail = this.#tails.sealable()
    if (tail === undefined) return
    const { kernel } = this.#context
    const { codec } = this.topic
    const bytes =
      tail.kind === 'batch'
        ? tail.bytes
        : kernel.u8.subarray(SEAL, SEAL + this.#tails.sealInto(SEAL, SEAL_BYTES, tail, codec))
    tail.sealing = true
    try {
      await this.segments.append(bytes, tail)
    } finally {
      tail.sealing = false
    }
    // A partition that was deleted meanwhile has no tails any more.
    if (this.tails[0] !== tail) return
    this.#tails.shift()
    this.#sealWaiters.reached(this.sealedOffset)
  }

  /** Makes `offset` a batch boundary if a tail holds it in its middle. */
  async splitAt(offset: number): Promise<void> {
    const tail = this.#tails.around(offset)
    if (tail === undefined) return
    tail.frozen = true
    tail.holders++
    try {
      const { committer } = this.#context
      while (!tail.isDurable) await committer.durable(committer.durableCommit + 1)
      // Another split of the same tail may have moved the offset to a tail of its own.
      const now = this.#tails.around(offset)
      if (now !== undefined && !this.#tails.split(now, offset)) {
        throw new AgentError(
          'STORAGE_FULL',
          `${this.name}: no memory to split the tail at ${offset}`,
        )
      }
    } finally {
      tail.holders--
      this.#context.sealable(this)
    }
  }

  /** The first record at or after `timestamp`, by record time; null when there is none. */
  async offsetForTime(timestamp: number): Promise<{ offset: number; timestamp: number } | null> {
    const { codecs } = this.#context
    for (let sealed = -1; sealed < this.sealedOffset; ) {
      // A tail that is sealed meanwhile is no tail any more, and was no segment before.
      sealed = this.sealedOffset
      const found = await this.segments.offsetForTime(timestamp, this.logStartOffset)
      if (found !== undefined) return found
    }
    for (const tail of [...this.tails]) {
      if (tail.maxTimestamp < timestamp) continue
      const { parts } = this.#tails.read(Math.max(tail.baseOffset, this.logStartOffset), 1)
      const inside = parts[0] && firstAtTime(parts[0], timestamp, this.logStartOffset, codecs)
      if (inside !== undefined) return inside
    }
    return null
  }

  /** What was lost, since the partition was made. */
  get losses(): Losses {
    return this.#mending.losses
  }

  /** Damage that cannot be put right at the moment. */
  get trouble(): string | undefined {
    return this.#mending.trouble
  }

  /**
   * Replaces the records of whole sealed batches by empty ones. Durable when it resolves; when it
   * rejects nothing has changed, and it may be tried again.
   */
  async hollow(from: number, to: number, reason: LossReason): Promise<void> {
    this.#checkExists()
    assert(from < to && to <= this.sealedOffset, 'what becomes hollow is in segments')
    await this.#mending.hollow({ from, to, reason })
  }

  /** What went with segments that were given up as a whole. */
  countLost(range: LostRange): void {
    this.#mending.count(range)
  }

  /** Ends all waiting and frees the memory: the partition is deleted. */
  discard(reason: AgentError): void {
    this.isDeleted = true
    this.isDiscarded = true
    this.#sealWaiters.reject(reason)
    this.#tails.clear()
  }

  /** Nothing more becomes durable. */
  fail(failure: AgentError): void {
    this.#sealWaiters.reject(failure)
  }

  // ---- recovery

  /** Segments end here; tails follow. */
  restoreEnd(offset: number): void {
    this.#tails.endOffset = offset
    this.highWatermark = offset
  }

  /** Records that follow the log end, as the journal holds them; false when they fit no tail. */
  restoreRecords(entry: RecordsEntry, arrival: number): boolean {
    if (!this.#tails.restore(entry, arrival)) return false
    this.highWatermark = this.logEndOffset
    return true
  }

  /** Those records of an entry that lie at or above the log end, encoded again. */
  restoreFrom(entry: RecordsEntry, arrival: number): void {
    if (!this.#tails.restoreFrom(entry)) {
      throw new AgentError('STORAGE_FULL', `${this.name}: no memory to recover`)
    }
    this.#restored(arrival)
  }

  restoreBatch(batch: Buffer, arrival: number): void {
    this.#tails.pushBatch(batch, this.leaderEpoch)
    this.#restored(arrival)
  }

  /** Empty records up to `to`, in the place of what the journal should have. */
  restoreHollow(to: number, arrival: number): void {
    const { codecs } = this.#context
    const lost = { from: this.logEndOffset, to, reason: 'journal' } as const
    this.#mending.found(lost)
    while (this.logEndOffset < to) {
      const batch = hollowBatch({ ...lost, from: this.logEndOffset }, arrival, codecs)
      this.#tails.pushBatch(batch, this.leaderEpoch)
    }
    this.#restored(arrival)
  }

  /** The whole state is there. */
  restoreLosses(): void {
    this.segments.startAt(this.logStartOffset)
    this.#mending.restore()
  }

  /** What only a damaged journal has: segments are to have it before a checkpoint lets go of that. */
  owe(runs: readonly OffsetRun[], read: ReadJournaled): void {
    this.#mending.owe(runs, read)
  }

  /** Segments have it when it resolves. */
  putBack(): Promise<void> {
    return this.#mending.putBack()
  }

  /** The log runs: what recovery found damaged or missing is made hollow. */
  startMending(): Promise<void> {
    return this.#mending.start()
  }

  #restored(arrival: number): void {
    for (const tail of this.tails) {
      tail.markJournaled()
      tail.markDurable(arrival)
    }
    this.highWatermark = this.logEndOffset
  }

  #checkExists(): void {
    if (this.isDeleted) throw new AgentError('INPUT_TOPIC', `${this.name} was deleted`)
  }

  #outside(offset: number): LogRead | undefined {
    this.#checkExists()
    const { logStartOffset, highWatermark } = this
    if (offset < logStartOffset || offset > highWatermark) {
      return { kind: 'outOfRange', logStartOffset, highWatermark }
    }
    return offset === highWatermark ? { kind: 'empty' } : undefined
  }

  async #readSegments(offset: number, maxBytes: number): Promise<LogRead> {
    const read = await this.segments.read(offset, maxBytes)
    this.#checkExists()
    if (read !== undefined) return { kind: 'batches', ...read }
    const { logStartOffset, highWatermark } = this
    // Retention took the segment while it was being read.
    assert(offset < logStartOffset, `${this.name} holds every offset from its log start`)
    return { kind: 'outOfRange', logStartOffset, highWatermark }
  }
}
