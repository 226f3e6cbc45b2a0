// An upstream cluster of one or two fake brokers that keeps Kafka's rules for idempotent producers,
// and can be told to do what a real one does only now and then: to lose answers, to append late, to
// answer with an error after the append, to hide its end, to change leaders.

import type { Socket } from 'node:net'
import { errorCode, type KafkaErrorName } from '../../agent/kafka/protocol/error-codes.ts'
import * as produce from '../../agent/kafka/protocol/messages/00-produce.ts'
import * as fetch from '../../agent/kafka/protocol/messages/01-fetch.ts'
import * as listOffsets from '../../agent/kafka/protocol/messages/02-list-offsets.ts'
import * as metadata from '../../agent/kafka/protocol/messages/03-metadata.ts'
import * as createTopics from '../../agent/kafka/protocol/messages/19-create-topics.ts'
import * as initProducerId from '../../agent/kafka/protocol/messages/22-init-producer-id.ts'
import * as offsetForLeaderEpoch from '../../agent/kafka/protocol/messages/23-offset-for-leader-epoch.ts'
import * as describeConfigs from '../../agent/kafka/protocol/messages/32-describe-configs.ts'
import * as createPartitions from '../../agent/kafka/protocol/messages/37-create-partitions.ts'
import {
  type BatchRecord,
  buildBatch,
  type DecodedRecord,
  decodeRecords,
  placeAt,
  readBatchHeader,
} from '../../agent/record/record-batch.ts'
import { FakeBroker } from '../kafka/client/fake-broker.ts'
import { codecs } from '../support/batches.ts'

const SEQUENCES = 2 ** 31

export interface FakeAnswer {
  errorCode: number
  baseOffset: number
  logAppendTimeMs: number
}

interface ProducedBatch {
  partition: FakeMirrorPartition
  batch: Buffer
  socket: Socket
  /** Appends as Kafka does, and says what Kafka would answer. */
  store: () => FakeAnswer
}

/** What becomes of one batch; undefined: the request gets no answer. */
export type Fault = (produced: ProducedBatch) => FakeAnswer | undefined

export function refusal(name: KafkaErrorName): FakeAnswer {
  return { errorCode: errorCode(name), baseOffset: -1, logAppendTimeMs: -1 }
}

export class FakeMirrorPartition {
  readonly batches: Buffer[] = []
  leaderId = 1
  leaderEpoch = 5
  logStart = 0
  /** Records below the end that no consumer sees yet. */
  hidden = 0
  /** The next Produce batches meet these instead of being stored. */
  readonly faults: Fault[] = []
  /** Called before each answer to OffsetForLeaderEpoch. */
  onEndRead: () => void = () => {}
  endReads = 0
  /** Sequences of all batches that arrived. */
  readonly arrived: number[] = []
  readonly #windows = new Map<bigint, { first: number; last: number; base: number; at: number }[]>()

  get end(): number {
    const last = this.batches.at(-1)
    return last === undefined ? this.logStart : endOf(last)
  }

  get records(): DecodedRecord[] {
    return this.batches.flatMap((batch) => [...decodeRecords(batch, codecs)])
  }

  /** Somebody else appends. */
  write(records: readonly BatchRecord[]): void {
    const batch = buildBatch(records, { codecs })
    placeAt(batch, this.end, this.leaderEpoch)
    this.batches.push(batch)
  }

  /** Forgets producers, as a broker does after their expiry. */
  expireProducers(): void {
    this.#windows.clear()
  }

  /** Loses everything from `offset` on, which must be a boundary. */
  truncate(offset: number): void {
    while (this.batches.length > 0 && endOf(this.batches.at(-1)!) > offset) this.batches.pop()
    for (const window of this.#windows.values()) {
      while (window.length > 0 && window.at(-1)!.base >= offset) window.pop()
    }
  }

