// Replication of every replicated topic to one upstream cluster: which batches go together, on which
// connection, how fast.
//
//   partitions with something ready ─▶ one request per leader (a batch of each, at most 1 MiB)
//                                      ─▶ up to five requests in flight per leader
//
// A broker handles the requests of one connection one after the other, until each is replicated: so
// many partitions per request and large batches do more than depth.

import type { Clock, Timer } from '../base/clock.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import type { Logger, Metrics } from '../base/telemetry.ts'
import { Admin } from '../kafka/client/admin.ts'
import type { TlsSettings } from '../kafka/client/broker-connection.ts'
import { Cluster, type TopicMetadata } from '../kafka/client/cluster.ts'
import { refusedBy } from '../kafka/client/kafka-fault.ts'
import type { SaslSettings } from '../kafka/client/sasl.ts'
import * as produce from '../kafka/protocol/messages/00-produce.ts'
import * as initProducerId from '../kafka/protocol/messages/22-init-producer-id.ts'
import type { Log } from '../log/log.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { loadProducerId, saveProducerId } from './cursor.ts'
import { LagClock } from './lag-clock.ts'
import { ensureMirror, type MirrorOptions } from './mirror.ts'
import type { OutgoingBatch } from './outgoing.ts'
import { PartitionReplicator } from './partition-replicator.ts'
import { RateLimit } from './rate-limit.ts'

export interface ReplicatorOptions {
  log: Log
  clock: Clock
  logger: Logger
  metrics: Metrics
  bootstrapServers: readonly string[]
  clientId: string
  tls: TlsSettings | undefined
  sasl: SaslSettings | undefined
  createTopics: boolean
  replicationFactor: number | undefined
  lingerMs: number
  maxBytesPerSecond: number | undefined
  /** The largest batch the log can hold. */
  batchBytesMax: number
}

export interface UpstreamStatus {
  state: 'connecting' | 'connected'
  bootstrapServers: readonly string[]
  clusterId: string | null
  stateSeconds: number
  lagRecords: number
  lagSeconds: number
  recordsTotal: number
}

const REQUESTS_IN_FLIGHT_MAX = 5
const REQUEST_BYTES_MAX = 1024 * 1024
const PRODUCE_TIMEOUT_MS = 30_000
/** Longer than the broker's own limit: an abandoned request could still be stored. */
const ANSWER_TIMEOUT_MS = 60_000
const TOPICS_LOOK_EVERY_MS = 250
const MIRROR_CHECKED_FOR_MS = 5_000

interface Sending {
  replicator: PartitionReplicator
  batch: OutgoingBatch
  life: number
}

export class Replicator {
  readonly #options: ReplicatorOptions
  readonly #cluster: Cluster
  readonly #mirrorOptions: MirrorOptions
  readonly #replicators = new Map<PartitionLog, PartitionReplicator>()
  readonly #inFlight = new Map<number, number>()
  readonly #rate: RateLimit
  readonly #lag: LagClock
  readonly #mirrors = new Map<
    string,
    { at: number; answer: Promise<Awaited<ReturnType<typeof ensureMirror>>> }
  >()
  #producerId: Promise<bigint> | undefined
  #producerCluster = ''
  #stopListening: () => void = () => {}
  #timer: Timer | undefined
  #isPumping = false
  #closed = false
  #turn = 0
  #connectedSince: number | undefined
  #stateSince: number

  constructor(options: ReplicatorOptions) {
    this.#options = options
    const { bootstrapServers, clientId, clock, logger, tls, sasl } = options
    this.#cluster = new Cluster({ bootstrapServers, clientId, clock, logger, tls, sasl })
    const { createTopics, replicationFactor, batchBytesMax } = options
    const cluster = this.#cluster
    const admin = new Admin(cluster)
    this.#mirrorOptions = { cluster, admin, createTopics, replicationFactor, batchBytesMax }
    this.#rate = new RateLimit(clock, options.maxBytesPerSecond)
    this.#lag = new LagClock(clock)
    this.#stateSince = clock.monotonic()
    this.#registerMetrics(options.metrics)
  }

