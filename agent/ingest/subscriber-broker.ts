// aedes behind our front: CONNECT, subscriptions, retained messages, deliveries, wills.
//
// - Every PUBLISH, PUBREL and PINGREQ of a client ends in the front (connection.ts); aedes never
//   sees them. What it would publish itself, wills aside, are its `$SYS` notices: swallowed.
// - A will is logged and fanned out like any message. Closing the agent publishes none: no device
//   failed, and a crash would not publish them either.
// - Deliveries go only to clients that have their CONNACK and keep reading; a QoS 1 or 2 message for
//   a kept session stays in its queue, and the connection is closed to send it again later.

import { Aedes, type AuthenticateError, type Client } from 'aedes'
import type { Logger, Metrics } from '../base/telemetry.ts'
import type { BrokerPacket } from './broker-packet.ts'
import type { Connection } from './connection.ts'
import { FanOut } from './fan-out.ts'
import { filterMatches } from './filter-tree.ts'
import type { FrontDuplex } from './front-duplex.ts'
import type { IngestLog } from './ingest-log.ts'
import { LEVELS_MAX } from './mqtt-text.ts'
import { Persistence, SUBSCRIPTION_BYTES_MAX, SUBSCRIPTIONS_MAX } from './persistence.ts'

/** A blocked delivery ends its connection after this. */
const DRAIN_TIMEOUT_MS = 5_000

export interface Will {
  readonly mqttTopic: string
  readonly payload: Buffer
  readonly qos: number
  readonly retain: boolean
  readonly clientId: string
  readonly username: string | undefined
}

export interface SubscriberBrokerOptions {
  log: IngestLog
  logger: Logger
  metrics: Metrics
  /** 0 = welcome, else the return code of the CONNACK. */
  authenticate: (
    connection: Connection,
    username: string | undefined,
    password: Buffer | undefined,
  ) => Promise<number>
  /** A clean session begins: forgets what is kept of the client; true when there was something. */
  forget: (clientId: string) => boolean
  will: (will: Will) => void
}

interface Matcher {
  match(mqttTopic: string): unknown[]
}

/** mqemitter, which aedes makes and its types leave out. */
interface MessageEmitter {
  _matcher: Matcher
  emit(packet: BrokerPacket, done: () => void): unknown
  on(filter: string, notify: unknown, done?: () => void): unknown
  removeListener(filter: string, notify: unknown, done?: () => void): unknown
}

type PublishDone = (error?: Error | null) => void

interface BrokerInternals {
  mq: MessageEmitter
  counter: number
  publish: (packet: BrokerPacket, client: unknown, done?: PublishDone) => void
}

interface BrokerTimers {
  _heartbeatInterval: NodeJS.Timeout
  _clearWillInterval: NodeJS.Timeout
}

export class SubscriberBroker {
  readonly persistence: Persistence
  readonly fanOut: FanOut
  readonly #options: SubscriberBrokerOptions
  readonly #aedes: Aedes
  #isClosing = false

