// One partition on its way upstream: handshake, then batches in order, up to five in flight, every
// answer's base offset checked.
//
//   acked ──── in flight ──── sent ──── read ahead ──── sealed ──── high watermark
//
//   connecting ─▶ streaming ⇄ catching-up          any fault that may pass ─▶ connecting, later
//        └──────▶ frozen (identity is in doubt) | parked (the upstream refuses)
//
// Only durable, sealed batches go. An answer that says nothing certain (lost connection, time-out,
// too few replicas) never means "failed": the next handshake finds out.

import { type Clock, sleep } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { Backoff } from '../kafka/client/backoff.ts'
import type { Cluster, TopicMetadata } from '../kafka/client/cluster.ts'
import { errorName } from '../kafka/protocol/error-codes.ts'
import type { Log } from '../log/log.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { type Cursor, loadCursor, saveCursor } from './cursor.ts'
import { shakeHands } from './handshake.ts'
import { Outgoing, type OutgoingBatch } from './outgoing.ts'
import { proveTail } from './tail-proof.ts'

export type ReplicationState =
  | 'idle'
  | 'connecting'
  | 'streaming'
  | 'catching-up'
  | 'frozen'
  | 'parked'

/** What the upstream said about one batch. */
export interface ProduceAnswer {
  errorCode: number
  errorMessage: string | null
  baseOffset: number
  logAppendTimeMs: number
}

export interface PartitionReplicatorOptions {
  cluster: Cluster
  clock: Clock
  log: Log
  logger: Logger
  /** Milliseconds the tail may wait for more records before it is sealed and sent. */
  lingerMs: number
  /** The mirror's metadata once it is fit for use; throws what may pass, or says why not. */
  mirror: (partition: PartitionLog) => Promise<TopicMetadata | { parked: string }>
  producerId: () => Promise<bigint>
  /** Something is ready to be sent, or a place in flight is free. */
  ready: () => void
}

