// An idempotent producer for small jobs: acks from all in-sync replicas, in order, one batch in
// flight per partition, the very same bytes again while the outcome is unknown.
//
// Calls of `send` run one after the other; within one, partitions go side by side. A partition that
// has failed stays failed: what followed could otherwise overtake it.

import type { Codecs } from '../../../wasm/codecs.ts'
import type { Clock } from '../../base/clock.ts'
import { AgentError } from '../../base/errors.ts'
import { CODEC_LZ4, type Codec } from '../../record/compression.ts'
import { partitionFor } from '../../record/murmur2.ts'
import { type BatchRecord, buildBatch } from '../../record/record-batch.ts'
import { errorCode } from '../protocol/error-codes.ts'
import * as produce from '../protocol/messages/00-produce.ts'
import * as initProducerId from '../protocol/messages/22-init-producer-id.ts'
import type { Cluster } from './cluster.ts'
import { refusedBy } from './kafka-fault.ts'

/** Sequences wrap to 0 behind the greatest int32. */
const SEQUENCE_COUNT = 0x8000_0000
/** The last version that names topics by name. */
const BY_NAME = 12
const PER_RECORD_OVERHEAD = 32

export interface ProducerOptions {
  cluster: Cluster
  codecs: Codecs
  clock: Clock
  codec?: Codec
  /** Of the records in one batch, uncompressed. */
  batchBytes?: number
  deliveryTimeoutMs?: number
  acksTimeoutMs?: number
}

export interface ProducerRecord {
  key: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly (readonly [key: string | Uint8Array, value: Uint8Array | null])[]
  /** Left out: now. */
  timestamp?: number
  /** Left out: by key as every Kafka client does it, or the call's turn. */
  partition?: number | undefined
}

/** A run of records as the cluster keeps it. */
export interface Appended {
  partition: number
  baseOffset: number
  count: number
}

export interface ProducerId {
  producerId: bigint
  producerEpoch: number
}

/** A fresh producer id; tried again while the coordinator loads. */
export function requestProducerId(cluster: Cluster): Promise<ProducerId> {
  return cluster.retrying(async () => {
    const answer = await cluster.sendToAny(initProducerId, {
      transactionalId: null,
      transactionTimeoutMs: 0,
    })
    if (answer.errorCode === errorCode('NONE')) return answer
    throw refusedBy(cluster.name, 'InitProducerId', answer.errorCode)
  })
}

export class Producer {
  readonly #options: Required<ProducerOptions>
  readonly #id: ProducerId
  /** topic-partition → next sequence. */
  readonly #sequences = new Map<string, number>()
  readonly #failed = new Map<string, unknown>()
  #last: Promise<unknown> = Promise.resolve()
  #turn = 0

  private constructor(options: ProducerOptions, id: ProducerId) {
    this.#options = {
      codec: CODEC_LZ4,
      batchBytes: 256 * 1024,
      deliveryTimeoutMs: 120_000,
      acksTimeoutMs: 30_000,
      ...options,
    }
    this.#id = id
  }

  static async open(options: ProducerOptions): Promise<Producer> {
    return new Producer(options, await requestProducerId(options.cluster))
  }

  /** Resolves when every record is on all in-sync replicas; rejects when one cannot be. */
  send(topic: string, records: readonly ProducerRecord[]): Promise<Appended[]> {
    const result = this.#last.then(() => this.#sendNow(topic, records))
    this.#last = result.catch(() => {})
    return result
  }

  async #sendNow(topic: string, records: readonly ProducerRecord[]): Promise<Appended[]> {
    const { cluster, clock } = this.#options
    const known = await cluster.topic(topic)
    if (known === undefined) {
      throw new AgentError('INPUT_TOPIC', `topic ${topic} does not exist on ${cluster.name}`)
    }
    const count = known.partitions.length
    const turn = this.#turn++ % count
    const now = clock.now()
    const byPartition = new Map<number, BatchRecord[]>()
    for (const { partition, ...record } of records) {
      const chosen = partition ?? (record.key === null ? turn : partitionFor(record.key, count))
      const group = byPartition.get(chosen) ?? []
      byPartition.set(chosen, group)
      group.push({ timestamp: now, ...record })
    }
    const sent = [...byPartition].map(([partition, group]) =>
      this.#sendToPartition(topic, partition, group),
    )
    const outcomes = await Promise.allSettled(sent)
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
    return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []))
  }

  async #sendToPartition(
    topic: string,
    partition: number,
    records: readonly BatchRecord[],
  ): Promise<Appended[]> {
    const name = `${topic}-${partition}`
    if (this.#failed.has(name)) throw this.#failed.get(name)
    const appended: Appended[] = []
    try {
      for (const run of cutIntoRuns(records, this.#options.batchBytes)) {
        const baseOffset = await this.#sendBatch(topic, partition, run)
        appended.push({ partition, baseOffset, count: run.length })
      }
    } catch (error) {
      this.#failed.set(name, error)
      throw error
    }
    return appended
  }

  async #sendBatch(
    topic: string,
    partition: number,
    records: readonly BatchRecord[],
  ): Promise<number> {
    const { cluster, codecs, codec, deliveryTimeoutMs, acksTimeoutMs } = this.#options
    const name = `${topic}-${partition}`
    const baseSequence = this.#sequences.get(name) ?? 0
    const batch = buildBatch(records, { codecs, codec, producer: { ...this.#id, baseSequence } })
    const request = {
      acks: -1,
      timeoutMs: acksTimeoutMs,
      topicData: [{ name: topic, partitionData: [{ index: partition, records: batch }] }],
    }
    const baseOffset = await cluster.retrying(async () => {
      const { nodeId } = await cluster.leaderOf(topic, partition)
      const connection = await cluster.connectionTo(nodeId)
      const version = connection.versionOf(produce, BY_NAME)
      const answer = await connection.send(produce, request, { version })
      const result = answer.responses[0]?.partitionResponses[0]
      const code = result?.errorCode ?? errorCode('UNKNOWN_SERVER_ERROR')
      if (result !== undefined && code === errorCode('NONE')) return result.baseOffset
      cluster.distrust(topic, code)
      throw refusedBy(cluster.name, `Produce to ${name}`, code, result?.errorMessage ?? '')
    }, deliveryTimeoutMs)
    this.#sequences.set(name, (baseSequence + records.length) % SEQUENCE_COUNT)
    return baseOffset
  }
}

/** Runs of records whose bytes fit a batch; one that is larger than that stands alone. */
function* cutIntoRuns(
  records: readonly BatchRecord[],
  batchBytes: number,
): Generator<BatchRecord[]> {
  let run: BatchRecord[] = []
  let size = 0
  for (const record of records) {
    const bytes = PER_RECORD_OVERHEAD + (record.key?.length ?? 0) + (record.value?.length ?? 0)
    if (run.length > 0 && size + bytes > batchBytes) {
      yield run
      run = []
      size = 0
    }
    run.push(record)
    size += bytes
  }
  if (run.length > 0) yield run
}
