// Everything that the connections of all MQTT listeners share: the ingest path, acks, QoS 2 ids, the
// broker for subscribers, limits, counters and the one timer.
//
// A commit goes: high watermarks (the log) → acks of all connections → connections that waited for
// their window → fan-out.

import type { Duplex } from 'node:stream'
import { assert } from '../base/assert.ts'
import { type Clock, sleep, type Timer } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Counter, Histogram, Logger } from '../base/telemetry.ts'
import { AckBoard } from './acks.ts'
import { CarriedBudget } from './carried-bytes.ts'
import { Connection } from './connection.ts'
import type { ConnectOutcome } from './control-packet.ts'
import type { FanOut } from './fan-out.ts'
import { Ingest, type IngestOptions, NO_ROOM } from './ingest.ts'
import type { IngestLog, IngestPartition } from './ingest-log.ts'
import { OutboundBudget } from './outbound.ts'
import { HeldIds, type HeldIdsLimits } from './qos2.ts'
import { PACKET_SIZE_MAX } from './staging.ts'
import { SubscriberBroker, type Will } from './subscriber-broker.ts'
import type { Users } from './users.ts'

const SWEEP_MS = 1_000
const EXPIRY_SWEEP_MS = 3_600_000
/** QoS 0 waits this long for room before it is dropped: a full commit is not a full disk. */
const ROOM_GRACE_MS = 1_000
const CARRIED_BYTES_MAX = 16_777_216
const OUTBOUND_BYTES_MAX = 16_777_216
/** Acks that no commit releases within this time are not sent. */
const CLOSE_MS = 2_000
const WILLS_WAITING_MAX = 1_000
const MQTT5_CLIENTS_MAX = 200
/** Lines about refused peers in a minute. */
const REFUSED_LINES_MAX = 20

const UNAVAILABLE = 3
const BAD_CREDENTIALS = 4
const NOT_AUTHORIZED = 5

export interface MqttFrontOptions extends IngestOptions {
  clock: Clock
  /** Undefined: names and passwords are not looked at. */
  users: Users | undefined
  /** Undefined: on loopback listeners only. */
  allowAnonymous: boolean | undefined
  maxPacketSize: number
  /** Bytes of a client that may be appended and not durable. */
  windowBytes?: number
  connectTimeoutMs?: number
  heldIdsLimits?: HeldIdsLimits
}

export interface MqttStatus {
  clients: number
  messagesTotal: number
  messagesByQos: readonly [number, number, number]
  acksPending: number
  unroutedTotal: number
  lastUnrouted: string | null
  ackP99Seconds: number
}

export class MqttFront {
  readonly log: IngestLog
  readonly clock: Clock
  readonly logger: Logger
  readonly kernel: IngestLog['kernel']
  readonly ingest: Ingest
  readonly acks: AckBoard
  readonly heldIds: HeldIds
  readonly maxPacketSize: number
  readonly windowBytes: number
  readonly connectTimeoutMs: number
  readonly carriedBudget = new CarriedBudget(CARRIED_BYTES_MAX)
  readonly outboundBudget = new OutboundBudget(OUTBOUND_BYTES_MAX)
  /** Messages taken, by QoS. */
  readonly messages: [number, number, number] = [0, 0, 0]
  /** QoS 0 messages dropped because the log has no room. */
  readonly dropped: Counter
  /** Deliveries skipped because the subscriber does not keep up. */
  readonly skipped: Counter
  readonly #options: MqttFrontOptions
  readonly #durations: Histogram
  readonly #refusals: Counter
  readonly #connections = new Set<Connection>()
  readonly #byClientId = new Map<string, Connection>()
  readonly #unsubscribe: (() => void)[] = []
  readonly #mqtt5Clients = new Set<string>()
  #broker: SubscriberBroker | undefined
  #waitingForRoom: { connection: Connection; refusedBy: IngestPartition | undefined }[] = []
  #wills: Will[] = []
  #noRoomSince: number | undefined
  #nextNumber = 1
  #sweepTimer: Timer | undefined
  #expiredAt: number
  #refusedLines = 0
  #refusedLinesAt = 0

