// A Kafka cluster as its clients see it: bootstrap addresses, metadata, one connection per address.
//
// Metadata is asked for the topics that somebody has asked about, all in one request, and kept until
// it is old, or until `distrust` says that an answer contradicted it. Questions that need an answer
// (`leaderOf`, `topic`, `sendToAny`) try again with jittered back-off while the fault is retriable, up
// to their time limit; nothing waits longer. Whoever sends records decides about retries alone: a
// request handed to a connection is never sent twice from here.

import type { Clock } from '../../base/clock.ts'
import { sleep } from '../../base/clock.ts'
import { AgentError } from '../../base/errors.ts'
import type { Logger } from '../../base/telemetry.ts'
import { errorCode, errorName, isRetriable, type KafkaErrorName } from '../protocol/error-codes.ts'
import * as metadata from '../protocol/messages/03-metadata.ts'
import type { Decoded } from '../protocol/schema.ts'
import { Backoff } from './backoff.ts'
import { type BrokerAddress, formatAddress, parseAddress } from './broker-address.ts'
import {
  BrokerConnection,
  type ClientApi,
  type SendOptions,
  type TlsSettings,
} from './broker-connection.ts'
import { refusedBy, unreachable } from './kafka-fault.ts'
import { type SaslSettings, saslAuthenticator } from './sasl.ts'

export interface ClusterOptions {
  /** host:port each. */
  bootstrapServers: readonly string[]
  clientId: string
  clock: Clock
  logger: Logger
  tls?: TlsSettings | undefined
  sasl?: SaslSettings | undefined
  connectTimeoutMs?: number
  requestTimeoutMs?: number
  /** Limit of everything that is tried again. */
  retryTimeoutMs?: number
  metadataMaxAgeMs?: number
  random?: () => number
}

type Limits = Required<
  Pick<
    ClusterOptions,
    'connectTimeoutMs' | 'requestTimeoutMs' | 'retryTimeoutMs' | 'metadataMaxAgeMs' | 'random'
  >
>

const DEFAULTS: Limits = {
  connectTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  retryTimeoutMs: 30_000,
  metadataMaxAgeMs: 300_000,
  random: Math.random,
}
const BACKOFF_FIRST_MS = 50
const BACKOFF_LONGEST_MS = 5_000
const WANTED_TOPICS_MAX = 10_000

/** What goes over a connection: questions answered at once, or such as a Fetch that waits for data. */
export type Lane = 'prompt' | 'waiting'

export interface Broker {
  nodeId: number
  host: string
  port: number
  rack: string | null
}

export interface Leader {
  nodeId: number
  /** -1 where the broker is too old to tell. */
  leaderEpoch: number
}

export type TopicMetadata = Decoded<typeof metadata.response>['topics'][number]
export type PartitionMetadata = TopicMetadata['partitions'][number]

/** What says that the leader we believe in is not the leader. */
const STALE_LEADER: readonly KafkaErrorName[] = [
  'NOT_LEADER_OR_FOLLOWER',
  'LEADER_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'UNKNOWN_TOPIC_ID',
  'INCONSISTENT_TOPIC_ID',
  'KAFKA_STORAGE_ERROR',
  'REPLICA_NOT_AVAILABLE',
]

interface KnownTopic {
  topic: TopicMetadata
  at: number
}

export class Cluster {
  readonly #options: ClusterOptions & Limits
  readonly #bootstrap: readonly BrokerAddress[]
  readonly #connections = new Map<string, Promise<BrokerConnection>>()
  readonly #open = new Set<BrokerConnection>()
  readonly #wanted = new Set<string>()
  readonly #topics = new Map<string, KnownTopic>()
  #brokers = new Map<number, Broker>()
  #controllerId = -1
  #clusterId: string | null = null
  #refreshing: Promise<TopicMetadata[]> | undefined
  #turn = 0
  #isClosed = false

  /** Connects to nobody yet. INPUT_CONFIG when an address cannot be one. */
  constructor(options: ClusterOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#bootstrap = options.bootstrapServers.map(parseAddress)
    if (this.#bootstrap.length === 0) {
      throw new AgentError('INPUT_CONFIG', 'there is no bootstrap server: name one, as host:9092')
    }
  }

  /** From the newest metadata; null before any came, or where the broker is too old to tell. */
  get clusterId(): string | null {
    return this.#clusterId
  }

