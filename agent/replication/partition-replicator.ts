// One partition on its way upstream: handshake, then batches in order, up to five in flight, every
// answer's base offset checked.
//
//   acked ──── in flight ──── sent ──── read ahead ──── sealed ──── high watermark
//
//   connecting ─▶ streaming ⇄ catching-up          any fault that may pass ─▶ connecting, later
//        └──────▶ frozen (identity is in doubt) | parked (the upstream refuses)
//
// - Only durable, sealed batches go, and only over the connection of the handshake: when it ends, or
//   an answer says nothing certain (time-out, too few replicas), the next handshake finds out.
// - A handshake begins when everything sent before has been settled, so that nothing of ours is still
//   on its way over a connection that lives.
// - Acked is what lies below the first batch that is not: a batch behind one in doubt waits.

import type { Clock, Timer } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { Backoff } from '../kafka/client/backoff.ts'
import type { BrokerConnection } from '../kafka/client/broker-connection.ts'
import type { Cluster } from '../kafka/client/cluster.ts'
import { errorName } from '../kafka/protocol/error-codes.ts'
import type { Log } from '../log/log.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { type Cursor, loadCursor, saveCursor } from './cursor.ts'
import { shakeHands } from './handshake.ts'
import { LagClock } from './lag-clock.ts'
import { Outgoing, type OutgoingBatch } from './outgoing.ts'
import { adviceFor, parkedBy } from './refusal.ts'
import { SendPin } from './send-pin.ts'
import type { KnownLeader } from './stalled-leader.ts'
import { type MirrorLeader, type OffsetRange, proveTail } from './tail-proof.ts'

export type ReplicationState = 'connecting' | 'streaming' | 'catching-up' | 'frozen' | 'parked'

/** What the upstream said about one batch. */
export interface ProduceAnswer {
  errorCode: number
  errorMessage: string | null
  baseOffset: number
  logAppendTimeMs: number
}

/** A batch that was taken, to be settled exactly once. */
export interface Sending {
  replicator: PartitionReplicator
  batch: OutgoingBatch
  life: number
}

export interface PartitionReplicatorOptions {
  cluster: Cluster
  clock: Clock
  log: Log
  logger: Logger
  /** Milliseconds the tail may wait for more records before it is sealed and sent. */
  lingerMs: number
  /** Resolves when the upstream can be reached; rejects with what waiting does not cure. */
  link: () => Promise<void>
  /** Resolves when the mirror is fit for use, or says why it is not; rejects with what may pass. */
  mirror: (partition: PartitionLog) => Promise<{ parked: string | undefined }>
  producerId: () => Promise<bigint>
  /** Something is ready to be sent, or a place in flight is free. */
  ready: () => void
  /** A handshake went well: whoever waits to try again need not. */
  connected: () => void
}

const IN_FLIGHT_MAX = 5
const RETRY = { firstMs: 100, longestMs: 5_000, random: Math.random }
const PARKED_RETRY_MS = 30_000
/** Errors that waiting does not cure and that concern this batch or topic: kafka-semantics §11.12. */
const PARKING = new Set([
  'MESSAGE_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'CORRUPT_MESSAGE',
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'INVALID_TOPIC_EXCEPTION',
  'POLICY_VIOLATION',
  'INVALID_REQUIRED_ACKS',
])

export class PartitionReplicator {
  readonly log: PartitionLog
  state: ReplicationState = 'connecting'
  /** Ends in what to do; undefined while all is well. */
  reason: string | undefined
  ackedRecords = 0
  readonly #options: PartitionReplicatorOptions
  readonly #backoff = new Backoff(RETRY)
  readonly #lagClock: LagClock
  readonly #pin: SendPin
  #cursor: Cursor | undefined
  #leader: MirrorLeader | undefined
  #outgoing: Outgoing | undefined
  #inFlight: { batch: OutgoingBatch; isStored: boolean }[] = []
  /** Rises with every handshake and every end of one: what is of an earlier life is not ours now. */
  #life = 0
  /** Batches taken in any life and not settled yet. */
  #unsettled = 0
  #sentOffset = 0
  /** A handshake waits for those. */
  #isDue = false
  #isFilling = false
  #isFillWanted = false
  #filled: Promise<void> = Promise.resolve()
  #sealTimer: Timer | undefined
  /** Runs between a fault and the next handshake. */
  #retryTimer: Timer | undefined
  /** The last Kafka error that was logged, until something is acked. */
  #trouble = ''
  #saidLost: OffsetRange = { from: 0, to: 0 }
  #isClosed = false

