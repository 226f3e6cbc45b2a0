// Reads explicit partitions of any Kafka cluster, as an async iterator of decoded records.
//
// One Fetch is under way per leader; its records are handed out before the next one leaves, so
// whoever reads slowly is waited for. Batches are checked against their CRC. Order holds within a
// partition. A position below the log's start moves up to it, with a warning; transactions are read
// uncommitted, their markers skipped.

import type { Codecs } from '../../../wasm/codecs.ts'
import { type Clock, sleep } from '../../base/clock.ts'
import { AgentError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import {
  BATCH,
  BATCH_HEADER_BYTES,
  CONTROL,
  type DecodedRecord,
  decodeRecords,
  readBatchHeader,
} from '../../record/record-batch.ts'
import { errorCode, errorName, isRetriable } from '../protocol/error-codes.ts'
import * as fetch from '../protocol/messages/01-fetch.ts'
import * as listOffsets from '../protocol/messages/02-list-offsets.ts'
import type { Decoded } from '../protocol/schema.ts'
import type { Cluster } from './cluster.ts'
import { refusedBy } from './kafka-fault.ts'
import { findOffsets } from './offsets.ts'

/** Where to begin, in each partition. */
export type StartPosition =
  | { kind: 'beginning' }
  | { kind: 'end' }
  | { kind: 'offset'; offset: number }
  /** The last `count` records before the end. */
  | { kind: 'last'; count: number }
  /** The first record at or after this time. */
  | { kind: 'time'; timestamp: number }

export interface ConsumeOptions {
  cluster: Cluster
  codecs: Codecs
  clock: Clock
  logger: Logger
  topic: string
  /** Left out: all. */
  partitions?: readonly number[] | undefined
  from: StartPosition
  /** Ends where the partitions ended when reading began; otherwise never. */
  untilEnd?: boolean
  maxWaitMs?: number
  /** Without any answer for so long, reading fails. */
  patienceMs?: number
}

export interface ConsumedRecord extends DecodedRecord {
  topic: string
  partition: number
}

/** The last version that names topics by name. */
const BY_NAME = 12
const FETCH_BYTES_MAX = 8 * 1024 * 1024
const PARTITION_BYTES_MAX = 1024 * 1024
const RETRY_MS = 200

type FetchedPartition = Decoded<typeof fetch.response>['responses'][number]['partitions'][number]

interface Round {
  nodeId: number
  partitions: readonly number[]
  outcome: FetchedPartition[] | AgentError
}

/** Ends by itself only with `untilEnd`; `break` or `return` ends it otherwise. */
export function consume(options: ConsumeOptions): AsyncGenerator<ConsumedRecord, void> {
  return new Consumption(options).run()
}

class Consumption {
  readonly #options: Required<Omit<ConsumeOptions, 'partitions'>> & ConsumeOptions
  /** partition → next offset to read. */
  readonly #positions = new Map<number, number>()
  /** partition → where to stop. */
  readonly #ends = new Map<number, number>()
  readonly #underWay = new Map<number, Promise<Round>>()
  readonly #busy = new Set<number>()
  #lastAnswerAt = 0

  constructor(options: ConsumeOptions) {
    this.#options = { untilEnd: false, maxWaitMs: 500, patienceMs: 60_000, ...options }
  }

  async *run(): AsyncGenerator<ConsumedRecord, void> {
    const { clock } = this.#options
    await this.#findStart()
    this.#lastAnswerAt = clock.monotonic()
    while (this.#positions.size > 0) {
      await this.#dispatch()
      const { nodeId, partitions, outcome } = await Promise.race(this.#underWay.values())
      this.#underWay.delete(nodeId)
      for (const partition of partitions) this.#busy.delete(partition)
      if (outcome instanceof AgentError) await this.#endure(outcome)
      else for (const fetched of outcome) yield* this.#read(fetched)
    }
  }

  async #findStart(): Promise<void> {
    const { cluster, topic, from, untilEnd } = this.#options
    const known = await cluster.topic(topic, 0)
    if (known === undefined) {
      throw new AgentError('INPUT_TOPIC', `topic ${topic} does not exist on ${cluster.name}`)
    }
    const partitions =
      this.#options.partitions ?? known.partitions.map(({ partitionIndex }) => partitionIndex)
    const ask = async (timestamp: number) =>
      findOffsets(
        cluster,
        topic,
        partitions.map((partition) => ({ partition, timestamp })),
      )
    const starts = await ask(listOffsets.EARLIEST_TIMESTAMP)
    const ends = await ask(listOffsets.LATEST_TIMESTAMP)
    const times = from.kind === 'time' ? await ask(Math.max(0, from.timestamp)) : undefined
    for (const partition of partitions) {
      const start = starts.get(partition)!.offset
      const end = ends.get(partition)!.offset
      const found = times?.get(partition)?.offset ?? -1
      const position = placeOf(from, start, end, found)
      if (untilEnd && position >= end) continue
      this.#positions.set(partition, position)
      if (untilEnd) this.#ends.set(partition, end)
    }
  }

  /** Starts a fetch at every leader that has none under way and has partitions to read. */
  async #dispatch(): Promise<void> {
    const { cluster, topic } = this.#options
    const byLeader = new Map<number, number[]>()
    for (const partition of this.#positions.keys()) {
      if (this.#busy.has(partition)) continue
      const { nodeId } =
        cluster.knownLeader(topic, partition) ?? (await cluster.leaderOf(topic, partition))
      if (this.#underWay.has(nodeId)) continue
      const group = byLeader.get(nodeId) ?? []
      byLeader.set(nodeId, group)
      group.push(partition)
    }
    for (const [nodeId, partitions] of byLeader) {
      for (const partition of partitions) {
        this.#busy.add(partition)
        // The longest unread partition comes first next time: brokers fill answers in this order.
        const position = this.#positions.get(partition)!
        this.#positions.delete(partition)
        this.#positions.set(partition, position)
      }
      this.#underWay.set(nodeId, this.#fetch(nodeId, partitions))
    }
  }

  /** Never rejects with a fault of operation: that is an outcome of the round. */
  async #fetch(nodeId: number, partitions: readonly number[]): Promise<Round> {
    const { cluster, topic, maxWaitMs } = this.#options
    const positions = partitions.map((partition) => ({
      partition,
      fetchOffset: this.#positions.get(partition)!,
      partitionMaxBytes: PARTITION_BYTES_MAX,
    }))
    const request = {
      maxWaitMs,
      minBytes: 1,
      maxBytes: FETCH_BYTES_MAX,
      topics: [{ topic, partitions: positions }],
    }
    try {
      const connection = await cluster.connectionTo(nodeId, 'waiting')
      const version = connection.versionOf(fetch, BY_NAME)
      const answer = await connection.send(fetch, request, { version })
      if (answer.errorCode !== errorCode('NONE')) {
        throw refusedBy(cluster.name, 'Fetch', answer.errorCode)
      }
      return { nodeId, partitions, outcome: answer.responses[0]?.partitions ?? [] }
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      return { nodeId, partitions, outcome: error }
    }
  }

  async #endure(fault: AgentError): Promise<void> {
    const { clock, patienceMs, cluster, topic } = this.#options
    if (!fault.retriable || clock.monotonic() - this.#lastAnswerAt > patienceMs) throw fault
    cluster.distrust(topic, errorCode('NOT_LEADER_OR_FOLLOWER'))
    await sleep(clock, RETRY_MS)
  }

  async *#read(fetched: FetchedPartition): AsyncGenerator<ConsumedRecord, void> {
    const { cluster, topic, clock } = this.#options
    const { partitionIndex: partition, errorCode: code, records } = fetched
    if (code !== errorCode('NONE')) {
      await this.#takeError(partition, code)
      return
    }
    this.#lastAnswerAt = clock.monotonic()
    const from = this.#positions.get(partition)
    if (from === undefined || records === null) return
    const end = this.#ends.get(partition) ?? Number.POSITIVE_INFINITY
    let position = from
    for (const { batch, nextOffset, isControl } of this.#batches(records, partition)) {
      if (!isControl) {
        for (const record of decodeRecords(batch, this.#options.codecs)) {
          if (record.offset < from || record.offset >= end) continue
          yield { topic, partition, ...record }
        }
      }
      position = nextOffset
    }
    if (position === from && records.length > 0) {
      const text = `${cluster.name} answers ${topic}-${partition} at ${from} with part of a batch`
      throw new AgentError('UPSTREAM_REFUSED', text)
    }
    this.#positions.set(partition, position)
    if (position >= end) this.#positions.delete(partition)
  }

  *#batches(
    records: Buffer,
    partition: number,
  ): Generator<{ batch: Buffer; nextOffset: number; isControl: boolean }> {
    const { topic, codecs } = this.#options
    for (let at = 0; at + BATCH_HEADER_BYTES <= records.length; ) {
      const header = readBatchHeader(records, at)
      // The last batch of an answer may be cut: the next fetch begins with it.
      if (header.size > records.length - at) return
      const batch = records.subarray(at, at + header.size)
      const name = `the batch of ${topic}-${partition} at ${header.baseOffset}`
      if (header.magic !== 2 || header.size < BATCH_HEADER_BYTES) {
        throw new AgentError('INPUT_BATCH', `${name} has a format from before Kafka 0.11`)
      }
      if (codecs.crc32c(batch.subarray(BATCH.attributes)) !== header.crc) {
        throw new AgentError('CORRUPT_BATCH', `${name} does not match its checksum`)
      }
      const nextOffset = header.baseOffset + header.lastOffsetDelta + 1
      yield { batch, nextOffset, isControl: (header.attributes & CONTROL) !== 0 }
      at += header.size
    }
  }

  async #takeError(partition: number, code: number): Promise<void> {
    const { cluster, topic, logger } = this.#options
    const name = `${topic}-${partition}`
    if (errorName(code) !== 'OFFSET_OUT_OF_RANGE') {
      cluster.distrust(topic, code)
      const fault = refusedBy(cluster.name, `Fetch of ${name}`, code)
      if (!isRetriable(code)) throw fault
      return this.#endure(fault)
    }
    const question = [{ partition, timestamp: listOffsets.EARLIEST_TIMESTAMP }]
    const start = (await findOffsets(cluster, topic, question)).get(partition)!.offset
    const position = this.#positions.get(partition)!
    if (position > start) {
      const text = `offset ${position} of ${name} is beyond its end: choose a smaller one`
      throw new AgentError('UPSTREAM_REFUSED', text, {
        details: { kafkaError: 'OFFSET_OUT_OF_RANGE' },
      })
    }
    logger.warn('records were deleted before they were read', { partition: name, position, start })
    this.#positions.set(partition, start)
  }
}

function placeOf(from: StartPosition, start: number, end: number, found: number): number {
  if (from.kind === 'beginning') return start
  if (from.kind === 'end') return end
  if (from.kind === 'offset') return from.offset
  if (from.kind === 'last') return Math.max(start, end - from.count)
  return found < 0 ? end : found
}
