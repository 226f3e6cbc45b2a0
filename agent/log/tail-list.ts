// The tails of one partition, oldest first; the last one takes records unless it is frozen.
//
//   baseOffset of the first … endOffset of the last = the partition's log end, without a gap
//
// Only memory is touched here: slots of the arena, and the windows of the kernel.

import {
  BATCH_HEADER_BYTES,
  CODEC_NONE,
  SCRATCH,
  SCRATCH_BYTES,
} from '../../wasm/assembly/limits.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import { readRecord } from '../record/record.ts'
import { varintSize } from '../record/varint.ts'
import { Arena, SLOT_SIZES, SLOT_SLACK } from './arena.ts'
import { readInt64 } from './journal-entry.ts'
import { BatchTail, RecordTail, type Tail } from './tail.ts'

/** Fields of one record as addresses in kernel memory; a length of −1 is null. */
export interface RecordPointers {
  key: number
  keyLength: number
  value: number
  valueLength: number
  /** Encoded headers, without their count. */
  headers: number
  headersLength: number
  headersCount: number
}

export interface TailContext {
  kernel: Kernel
  arena: Arena
  clock: Clock
  /** A tail is full at this size. */
  batchBytes: number
  /** Bytes in batch tails of all partitions. */
  batchTailBytes: number
}

/** Everything of a record but its key, value and encoded headers, at the longest. */
export const RECORD_OVERHEAD_BYTES = 40
/** Larger records become batches of their own. */
export const SLOT_RECORD_BYTES_MAX = SLOT_SIZES[3] - SLOT_SLACK
const LAST_OFFSET_DELTA_MAX = 0x7ffffffe

export class TailList {
  readonly #context: TailContext
  readonly all: Tail[] = []
  endOffset = 0

  constructor(context: TailContext) {
    this.#context = context
  }

  get sealedOffset(): number {
    return this.all[0]?.baseOffset ?? this.endOffset
  }

  get bytes(): number {
    let sum = 0
    for (const tail of this.all) sum += tail.length
    return sum
  }

