// The Kafka topics that messages go to, made when they are first needed.
//
// Topics that stand in the configuration are always made. One whose name comes out of an MQTT topic
// counts: together with all others never more than `maxTopics` topics and 1,000 partitions, because
// a device must not be able to fill the disk, or the cluster, with topics.

import { AgentError } from '../base/errors.ts'
import { isTopicName, type TopicSettings } from '../log/topic.ts'
import type { IngestLog, IngestTopic } from './ingest-log.ts'
import type { Turn } from './route-cache.ts'

const PARTITIONS_TOTAL_MAX = 1_000

export interface DestinationsOptions {
  log: IngestLog
  maxTopics: number
  /** By the name without the prefix. */
  topicSettings: (short: string) => TopicSettings
}

export class Destinations {
  readonly #options: DestinationsOptions
  readonly #turns = new WeakMap<IngestTopic, Turn>()

  constructor(options: DestinationsOptions) {
    this.#options = options
  }

  /**
   * The topic, made when it is missing; or why it cannot be had. Undefined: not at this moment, for
   * another one of its name is being deleted.
   */
  find(short: string, name: string, isConfigured: boolean): IngestTopic | string | undefined {
    const { log, topicSettings } = this.#options
    const known = log.topic(name)
    if (known !== undefined) return known
    if (!isTopicName(name)) return `${JSON.stringify(name.slice(0, 60))} cannot be a topic`
    const settings = topicSettings(short)
    if (!isConfigured) {
      const full = this.#full(settings.partitions)
      if (full !== undefined) return full
    }
    try {
      return log.ensureTopic(name, settings)
    } catch (fault) {
      if (!(fault instanceof AgentError)) throw fault
      return fault.retriable ? undefined : fault.message
    }
  }

  /** The one counter of a topic. */
  turnOf(topic: IngestTopic): Turn {
    let turn = this.#turns.get(topic)
    if (turn === undefined) {
      turn = { last: 0 }
      this.#turns.set(topic, turn)
    }
    return turn
  }

  #full(partitions: number): string | undefined {
    const { log, maxTopics } = this.#options
    let [topicsCount, partitionsCount] = [0, 0]
    for (const topic of log.topics()) {
      topicsCount++
      partitionsCount += topic.partitions.length
    }
    if (topicsCount >= maxTopics) return `maxTopics ${maxTopics} is reached`
    if (partitionsCount + partitions <= PARTITIONS_TOTAL_MAX) return undefined
    return `${PARTITIONS_TOTAL_MAX} partitions are reached`
  }
}
