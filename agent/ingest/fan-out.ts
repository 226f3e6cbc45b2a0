// Messages on their way to local MQTT subscribers, after their commit.
//
// - Only what somebody subscribes to, or what is retained, comes here; everything else costs one
//   comparison of generations.
// - Never through broker.publish: it awaits for QoS > 0, messages overtake each other, and the
//   subscriber's de-duplication drops the older one. Storing, queueing and emitting happen here in
//   one turn, in the order of arrival.
// - Bounded by count and bytes; what does not fit is counted and dropped. The emitter's own queue
//   stays empty, because only so many messages are with it at a time; a subscriber that does not
//   read never keeps one (subscriber-broker.ts skips it).

import type { Counter, Metrics } from '../base/telemetry.ts'
import { type BrokerPacket, type MessageParts, newPacket } from './broker-packet.ts'
import type { Persistence } from './persistence.ts'
import type { RoutedTopic } from './route-cache.ts'

export const FAN_OUT_MESSAGES_MAX = 10_000
const FAN_OUT_BYTES_MAX = 8_388_608
const EMITTING_MAX = 500

/** The emitter of a broker. */
interface Emitter {
  emit(packet: BrokerPacket, done: () => void): unknown
  /** True when a connected client subscribes to the topic. */
  hasListener(mqttTopic: string): boolean
}

export interface FanOutOptions {
  emitter: Emitter
  broker: { id: string; counter: number }
  persistence: Persistence
  metrics: Metrics
}

interface Waiting {
  readonly commit: number
  readonly message: MessageParts
}

export class FanOut {
  readonly #options: FanOutOptions
  readonly #dropped: Counter
  /** From #head on; compacted now and then. */
  #queue: Waiting[] = []
  #head = 0
  #bytes = 0
  #emitting = 0
  #isPumping = false
  #durableCommit = 0
  /** Grows whenever a subscription comes or goes. */
  generation = 0

  constructor(options: FanOutOptions) {
    this.#options = options
    this.#dropped = options.metrics.counter(
      'tributary_mqtt_fan_out_dropped_total',
      'Messages not delivered to local MQTT subscribers because too many were waiting.',
    )
    this.emitted = this.emitted.bind(this)
  }

  get waiting(): number {
    return this.#queue.length - this.#head
  }

  changed(): void {
    this.generation++
  }

  /** Whether anybody subscribes to what was published; remembered in the entry. */
  isWanted(topic: RoutedTopic): boolean {
    if (topic.generation !== this.generation) {
      const { emitter, persistence } = this.#options
      topic.isWanted =
        topic.kind !== 'ignored' &&
        (emitter.hasListener(topic.mqttTopic) || persistence.hasSubscribers(topic.mqttTopic))
      topic.generation = this.generation
    }
    return topic.isWanted
  }

  /** Delivers the message when `commit` is durable; 0 = as soon as it is its turn. */
  add(message: MessageParts, commit: number): void {
    const size = message.payload.length + message.topic.length
    // A retained message also changes what later subscribers get: it has room that others have not.
    const share = message.retain ? 1 : 0.75
    const isFull =
      this.waiting >= FAN_OUT_MESSAGES_MAX * share || this.#bytes + size > FAN_OUT_BYTES_MAX * share
    if (isFull) {
      this.#dropped.add()
      return
    }
    this.#bytes += size
    this.#queue.push({ commit, message })
  }

  /** Delivers what `durableCommit` makes durable. */
  settle(durableCommit: number): void {
    this.#durableCommit = durableCommit
    this.#pump()
  }

  /** One message has been handed to every subscriber's socket, or to none. */
  emitted(): void {
    this.#emitting--
    this.#pump()
  }

  #pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    while (this.#emitting < EMITTING_MAX && this.#head < this.#queue.length) {
      const { commit, message } = this.#queue[this.#head]!
      if (commit > this.#durableCommit) break
      this.#head++
      this.#bytes -= message.payload.length + message.topic.length
      this.#deliver(message)
    }
    if (this.#head > 64 && this.#head * 2 > this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    this.#isPumping = false
  }

  #deliver(message: MessageParts): void {
    const { emitter, broker, persistence } = this.#options
    const packet = newPacket(message, broker)
    if (packet.retain) persistence.retain(packet)
    if (packet.qos > 0) persistence.enqueue(packet)
    this.#emitting++
    emitter.emit(packet, this.emitted)
  }
}