  append(sent: Buffer): FakeAnswer {
    const batch = Buffer.from(sent)
    const header = readBatchHeader(batch)
    if (codecs.crc32c(batch.subarray(21)) !== header.crc) return refusal('CORRUPT_MESSAGE')
    if (header.baseOffset !== 0 || header.producerEpoch !== 0) return refusal('INVALID_RECORD')
    const first = header.baseSequence
    const last = (first + header.lastOffsetDelta) % SEQUENCES
    const window = this.#windows.get(header.producerId) ?? []
    const known = window.find((entry) => entry.first === first && entry.last === last)
    if (known !== undefined) {
      return { errorCode: 0, baseOffset: known.base, logAppendTimeMs: known.at }
    }
    const before = window.at(-1)
    if (before !== undefined && first !== (before.last + 1) % SEQUENCES) {
      return refusal('OUT_OF_ORDER_SEQUENCE_NUMBER')
    }
    const base = this.end
    window.push({ first, last, base, at: header.maxTimestamp })
    this.#windows.set(header.producerId, window.slice(-5))
    placeAt(batch, base, this.leaderEpoch)
    this.batches.push(batch)
    return { errorCode: 0, baseOffset: base, logAppendTimeMs: -1 }
  }
}

export interface FakeMirrorTopic {
  id: string
  partitions: FakeMirrorPartition[]
  configs: Map<string, string>
}

export class FakeMirror {
  readonly brokers: readonly FakeBroker[]
  readonly topics = new Map<string, FakeMirrorTopic>()
  readonly created: { name: string; configs: Record<string, string> }[] = []
  clusterId = 'cluster-1'
  /** Errors of whole requests about a topic, by api key. */
  readonly refusals = new Map<number, KafkaErrorName>()
  /** Called with every Produce request that arrived. */
  onProduce: (socket: Socket, batches: number) => void = () => {}
  /** Produce requests are answered when it resolves. */
  hold: Promise<void> = Promise.resolve()
  #topicIds = 0
  #nextProducer = 4000n
  readonly #order = new WeakMap<Socket, Promise<unknown>>()

  private constructor(brokers: readonly FakeBroker[]) {
    this.brokers = brokers
  }

  static async start(options: { nodes?: 1 | 2; produceMax?: number } = {}): Promise<FakeMirror> {
    const nodes = Array.from({ length: options.nodes ?? 1 }, () => FakeBroker.start())
    const mirror = new FakeMirror(await Promise.all(nodes))
    for (const [index, broker] of mirror.brokers.entries()) {
      mirror.#serve(broker, index + 1, options.produceMax ?? 13)
    }
    return mirror
  }

  get addresses(): string[] {
    return this.brokers.map(({ address }) => address)
  }

  async stop(): Promise<void> {
    for (const broker of this.brokers) await broker.stop()
  }

  /** Makes the topic, or makes it again. */
  create(name: string, partitions: number, configs: Record<string, string> = {}): FakeMirrorTopic {
    const topic: FakeMirrorTopic = {
      id: `00000000-0000-0000-0000-${String(++this.#topicIds).padStart(12, '0')}`,
      partitions: Array.from({ length: partitions }, () => new FakeMirrorPartition()),
      configs: new Map([
        ['compression.type', 'producer'],
        ['message.timestamp.type', 'CreateTime'],
        ['cleanup.policy', 'delete'],
        ['max.message.bytes', '1048588'],
        ...Object.entries(configs),
      ]),
    }
    this.topics.set(name, topic)
    return topic
  }

  partition(name: string, partition = 0): FakeMirrorPartition {
    return this.topics.get(name)!.partitions[partition]!
  }

  /** Cuts every connection. */
  cut(): void {
    for (const { sockets } of this.brokers) for (const socket of sockets) socket.destroy()
  }

