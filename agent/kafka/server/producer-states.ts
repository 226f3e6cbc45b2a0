// What is remembered of idempotent producers, per partition: the epoch and the last five batches.
//
// The rules are Kafka's: an unknown producer may begin anywhere, a retry of one of the last five
// batches is answered with its first offset, a gap or an overlap is OUT_OF_ORDER_SEQUENCE_NUMBER, an
// older epoch is INVALID_PRODUCER_EPOCH, a newer one begins at 0, sequences wrap from 2^31-1 to 0.
//
// Unlike Kafka's, the whole window survives a crash: it is journaled in the commit that holds the
// records. And it expires by the time of arrival, never by record time: a gateway that was offline for
// days sends old records, whose retries must still be recognised. After a restart an entry counts as
// just arrived, for the wall clock of a gateway may have stood in another century.
//
//   state key    pid/<logId>/<producerId>        pid/next: the first id that was never handed out
//   state value  u8 version = 1, i16 epoch, f64 arrival (wall ms), u8 count,
//                count × { i32 firstSequence, i32 lastSequence, f64 baseOffset, f64 timestamp }

import { randomInt } from 'node:crypto'
import { assert } from '../../base/assert.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Log } from '../../log/log.ts'
import type { PartitionLog } from '../../log/partition-log.ts'
import type { BatchHeader } from '../../record/record-batch.ts'

export interface ProducerStatesOptions {
  log: Log
  clock: Clock
  /** Bound per partition; the one that was silent longest is forgotten. */
  producersPerPartitionMax: number
  /** Bound of all partitions together. */
  producersMax: number
  expirationMs: number
}

export interface ProducedBatch {
  firstSequence: number
  lastSequence: number
  baseOffset: number
  /** Greatest record timestamp: what a retry is told as log append time, as brokers do. */
  timestamp: number
  /** The commit that makes it durable. */
  commit: number
}

export interface ProducerState {
  producerId: bigint
  epoch: number
  batches: ProducedBatch[]
  /** Wall time of the last append, for people and other gateways. */
  arrival: number
  /** Monotonic time of the last append. */
  since: number
}

export type SequenceVerdict =
  | { kind: 'next' }
  | { kind: 'duplicate'; batch: ProducedBatch }
  | { kind: 'outOfOrder'; expected: number }
  | { kind: 'fenced'; epoch: number }

const BATCHES_KEPT = 5
const VERSION = 1
const HEADER_BYTES = 12
const BATCH_BYTES = 24
const SEQUENCE_MAX = 0x7fff_ffff
const NEXT_ID_KEY = 'pid/next'
/** Ids are reserved in blocks, so that not every producer costs a commit. */
const ID_BLOCK = 1000
const SWEEP_MS = 600_000

/** Sequences run 0 … 2^31−1 and around. */
export function addSequence(sequence: number, increment: number): number {
  return sequence > SEQUENCE_MAX - increment
    ? increment - (SEQUENCE_MAX - sequence) - 1
    : sequence + increment
}

export class ProducerStates {
  readonly #options: ProducerStatesOptions
  /** Log id → producer id → state, the longest silent first. */
  readonly #partitions = new Map<number, Map<bigint, ProducerState>>()
  #count = 0
  #nextId = 0
  #reservedTo = 0
  #reservedCommit = 0
  #sweep: Timer | undefined

  constructor(options: ProducerStatesOptions) {
    this.#options = options
    this.#restore()
    this.#scheduleSweep()
  }

  get size(): number {
    return this.#count
  }

  get expirationMs(): number {
    return this.#options.expirationMs
  }

  /** What a batch of a producer is to this partition. Nothing is changed. */
  judge(partition: PartitionLog, header: BatchHeader): SequenceVerdict {
    const state = this.#partitions.get(partition.logId)?.get(header.producerId)
    if (state === undefined) return { kind: 'next' }
    const { producerEpoch, baseSequence } = header
    if (producerEpoch < state.epoch) return { kind: 'fenced', epoch: state.epoch }
    if (producerEpoch > state.epoch) {
      return baseSequence === 0 ? { kind: 'next' } : { kind: 'outOfOrder', expected: 0 }
    }
    const lastSequence = addSequence(baseSequence, header.lastOffsetDelta)
    for (const batch of state.batches) {
      if (batch.firstSequence === baseSequence && batch.lastSequence === lastSequence) {
        return { kind: 'duplicate', batch }
      }
    }
    const expected = addSequence(state.batches.at(-1)!.lastSequence, 1)
    return baseSequence === expected ? { kind: 'next' } : { kind: 'outOfOrder', expected }
  }

  /** To be called in the turn of the append, so that one commit holds records and state. */
  appended(partition: PartitionLog, header: BatchHeader, baseOffset: number): void {
    const { log, clock } = this.#options
    const states = this.#statesOf(partition.logId)
    let state = states.get(header.producerId)
    if (state === undefined) {
      state = { producerId: header.producerId, epoch: -1, batches: [], arrival: 0, since: 0 }
      this.#count++
    }
    if (state.epoch !== header.producerEpoch) state.batches = []
    state.epoch = header.producerEpoch
    state.arrival = clock.now()
    state.since = clock.monotonic()
    state.batches.push({
      firstSequence: header.baseSequence,
      lastSequence: addSequence(header.baseSequence, header.lastOffsetDelta),
      baseOffset,
      timestamp: header.maxTimestamp,
      commit: log.openCommit,
    })
    if (state.batches.length > BATCHES_KEPT) state.batches.shift()
    states.delete(header.producerId)
    states.set(header.producerId, state)
    log.state.put(keyOf(partition.logId, header.producerId), encode(state))
    this.#bound(partition.logId, states)
  }

