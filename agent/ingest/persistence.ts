// What aedes must remember: sessions and their subscriptions, retained messages, queues of clients
// that are away. Synchronous where it can be, and bounded; aedes' own has no bound at all.
//
//   state key   session/<client id, percent-encoded>
//   value       JSON [[filter, qos], …]: a kept session and its subscriptions
//
// - Sessions and subscriptions are journaled and SUBACK waits for it, so that session-present is
//   true after a crash. Retained messages and offline queues are in memory only.
// - Full: a retained topic is not kept, a queued message is dropped, the session that is away the
//   longest is forgotten. All of it is counted.
// - `streamWill` is empty: aedes' sweep of dead brokers would publish the wills of living clients
//   when the wall clock jumps. Incoming QoS 2 never comes here (qos2.ts).

import { Readable } from 'node:stream'
import type { Counter, Metrics } from '../base/telemetry.ts'
import type { BrokerPacket } from './broker-packet.ts'
import { FilterTree, filterMatches } from './filter-tree.ts'
import type { IngestLog } from './ingest-log.ts'
import { OfflineQueue, type QueueBudget } from './offline-queue.ts'

const PREFIX = 'session/'
export const SESSIONS_MAX = 5_000
export const RETAINED_MAX = 5_000
const RETAINED_BYTES_MAX = 8_388_608
const RETAINED_OVERHEAD = 200
export const SUBSCRIPTIONS_MAX = 500
export const SUBSCRIPTION_BYTES_MAX = 60_000
/** Of all kept sessions: they are in every checkpoint. */
const SESSION_BYTES_MAX = 4_194_304

interface ClientRef {
  readonly id: string
}

interface SubscriptionRef {
  readonly topic: string
  readonly qos: number
}

interface Session {
  filters: Map<string, number>
  readonly queue: OfflineQueue
  isConnected: boolean
  /** Of its filters, as they are stored. */
  bytes: number
  /** The commit that makes its newest subscriptions durable. */
  commit: number
}

export interface PersistenceOptions {
  log: IngestLog
  metrics: Metrics
  /** Something that decides who gets a message has changed. */
  changed: () => void
  /** A client begins anew: forgets what else is kept of it; true when there was something. */
  forget: (clientId: string) => boolean
}

export class Persistence {
  readonly #log: IngestLog
  readonly #changed: () => void
  readonly #forget: (clientId: string) => boolean
  /** Kept sessions; those away the longest come first. */
  readonly #sessions = new Map<string, Session>()
  readonly #tree = new FilterTree()
  readonly #retained = new Map<string, BrokerPacket>()
  #retainedBytes = 0
  #sessionBytes = 0
  readonly #budget: QueueBudget = { bytes: 0 }
  readonly #dropped: Counter
  readonly #retainedDropped: Counter
  readonly #wills = new Map<string, object>()

