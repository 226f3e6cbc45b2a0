// The newest records of a partition, in memory until a segment holds them.
//
// RecordTail   records encoded one after the other in an arena slot, with deltas to the tail's own
//              base offset and base timestamp
// BatchTail    one whole record batch that is kept as it came (from a Kafka producer) or that is too
//              large for a slot
//
//   0 ≤ durable ≤ journaled ≤ length   (bytes; the same order holds for counts)
//
// journaled = handed to a group commit, durable = that commit is on disk. Sealing takes a whole
// frozen tail once all of it is durable; so nothing reaches a segment that was not committed.

import type { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import { type Arena, SLOT_SIZES, SLOT_SLACK } from './arena.ts'

export class RecordTail {
  readonly kind = 'records'
  readonly baseOffset: number
  readonly baseTimestamp: number
  maxTimestamp: number
  slot: number
  slotBytes: number
  length = 0
  count = 0
  journaledLength = 0
  journaledCount = 0
  durableLength = 0
  durableCount = 0
  /** Wall time of the newest commit that holds records of this tail. */
  arrival: number
  /** Monotonic time of the first append, for linger. */
  readonly since: number
  /** Takes no more records. */
  frozen = false
  /** Splits under way: not to be sealed now. */
  holders = 0
  /** Being written to a segment: not to be split any more. */
  sealing = false

  constructor(
    slot: number,
    slotBytes: number,
    first: { offset: number; timestamp: number; arrival: number; since: number },
  ) {
    this.slot = slot
    this.slotBytes = slotBytes
    this.baseOffset = first.offset
    this.baseTimestamp = first.timestamp
    this.maxTimestamp = first.timestamp
    this.arrival = first.arrival
    this.since = first.since
  }

  get endOffset(): number {
    return this.baseOffset + this.count
  }

  get isDurable(): boolean {
    return this.durableCount === this.count
  }

  /** Bytes that may still be written without growing. */
  get roomBytes(): number {
    return this.slotBytes - SLOT_SLACK - this.length
  }

  /** Moves to a slot with room for `bytes` more; false when the arena has none. */
  grow(kernel: Kernel, arena: Arena, bytes: number): boolean {
    const needed = this.length + bytes + SLOT_SLACK
    const slotBytes = SLOT_SIZES.find((size) => size >= needed)
    assert(slotBytes !== undefined, 'a tail never outgrows the largest slot')
    const slot = arena.allocate(slotBytes)
    if (slot < 0) return false
    kernel.u8.copyWithin(slot, this.slot, this.slot + this.length)
    arena.release(this.slot, this.slotBytes)
    this.slot = slot
    this.slotBytes = slotBytes
    return true
  }

  /** The next commit holds all of it once more. */
  carry(): void {
    this.journaledLength = 0
    this.journaledCount = 0
  }

  markJournaled(): void {
    this.journaledLength = this.length
    this.journaledCount = this.count
  }

  markDurable(arrival: number): void {
    this.durableLength = this.journaledLength
    this.durableCount = this.journaledCount
    this.arrival = arrival
  }
}

export class BatchTail {
  readonly kind = 'batch'
  readonly baseOffset: number
  readonly count: number
  readonly maxTimestamp: number
  readonly bytes: Buffer
  readonly since: number
  readonly frozen = true
  readonly holders = 0
  sealing = false
  arrival: number
  journaled = false
  durable = false

  constructor(
    bytes: Buffer,
    at: { offset: number; count: number; maxTimestamp: number; arrival: number; since: number },
  ) {
    this.bytes = bytes
    this.baseOffset = at.offset
    this.count = at.count
    this.maxTimestamp = at.maxTimestamp
    this.arrival = at.arrival
    this.since = at.since
  }

  get endOffset(): number {
    return this.baseOffset + this.count
  }

  get isDurable(): boolean {
    return this.durable
  }

  get length(): number {
    return this.bytes.length
  }

  get durableLength(): number {
    return this.durable ? this.bytes.length : 0
  }

  /** The next commit holds it once more. */
  carry(): void {
    this.journaled = false
  }

  markJournaled(): void {
    this.journaled = true
  }

  markDurable(arrival: number): void {
    if (!this.journaled) return
    this.durable = true
    this.arrival = arrival
  }
}

export type Tail = RecordTail | BatchTail