  private constructor(options: SubscriberBrokerOptions) {
    this.#options = options
    const { log, metrics, logger, forget } = options
    const changed = () => this.fanOut.changed()
    this.persistence = new Persistence({ log, metrics, changed, forget })
    this.#aedes = new Aedes({
      id: 'tributary',
      persistence: this.persistence,
      concurrency: 1_000,
      drainTimeout: DRAIN_TIMEOUT_MS,
      maxTopicLevels: LEVELS_MAX,
      keepaliveLimit: 0,
      authenticate: (client, username, password, done) => {
        this.#authenticate(client, username, password, done)
      },
      authorizePublish: (_client, packet, done) => {
        done(packet.topic.startsWith('$SYS/') ? new Error('$SYS is reserved') : null)
      },
      authorizeSubscribe: (client, subscription, done) => {
        done(null, hasRoomFor(client as Client, subscription.topic) ? subscription : null)
      },
    })
    const internals = this.#aedes as unknown as BrokerInternals
    const { mq } = internals
    this.fanOut = new FanOut({
      broker: this.#aedes as unknown as { id: string; counter: number },
      persistence: this.persistence,
      metrics,
      emitter: {
        emit: (packet, done) => mq.emit(packet, done),
        hasListener: (mqttTopic) => mq._matcher.match(mqttTopic).length > 0,
      },
    })
    this.#watchSubscriptions(mq)
    internals.publish = (packet, client, done) => this.#publish(packet, client, done)
    this.#aedes.authorizeForward = (client, packet) => {
      const isAllowed = connectionOf(client).mayDeliver(packet as unknown as BrokerPacket)
      if (isAllowed && packet.qos > 0) lowerQos(client, packet)
      return isAllowed ? packet : null
    }
    this.#aedes.on('connackSent', (connack, client) => {
      if (connack.returnCode === 0) connectionOf(client).accepted(client.id)
    })
    this.#aedes.on('subscribe', (_filters, client) => connectionOf(client).subscribed())
    this.#aedes.on('unsubscribe', (_filters, client) => connectionOf(client).subscribed())
    const events = this.#aedes as unknown as NodeJS.EventEmitter
    events.on('error', (error: Error) => {
      logger.error(`the broker for local subscribers failed: ${error.message}`)
    })
    events.on('clientError', (client: Client, error: Error) => {
      logger.debug('client error', { client: client.id, reason: error.message })
    })
  }

  /** Ready to take connections when it resolves. */
  static async open(options: SubscriberBrokerOptions): Promise<SubscriberBroker> {
    const broker = new SubscriberBroker(options)
    await broker.#aedes.listen()
    const timers = broker.#aedes as unknown as BrokerTimers
    // The listeners keep the process alive, not the broker's housekeeping.
    timers._heartbeatInterval.unref()
    timers._clearWillInterval.unref()
    return broker
  }

  /** Takes over the control packets of one connection; CONNECT comes first. */
  handle(front: FrontDuplex): void {
    this.#aedes.handle(front)
  }

  /** Ends all connections; publishes no wills. */
  close(): Promise<void> {
    this.#isClosing = true
    return new Promise((resolve) => this.#aedes.close(resolve))
  }

  #authenticate(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void {
    this.#options.authenticate(connectionOf(client), username, password).then(
      (returnCode) => {
        if (returnCode === 0) return done(null, true)
        const error = Object.assign(new Error('refused'), { returnCode }) as AuthenticateError
        done(error, null)
      },
      () => done(Object.assign(new Error('failed'), { returnCode: 3 }) as AuthenticateError, null),
    )
  }

  #publish(packet: BrokerPacket, client: unknown, done?: PublishDone): void {
    const finish = typeof client === 'function' ? (client as PublishDone) : done
    if (!this.#isClosing && !packet.topic.startsWith('$SYS/')) {
      const owner = client as Client | null
      const conn = owner?.conn as FrontDuplex | undefined
      this.#options.will({
        mqttTopic: packet.topic,
        payload: packet.payload,
        qos: packet.qos,
        retain: packet.retain,
        clientId: owner?.id ?? '',
        username: conn?.connection.username,
      })
    }
    finish?.()
  }

  /** Live subscriptions come and go through the emitter; a removal takes effect a turn later. */
  #watchSubscriptions(mq: MessageEmitter): void {
    const on = mq.on.bind(mq)
    const removeListener = mq.removeListener.bind(mq)
    mq.on = (filter, notify, done) => {
      const result = on(filter, notify, done)
      this.fanOut.changed()
      return result
    }
    mq.removeListener = (filter, notify, done) =>
      removeListener(filter, notify, () => {
        this.fanOut.changed()
        done?.()
      })
  }
}

/**
 * To the QoS that the subscription was granted: aedes does this only where the filter is the topic
 * itself [MQTT-3.8.4-6]. The packet is this delivery's own copy.
 */
function lowerQos(client: Client, packet: { topic: string; qos: number }): void {
  const { subscriptions } = client as unknown as { subscriptions: Record<string, { qos: number }> }
  let granted = 0
  for (const filter in subscriptions) {
    const { qos } = subscriptions[filter]!
    if (qos > granted && filterMatches(filter.split('/'), packet.topic)) granted = qos
  }
  if (granted > 0 && granted < packet.qos) packet.qos = granted
}

/** Whether a client may subscribe to one filter more; aedes has no bound. */
function hasRoomFor(client: Client, filter: string): boolean {
  const { subscriptions } = client as unknown as { subscriptions: Record<string, unknown> }
  const filters = Object.keys(subscriptions)
  if (filters.includes(filter)) return true
  const bytes = filters.reduce((sum, each) => sum + each.length, filter.length)
  return filters.length < SUBSCRIPTIONS_MAX && bytes <= SUBSCRIPTION_BYTES_MAX
}

function connectionOf(client: Client): Connection {
  return (client.conn as FrontDuplex).connection
}