  constructor(log: PartitionLog, options: PartitionReplicatorOptions) {
    this.log = log
    this.#options = options
    this.#lagClock = new LagClock(options.clock)
    this.#cursor = loadCursor(options.log.state, log.logId)
    log.replicatedOffset = this.#cursor?.acked ?? 0
    this.#pin = new SendPin(options.log, log, this.#cursor !== undefined, options.ready)
  }

  get lag(): number {
    return this.log.highWatermark - this.log.replicatedOffset
  }

  /** Age of the oldest record that is not acked; 0 when there is none. */
  get lagSeconds(): number {
    return this.lag === 0 ? 0 : this.#lagClock.seconds(this.log.replicatedOffset)
  }

  get topicId(): string {
    return this.#cursor?.topicId ?? ''
  }

  /** To the leader, while streaming. */
  get connection(): BrokerConnection | undefined {
    return this.#leader?.connection
  }

  /** Who owes us an answer; undefined: nobody. */
  get awaited(): KnownLeader | undefined {
    if (this.#leader === undefined || this.#inFlight.length === 0) return undefined
    const { nodeId, leaderEpoch } = this.#leader
    return { topic: this.log.topic.name, partition: this.log.partition, nodeId, leaderEpoch }
  }

  start(): void {
    this.#isDue = false
    this.#connect().catch((error) => this.#park(parkedBy(error, this.log.topic.name)))
  }

  /** Resolves when nothing reads the log any more. */
  close(): Promise<void> {
    this.#isClosed = true
    this.#sealTimer?.cancel()
    this.#retryTimer?.cancel()
    this.#outgoing = undefined
    this.#leader = undefined
    this.#pin.lost()
    return this.#filled
  }

  /** The next batch to send, if one is ready and may go. */
  peek(): OutgoingBatch | undefined {
    const next = this.#inFlight.length < IN_FLIGHT_MAX ? this.#outgoing?.next : undefined
    return next !== undefined && this.#pin.covers(next.nextOffset) ? next : undefined
  }

  /** Takes that batch. */
  take(): Sending {
    const batch = this.#outgoing!.take()!
    this.#inFlight.push({ batch, isStored: false })
    this.#unsettled++
    this.#sentOffset = Math.max(this.#sentOffset, batch.nextOffset)
    this.#pin.sent(batch.nextOffset)
    this.#fill()
    return { replicator: this, batch, life: this.#life }
  }

  /** What the upstream said about a batch; undefined: nothing, and it may have stored it or not. */
  settle({ batch, life }: Sending, answer: ProduceAnswer | undefined): void {
    this.#unsettled--
    if (life === this.#life && !this.#isClosed) {
      if (answer === undefined) this.#reconnect()
      else this.#answered(batch, answer)
    }
    if (this.#unsettled === 0 && this.#isDue && !this.#isClosed) this.start()
  }

  /** New durable records. */
  wake(): void {
    this.#fill()
  }

  /** The upstream is well: a wait that a passing fault began ends now. */
  hurry(): void {
    if (this.state === 'connecting' && this.#retryTimer !== undefined) this.#retry()
  }

  /** To be called a few times a second. */
  look(): void {
    this.#lagClock.sample(this.log.highWatermark, this.log.replicatedOffset)
    this.watchLink()
  }

  /** Without a connection whatever was known of the mirror is old. */
  watchLink(): void {
    if (this.#leader !== undefined && !this.#leader.connection.isOpen) this.#reconnect()
  }

  #answered(batch: OutgoingBatch, answer: ProduceAnswer): void {
    const error = errorName(answer.errorCode)
    if (error !== 'NONE') {
      this.#refused(error, batch, answer)
      return
    }
    if (answer.baseOffset !== batch.baseOffset) {
      const { name } = this.log
      this.#freeze(
        `${name}: offset ${batch.baseOffset} was stored upstream at ${answer.baseOffset}: somebody else writes there → stop the other writer, then replication remirror`,
      )
      return
    }
    // With a time the broker says that it had this batch before. It may be our own that landed after
    // the handshake, and it may be another gateway's with our producer id.
    if (answer.logAppendTimeMs === -1) this.#stored(batch)
    else this.#proveDuplicate(batch)
  }

  #stored(batch: OutgoingBatch): void {
    const entry = this.#inFlight.find((candidate) => candidate.batch === batch)
    if (entry === undefined) return
    entry.isStored = true
    let acked: OutgoingBatch | undefined
    while (this.#inFlight[0]?.isStored) {
      acked = this.#inFlight.shift()!.batch
      this.ackedRecords += acked.nextOffset - acked.baseOffset
    }
    if (acked === undefined) return
    this.#backoff.reset()
    this.#trouble = ''
    this.#save(acked.nextOffset, true)
    this.#setState()
    this.#options.ready()
  }

  #save(acked: number, ride: boolean): void {
    if (this.#cursor === undefined || acked < this.#cursor.acked || this.log.isDeleted) return
    this.#cursor = { ...this.#cursor, acked }
    this.log.replicatedOffset = acked
    saveCursor(this.#options.log.state, this.log.logId, this.#cursor, { ride })
  }

  #refused(error: string, batch: OutgoingBatch, answer: ProduceAnswer): void {
    const { name, topic } = this.log
    this.#options.cluster.distrust(topic.name, answer.errorCode)
    const said = answer.errorMessage === null ? '' : ` (${answer.errorMessage})`
    if (error === 'INVALID_PRODUCER_EPOCH') {
      this.#freeze(
        `${name}: somebody else writes there as this gateway's producer → stop the other writer, then replication remirror`,
      )
    } else if (PARKING.has(error)) {
      const what = `${name}: the upstream refuses offset ${batch.baseOffset}: ${error}${said}`
      this.#park(`${what} → ${adviceFor(error, topic.name)}`)
    } else {
      if (error !== this.#trouble) {
        this.#options.logger.warn(
          `${name}: the upstream answers ${error}${said}; asking where it is`,
        )
      }
      this.#trouble = error
      this.#reconnect()
    }
  }

