// Replication of every replicated topic to one upstream cluster: which batches go together, on which
// connection, how fast.
//
//   partitions with something ready ─▶ one request per leader (a batch of each, at most 1 MiB)
//                                      ─▶ up to five requests in flight per leader
//
// A broker handles the requests of one connection one after the other, until each is replicated: so
// many partitions per request and large batches do more than depth.

import type { Clock, Timer } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { Admin } from '../kafka/client/admin.ts'
import type { BrokerConnection, TlsSettings } from '../kafka/client/broker-connection.ts'
import { Cluster, type ClusterOptions } from '../kafka/client/cluster.ts'
import { refusedBy } from '../kafka/client/kafka-fault.ts'
import type { SaslSettings } from '../kafka/client/sasl.ts'
import * as initProducerId from '../kafka/protocol/messages/22-init-producer-id.ts'
import type { Log } from '../log/log.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { loadProducerId, saveProducerId } from './cursor.ts'
import { ensureMirror, type MirrorOptions, type MirrorOutcome } from './mirror.ts'
import { PartitionReplicator, type ProduceAnswer, type Sending } from './partition-replicator.ts'
import { exchangeBatches } from './produce-exchange.ts'
import { RateLimit } from './rate-limit.ts'
import { hasMoved } from './stalled-leader.ts'
import { UpstreamLink } from './upstream-link.ts'

export interface ReplicatorOptions {
  log: Log
  clock: Clock
  logger: Logger
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
/** Of everything but Produce, which sets its own. */
const QUESTION_TIMEOUT_MS = 10_000
/** Two SYNs are lost at most before a new one leaves: the link may be back at any moment. */
const CONNECT_TIMEOUT_MS = 5_000
/** Of what passes by itself; after that the partition begins again with the link. */
const RETRY_TIMEOUT_MS = 3_000
/** A broker that has owed an answer for so long may not be the leader any more. */
const STALLED_AFTER_MS = 5_000
const REQUEST_BYTES_MAX = 1024 * 1024
const TOPICS_LOOK_EVERY_MS = 250
const MIRROR_CHECKED_FOR_MS = 5_000

/** Produce requests of one connection without an answer yet. */
interface InFlight {
  count: number
  /** When the last answer came, or the first of them was sent. */
  since: number
  isAsked: boolean
}

export class Replicator {
  readonly #options: ReplicatorOptions
  readonly #cluster: Cluster
  readonly #link: UpstreamLink
  readonly #mirrorOptions: MirrorOptions
  readonly #replicators = new Map<PartitionLog, PartitionReplicator>()
  readonly #clusterOptions: ClusterOptions
  readonly #inFlight = new Map<BrokerConnection, InFlight>()
  readonly #rate: RateLimit
  readonly #mirrors = new Map<
    string,
    { at: number; partitions: number; answer: Promise<MirrorOutcome> }
  >()
  #producerId: Promise<bigint> | undefined
  #producerCluster = ''
  #stopListening: () => void = () => {}
  #timer: Timer | undefined
  #rateTimer: Timer | undefined
  #isPumping = false
  #isClosed = false
  #turn = 0
  #connectedSince: number | undefined
  #stateSince: number