  /** Bytes the record takes, or -1 when the arena has no slot for it. */
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
    const bound =
      RECORD_OVERHEAD_BYTES + Math.max(keyLength, 0) + Math.max(valueLength, 0) + headersLength
    const tail = this.#activeTail(bound, timestamp)
    if (tail === undefined) return -1
    const written = this.#context.kernel.encodeRecord(
      tail.slot + tail.length,
      tail.slotBytes - tail.length,
      tail.count,
      timestamp - tail.baseTimestamp,
      key,
      keyLength,
      value,
      valueLength,
      headers,
      headersLength,
      headersCount,
    )
    assert(written > 0, 'a record fits the slot that was sized for it')
    tail.length += written
    tail.count++
    if (timestamp > tail.maxTimestamp) tail.maxTimestamp = timestamp
    this.endOffset++
    return written
  }

  /** Adds a whole batch, stamped with its place in the log. */
  pushBatch(batch: Buffer, leaderEpoch: number): BatchTail {
    this.freeze()
    const bytes = Buffer.from(batch)
    bytes.writeBigInt64BE(BigInt(this.endOffset), 0)
    bytes.writeInt32BE(leaderEpoch, 12)
    const { clock } = this.#context
    const tail = new BatchTail(bytes, {
      offset: this.endOffset,
      count: bytes.readInt32BE(23) + 1,
      maxTimestamp: readInt64(bytes, 35),
      arrival: clock.now(),
      since: clock.monotonic(),
    })
    this.all.push(tail)
    this.#context.batchTailBytes += bytes.length
    this.endOffset += tail.count
    return tail
  }

  /** No record is added to the present tail any more. */
  freeze(): void {
    const active = this.all.at(-1)
    if (active?.kind === 'records') active.frozen = true
  }

  /** The oldest tail, when it is whole, durable and not being split. */
  sealable(): Tail | undefined {
    const oldest = this.all[0]
    return oldest?.frozen === true && oldest.holders === 0 && oldest.isDurable ? oldest : undefined
  }

  /** Makes batches on the heap of all record tails: the arena is free, and nothing was written. */
  condense(codec: number): void {
    this.freeze()
    const { kernel, arena } = this.#context
    for (const [index, tail] of this.all.entries()) {
      if (tail.kind !== 'records' || tail.sealing || tail.holders > 0 || !tail.isDurable) continue
      const size = this.sealInto(SCRATCH, SCRATCH_BYTES, tail, codec)
      const { baseOffset: offset, count, maxTimestamp, arrival, since } = tail
      const bytes = Buffer.from(kernel.u8.subarray(SCRATCH, SCRATCH + size))
      const batch = new BatchTail(bytes, { offset, count, maxTimestamp, arrival, since })
      batch.markJournaled()
      batch.markDurable(arrival)
      arena.release(tail.slot, tail.slotBytes)
      this.#context.batchTailBytes += size
      this.all[index] = batch
    }
  }

  /** Lets go of the oldest tail, which a segment holds now. */
  shift(): void {
    const tail = this.all.shift()
    if (tail !== undefined) this.#release(tail)
  }

  clear(): void {
    for (const tail of this.all.splice(0)) this.#release(tail)
  }

  /** Makes one batch of a tail at `target`; returns its bytes. */
  sealInto(target: number, capacity: number, tail: RecordTail, codec: number): number {
    const size = this.#context.kernel.sealBatch(
      tail.slot,
      tail.length,
      target,
      capacity,
      codec,
      tail.baseOffset,
      tail.count - 1,
      tail.baseTimestamp,
      tail.maxTimestamp,
      tail.count,
    )
    assert(size > BATCH_HEADER_BYTES, 'a tail fits the sealing window')
    return size
  }

  /** Whole durable batches from the one that holds `offset` on; at least one if there is one. */
  read(
    offset: number,
    maxBytes: number,
  ): { parts: Buffer[]; baseOffset: number; nextOffset: number } {
    const parts: Buffer[] = []
    let size = 0
    let baseOffset = -1
    let nextOffset = offset
    for (const tail of this.all) {
      const end = tail.kind === 'batch' ? tail.endOffset : tail.baseOffset + tail.durableCount
      if (end <= nextOffset) continue
      if (tail.durableLength === 0 || (size > 0 && size + tail.durableLength > maxBytes)) break
      const bytes = tail.kind === 'batch' ? tail.bytes : this.#durableBatch(tail, nextOffset)
      parts.push(bytes)
      size += bytes.length
      if (baseOffset < 0) baseOffset = tail.baseOffset
      nextOffset = end
    }
    return { parts, baseOffset, nextOffset }
  }

  /** The record tail that holds `offset` behind its first record, unless it is being sealed. */
  around(offset: number): RecordTail | undefined {
    const tail = this.all.find(
      (candidate) => candidate.baseOffset < offset && candidate.endOffset > offset,
    )
    return tail?.kind === 'records' && !tail.sealing ? tail : undefined
  }

  /** Cuts a frozen, durable tail in two at `offset`, the second encoded against its own base. */
  split(tail: RecordTail, offset: number): boolean {
    const { kernel, arena } = this.#context
    const at = kernel.findRecord(tail.slot, tail.length, offset - tail.baseOffset)
    assert(at > 0 && at < tail.length, 'a tail holds the records it counts')
    // The first delta of a record is zero in its new place, so the copy is never longer by much.
    const slotBytes = Arena.slotSizeFor(tail.length - at + RECORD_OVERHEAD_BYTES)
    const slot = slotBytes === undefined ? -1 : arena.allocate(slotBytes)
    if (slotBytes === undefined || slot < 0) return false
    const rest = this.#copy(tail, at, { slot, slotBytes, offset })
    tail.length = at
    tail.count = offset - tail.baseOffset
    tail.maxTimestamp = this.#maxTimestamp(tail)
    tail.markJournaled()
    tail.markDurable(tail.arrival)
    this.all.splice(this.all.indexOf(tail) + 1, 0, rest)
    return true
  }

  /** Continues the last tail, or starts one, with records as the journal holds them. */
  restore(
    entry: {
      tailBase: number
      firstDelta: number
      baseTimestamp: number
      maxTimestamp: number
      count: number
      bytes: Buffer
    },
    arrival: number,
  ): boolean {
    const { kernel, arena } = this.#context
    const active = this.all.at(-1)
    const open = active?.kind === 'records' && !active.frozen ? active : undefined
    const continues = open?.baseOffset === entry.tailBase
    if (continues ? open?.count !== entry.firstDelta : entry.firstDelta !== 0) return false
    if (entry.bytes.length > SLOT_RECORD_BYTES_MAX) return false
    if (!continues) this.freeze()
    const tail = continues ? open : this.#newTail(entry.bytes.length, entry.baseTimestamp)
    if (tail === undefined) return false
    if (tail.roomBytes < entry.bytes.length) {
      if (tail.length + entry.bytes.length > SLOT_RECORD_BYTES_MAX) return false
      if (!tail.grow(kernel, arena, entry.bytes.length)) return false
    }
    kernel.u8.set(entry.bytes, tail.slot + tail.length)
    tail.length += entry.bytes.length
    tail.count += entry.count
    tail.maxTimestamp = Math.max(tail.maxTimestamp, entry.maxTimestamp)
    tail.markJournaled()
    tail.markDurable(arrival)
    this.endOffset += entry.count
    return true
  }

  /** Those records of a journal entry that lie at or above the end, encoded again; false: no memory. */
  restoreFrom(entry: { tailBase: number; baseTimestamp: number; bytes: Buffer }): boolean {
    const { kernel } = this.#context
    kernel.u8.set(entry.bytes, SCRATCH)
    for (const record of recordPointers(kernel, SCRATCH, SCRATCH + entry.bytes.length)) {
      if (entry.tailBase + record.offsetDelta < this.endOffset) continue
      const written = this.append(
        entry.baseTimestamp + record.timestampDelta,
        record.key,
        record.keyLength,
        record.value,
        record.valueLength,
        record.headers,
        record.headersLength,
        record.headersCount,
      )
      if (written < 0) return false
    }
    return true
  }

  /** The durable records of a tail from `offset` on, as an uncompressed batch of the tail's base. */
  #durableBatch(tail: RecordTail, offset: number): Buffer {
    const { kernel } = this.#context
    const delta = Math.max(0, offset - tail.baseOffset)
    const from = delta === 0 ? 0 : kernel.findRecord(tail.slot, tail.durableLength, delta)
    assert(from >= 0 && from < tail.durableLength, 'a tail holds the records it counts')
    const size = kernel.sealBatch(
      tail.slot + from,
      tail.durableLength - from,
      SCRATCH,
      SCRATCH_BYTES,
      CODEC_NONE,
      tail.baseOffset,
      tail.durableCount - 1,
      tail.baseTimestamp,
      tail.maxTimestamp,
      tail.durableCount - delta,
    )
    assert(size > 0, 'a tail fits the scratch window')
    return Buffer.from(kernel.u8.subarray(SCRATCH, SCRATCH + size))
  }

  #activeTail(bound: number, timestamp: number): RecordTail | undefined {
    const { kernel, arena, batchBytes } = this.#context
    const active = this.all.at(-1)
    if (active?.kind === 'records' && !active.frozen) {
      const limit = Math.min(batchBytes, SLOT_RECORD_BYTES_MAX)
      const isFull = active.length + bound > limit || active.count >= LAST_OFFSET_DELTA_MAX
      // Without room to grow the record waits for the sealer: tails begun in what small slots are
      // left would become batches of a few records each.
      if (!isFull) {
        return active.roomBytes >= bound || active.grow(kernel, arena, bound) ? active : undefined
      }
      active.frozen = true
    }
    return this.#newTail(bound, timestamp)
  }

  #newTail(bytes: number, timestamp: number): RecordTail | undefined {
    const { arena, clock } = this.#context
    const slotBytes = Arena.slotSizeFor(bytes)
    assert(slotBytes !== undefined, 'larger records become batches of their own')
    const slot = arena.allocate(slotBytes)
    if (slot < 0) return undefined
    const [arrival, since] = [clock.now(), clock.monotonic()]
    const tail = new RecordTail(slot, slotBytes, {
      offset: this.endOffset,
      timestamp,
      arrival,
      since,
    })
    this.all.push(tail)
    return tail
  }

  #copy(
    tail: RecordTail,
    at: number,
    place: { slot: number; slotBytes: number; offset: number },
  ): RecordTail {
    const { kernel } = this.#context
    const { slot, slotBytes, offset } = place
    let rest: RecordTail | undefined
    for (const record of recordPointers(kernel, tail.slot + at, tail.slot + tail.length)) {
      const timestamp = tail.baseTimestamp + record.timestampDelta
      rest ??= new RecordTail(slot, slotBytes, {
        offset,
        timestamp,
        arrival: tail.arrival,
        since: tail.since,
      })
      const written = kernel.encodeRecord(
        slot + rest.length,
        slotBytes - rest.length,
        rest.count,
        timestamp - rest.baseTimestamp,
        record.key,
        record.keyLength,
        record.value,
        record.valueLength,
        record.headers,
        record.headersLength,
        record.headersCount,
      )
      assert(written > 0, 'the rest of a tail fits a slot of its size')
      rest.length += written
      rest.count++
      rest.maxTimestamp = Math.max(rest.maxTimestamp, timestamp)
    }
    assert(rest !== undefined, 'a split leaves records on both sides')
    rest.frozen = true
    rest.markJournaled()
    rest.markDurable(tail.arrival)
    return rest
  }

  #maxTimestamp(tail: RecordTail): number {
    let max = tail.baseTimestamp
    for (const record of recordPointers(this.#context.kernel, tail.slot, tail.slot + tail.length)) {
      max = Math.max(max, tail.baseTimestamp + record.timestampDelta)
    }
    return max
  }

  #release(tail: Tail): void {
    if (tail.kind === 'batch') this.#context.batchTailBytes -= tail.bytes.length
    else this.#context.arena.release(tail.slot, tail.slotBytes)
  }
}

/** The encoded records between two addresses of kernel memory, each as addresses again. */
export function* recordPointers(
  kernel: Kernel,
  from: number,
  to: number,
): Iterable<RecordPointers & { offsetDelta: number; timestampDelta: number }> {
  const cursor = { position: from }
  while (cursor.position < to) {
    const record = readRecord(kernel.buffer, cursor, to)
    const first = record.headers[0]
    const headers =
      first === undefined ? cursor.position : first[0].byteOffset - varintSize(first[0].length)
    yield {
      offsetDelta: record.offsetDelta,
      timestampDelta: record.timestampDelta,
      key: record.key?.byteOffset ?? 0,
      keyLength: record.key?.length ?? -1,
      value: record.value?.byteOffset ?? 0,
      valueLength: record.value?.length ?? -1,
      headers,
      headersLength: cursor.position - headers,
      headersCount: record.headers.length,
    }
  }
}