  #proveDuplicate(batch: OutgoingBatch): void {
    const life = this.#life
    const { codecs } = this.#options.log
    const question = { codecs, log: this.log, topicId: this.topicId, leader: this.#leader! }
    proveTail(question, batch.baseOffset, batch.nextOffset).then(
      (proof) => {
        if (life !== this.#life || this.#isClosed) return
        if (proof.kind === 'same') {
          if (proof.lost !== undefined) this.#lostHere(proof.lost)
          this.#stored(batch)
        }
        // The handshake can do without a proof.
        else if (proof.kind === 'unproven') this.#reconnect()
        else {
          this.#freeze(
            `${this.log.name}: someone else wrote offset ${proof.offset} → stop the other writer, then replication remirror`,
          )
        }
      },
      () => {
        if (life === this.#life && !this.#isClosed) this.#reconnect()
      },
    )
  }

  /** The mirror is right about what this log has lost to damage. */
  #lostHere({ from, to }: OffsetRange): void {
    if (from >= this.#saidLost.from && to <= this.#saidLost.to) return
    this.#saidLost = { from, to }
    const offsets = to - from === 1 ? `offset ${from} is` : `offsets ${from} to ${to - 1} are`
    this.#options.logger.warn(
      `${this.log.name}: ${offsets} lost on this gateway; the upstream has them → read them there`,
    )
  }