  start(): void {
    this.#adoptTopics()
    this.#stopListening = this.#options.log.onCommit(() => {
      for (const replicator of this.#replicators.values()) {
        if (replicator.lag > 0) replicator.wake()
      }
    })
    this.#look()
  }

  /** What was sent and not answered is asked about at the next start. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stopListening()
    this.#timer?.cancel()
    for (const replicator of this.#replicators.values()) replicator.close()
    this.#cluster.close()
  }

  stateOf(partition: PartitionLog): Pick<PartitionReplicator, 'state' | 'reason'> | undefined {
    return this.#replicators.get(partition)
  }

  status(): UpstreamStatus {
    let [lagRecords, recordsTotal] = [0, 0]
    for (const replicator of this.#replicators.values()) {
      lagRecords += replicator.lag
      recordsTotal += replicator.ackedRecords
    }
    return {
      state: this.#isConnected ? 'connected' : 'connecting',
      bootstrapServers: this.#options.bootstrapServers,
      clusterId: this.#cluster.clusterId,
      stateSeconds: (this.#options.clock.monotonic() - this.#stateSince) / 1000,
      lagRecords,
      lagSeconds: lagRecords === 0 ? 0 : this.#lag.seconds(this.#acked()),
      recordsTotal,
    }
  }

  get #isConnected(): boolean {
    return this.#connectedSince !== undefined
  }

  /** Topics come and go; the link's state and the lag are looked at on the way. */
  #look(): void {
    this.#timer = this.#options.clock.after(TOPICS_LOOK_EVERY_MS, () => {
      if (this.#closed) return
      this.#adoptTopics()
      this.#watchLink()
      let produced = 0
      for (const { log } of this.#replicators.values()) produced += log.highWatermark
      this.#lag.sample(produced)
      this.#look()
    })
  }

  #acked(): number {
    let acked = 0
    for (const { log } of this.#replicators.values()) acked += log.replicatedOffset
    return acked
  }

  #watchLink(): void {
    const states = [...this.#replicators.values()].map(({ state }) => state)
    const isConnected =
      states.some((state) => state === 'streaming' || state === 'catching-up') ||
      (states.length > 0 && states.every((state) => state === 'frozen' || state === 'parked'))
    if (isConnected === this.#isConnected) return
    const { clock, logger, bootstrapServers } = this.#options
    this.#stateSince = clock.monotonic()
    this.#connectedSince = isConnected ? this.#stateSince : undefined
    if (isConnected) logger.info(`upstream ${bootstrapServers.join(',')} connected`)
    else
      logger.warn(`upstream ${bootstrapServers.join(',')} lost: records wait here until it is back`)
  }

  #adoptTopics(): void {
    const { log } = this.#options
    for (const topic of log.topics()) {
      if (!topic.replicated) continue
      for (const partition of topic.partitions) {
        if (!this.#replicators.has(partition)) this.#adopt(partition)
      }
    }
    for (const [partition, replicator] of this.#replicators) {
      if (log.topic(partition.topic.name) === partition.topic) continue
      replicator.close()
      this.#replicators.delete(partition)
      this.#mirrors.delete(partition.topic.name)
    }
  }

  #adopt(partition: PartitionLog): void {
    const { clock, log, logger, lingerMs, metrics } = this.#options
    const replicator = new PartitionReplicator(partition, {
      cluster: this.#cluster,
      clock,
      log,
      logger,
      lingerMs,
      mirror: (mine) => this.#mirror(mine),
      producerId: () => this.#ownProducerId(),
      ready: () => this.#pumpSoon(),
    })
    this.#replicators.set(partition, replicator)
    const labels = { topic: partition.topic.name, partition: partition.partition }
    const states = ['connecting', 'streaming', 'catching-up', 'frozen', 'parked'] as const
    for (const state of states) {
      metrics.observed(
        'gauge',
        'tributary_replication_state',
        '1 for the state the partition is in.',
        () => (replicator.state === state ? 1 : 0),
        { ...labels, state },
      )
    }
    replicator.start()
  }

  /** One check for all partitions of a topic that come in a row. */
  async #mirror({ topic }: PartitionLog): Promise<TopicMetadata | { parked: string }> {
    const now = this.#options.clock.monotonic()
    let known = this.#mirrors.get(topic.name)
    if (known === undefined || now - known.at > MIRROR_CHECKED_FOR_MS) {
      known = { at: now, answer: ensureMirror(topic, this.#mirrorOptions) }
      known.answer.catch(() => this.#mirrors.delete(topic.name))
      this.#mirrors.set(topic.name, known)
    }
    const outcome = await known.answer
    if (outcome.kind === 'parked') this.#mirrors.delete(topic.name)
    return outcome.kind === 'parked' ? { parked: outcome.reason } : outcome.topic
  }

  #ownProducerId(): Promise<bigint> {
    const clusterId = this.#cluster.clusterId ?? ''
    if (this.#producerId === undefined || this.#producerCluster !== clusterId) {
      this.#producerCluster = clusterId
      this.#producerId = this.#askProducerId(clusterId)
      this.#producerId.catch(() => {
        this.#producerId = undefined
      })
    }
    return this.#producerId
  }

  async #askProducerId(clusterId: string): Promise<bigint> {
    const { log } = this.#options
    const known = loadProducerId(log.state, clusterId)
    if (known !== undefined) return known
    const answer = await this.#cluster.retrying(async () => {
      const request = { transactionalId: null, transactionTimeoutMs: 60_000 }
      const given = await this.#cluster.sendToAny(initProducerId, request)
      if (given.errorCode === 0) return given
      throw refusedBy(this.#cluster.name, 'InitProducerId', given.errorCode)
    })
    saveProducerId(log.state, clusterId, answer.producerId)
    await log.durable(log.openCommit)
    return answer.producerId
  }

  #pumpSoon(): void {
    if (this.#isPumping || this.#closed) return
    this.#isPumping = true
    this.#options.clock.soon(() => {
      this.#isPumping = false
      if (!this.#closed) this.#pump()
    })
  }

  /** Sends what is ready, as far as places in flight and the rate allow. */
  #pump(): void {
    for (;;) {
      const wait = this.#rate.waitMs()
      if (wait > 0) {
        this.#options.clock.after(wait, () => this.#pumpSoon())
        return
      }
      const sendings = this.#gather()
      if (sendings === undefined) return
      this.#send(sendings.nodeId, sendings.list)
    }
  }

  /** One batch of each partition of one leader; partitions take turns to be first. */
  #gather(): { nodeId: number; list: Sending[] } | undefined {
    const all = [...this.#replicators.values()]
    this.#turn++
    let nodeId: number | undefined
    let bytes = 0
    const list: Sending[] = []
    for (let index = 0; index < all.length; index++) {
      const replicator = all[(index + this.#turn) % all.length]!
      const next = replicator.peek()
      if (next === undefined || (nodeId !== undefined && replicator.leaderId !== nodeId)) continue
      if ((this.#inFlight.get(replicator.leaderId) ?? 0) >= REQUESTS_IN_FLIGHT_MAX) continue
      if (bytes > 0 && bytes + next.bytes.length > REQUEST_BYTES_MAX) continue
      nodeId = replicator.leaderId
      bytes += next.bytes.length
      list.push({ replicator, ...replicator.take() })
    }
    if (nodeId === undefined) return undefined
    this.#rate.spend(bytes)
    return { nodeId, list }
  }

  #send(nodeId: number, list: Sending[]): void {
    this.#inFlight.set(nodeId, (this.#inFlight.get(nodeId) ?? 0) + 1)
    this.#exchange(nodeId, list)
      .catch((error) => {
        if (!(error instanceof AgentError) && codeOf(error) === '') throw error
        for (const { replicator, life } of list) replicator.unanswered(life)
      })
      .finally(() => {
        this.#inFlight.set(nodeId, this.#inFlight.get(nodeId)! - 1)
        this.#pumpSoon()
      })
  }

  async #exchange(nodeId: number, list: readonly Sending[]): Promise<void> {
    // From version 13 on topics go by id: a batch cannot land in a topic that was made again.
    const topics = new Map<string, Sending[]>()
    for (const sending of list) {
      const { name } = sending.replicator.log.topic
      const known = topics.get(name)
      if (known === undefined) topics.set(name, [sending])
      else known.push(sending)
    }
    const topicData = [...topics].map(([name, sendings]) => ({
      name,
      topicId: sendings[0]!.replicator.topicId,
      partitionData: sendings.map(({ replicator, batch }) => ({
        index: replicator.log.partition,
        records: batch.bytes,
      })),
    }))
    const request = { transactionalId: null, acks: -1, timeoutMs: PRODUCE_TIMEOUT_MS, topicData }
    const options = { timeoutMs: ANSWER_TIMEOUT_MS }
    const answer = await this.#cluster.sendToNode(nodeId, produce, request, options)
    for (const { name, topicId, partitionResponses } of answer.responses) {
      const asked = topicData.find((topic) => topic.name === name || topic.topicId === topicId)
      for (const found of partitionResponses) {
        const sendings = topics.get(asked?.name ?? '') ?? []
        const mine = sendings.find(({ replicator }) => replicator.log.partition === found.index)
        mine?.replicator.answered(mine.life, mine.batch, found)
      }
    }
  }

  #registerMetrics(metrics: Metrics): void {
    const gauge = (name: string, help: string, read: () => number) =>
      metrics.observed('gauge', `tributary_${name}`, help, read)
    gauge('upstream_connected', '1 while the upstream answers.', () => (this.#isConnected ? 1 : 0))
    gauge(
      'upstream_lag_records',
      'Durable here, not acked upstream.',
      () => this.status().lagRecords,
    )
    gauge('upstream_lag_seconds', 'Age of the oldest of them.', () => this.status().lagSeconds)
  }
}