  /** A broker handles the requests of one connection one after the other. */
  #inOrder<T>(socket: Socket, run: () => T | Promise<T>): Promise<T> {
    const turn = (this.#order.get(socket) ?? Promise.resolve()).then(run)
    this.#order.set(
      socket,
      turn.catch(() => {}),
    )
    return turn
  }

  #serve(broker: FakeBroker, nodeId: number, produceMax: number): void {
    broker.on(metadata, ({ topics }, { socket }) =>
      this.#inOrder(socket, () => this.#metadata(topics ?? [])),
    )
    broker.on(initProducerId, () => ({
      errorCode: 0,
      producerId: this.#nextProducer++,
      producerEpoch: 0,
    }))
    broker.on(
      produce,
      ({ topicData }, { socket }) => {
        this.onProduce(socket, topicData.flatMap((topic) => topic.partitionData).length)
        return this.#inOrder(socket, async () => {
          await this.hold
          return this.#produce(topicData, nodeId, socket)
        })
      },
      [3, produceMax],
    )
    this.#serveOffsets(broker, nodeId)
    broker.on(fetch, ({ topics }, { socket }) =>
      this.#inOrder(socket, () => {
        const { topic: asked, topicId, partitions } = topics[0]!
        const name = asked === '' ? this.#nameOf(topicId) : asked
        const answer = partitions.map((each) => this.#fetch(name, nodeId, each))
        return { responses: [{ topic: asked, topicId, partitions: answer }] }
      }),
    )
    this.#serveAdmin(broker)
  }

  #serveOffsets(broker: FakeBroker, nodeId: number): void {
    broker.on(offsetForLeaderEpoch, ({ topics }, { socket }) =>
      this.#inOrder(socket, () => {
        const { topic, partitions } = topics[0]!
        const answers = partitions.map(({ partition, currentLeaderEpoch }) => {
          const [error, found] = this.#led(topic, partition, nodeId, currentLeaderEpoch)
          if (found === undefined) return { partition, errorCode: errorCode(error), endOffset: -1 }
          found.endReads++
          found.onEndRead()
          return { partition, errorCode: 0, endOffset: found.end }
        })
        return { topics: [{ topic, partitions: answers }] }
      }),
    )
    broker.on(listOffsets, ({ topics }, { socket }) =>
      this.#inOrder(socket, () => {
        const { name, partitions } = topics[0]!
        const answers = partitions.map(({ partitionIndex, timestamp, currentLeaderEpoch }) => {
          const [error, found] = this.#led(name, partitionIndex, nodeId, currentLeaderEpoch)
          if (found === undefined) return { partitionIndex, errorCode: errorCode(error) }
          const isStart = timestamp === listOffsets.EARLIEST_TIMESTAMP
          const offset = isStart ? found.logStart : found.end - found.hidden
          return { partitionIndex, errorCode: 0, offset }
        })
        return { topics: [{ name, partitions: answers }] }
      }),
    )
  }

  #serveAdmin(broker: FakeBroker): void {
    broker.on(createTopics, ({ topics }) => {
      const { name, numPartitions, configs } = topics[0]!
      const refused = this.refusals.get(createTopics.apiKey)
      if (refused !== undefined) return { topics: [{ name, errorCode: errorCode(refused) }] }
      const settings = Object.fromEntries(configs.map(({ name, value }) => [name, value ?? '']))
      this.create(name, numPartitions, settings)
      this.created.push({ name, configs: settings })
      return { topics: [{ name, errorCode: 0 }] }
    })
    broker.on(createPartitions, ({ topics }) => {
      const { name, count } = topics[0]!
      const { partitions } = this.topics.get(name)!
      while (partitions.length < count) partitions.push(new FakeMirrorPartition())
      return { results: [{ name, errorCode: 0 }] }
    })
    broker.on(describeConfigs, ({ resources }) => {
      const { resourceType, resourceName } = resources[0]!
      const refused = this.refusals.get(describeConfigs.apiKey)
      const configs = [...(this.topics.get(resourceName)?.configs ?? [])].map(([name, value]) => ({
        ...{ name, value, readOnly: false, configSource: 1, isSensitive: false },
      }))
      const code = refused === undefined ? 0 : errorCode(refused)
      const answer = { resourceType, resourceName, errorCode: code, configs }
      return { results: [answer] }
    })
  }

  #metadata(asked: readonly { name: string | null }[]) {
    const refused = this.refusals.get(metadata.apiKey)
    const topics = asked.map(({ name }) => {
      const topic = this.topics.get(name ?? '')
      if (refused !== undefined) return { name, errorCode: errorCode(refused), partitions: [] }
      if (topic === undefined) {
        return { name, errorCode: errorCode('UNKNOWN_TOPIC_OR_PARTITION'), partitions: [] }
      }
      const partitions = topic.partitions.map(({ leaderId, leaderEpoch }, partitionIndex) => ({
        ...{ errorCode: 0, partitionIndex, leaderId, leaderEpoch },
        ...{ replicaNodes: [leaderId], isrNodes: [leaderId] },
      }))
      return { name, topicId: topic.id, errorCode: 0, partitions }
    })
    const brokers = this.brokers.map(({ port }, index) => ({
      ...{ nodeId: index + 1, host: '127.0.0.1', port },
    }))
    return { clusterId: this.clusterId, controllerId: 1, brokers, topics }
  }

  #produce(
    topicData: readonly {
      name: string
      topicId: string
      partitionData: readonly { index: number; records: Buffer | readonly Buffer[] | null }[]
    }[],
    nodeId: number,
    socket: Socket,
  ) {
    let isAnswered = true
    const responses = topicData.map(({ name: asked, topicId, partitionData }) => {
      const name = asked === '' ? this.#nameOf(topicId) : asked
      const partitionResponses = partitionData.map(({ index, records }) => {
        const [error, partition] = this.#led(name, index, nodeId, -1)
        const isUnknown = asked === '' && name === ''
        if (isUnknown) return { index, ...refusal('UNKNOWN_TOPIC_ID') }
        if (partition === undefined) return { index, ...refusal(error) }
        const batch = Buffer.isBuffer(records) ? records : Buffer.concat([...(records ?? [])])
        partition.arrived.push(readBatchHeader(batch).baseSequence)
        const store = () => partition.append(batch)
        const fault = partition.faults.shift()
        const answer = fault === undefined ? store() : fault({ partition, batch, socket, store })
        if (answer === undefined) isAnswered = false
        return { index, ...(answer ?? refusal('UNKNOWN_SERVER_ERROR')) }
      })
      return { name: asked, topicId, partitionResponses }
    })
    return isAnswered ? { responses } : undefined
  }

  #fetch(
    name: string,
    nodeId: number,
    asked: { partition: number; fetchOffset: number; currentLeaderEpoch: number },
  ) {
    const partitionIndex = asked.partition
    const refused = this.refusals.get(fetch.apiKey)
    const [error, partition] = this.#led(name, partitionIndex, nodeId, asked.currentLeaderEpoch)
    const none = { partitionIndex, highWatermark: -1, records: Buffer.alloc(0) }
    if (refused !== undefined) return { ...none, errorCode: errorCode(refused) }
    if (partition === undefined) return { ...none, errorCode: errorCode(error) }
    const visible = partition.end - partition.hidden
    if (asked.fetchOffset < partition.logStart || asked.fetchOffset > partition.end) {
      return { ...none, errorCode: errorCode('OFFSET_OUT_OF_RANGE') }
    }
    const found = partition.batches.filter(
      (batch) => endOf(batch) > asked.fetchOffset && endOf(batch) <= visible,
    )
    const records = Buffer.concat(found)
    return { partitionIndex, errorCode: 0, highWatermark: visible, records }
  }

  #led(
    name: string,
    index: number,
    nodeId: number,
    epoch: number,
  ): [KafkaErrorName, FakeMirrorPartition | undefined] {
    const partition = this.topics.get(name)?.partitions[index]
    if (partition === undefined) return ['UNKNOWN_TOPIC_OR_PARTITION', undefined]
    if (partition.leaderId !== nodeId) return ['NOT_LEADER_OR_FOLLOWER', undefined]
    if (epoch >= 0 && epoch < partition.leaderEpoch) return ['FENCED_LEADER_EPOCH', undefined]
    return ['NONE', partition]
  }

  #nameOf(topicId: string): string {
    for (const [name, { id }] of this.topics) if (id === topicId) return name
    return ''
  }
}

function endOf(batch: Buffer): number {
  const { baseOffset, lastOffsetDelta } = readBatchHeader(batch)
  return baseOffset + lastOffsetDelta + 1
}
