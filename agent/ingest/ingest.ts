// From a message to a record in the log, whatever the source: routing, keys, event time, dead
// letters, what has no route.
//
// - `publish` is the hot path: topic and payload lie in the kernel's memory, the answer is a number,
//   and a topic seen before makes no object.
// - Nothing is durable when it returns: the caller waits until `durableCommit` has reached the
//   number it got, and only then acknowledges.
// - What fails its profile goes to the dead-letter topic and is acknowledged; what has no route is
//   counted, named in the log once per prefix, and acknowledged.

import { assert } from '../base/assert.ts'
import type { Counter, Logger, Metrics } from '../base/telemetry.ts'
import type { TopicSettings } from '../log/topic.ts'
import { partitionFor } from '../record/murmur2.ts'
import { encodeHeader } from '../record/record.ts'
import { Destinations } from './destinations.ts'
import type { IngestLog, IngestPartition } from './ingest-log.ts'
import {
  choosePartition,
  keyOf,
  readMessage,
  routeHeaders,
  templateValues,
} from './message-fields.ts'
import { topicNameFault } from './mqtt-text.ts'
import { RouteCache, RoutedTopic } from './route-cache.ts'
import { type PayloadProfile, type RouteOptions, Routes } from './routes.ts'
import { CHUNK, CHUNK_BYTES, Staging } from './staging.ts'
import { Unrouted } from './unrouted.ts'

/** The log has no room: nothing happened; try again after its onRoom. */
export const NO_ROOM = -1
/** The message breaks MQTT; `fault` has the words. */
export const REFUSED = -2

const RETAIN_HEADER = encodeHeader('mqtt.retain', Buffer.from('true'))
/** First of all headers while the time of arrival may be wrong. */
const UNSYNCED_HEADER = encodeHeader('clock', Buffer.from('unsynced'))
const NO_HEADERS = Buffer.alloc(0)

export interface IngestOptions {
  log: IngestLog
  logger: Logger
  metrics: Metrics
  gateway: string
  /** May hold {gateway}. */
  topicPrefix: string
  routes: readonly RouteOptions[]
  profiles: ReadonlyMap<string, PayloadProfile>
  /** Topic for what fails its profile. */
  deadLetter: string
  /** Topic for what has no route; undefined: only counted. */
  unrouted: string | undefined
  maxTopics: number
  /** By the name without the prefix; names with the prefix are replicated. */
  topicSettings: (short: string) => TopicSettings
}

/** Who publishes. */
export interface Source {
  /** Unlike any other source's. */
  readonly number: number
  readonly clientId: string
  readonly username: string | undefined
}

export class Ingest {
  readonly routes: Routes
  readonly unrouted: Unrouted
  /** What the last `publish` found out about its topic. */
  routed: RoutedTopic | undefined
  /** What had no room for it: a partition, or the log as a whole. */
  refusedBy: IngestPartition | undefined
  fault = ''
  readonly #options: IngestOptions
  readonly #log: IngestLog
  readonly #u8: Uint8Array
  readonly #staging: Staging
  readonly #cache = new RouteCache()
  readonly #destinations: Destinations
  readonly #deadLetters: Counter
  #arrival = 0
  /** What every record of the chunk gets beside its own headers. */
  #clockHeaders: Buffer = NO_HEADERS
  #clockHeadersCount = 0
  #isOpen = false