  #freeze(reason: string): void {
    this.#stop('frozen', reason)
    this.#options.logger.error(reason)
  }

  #park(reason: string): void {
    if (this.#isClosed) return
    if (this.reason !== reason) this.#options.logger.error(reason)
    this.#stop('parked', reason)
    this.#later(PARKED_RETRY_MS)
  }

  #reconnect(): void {
    this.#stop('connecting', undefined)
    this.#later(this.#backoff.next())
  }

  #stop(state: ReplicationState, reason: string | undefined): void {
    this.#life++
    this.#isDue = false
    this.#retryTimer?.cancel()
    this.#retryTimer = undefined
    this.#outgoing = undefined
    this.#inFlight = []
    this.#leader = undefined
    this.#pin.lost()
    this.state = state
    this.reason = reason
  }

  #later(ms: number): void {
    this.#retryTimer = this.#options.clock.after(ms, () => this.#retry())
  }

  #retry(): void {
    this.#retryTimer?.cancel()
    this.#retryTimer = undefined
    if (this.#isClosed) return
    this.#isDue = true
    if (this.#unsettled === 0) this.start()
  }

  async #connect(): Promise<void> {
    const life = ++this.#life
    try {
      const outcome = await this.#shakeHands(life)
      if (life !== this.#life || this.#isClosed) return
      if (outcome.kind === 'parked') this.#park(outcome.reason)
      else if (outcome.kind === 'frozen') this.#freeze(outcome.reason)
    } catch (error) {
      if (life !== this.#life || this.#isClosed) return
      // A partition or broker that is not there any more may be there at the next look.
      const isPassing =
        error instanceof AgentError && (error.retriable || error.code === 'INPUT_TOPIC')
      if (isPassing) this.#reconnect()
      else this.#park(parkedBy(error, this.log.topic.name))
    }
  }

  async #shakeHands(
    life: number,
  ): Promise<{ kind: 'parked' | 'frozen'; reason: string } | { kind: 'on' }> {
    const { cluster, clock, log, link, mirror, producerId } = this.#options
    const isOver = () => this.#isClosed || life !== this.#life
    await link()
    const { parked } = await mirror(this.log)
    if (parked !== undefined) return { kind: 'parked', reason: parked }
    const outcome = await shakeHands({
      cluster,
      clock,
      codecs: log.codecs,
      log: this.log,
      cursor: this.#cursor,
      sentOffset: this.#sentOffset,
      lostHere: (range) => this.#lostHere(range),
      isClosed: isOver,
    })
    if (outcome.kind === 'frozen') return outcome
    const tools = { kernel: log.kernel, codecs: log.codecs, producerId: await producerId() }
    const { acked } = outcome.cursor
    if (!isOver()) await this.log.splitAt(acked)
    if (isOver()) return { kind: 'on' }
    // From now on a mirror made again, or another cluster, is told from this one.
    const isNew = this.#cursor === undefined
    this.#cursor = outcome.cursor
    this.#save(acked, !isNew)
    // A later life has to know that something may have been sent.
    if (isNew) await log.durable(log.openCommit)
    if (isOver()) return { kind: 'on' }
    this.#pin.found(acked)
    this.#outgoing = new Outgoing(this.log, tools, acked)
    this.#leader = outcome.leader
    this.reason = undefined
    this.#setState()
    this.#fill()
    this.#options.connected()
    return { kind: 'on' }
  }

  #setState(): void {
    if (this.#outgoing === undefined) return
    const isBehind = this.lag > 0 && this.log.sealedOffset > this.#outgoing.readOffset
    this.state = isBehind ? 'catching-up' : 'streaming'
  }

  /** Reads ahead, one read at a time; asks for a seal when the tail has waited long enough. */
  #fill(): void {
    this.#isFillWanted = true
    if (!this.#isFilling) this.#filled = this.#fillAll()
  }

  async #fillAll(): Promise<void> {
    this.#isFilling = true
    while (this.#isFillWanted && this.#outgoing !== undefined) {
      this.#isFillWanted = false
      const outgoing = this.#outgoing
      try {
        if (await this.#fillOnce(outgoing)) this.#isFillWanted = true
      } catch (error) {
        if (outgoing === this.#outgoing) this.#park(parkedBy(error, this.log.topic.name))
      }
      // Whoever reconnected meanwhile could not start a read of its own.
      if (outgoing !== this.#outgoing) this.#isFillWanted = true
    }
    this.#isFilling = false
  }

  /** True: there may be more. */
  async #fillOnce(outgoing: Outgoing): Promise<boolean> {
    if (outgoing.isFull) return false
    this.#pin.reading()
    const bytes = await outgoing.fill()
    if (outgoing !== this.#outgoing) return true
    this.#pin.read(outgoing.readOffset, bytes)
    if (bytes > 0) {
      this.#options.ready()
      return true
    }
    if (outgoing.next !== undefined) return false
    if (this.log.sealedOffset > outgoing.readOffset) return true
    const { tailAge } = this.log
    if (tailAge === 0) return false
    const { lingerMs, clock } = this.#options
    if (tailAge >= lingerMs) {
      await this.log.seal()
      return true
    }
    this.#sealTimer?.cancel()
    this.#sealTimer = clock.after(lingerMs - tailAge + 0.5, () => this.#fill())
    return false
  }
}