  /** The live producers of a partition. */
  of(partition: PartitionLog): Iterable<ProducerState> {
    return this.#partitions.get(partition.logId)?.values() ?? []
  }

  /** An id that nobody was given before; resolves once that is durable. */
  async newProducerId(): Promise<bigint> {
    const { log } = this.#options
    if (this.#nextId >= this.#reservedTo) {
      this.#reservedTo = this.#nextId + ID_BLOCK
      const value = Buffer.alloc(8)
      value.writeDoubleBE(this.#reservedTo)
      log.state.put(NEXT_ID_KEY, value)
      this.#reservedCommit = log.openCommit
    }
    const id = BigInt(this.#nextId++)
    if (log.durableCommit < this.#reservedCommit) await log.durable(this.#reservedCommit)
    return id
  }

  /** Forgets a partition that is deleted. */
  forget(partition: PartitionLog): void {
    const states = this.#partitions.get(partition.logId)
    if (states === undefined) return
    for (const producerId of [...states.keys()]) this.#remove(partition.logId, states, producerId)
  }

  close(): void {
    this.#sweep?.cancel()
  }

  #statesOf(logId: number): Map<bigint, ProducerState> {
    let states = this.#partitions.get(logId)
    if (states === undefined) {
      states = new Map()
      this.#partitions.set(logId, states)
    }
    return states
  }

  #bound(logId: number, states: Map<bigint, ProducerState>): void {
    const { producersPerPartitionMax, producersMax } = this.#options
    if (states.size > producersPerPartitionMax) this.#removeOldest(logId, states)
    if (this.#count <= producersMax) return
    let oldest = { logId, states, since: Number.POSITIVE_INFINITY }
    for (const [id, candidates] of this.#partitions) {
      for (const { since } of candidates.values()) {
        if (since < oldest.since) oldest = { logId: id, states: candidates, since }
        break
      }
    }
    this.#removeOldest(oldest.logId, oldest.states)
  }

  #removeOldest(logId: number, states: Map<bigint, ProducerState>): void {
    const { value } = states.keys().next()
    if (value !== undefined) this.#remove(logId, states, value)
  }

  #remove(logId: number, states: Map<bigint, ProducerState>, producerId: bigint): void {
    states.delete(producerId)
    this.#count--
    if (states.size === 0) this.#partitions.delete(logId)
    this.#options.log.state.delete(keyOf(logId, producerId), { ride: true })
  }

  #restore(): void {
    const { log, clock } = this.#options
    const since = clock.monotonic()
    const known = new Set<number>()
    for (const topic of log.topics()) for (const { logId } of topic.partitions) known.add(logId)
    const found: { logId: number; state: ProducerState }[] = []
    const orphans: string[] = []
    for (const [key, value] of log.state.entries('pid/')) {
      if (key === NEXT_ID_KEY) continue
      const [, logId, producerId] = key.split('/')
      const state = decode(value, BigInt(producerId!), since)
      if (known.has(Number(logId))) found.push({ logId: Number(logId), state })
      else orphans.push(key)
    }
    for (const key of orphans) log.state.delete(key, { ride: true })
    found.sort((a, b) => a.state.arrival - b.state.arrival)
    for (const { logId, state } of found) this.#statesOf(logId).set(state.producerId, state)
    this.#count = found.length
    const reserved = log.state.get(NEXT_ID_KEY)
    // A new store begins anywhere: a producer that remembers an id of a lost store of the same name
    // is not mixed up with another one.
    this.#nextId = reserved?.readDoubleBE() ?? randomInt(2 ** 47)
    this.#reservedTo = this.#nextId
  }

  #scheduleSweep(): void {
    this.#sweep = this.#options.clock.after(SWEEP_MS, () => {
      this.#expire()
      this.#scheduleSweep()
    })
  }

  #expire(): void {
    const { clock, expirationMs } = this.#options
    const limit = clock.monotonic() - expirationMs
    for (const [logId, states] of this.#partitions) {
      for (const { producerId, since } of states.values()) {
        if (since > limit) break
        this.#remove(logId, states, producerId)
      }
    }
  }
}

function keyOf(logId: number, producerId: bigint): string {
  return `pid/${logId}/${producerId}`
}

function encode({ epoch, arrival, batches }: ProducerState): Buffer {
  // Not from the pool: the store keeps it, and would keep the pool with it.
  const value = Buffer.alloc(HEADER_BYTES + BATCH_BYTES * batches.length)
  value[0] = VERSION
  value.writeInt16BE(epoch, 1)
  value.writeDoubleBE(arrival, 3)
  value[11] = batches.length
  let position = HEADER_BYTES
  for (const { firstSequence, lastSequence, baseOffset, timestamp } of batches) {
    value.writeInt32BE(firstSequence, position)
    value.writeInt32BE(lastSequence, position + 4)
    value.writeDoubleBE(baseOffset, position + 8)
    value.writeDoubleBE(timestamp, position + 16)
    position += BATCH_BYTES
  }
  return value
}

function decode(value: Buffer, producerId: bigint, since: number): ProducerState {
  assert(value[0] === VERSION, `producer state has version ${VERSION}`)
  const batches: ProducedBatch[] = []
  for (let position = HEADER_BYTES; position < value.length; position += BATCH_BYTES) {
    batches.push({
      firstSequence: value.readInt32BE(position),
      lastSequence: value.readInt32BE(position + 4),
      baseOffset: value.readDoubleBE(position + 8),
      timestamp: value.readDoubleBE(position + 16),
      commit: 0,
    })
  }
  return { producerId, epoch: value.readInt16BE(1), arrival: value.readDoubleBE(3), batches, since }
}