  constructor({ log, metrics, changed, forget }: PersistenceOptions) {
    this.#log = log
    this.#changed = changed
    this.#forget = forget
    this.#dropped = metrics.counter(
      'tributary_mqtt_queue_dropped_total',
      'QoS 1 and 2 messages not queued for a session that is away.',
    )
    this.#retainedDropped = metrics.counter(
      'tributary_mqtt_retained_dropped_total',
      'Retained messages not kept because the store of them is full.',
    )
    for (const [key, value] of log.state.entries(PREFIX)) {
      const clientId = decodeURIComponent(key.slice(PREFIX.length))
      const session = this.#newSession(clientId)
      session.bytes = value.length
      this.#sessionBytes += value.length
      for (const [filter, qos] of JSON.parse(value.toString()) as [string, number][]) {
        session.filters.set(filter, qos)
        if (qos > 0) this.#tree.add(filter, clientId, qos)
      }
    }
  }

  // ---- for our own side

  hasSession(clientId: string): boolean {
    return this.#sessions.has(clientId)
  }

  /** Keeps a session from now on; durable with the next commit that something else causes. */
  beginSession(clientId: string): void {
    const known = this.#sessions.get(clientId)
    if (known !== undefined) {
      known.isConnected = true
      return
    }
    this.#makeRoom()
    this.#newSession(clientId).isConnected = true
    this.#store(clientId, new Map(), true)
  }

  /** The client of a kept session went away. */
  leaveSession(clientId: string): void {
    const session = this.#sessions.get(clientId)
    if (session === undefined) return
    session.isConnected = false
    this.#sessions.delete(clientId)
    this.#sessions.set(clientId, session)
  }

  hasSubscribers(mqttTopic: string): boolean {
    return this.#tree.match(mqttTopic).size > 0
  }

  /** Queues a QoS 1 or 2 packet for every kept session that subscribes. */
  enqueue(packet: BrokerPacket): void {
    for (const [clientId, qos] of this.#tree.match(packet.topic)) {
      const session = this.#sessions.get(clientId)
      if (session !== undefined && !session.queue.add(packet, qos)) this.#dropped.add()
    }
  }

  retain(packet: BrokerPacket): void {
    const { topic } = packet
    const old = this.#retained.get(topic)
    const oldBytes = old === undefined ? 0 : retainedBytes(old)
    const bytes = packet.payload.length === 0 ? 0 : retainedBytes(packet)
    const isFull = old === undefined && this.#retained.size >= RETAINED_MAX
    if (bytes > 0 && (isFull || this.#retainedBytes - oldBytes + bytes > RETAINED_BYTES_MAX)) {
      this.#retainedDropped.add()
      return
    }
    this.#retainedBytes += bytes - oldBytes
    if (bytes === 0) this.#retained.delete(topic)
    else this.#retained.set(topic, { ...packet })
  }

  /** Forgets the session of a client. True when there was one. */
  endSession(clientId: string): boolean {
    const session = this.#sessions.get(clientId)
    if (session === undefined) return false
    for (const filter of session.filters.keys()) this.#tree.remove(filter, clientId)
    session.queue.drop()
    this.#sessionBytes -= session.bytes
    this.#sessions.delete(clientId)
    this.#log.state.delete(keyOf(clientId))
    if (session.filters.size > 0) this.#changed()
    return true
  }

  // ---- aedes' interface

  async setup(): Promise<void> {}

  async storeRetained(packet: BrokerPacket): Promise<void> {
    this.retain(packet)
  }

  createRetainedStream(filter: string): Readable {
    return this.createRetainedStreamCombi([filter])
  }

  createRetainedStreamCombi(filters: string[]): Readable {
    const patterns = filters.map((filter) => filter.split('/'))
    const found = [...this.#retained.values()].filter(({ topic }) =>
      patterns.some((pattern) => filterMatches(pattern, topic)),
    )
    return Readable.from(found)
  }

  async addSubscriptions({ id }: ClientRef, subscriptions: SubscriptionRef[]): Promise<void> {
    const session = this.#sessions.get(id)
    if (session === undefined) throw new Error('the session of the client has ended')
    const news = subscriptions.filter(({ topic, qos }) => session.filters.get(topic) !== qos)
    if (news.length > 0) {
      const filters = new Map(session.filters)
      for (const { topic, qos } of news) filters.set(topic, qos)
      if (filters.size > SUBSCRIPTIONS_MAX) throw new Error('too many subscriptions')
      // Nothing is changed when there is no room for it.
      this.#store(id, filters, false)
      for (const { topic, qos } of news) {
        if (qos > 0) this.#tree.add(topic, id, qos)
        else this.#tree.remove(topic, id)
      }
    }
    this.#changed()
    await this.#log.durable(session.commit)
  }

  async removeSubscriptions({ id }: ClientRef, filters: string[]): Promise<void> {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    let isNew = false
    for (const filter of filters) {
      if (!session.filters.delete(filter)) continue
      isNew = true
      this.#tree.remove(filter, id)
    }
    this.#changed()
    if (!isNew) return
    this.#store(id, session.filters, false)
    await this.#log.durable(session.commit)
  }

  async subscriptionsByClient({ id }: ClientRef): Promise<SubscriptionRef[]> {
    const filters = this.#sessions.get(id)?.filters ?? new Map<string, number>()
    return [...filters].map(([topic, qos]) => ({ topic, qos }))
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    return { subsCount: this.#tree.size, clientsCount: this.#sessions.size }
  }

  async subscriptionsByTopic(mqttTopic: string): Promise<object[]> {
    const found = this.#tree.match(mqttTopic)
    return [...found].map(([clientId, qos]) => ({ clientId, topic: mqttTopic, qos }))
  }

  /** Every clean CONNECT comes here first: what the client had is gone before its CONNACK. */
  async cleanSubscriptions({ id }: ClientRef): Promise<void> {
    const hadSession = this.endSession(id)
    const hadMore = this.#forget(id)
    if (hadSession || hadMore) await this.#log.durable(this.#log.openCommit)
  }

  async outgoingEnqueue(_sub: { clientId: string }, packet: BrokerPacket): Promise<void> {
    this.enqueue(packet)
  }

  async outgoingEnqueueCombi(_subs: object[], packet: BrokerPacket): Promise<void> {
    this.enqueue(packet)
  }

  /** A packet that did not fit the queue is still sent, once. */
  async outgoingUpdate({ id }: ClientRef, packet: BrokerPacket): Promise<void> {
    this.#sessions.get(id)?.queue.update(packet)
  }

  async outgoingClearMessageId(
    { id }: ClientRef,
    { messageId }: { messageId?: number },
  ): Promise<BrokerPacket | undefined> {
    return this.#sessions.get(id)?.queue.clear(messageId)
  }

  outgoingStream({ id }: ClientRef): Readable {
    return Readable.from(this.#sessions.get(id)?.queue.packets() ?? [])
  }

  async cleanIncoming(): Promise<void> {}

  async putWill({ id }: ClientRef, will: object): Promise<void> {
    this.#wills.set(id, will)
  }

  async getWill({ id }: ClientRef): Promise<object | undefined> {
    return this.#wills.get(id)
  }

  async delWill({ id }: ClientRef): Promise<object | undefined> {
    const will = this.#wills.get(id)
    this.#wills.delete(id)
    return will
  }

  streamWill(): Readable {
    return Readable.from([])
  }

  getClientList(): Readable {
    return Readable.from([])
  }

  async destroy(): Promise<void> {}

  // ----

  #newSession(clientId: string): Session {
    const queue = new OfflineQueue(this.#budget)
    const filters = new Map<string, number>()
    const session = { filters, queue, isConnected: false, bytes: 0, commit: 0 }
    this.#sessions.set(clientId, session)
    return session
  }

  #makeRoom(): void {
    if (this.#sessions.size < SESSIONS_MAX) return
    for (const [clientId, { isConnected }] of this.#sessions) {
      if (isConnected) continue
      this.endSession(clientId)
      return
    }
  }

  /** Journals the filters and makes them the session's; throws, and changes nothing, without room. */
  #store(clientId: string, filters: Map<string, number>, ride: boolean): void {
    const session = this.#sessions.get(clientId)!
    const value = Buffer.from(JSON.stringify([...filters]))
    const total = this.#sessionBytes - session.bytes + value.length
    const isMore = value.length > session.bytes
    if (isMore && (value.length > SUBSCRIPTION_BYTES_MAX || total > SESSION_BYTES_MAX)) {
      throw new Error('too many subscriptions')
    }
    session.filters = filters
    session.bytes = value.length
    this.#sessionBytes = total
    this.#log.state.put(keyOf(clientId), value, { ride })
    if (!ride) session.commit = this.#log.openCommit
  }
}

function keyOf(clientId: string): string {
  return PREFIX + encodeURIComponent(clientId)
}

function retainedBytes({ topic, payload }: BrokerPacket): number {
  return RETAINED_OVERHEAD + topic.length + payload.length
}