  get brokers(): readonly Broker[] {
    return [...this.#brokers.values()]
  }

  /** Some broker is connected now. */
  get isConnected(): boolean {
    for (const connection of this.#open) if (connection.isOpen) return true
    return false
  }

  /** The bootstrap list as one text, for sentences. */
  get name(): string {
    return this.#options.bootstrapServers.join(',')
  }

  /** The topic's metadata, at most `maxAgeMs` old; undefined when the cluster has no such topic. */
  async topic(name: string, maxAgeMs?: number): Promise<TopicMetadata | undefined> {
    const topic = await this.retrying(() => this.#ask(name, maxAgeMs))
    if (topic.errorCode === errorCode('NONE')) return topic
    if (errorName(topic.errorCode) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
    throw refusedBy(this.name, `a question about topic ${name}`, topic.errorCode)
  }

  /** All topics of the cluster. */
  async topics(): Promise<TopicMetadata[]> {
    const answer = await this.sendToAny(metadata, { topics: null, allowAutoTopicCreation: false })
    this.#take(answer)
    return answer.topics
  }

  /** The leader if one is known and believed in, without asking. */
  knownLeader(topic: string, partition: number): Leader | undefined {
    const known = this.#topics.get(topic)?.topic
    const found = known?.partitions.find(({ partitionIndex }) => partitionIndex === partition)
    if (found === undefined || found.leaderId < 0 || !this.#brokers.has(found.leaderId)) {
      return undefined
    }
    return { nodeId: found.leaderId, leaderEpoch: found.leaderEpoch }
  }

  /** Waits for a leader; INPUT_TOPIC when there is no such partition. */
  leaderOf(topic: string, partition: number, timeoutMs?: number): Promise<Leader> {
    return this.retrying(async () => {
      const { errorCode: code, partitions } = await this.#ask(topic)
      const leader = this.knownLeader(topic, partition)
      if (leader !== undefined) return leader
      this.#topics.delete(topic)
      if (errorName(code) === 'UNKNOWN_TOPIC_OR_PARTITION') {
        throw new AgentError('INPUT_TOPIC', `topic ${topic} does not exist on ${this.name}`)
      }
      if (code !== errorCode('NONE')) throw refusedBy(this.name, `topic ${topic}`, code)
      if (!partitions.some(({ partitionIndex }) => partitionIndex === partition)) {
        const why = `has ${partitions.length} partitions on ${this.name}, and no ${partition}`
        throw new AgentError('INPUT_TOPIC', `topic ${topic} ${why}`)
      }
      const what = `${topic}-${partition} has no leader`
      throw new AgentError('UPSTREAM_RETRY', `${this.name}: ${what}; are enough brokers up?`)
    }, timeoutMs)
  }

  /** Says that a partition's answer was an error: the metadata is asked anew when that is why. */
  distrust(topic: string, code: number): void {
    if (STALE_LEADER.includes(errorName(code))) this.#topics.delete(topic)
  }

  /** One attempt at the leader of a partition; look at the error code and call `distrust`. */
  async sendToLeader<In, Out>(
    topic: string,
    partition: number,
    api: ClientApi<In, Out>,
    request: In,
    options?: SendOptions,
  ): Promise<Out> {
    const { nodeId } = await this.leaderOf(topic, partition)
    return this.sendToNode(nodeId, api, request, options)
  }

  /** One attempt at this broker. */
  async sendToNode<In, Out>(
    nodeId: number,
    api: ClientApi<In, Out>,
    request: In,
    options?: SendOptions,
  ): Promise<Out> {
    const connection = await this.connectionTo(nodeId)
    return connection.send(api, request, options)
  }

  /** Any broker that answers, tried again: only for what may be asked twice. */
  sendToAny<In, Out>(
    api: ClientApi<In, Out>,
    request: In,
    options: SendOptions = {},
  ): Promise<Out> {
    return this.retrying(async () => {
      const connection = await this.anyConnection()
      return connection.send(api, request, options)
    })
  }

  /** One attempt at the controller, or at any broker where none is known. */
  async sendToController<In, Out>(
    api: ClientApi<In, Out>,
    request: In,
    options?: SendOptions,
  ): Promise<Out> {
    if (this.#brokers.size === 0) await this.#refresh()
    const connection = this.#brokers.has(this.#controllerId)
      ? await this.connectionTo(this.#controllerId)
      : await this.anyConnection()
    return connection.send(api, request, options)
  }

  /**
   * The one connection to a broker in this lane, opened when need be. A broker answers in order: what
   * it holds back on purpose belongs into the lane `waiting`, where nothing else stands behind it.
   */
  async connectionTo(nodeId: number, lane: Lane = 'prompt'): Promise<BrokerConnection> {
    if (!this.#brokers.has(nodeId)) await this.#refresh()
    const broker = this.#brokers.get(nodeId)
    if (broker === undefined) throw unreachable(this.name, `has no broker ${nodeId} any more`)
    try {
      return await this.#connect(broker, lane)
    } catch (error) {
      this.#topics.clear()
      throw error
    }
  }

  /** The first broker that can be connected, the bootstrap list last. */
  async anyConnection(): Promise<BrokerConnection> {
    const places = [...this.#brokers.values()]
    const first = this.#turn++ % Math.max(1, places.length)
    const order = [...places.slice(first), ...places.slice(0, first), ...this.#bootstrap]
    const faults: unknown[] = []
    for (const place of order) {
      try {
        return await this.#connect(place)
      } catch (error) {
        if (this.#isClosed) throw error
        faults.push(error)
      }
    }
    throw mostTelling(faults)
  }

  /** Ends every connection; whatever waits is rejected. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#open) connection.close()
    this.#connections.clear()
  }

  #connect({ host, port }: BrokerAddress, lane: Lane = 'prompt'): Promise<BrokerConnection> {
    if (this.#isClosed) return Promise.reject(closed())
    const place = `${lane} ${formatAddress({ host, port })}`
    const known = this.#connections.get(place)
    if (known !== undefined) return known
    const { clientId, clock, tls, sasl, connectTimeoutMs, requestTimeoutMs } = this.#options
    const forget = () => {
      if (this.#connections.get(place) === opening) this.#connections.delete(place)
    }
    const opening = BrokerConnection.open({
      host,
      port,
      clientId,
      clock,
      tls,
      connectTimeoutMs,
      requestTimeoutMs,
      authenticate: sasl === undefined ? undefined : saslAuthenticator(sasl),
      onClose: forget,
    }).then(
      (connection) => this.#admit(connection),
      (error) => {
        forget()
        throw error
      },
    )
    this.#connections.set(place, opening)
    return opening
  }

  #admit(connection: BrokerConnection): BrokerConnection {
    if (this.#isClosed) {
      connection.close()
      throw closed()
    }
    for (const old of this.#open) if (!old.isOpen) this.#open.delete(old)
    this.#open.add(connection)
    return connection
  }

  /** One attempt; an error that may pass is thrown, another stands in the topic. */
  async #ask(name: string, maxAgeMs = this.#options.metadataMaxAgeMs): Promise<TopicMetadata> {
    if (this.#wanted.size >= WANTED_TOPICS_MAX) this.#wanted.clear()
    this.#wanted.add(name)
    const before = this.#topics.get(name)
    const oldest = this.#options.clock.monotonic() - maxAgeMs
    if (before !== undefined && before.at > oldest) return before.topic
    this.#topics.delete(name)
    const topic = (await this.#refresh()).find((answer) => answer.name === name)
    const code = topic?.errorCode ?? errorCode('LEADER_NOT_AVAILABLE')
    if (topic !== undefined && !isPassing(code)) return topic
    throw refusedBy(this.name, `a question about topic ${name}`, code)
  }

  /**
   * Asks about every wanted topic. Who comes while a question is on its way shares its answer; a
   * topic that was not wanted yet then is missing in it, which counts as a fault that may pass.
   */
  #refresh(): Promise<TopicMetadata[]> {
    this.#refreshing ??= this.#askForWanted().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #askForWanted(): Promise<TopicMetadata[]> {
    const topics = [...this.#wanted].map((name) => ({ name }))
    const connection = await this.anyConnection()
    const answer = await connection.send(metadata, { topics, allowAutoTopicCreation: false })
    this.#take(answer)
    return answer.topics
  }

  #take(answer: Decoded<typeof metadata.response>): void {
    if (answer.errorCode !== errorCode('NONE')) {
      throw refusedBy(this.name, 'Metadata', answer.errorCode)
    }
    const clusterId = answer.clusterId ?? this.#clusterId
    if (this.#clusterId !== null && clusterId !== this.#clusterId) {
      this.#options.logger.warn('the bootstrap servers now lead to another cluster', {
        before: this.#clusterId,
        now: clusterId,
      })
    }
    this.#clusterId = clusterId
    this.#controllerId = answer.controllerId
    this.#brokers = new Map(answer.brokers.map((broker) => [broker.nodeId, broker]))
    const at = this.#options.clock.monotonic()
    for (const topic of answer.topics) {
      if (topic.name === null || !this.#wanted.has(topic.name)) continue
      if (topic.errorCode === errorCode('NONE')) this.#topics.set(topic.name, { topic, at })
      else this.#topics.delete(topic.name)
    }
  }

  /** Runs `attempt` until it succeeds, its fault is not retriable, or the time is up. */
  async retrying<T>(
    attempt: () => Promise<T>,
    timeoutMs = this.#options.retryTimeoutMs,
  ): Promise<T> {
    const { clock, random } = this.#options
    const backoff = new Backoff({
      firstMs: BACKOFF_FIRST_MS,
      longestMs: BACKOFF_LONGEST_MS,
      random,
    })
    const deadline = clock.monotonic() + timeoutMs
    for (;;) {
      if (this.#isClosed) throw closed()
      try {
        return await attempt()
      } catch (error) {
        const delay = backoff.next()
        const isWorthIt = error instanceof AgentError && error.retriable && !this.#isClosed
        if (!isWorthIt || clock.monotonic() + delay > deadline) throw error
        await sleep(clock, delay)
      }
    }
  }
}

/** Kafka calls an unknown topic retriable, since it may be created; here it is an answer. */
function isPassing(code: number): boolean {
  return isRetriable(code) && errorName(code) !== 'UNKNOWN_TOPIC_OR_PARTITION'
}

/** A refusal says more than a broker that is down. */
function mostTelling(faults: readonly unknown[]): unknown {
  return faults.find((fault) => fault instanceof AgentError && !fault.retriable) ?? faults.at(-1)
}

function closed(): AgentError {
  return new AgentError('CLOSED', 'the connection to the cluster was closed')
}