  private constructor(options: MqttFrontOptions) {
    const { log, clock, logger, metrics } = options
    if (options.maxPacketSize > PACKET_SIZE_MAX) {
      const limit = PACKET_SIZE_MAX / 1024
      throw new AgentError('INPUT_CONFIG', `mqtt.maxPacketSize can be at most ${limit}KiB`)
    }
    this.#options = options
    this.log = log
    this.clock = clock
    this.logger = logger
    this.kernel = log.kernel
    this.maxPacketSize = options.maxPacketSize
    this.windowBytes = options.windowBytes ?? 262_144
    this.connectTimeoutMs = options.connectTimeoutMs ?? 10_000
    this.ingest = new Ingest(options)
    const limits = options.heldIdsLimits
    this.heldIds = new HeldIds({ log, clock, logger, ...(limits && { limits }) })
    this.#expiredAt = clock.monotonic()
    this.#durations = metrics.histogram(
      'tributary_mqtt_ack_duration_seconds',
      'Time from a PUBLISH or PUBREL being read to its acknowledgement being sent.',
    )
    this.acks = new AckBoard(clock, this.#durations)
    for (const qos of [0, 1, 2] as const) {
      metrics.observed(
        'counter',
        'tributary_mqtt_messages_total',
        'MQTT messages taken, retransmissions not counted.',
        () => this.messages[qos],
        { qos },
      )
    }
    metrics.observed('gauge', 'tributary_mqtt_clients', 'MQTT clients connected.', () => {
      return this.#byClientId.size
    })
    metrics.observed('gauge', 'tributary_mqtt_acks_pending', 'Acks that wait for a commit.', () => {
      return this.acks.pending
    })
    this.dropped = metrics.counter(
      'tributary_mqtt_dropped_messages_total',
      'QoS 0 messages and wills dropped because the log had no room.',
    )
    this.skipped = metrics.counter(
      'tributary_mqtt_skipped_deliveries_total',
      'Live messages not delivered to a subscriber that does not keep up.',
    )
    this.#refusals = metrics.counter(
      'tributary_mqtt_refused_connections_total',
      'Connections ended because the peer broke the protocol or was refused.',
    )
  }

  /** Ready for connections when it resolves. */
  static async open(options: MqttFrontOptions): Promise<MqttFront> {
    const front = new MqttFront(options)
    const { log, logger, metrics, clock } = options
    front.#broker = await SubscriberBroker.open({
      log,
      logger,
      metrics,
      authenticate: (connection, username, password) =>
        front.#authenticate(connection, username, password),
      forget: (clientId) => front.heldIds.discard(clientId),
      will: (will) => front.#takeWill(will),
    })
    front.#unsubscribe.push(
      log.onCommit((durableCommit) => {
        front.acks.settle(durableCommit)
        front.fanOut.settle(durableCommit)
      }),
      log.onRoom(() => front.#roomMade()),
    )
    front.#sweepTimer = clock.after(SWEEP_MS, () => front.#sweep())
    return front
  }

  get broker(): SubscriberBroker {
    assert(this.#broker !== undefined, 'connections come after the broker is open')
    return this.#broker
  }

  get fanOut(): FanOut {
    return this.broker.fanOut
  }

  get connectionsCount(): number {
    return this.#connections.size
  }

  /** Takes over a socket; `isLoopback`: it came in on a loopback listener. */
  attach(socket: Duplex, peer: string, isLoopback: boolean): Connection {
    const connection = new Connection(this, socket, this.#nextNumber++, peer, isLoopback)
    this.#connections.add(connection)
    return connection
  }

  status(): MqttStatus {
    const [qos0, qos1, qos2] = this.messages
    return {
      clients: this.#byClientId.size,
      messagesTotal: qos0 + qos1 + qos2,
      messagesByQos: this.messages,
      acksPending: this.acks.pending,
      unroutedTotal: this.ingest.unrouted.total,
      lastUnrouted: this.ingest.unrouted.last ?? null,
      ackP99Seconds: this.#durations.quantile(0.99),
    }
  }

  /** Reads no more, sends the acks that are owed, ends every connection; publishes no wills. */
  async close(): Promise<void> {
    this.#sweepTimer?.cancel()
    for (const connection of this.#connections) connection.stopReading()
    await Promise.race([this.acks.drained(), sleep(this.clock, CLOSE_MS)])
    for (const stop of this.#unsubscribe) stop()
    await this.broker.close()
    for (const connection of this.#connections) connection.end()
  }

  // ---- for connections

  hasSession(clientId: string): boolean {
    return this.heldIds.holds(clientId) || this.broker.persistence.hasSession(clientId)
  }

  opened(connection: Connection): void {
    this.#byClientId.set(connection.clientId, connection)
  }

  closed(connection: Connection): void {
    this.#connections.delete(connection)
    const { clientId } = connection
    if (this.#byClientId.get(clientId) !== connection) return
    this.#byClientId.delete(clientId)
    this.broker.persistence.leaveSession(clientId)
  }

  waitForRoom(connection: Connection, refusedBy: IngestPartition | undefined): void {
    this.#waitingForRoom.push({ connection, refusedBy })
  }

  /** True when there has been no room for so long that QoS 0 is dropped rather than held up. */
  isOutOfRoom(refusedBy: IngestPartition | undefined): boolean {
    const now = this.clock.monotonic()
    const fullSince = refusedBy?.fullSince
    if (fullSince !== undefined) return now - fullSince >= ROOM_GRACE_MS
    this.#noRoomSince ??= now
    return now - this.#noRoomSince >= ROOM_GRACE_MS
  }

  /** A peer is being cut off. */
  refused(connection: Connection, reason: string): void {
    this.#refusals.add()
    const now = this.clock.monotonic()
    if (now - this.#refusedLinesAt > 60_000) {
      this.#refusedLinesAt = now
      this.#refusedLines = 0
    }
    if (this.#refusedLines++ >= REFUSED_LINES_MAX) return
    const { clientId, peer } = connection
    this.logger.warn('closed an MQTT connection', { client: clientId, peer, reason })
  }

  refusedConnect(
    connection: Connection,
    { isMqtt5, clientId, reason }: ConnectOutcome & { kind: 'refused' },
  ): void {
    if (!isMqtt5) {
      this.refused(connection, reason)
      return
    }
    this.#refusals.add()
    const isKnown = this.#mqtt5Clients.has(clientId)
    if (isKnown || this.#mqtt5Clients.size >= MQTT5_CLIENTS_MAX) return
    this.#mqtt5Clients.add(clientId)
    const advice = 'this version takes 3.1.1 (mosquitto_pub -V mqttv311)'
    this.logger.warn(`client ${clientId || '(no id)'} speaks MQTT 5; ${advice}`)
  }

  // ----

  async #authenticate(
    { isLoopback }: Connection,
    username: string | undefined,
    password: Buffer | undefined,
  ): Promise<number> {
    const { users, allowAnonymous } = this.#options
    if (username === undefined || users === undefined) {
      return (allowAnonymous ?? isLoopback) ? 0 : NOT_AUTHORIZED
    }
    const verdict = await users.verify(username, password ?? Buffer.alloc(0))
    return verdict === 'right' ? 0 : verdict === 'wrong' ? BAD_CREDENTIALS : UNAVAILABLE
  }

  #takeWill(will: Will): void {
    if (this.#appendWill(will)) return
    if (this.#wills.length < WILLS_WAITING_MAX) this.#wills.push(will)
    else this.dropped.add()
  }

  /** False when there is no room. */
  #appendWill(will: Will): boolean {
    const { clientId, username, mqttTopic, payload, qos, retain } = will
    const source = { number: 0, clientId, username }
    const commit = this.ingest.publishMessage(source, mqttTopic, payload, retain)
    if (commit === NO_ROOM) return false
    if (commit < 0) return true
    this.messages[qos as 0 | 1 | 2]++
    const topic = this.ingest.routed!
    if (retain || this.fanOut.isWanted(topic)) {
      this.fanOut.add({ topic: mqttTopic, payload, qos, retain, clientId }, commit)
      this.fanOut.settle(this.log.durableCommit)
    }
    return true
  }

  #roomMade(): void {
    this.#noRoomSince = undefined
    // A full partition holds up its own wills and clients, and no others.
    this.#wills = this.#wills.filter((will) => !this.#appendWill(will))
    this.#wakeForRoom(({ refusedBy }) => refusedBy?.fullSince === undefined)
  }

  #wakeForRoom(
    isConcerned: (waiting: { refusedBy: IngestPartition | undefined }) => boolean,
  ): void {
    const waiting = this.#waitingForRoom
    this.#waitingForRoom = waiting.filter((each) => !isConcerned(each))
    for (const each of waiting) if (isConcerned(each)) each.connection.roomMade()
  }

  #sweep(): void {
    const now = this.clock.monotonic()
    for (const connection of this.#connections) connection.sweep(now)
    // Without room for long those that hold QoS 0 back drop it now. Whoever waits for a topic that is
    // being deleted hears of no room. The others wait again.
    this.#wakeForRoom(() => true)
    if (now - this.#expiredAt > EXPIRY_SWEEP_MS) {
      this.#expiredAt = now
      this.heldIds.expire()
    }
    this.#sweepTimer = this.clock.after(SWEEP_MS, () => this.#sweep())
  }
}
