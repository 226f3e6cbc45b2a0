// What every handler works on: the log, the settings of this broker, and what it remembers of others.

import type { Codecs } from '../../../wasm/codecs.ts'
import type { Clock } from '../../base/clock.ts'
import type { Log } from '../../log/log.ts'
import type { TopicSettings } from '../../log/topic.ts'
import { Announcement } from './announcement.ts'
import { ProducerStates } from './producer-states.ts'

/** This gateway's only broker. */
export const NODE_ID = 0

export interface Address {
  readonly host: string
  readonly port: number
}

export interface BrokerSettings {
  /** The store's lineage. */
  readonly clusterId: string
  /** 'auto': the address the client connected to. */
  readonly advertised: Address | 'auto'
  readonly autoCreateTopics: boolean
  /** What a topic gets that nobody gave settings; also whether a name is replicated. */
  readonly topicDefaults: (name: string) => TopicSettings
  readonly topicsMax: number
  /** Of all topics together. */
  readonly partitionsMax: number
  /** The largest batch taken, as it came. */
  readonly messageBytesMax: number
  /** The largest Fetch answer; one batch is always given. */
  readonly fetchBytesMax: number
  /** The longest a Produce request waits for room. */
  readonly roomWaitMsMax: number
}

/** What every handler works on. */
export interface Broker {
  readonly log: Log
  readonly codecs: Codecs
  readonly clock: Clock
  readonly settings: BrokerSettings
  readonly producers: ProducerStates
  readonly commits: Announcement
  readonly room: Announcement
  /** Bytes of batches that wait for room. */
  fullWaitBytes: number
  /** What ApiVersions tells. */
  readonly apis: readonly AdvertisedApi[]
}

export interface AdvertisedApi {
  readonly apiKey: number
  readonly minVersion: number
  readonly maxVersion: number
}

export interface BrokerOptions extends BrokerSettings {
  readonly log: Log
  readonly clock: Clock
  readonly producersPerPartitionMax: number
  readonly producersMax: number
  readonly producerExpirationMs: number
}

export function createBroker(options: BrokerOptions, apis: readonly AdvertisedApi[]): Broker {
  const { log, clock, producersPerPartitionMax, producersMax, producerExpirationMs } = options
  return {
    log,
    codecs: log.codecs,
    clock,
    settings: options,
    producers: new ProducerStates({
      log,
      clock,
      producersPerPartitionMax,
      producersMax,
      expirationMs: producerExpirationMs,
    }),
    commits: new Announcement(clock, (listener) => log.onCommit(listener)),
    room: new Announcement(clock, (listener) => log.onRoom(listener)),
    fullWaitBytes: 0,
    apis,
  }
}