const IN_FLIGHT_MAX = 5
const RETRY = { firstMs: 100, longestMs: 10_000, random: Math.random }
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
  /** Node that leads the mirror partition, while streaming. */
  leaderId = -1
  readonly #options: PartitionReplicatorOptions
  readonly #backoff = new Backoff(RETRY)
  #cursor: Cursor | undefined
  #outgoing: Outgoing | undefined
  #inFlight: OutgoingBatch[] = []
  /** Rises with every handshake: answers of an earlier life are not ours any more. */
  #life = 0
  #filling = false
  #sealTimer: { cancel: () => void } | undefined
  #closed = false

  constructor(log: PartitionLog, options: PartitionReplicatorOptions) {
    this.log = log
    this.#options = options
    this.#cursor = loadCursor(options.log.state, log.logId)
    log.replicatedOffset = this.#cursor?.acked ?? 0
  }

  get lag(): number {
    return this.log.highWatermark - this.log.replicatedOffset
  }

  get topicId(): string {
    return this.#cursor?.topicId ?? ''
  }

  get isActive(): boolean {
    return this.#outgoing !== undefined && this.#inFlight.length < IN_FLIGHT_MAX
  }

  start(): void {
    this.#connect().catch((error) => this.#options.logger.error(String(error)))
  }

  close(): void {
    this.#closed = true
    this.#sealTimer?.cancel()
    this.#outgoing = undefined
  }

  /** The next batch to send, if one is ready and may go. */
  peek(): OutgoingBatch | undefined {
    return this.isActive ? this.#outgoing!.next : undefined
  }

  /** Takes that batch: it is in flight until `answered` or `unanswered` with the same life. */
  take(): { batch: OutgoingBatch; life: number } {
    const batch = this.#outgoing!.take()!
    this.#inFlight.push(batch)
    this.#fill()
    return { batch, life: this.#life }
  }

  /** New durable records, or a tail that was sealed. */
  wake(): void {
    this.#fill()
  }

  answered(life: number, batch: OutgoingBatch, answer: ProduceAnswer): void {
    if (life !== this.#life || this.#closed) return
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
    if (answer.logAppendTimeMs !== -1) {
      // The broker says it had this batch before. It may be our own that arrived after the handshake.
      this.#proveDuplicate(life, batch)
      return
    }
    this.#acked(batch)
  }

  /** The connection ended before an answer came: nobody knows whether the batch was stored. */
  unanswered(life: number): void {
    if (life === this.#life) this.#reconnect()
  }

  #acked(batch: OutgoingBatch): void {
    const index = this.#inFlight.indexOf(batch)
    if (index < 0) return
    this.#inFlight.splice(index, 1)
    this.#backoff.reset()
    this.ackedRecords += batch.nextOffset - batch.baseOffset
    // Answers come in order, so everything below is acked too.
    this.#save(batch.nextOffset, true)
    this.#setState()
    this.#options.ready()
  }

  #save(acked: number, ride: boolean): void {
    if (this.#cursor === undefined || acked < this.#cursor.acked) return
    this.#cursor = { ...this.#cursor, acked }
    this.log.replicatedOffset = acked
    saveCursor(this.#options.log.state, this.log.logId, this.#cursor, { ride })
  }

  #refused(error: string, batch: OutgoingBatch, answer: ProduceAnswer): void {
    this.#options.cluster.distrust(this.log.topic.name, answer.errorCode)
    if (!PARKING.has(error)) {
      this.#reconnect()
      return
    }
    const said = answer.errorMessage === null ? '' : ` (${answer.errorMessage})`
    const advice = error.includes('AUTHORIZATION')
      ? `grant Write and Describe on topic ${this.log.topic.name} to this gateway's principal`
      : 'check the settings of the mirror topic'
    this.#park(
      `${this.log.name}: the upstream refuses offset ${batch.baseOffset}: ${error}${said} → ${advice}`,
    )
  }

  #proveDuplicate(life: number, batch: OutgoingBatch): void {
    const { cluster, log } = this.#options
    const leader = cluster.knownLeader(this.log.topic.name, this.log.partition)
    if (leader === undefined) {
      this.#reconnect()
      return
    }
    const topicId = this.#cursor?.topicId ?? ''
    const question = { cluster, codecs: log.codecs, log: this.log, topicId, leader }
    proveTail(question, batch.baseOffset, batch.nextOffset).then(
      (proof) => {
        if (life !== this.#life) return
        if (proof.kind === 'same') this.#acked(batch)
        else if (proof.kind === 'unproven') this.#reconnect()
        else {
          this.#freeze(
            `${this.log.name}: someone else wrote offset ${proof.offset} → stop the other writer, then replication remirror`,
          )
        }
      },
      () => this.unanswered(life),
    )
  }

  #freeze(reason: string): void {
    this.#stop('frozen', reason)
    this.#options.logger.error(reason)
  }

  #park(reason: string): void {
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
    this.#outgoing = undefined
    this.#inFlight = []
    this.leaderId = -1
    this.state = state
    this.reason = reason
  }

  #later(ms: number): void {
    const life = this.#life
    sleep(this.#options.clock, ms).then(() => {
      if (life === this.#life && !this.#closed) this.start()
    })
  }

  async #connect(): Promise<void> {
    const life = ++this.#life
    if (this.state !== 'parked') this.state = 'connecting'
    try {
      const outcome = await this.#shakeHands()
      if (life !== this.#life || this.#closed) return
      if (outcome.kind === 'parked') this.#park(outcome.reason)
      else if (outcome.kind === 'frozen') this.#freeze(outcome.reason)
    } catch (error) {
      if (life !== this.#life || this.#closed) return
      if (error instanceof AgentError && error.retriable) this.#reconnect()
      else if (error instanceof AgentError)
        this.#park(`${error.message} → see upstream in the configuration`)
      else throw error
    }
  }

  async #shakeHands(): Promise<{ kind: 'parked' | 'frozen'; reason: string } | { kind: 'on' }> {
    const { cluster, clock, log } = this.#options
    const life = this.#life
    const topic = await this.#options.mirror(this.log)
    if ('parked' in topic) return { kind: 'parked', reason: topic.parked }
    const outcome = await shakeHands({
      cluster,
      clock,
      codecs: log.codecs,
      log: this.log,
      topic,
      cursor: this.#cursor,
      isClosed: () => this.#closed || life !== this.#life,
    })
    if (outcome.kind === 'frozen') return outcome
    const producerId = await this.#options.producerId()
    await this.log.splitAt(outcome.offset)
    if (life !== this.#life || this.#closed) return { kind: 'on' }
    // From now on a mirror made again, or another cluster, is told from this one.
    const isNew = this.#cursor === undefined
    this.#cursor = outcome.cursor
    this.#save(outcome.offset, !isNew)
    const tools = { kernel: log.kernel, codecs: log.codecs, producerId }
    this.#outgoing = new Outgoing(this.log, tools, outcome.offset)
    this.leaderId = outcome.leader.nodeId
    this.reason = undefined
    this.#setState()
    this.#fill()
    return { kind: 'on' }
  }

  #setState(): void {
    if (this.#outgoing === undefined) return
    // More than what is on its way in a second or so: sealed batches wait.
    const waiting = this.log.sealedOffset - this.#outgoing.readOffset
    this.state = this.lag === 0 ? 'streaming' : waiting > 0 ? 'catching-up' : 'streaming'
  }

  /** Reads ahead, one read at a time; asks for a seal when the tail has waited long enough. */
  #fill(): void {
    const outgoing = this.#outgoing
    if (outgoing === undefined || this.#filling) return
    this.#filling = true
    this.#fillOnce(outgoing).then(
      (goOn) => {
        this.#filling = false
        if (goOn) this.#fill()
      },
      (error) => {
        this.#filling = false
        if (this.#closed || outgoing !== this.#outgoing) return
        this.#park(`${this.log.name}: ${String(error?.message ?? error)} → tributary verify`)
      },
    )
  }

  async #fillOnce(outgoing: Outgoing): Promise<boolean> {
    const filled = await outgoing.fill()
    if (outgoing !== this.#outgoing) return this.#outgoing !== undefined
    if (filled) {
      this.#options.ready()
      return true
    }
    if (outgoing.next !== undefined || this.log.sealedOffset > outgoing.readOffset) return false
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