  constructor(options: ReplicatorOptions) {
    this.#options = options
    const { bootstrapServers, clientId, clock, logger, tls, sasl } = options
    this.#clusterOptions = { bootstrapServers, clientId, clock, logger, tls, sasl }
    this.#cluster = new Cluster({
      ...this.#clusterOptions,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      requestTimeoutMs: QUESTION_TIMEOUT_MS,
      retryTimeoutMs: RETRY_TIMEOUT_MS,
    })
    this.#link = new UpstreamLink(this.#cluster, clock)
    const { createTopics, replicationFactor, batchBytesMax } = options
    const cluster = this.#cluster
    const admin = new Admin(cluster)
    this.#mirrorOptions = {
      ...{ cluster, admin, logger, createTopics, replicationFactor, batchBytesMax },
    }
    this.#rate = new RateLimit(clock, options.maxBytesPerSecond)
    this.#stateSince = clock.monotonic()
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

  /** What was sent and not answered is asked about at the next start. The log is free then. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#stopListening()
    this.#timer?.cancel()
    this.#rateTimer?.cancel()
    const replicators = [...this.#replicators.values()]
    const closing = replicators.map((replicator) => replicator.close())
    this.#cluster.close()
    await Promise.all(closing)
  }

  stateOf(partition: PartitionLog): Pick<PartitionReplicator, 'state' | 'reason'> | undefined {
    return this.#replicators.get(partition)
  }

  status(): UpstreamStatus {
    let [lagRecords, lagSeconds, recordsTotal] = [0, 0, 0]
    for (const replicator of this.#replicators.values()) {
      lagRecords += replicator.lag
      lagSeconds = Math.max(lagSeconds, replicator.lagSeconds)
      recordsTotal += replicator.ackedRecords
    }
    return {
      state: this.#isConnected ? 'connected' : 'connecting',
      bootstrapServers: this.#options.bootstrapServers,
      clusterId: this.#cluster.clusterId,
      stateSeconds: (this.#options.clock.monotonic() - this.#stateSince) / 1000,
      lagRecords,
      lagSeconds,
      recordsTotal,
    }
  }

  get #isConnected(): boolean {
    return this.#connectedSince !== undefined
  }

  /** Topics and connections come and go; lag grows. */
  #look(): void {
    this.#timer = this.#options.clock.after(TOPICS_LOOK_EVERY_MS, () => {
      if (this.#isClosed) return
      this.#adoptTopics()
      this.#watchLink()
      this.#watchStalled()
      this.#look()
    })
  }

  #watchLink(): void {
    for (const replicator of this.#replicators.values()) replicator.look()
    const states = [...this.#replicators.values()].map(({ state }) => state)
    const isConnected =
      this.#cluster.isConnected ||
      states.some((state) => state === 'streaming' || state === 'catching-up')
    if (isConnected === this.#isConnected) return
    const { clock, logger, bootstrapServers } = this.#options
    this.#stateSince = clock.monotonic()
    this.#connectedSince = isConnected ? this.#stateSince : undefined
    if (isConnected) logger.info(`upstream ${bootstrapServers.join(',')} connected`)
    else
      logger.warn(`upstream ${bootstrapServers.join(',')} lost: records wait here until it is back`)
  }

  /** Leaves a broker that hangs when the cluster has: what it owes is asked of the new leader. */
  #watchStalled(): void {
    const now = this.#options.clock.monotonic()
    for (const [connection, inFlight] of this.#inFlight) {
      if (inFlight.isAsked || now - inFlight.since < STALLED_AFTER_MS) continue
      const awaited = [...this.#replicators.values()]
        .filter((replicator) => replicator.connection === connection)
        .flatMap((replicator) => replicator.awaited ?? [])
      inFlight.isAsked = true
      hasMoved(awaited, this.#clusterOptions).then((isMoved) => {
        inFlight.isAsked = false
        if (!isMoved || this.#isClosed) return
        this.#options.logger.warn(`${connection.address} does not answer and leads no more`)
        connection.close()
      })
    }
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
      void replicator.close()
      this.#replicators.delete(partition)
      this.#mirrors.delete(partition.topic.name)
    }
  }

  #adopt(partition: PartitionLog): void {
    const { clock, log, logger, lingerMs } = this.#options
    const replicator = new PartitionReplicator(partition, {
      cluster: this.#cluster,
      clock,
      log,
      logger,
      lingerMs,
      link: () => this.#link.reach(),
      mirror: (mine) => this.#mirror(mine),
      producerId: () => this.#ownProducerId(),
      ready: () => this.#pumpSoon(),
      connected: () => {
        for (const other of this.#replicators.values()) other.hurry()
      },
    })
    this.#replicators.set(partition, replicator)
    replicator.start()
  }

  /** One check for all partitions of a topic that come in a row. */
  async #mirror({ topic }: PartitionLog): Promise<{ parked: string | undefined }> {
    const now = this.#options.clock.monotonic()
    const { length: partitions } = topic.partitions
    let known = this.#mirrors.get(topic.name)
    if (known?.partitions !== partitions || now - known.at > MIRROR_CHECKED_FOR_MS) {
      const acked = topic.partitions.reduce((sum, each) => sum + each.replicatedOffset, 0)
      const answer = ensureMirror(topic, acked, this.#mirrorOptions)
      known = { at: now, partitions, answer }
      answer.catch(() => this.#mirrors.delete(topic.name))
      this.#mirrors.set(topic.name, known)
    }
    const outcome = await known.answer
    if (outcome.kind === 'ready') return { parked: undefined }
    this.#mirrors.delete(topic.name)
    return { parked: outcome.reason }
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
    if (this.#isPumping || this.#isClosed) return
    this.#isPumping = true
    this.#options.clock.soon(() => {
      this.#isPumping = false
      if (!this.#isClosed) this.#pump()
    })
  }

  /** Sends what is ready, as far as places in flight and the rate allow. */
  #pump(): void {
    for (;;) {
      const wait = this.#rate.waitMs()
      if (wait > 0) {
        this.#rateTimer?.cancel()
        this.#rateTimer = this.#options.clock.after(wait, () => this.#pumpSoon())
        return
      }
      const gathered = this.#gather()
      if (gathered === undefined) return
      this.#send(gathered.connection, gathered.sendings)
    }
  }

  /** One batch of each partition of one leader; partitions take turns to be first. */
  #gather(): { connection: BrokerConnection; sendings: Sending[] } | undefined {
    const all = [...this.#replicators.values()]
    this.#turn++
    let connection: BrokerConnection | undefined
    let bytes = 0
    const sendings: Sending[] = []
    for (let index = 0; index < all.length; index++) {
      const replicator = all[(index + this.#turn) % all.length]!
      replicator.watchLink()
      const next = replicator.peek()
      const mine = replicator.connection
      if (next === undefined || mine === undefined) continue
      if (connection !== undefined && mine !== connection) continue
      if ((this.#inFlight.get(mine)?.count ?? 0) >= REQUESTS_IN_FLIGHT_MAX) continue
      if (bytes > 0 && bytes + next.bytes.length > REQUEST_BYTES_MAX) continue
      connection = mine
      bytes += next.bytes.length
      sendings.push(replicator.take())
    }
    if (connection === undefined) return undefined
    this.#rate.spend(bytes)
    return { connection, sendings }
  }

  #send(connection: BrokerConnection, sendings: Sending[]): void {
    const { clock } = this.#options
    const fresh = { count: 0, since: clock.monotonic(), isAsked: false }
    const inFlight = this.#inFlight.get(connection) ?? fresh
    inFlight.count++
    this.#inFlight.set(connection, inFlight)
    const settle = (answers: Map<Sending, ProduceAnswer>) => {
      inFlight.count--
      inFlight.since = clock.monotonic()
      if (inFlight.count === 0) this.#inFlight.delete(connection)
      for (const sending of sendings) sending.replicator.settle(sending, answers.get(sending))
      this.#pumpSoon()
    }
    const exchange = exchangeBatches(connection, sendings).catch((error) => {
      if (!(error instanceof AgentError)) throw error
      return new Map<Sending, ProduceAnswer>()
    })
    exchange.then(settle)
  }
}