  /** Throws AgentError INPUT_CONFIG when the routes make no sense. */
  constructor(options: IngestOptions) {
    this.#options = options
    this.#log = options.log
    this.#u8 = options.log.kernel.u8
    this.#staging = new Staging(this.#u8)
    this.#destinations = new Destinations(options)
    this.routes = new Routes(options)
    this.unrouted = new Unrouted(options.logger, options.metrics)
    this.#deadLetters = options.metrics.counter(
      'tributary_dead_letter_records_total',
      'Messages that did not fit their profile or partition and went to the dead-letter topic.',
    )
  }

  /** Takes the CHUNK window; everything until `endChunk` arrives at the same moment. */
  beginChunk(): void {
    assert(!this.#isOpen, 'one chunk is handled at a time')
    this.#isOpen = true
    this.#staging.reset()
    const { time } = this.#log
    this.#arrival = time.now()
    this.#clockHeaders = time.isSynchronized ? NO_HEADERS : UNSYNCED_HEADER
    this.#clockHeadersCount = time.isSynchronized ? 0 : 1
  }

  endChunk(): void {
    this.#isOpen = false
  }

  /**
   * Appends the message whose topic name and payload lie in kernel memory. Returns the commit that
   * makes it durable (0: nothing to wait for), NO_ROOM or REFUSED. In memory when it returns.
   */
  publish(
    source: Source,
    topicAt: number,
    topicLength: number,
    payloadAt: number,
    payloadLength: number,
    retain: boolean,
  ): number {
    const owner = this.routes.usesClient ? source.number : 0
    const entry =
      this.#cache.find(this.#u8, topicAt, topicLength, owner) ??
      this.#enter(source, topicAt, topicLength, owner)
    if (entry === undefined) return REFUSED
    this.routed = entry
    if (entry.isBusy) this.#resolve(entry, source)
    const isStaged = !entry.isStatic || entry.epoch === this.#staging.epoch
    if (!isStaged && !this.#stage(entry, source)) return REFUSED
    this.refusedBy = undefined
    if (!entry.isStatic) return this.#publishOther(source, entry, payloadAt, payloadLength, retain)
    const { key } = entry
    const partition = entry.partition ?? nextPartition(entry)
    const offset = partition.append(
      this.#arrival,
      entry.keyAt,
      key === null ? -1 : key.length,
      payloadAt,
      payloadLength,
      entry.headersAt,
      this.#clockHeaders.length + (retain ? entry.headers.length : entry.headersLength),
      this.#clockHeadersCount + (retain ? entry.headersCount + 1 : entry.headersCount),
    )
    if (offset < 0) return this.#hasNoRoom(partition)
    if (entry.kind === 'unrouted') this.#countUnrouted(entry.mqttTopic, true)
    return this.#log.openCommit
  }

  /** `publish` for a message that is not in kernel memory: a will, a bridge's. */
  publishMessage(source: Source, mqttTopic: string, payload: Uint8Array, retain: boolean): number {
    const name = Buffer.from(mqttTopic)
    if (name.length + payload.length > CHUNK_BYTES) {
      this.fault = 'a message larger than mqtt.maxPacketSize can be'
      return REFUSED
    }
    this.beginChunk()
    this.#u8.set(name, CHUNK)
    this.#u8.set(payload, CHUNK + name.length)
    const payloadAt = CHUNK + name.length
    const commit = this.publish(source, CHUNK, name.length, payloadAt, payload.length, retain)
    this.endChunk()
    return commit
  }

  /** Makes the entry of a topic that is not in the cache; undefined when its name is no name. */
  #enter(
    source: Source,
    topicAt: number,
    topicLength: number,
    owner: number,
  ): RoutedTopic | undefined {
    const fault = topicNameFault(this.#u8, topicAt, topicAt + topicLength)
    if (fault !== undefined) {
      this.fault = fault
      return undefined
    }
    const bytes = Buffer.from(this.#u8.subarray(topicAt, topicAt + topicLength))
    const mqttTopic = bytes.toString()
    if (mqttTopic.startsWith('$SYS/')) {
      const entry = new RoutedTopic(bytes, owner, 'ignored', undefined)
      this.#cache.add(entry)
      return entry
    }
    const match = this.routes.match(mqttTopic)
    const kind = match === undefined ? 'unrouted' : 'stored'
    const entry = new RoutedTopic(bytes, owner, kind, match)
    // An entry without its topic is not kept: there may be room for the topic later.
    const isKept = this.#resolve(entry, source) || match === undefined
    if (isKept) this.#cache.add(entry)
    return entry
  }

  /** Finds topic, partition, key and headers of an entry, as far as they do not depend on payloads. */
  #resolve(entry: RoutedTopic, source: Source): boolean {
    entry.isStatic = false
    entry.isBusy = false
    entry.epoch = 0
    entry.topic = undefined
    entry.partition = undefined
    if (entry.match === undefined) return this.#resolveUnrouted(entry)
    const { route } = entry.match
    const values = { ...this.#fixed(entry, source), payload: undefined }
    const target = this.routes.topicOf(route, values)
    const topic =
      target === undefined
        ? `${JSON.stringify(route.topic.text)} comes out empty`
        : this.#destinations.find(target.short, target.name, !route.topic.usesNames)
    if (typeof topic !== 'object') {
      entry.problem = topic
      entry.isBusy = topic === undefined
      return false
    }
    entry.topic = topic
    entry.turn = this.#destinations.turnOf(topic)
    entry.partitionsCount = topic.partitions.length
    if (route.usesPayload || route.profile !== undefined || route.timestamp !== undefined)
      return true
    const headers = routeHeaders(route, values)
    entry.key = keyOf(route.key.render(values), headers)
    const { partitionsCount } = entry
    const chosen = choosePartition(route.partition, entry.key, values, { partitionsCount, turn: 0 })
    if (typeof chosen === 'string') return true
    const isFixed = route.partition.kind === 'named' || entry.key !== null
    const isTurn = route.partition.kind === 'roundRobin' || !isFixed
    entry.partition = isTurn ? undefined : topic.partitions[chosen]
    setHeaders(entry, headers)
    entry.isStatic = true
    return true
  }

  #resolveUnrouted(entry: RoutedTopic): boolean {
    const { unrouted } = this.#options
    if (unrouted === undefined) return true
    const topic = this.#destinations.find(unrouted, this.routes.prefixed(unrouted), true)
    if (typeof topic !== 'object') {
      entry.isBusy = topic === undefined
      return true
    }
    entry.topic = topic
    entry.partitionsCount = topic.partitions.length
    entry.key = entry.bytes
    entry.partition = topic.partitions[partitionFor(entry.bytes, entry.partitionsCount)]
    setHeaders(entry, [encodeHeader('mqtt.topic', entry.bytes)])
    entry.isStatic = true
    return true
  }

  /** Puts key and headers beside the chunk; once per chunk, that is also when the topic is checked. */
  #stage(entry: RoutedTopic, source: Source): boolean {
    if (this.#isStale(entry)) {
      this.#resolve(entry, source)
      if (!entry.isStatic) return true
    }
    const key = entry.key ?? NO_HEADERS
    const headersLength = this.#clockHeaders.length + entry.headers.length
    if (!this.#staging.reserve(key.length + headersLength)) {
      this.fault = 'a topic name too long for its route'
      return false
    }
    entry.keyAt = this.#staging.put(key)
    entry.headersAt = this.#staging.put(this.#clockHeaders)
    this.#staging.put(entry.headers)
    entry.epoch = this.#staging.epoch
    return true
  }

  #isStale({ topic, partitionsCount }: RoutedTopic): boolean {
    if (topic === undefined) return true
    return this.#log.topic(topic.name) !== topic || topic.partitions.length !== partitionsCount
  }

  /** Everything that is not the same for each message of a topic. */
  #publishOther(
    source: Source,
    entry: RoutedTopic,
    payloadAt: number,
    payloadLength: number,
    retain: boolean,
  ): number {
    if (entry.kind === 'ignored') return 0
    if (entry.match !== undefined && this.#isStale(entry)) this.#resolve(entry, source)
    if (entry.isBusy) return NO_ROOM
    if (entry.topic === undefined) {
      this.#countUnrouted(entry.mqttTopic, false, entry.problem)
      return 0
    }
    const { route } = entry.match!
    const payload = this.#log.kernel.buffer.subarray(payloadAt, payloadAt + payloadLength)
    entry.turn.last = (entry.turn.last + 1) & 0x3fffffff
    const message = readMessage(route, {
      values: templateValues(route, this.#fixed(entry, source), payload),
      payload,
      arrival: this.#arrival,
      partitionsCount: entry.topic.partitions.length,
      turn: entry.turn.last,
    })
    if (message.kind === 'invalid') return this.#bury(entry, message.reason, payload, retain)
    const { topic } = entry
    const value = message.value ?? payload
    const headers = retain ? [...message.headers, RETAIN_HEADER] : message.headers
    const at = message.value === undefined ? payloadAt : undefined
    const partition = topic.partitions[message.partition]!
    const commit = this.#append(partition, message.timestamp, message.key, value, at, headers)
    return commit === REFUSED
      ? this.#bury(entry, `its record's key, value and headers are too large`, payload, retain)
      : commit
  }

  /** To the dead-letter topic, with the reason; acknowledged like any other message. */
  #bury(entry: RoutedTopic, reason: string, payload: Buffer, retain: boolean): number {
    const { deadLetter } = this.#options
    const topic = this.#destinations.find(deadLetter, this.routes.prefixed(deadLetter), true)
    if (topic === undefined) return NO_ROOM
    assert(typeof topic !== 'string', 'the dead-letter topic of the configuration is a legal name')
    const key = entry.bytes.subarray(0, 4_096)
    const headers = [
      encodeHeader('mqtt.topic', entry.bytes),
      encodeHeader('dead.letter.reason', Buffer.from(reason).subarray(0, 1_024)),
      encodeHeader('dead.letter.topic', Buffer.from(entry.topic?.name ?? '')),
    ]
    if (retain) headers.push(RETAIN_HEADER)
    const partition = topic.partitions[partitionFor(key, topic.partitions.length)]!
    const at = payload.byteOffset - this.#log.kernel.buffer.byteOffset
    const commit = this.#append(partition, this.#arrival, key, payload, at, headers)
    if (commit > 0) this.#deadLetters.add()
    return commit
  }

  /** Stages what is not in kernel memory yet (`valueAt` undefined) and appends. */
  #append(
    partition: IngestPartition,
    timestamp: number,
    key: Buffer | null,
    value: Buffer,
    valueAt: number | undefined,
    headers: readonly Buffer[],
  ): number {
    const staging = this.#staging
    let headersLength = this.#clockHeaders.length
    for (const header of headers) headersLength += header.length
    const valueLength = valueAt === undefined ? value.length : 0
    if (!staging.reserve((key?.length ?? 0) + headersLength + valueLength)) return REFUSED
    const keyAt = staging.put(key ?? NO_HEADERS)
    const at = valueAt ?? staging.put(value)
    const headersAt = staging.put(this.#clockHeaders)
    for (const header of headers) staging.put(header)
    const keyLength = key === null ? -1 : key.length
    const count = this.#clockHeadersCount + headers.length
    const { length } = value
    const offset = partition.append(
      timestamp,
      keyAt,
      keyLength,
      at,
      length,
      headersAt,
      headersLength,
      count,
    )
    return offset < 0 ? this.#hasNoRoom(partition) : this.#log.openCommit
  }

  #hasNoRoom(partition: IngestPartition): number {
    this.refusedBy = partition
    return NO_ROOM
  }

  #fixed(entry: RoutedTopic, { clientId, username }: Source) {
    const captures = entry.match?.captures ?? []
    return {
      gateway: this.routes.gateway,
      clientId,
      username,
      mqttTopic: entry.mqttTopic,
      captures,
    }
  }

  #countUnrouted(mqttTopic: string, isStored: boolean, why?: string): void {
    this.unrouted.count(mqttTopic, isStored, () => this.routes.nearest(mqttTopic), why)
  }
}

function setHeaders(entry: RoutedTopic, headers: readonly Buffer[]): void {
  entry.headers = Buffer.concat([...headers, RETAIN_HEADER])
  entry.headersLength = entry.headers.length - RETAIN_HEADER.length
  entry.headersCount = headers.length
}

function nextPartition({ topic, turn }: RoutedTopic): IngestPartition {
  turn.last = (turn.last + 1) & 0x3fffffff
  return topic!.partitions[turn.last % topic!.partitions.length]!
}
