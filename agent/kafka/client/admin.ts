// Topics of any Kafka cluster: list, describe, create, grow, delete, settings.
//
// What Kafka refuses is thrown as UPSTREAM_REFUSED with `details.kafkaError` naming its error.

import { AgentError } from '../../base/errors.ts'
import { errorCode } from '../protocol/error-codes.ts'
import * as listOffsets from '../protocol/messages/02-list-offsets.ts'
import * as createTopics from '../protocol/messages/19-create-topics.ts'
import * as deleteTopics from '../protocol/messages/20-delete-topics.ts'
import * as describeConfigs from '../protocol/messages/32-describe-configs.ts'
import * as createPartitions from '../protocol/messages/37-create-partitions.ts'
import type { Cluster, PartitionMetadata, TopicMetadata } from './cluster.ts'
import { refusedBy } from './kafka-fault.ts'
import { findOffsets } from './offsets.ts'

const TIMEOUT_MS = 30_000

export interface NewTopic {
  /** -1: the cluster's default. */
  partitions: number
  /** -1: the cluster's default. */
  replicationFactor: number
  configs?: Readonly<Record<string, string>>
}

export interface TopicDescription {
  name: string
  topicId: string
  partitions: (PartitionMetadata & { startOffset: number; endOffset: number })[]
}

export interface TopicSetting {
  value: string | null
  /** Set on this very topic, not inherited. */
  isOwn: boolean
}

export class Admin {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** By name. */
  async listTopics(): Promise<TopicMetadata[]> {
    const topics = await this.#cluster.topics()
    return topics.sort((a, b) => ((a.name ?? '') < (b.name ?? '') ? -1 : 1))
  }

  /** Undefined when there is no such topic. */
  async describeTopic(name: string): Promise<TopicDescription | undefined> {
    const topic = await this.#cluster.topic(name, 0)
    if (topic === undefined) return undefined
    const ask = (timestamp: number) =>
      findOffsets(
        this.#cluster,
        name,
        topic.partitions.map(({ partitionIndex }) => ({ partition: partitionIndex, timestamp })),
      )
    const starts = await ask(listOffsets.EARLIEST_TIMESTAMP)
    const ends = await ask(listOffsets.LATEST_TIMESTAMP)
    const partitions = topic.partitions
      .map((partition) => ({
        ...partition,
        startOffset: starts.get(partition.partitionIndex)?.offset ?? -1,
        endOffset: ends.get(partition.partitionIndex)?.offset ?? -1,
      }))
      .sort((a, b) => a.partitionIndex - b.partitionIndex)
    return { name, topicId: topic.topicId, partitions }
  }

  /** Resolves when every partition of the new topic has a leader. */
  async createTopic(name: string, settings: NewTopic): Promise<void> {
    const configs = Object.entries(settings.configs ?? {}).map(([key, value]) => ({
      name: key,
      value,
    }))
    await this.#controlled(`CreateTopics ${name}`, async () => {
      const answer = await this.#cluster.sendToController(createTopics, {
        topics: [
          {
            name,
            numPartitions: settings.partitions,
            replicationFactor: settings.replicationFactor,
            configs,
          },
        ],
        timeoutMs: TIMEOUT_MS,
      })
      return answer.topics[0]
    })
    await this.#waitForLeaders(name, settings.partitions)
  }

  /** Raises the number of partitions to `count`; resolves when each has a leader. */
  async addPartitions(name: string, count: number): Promise<void> {
    await this.#controlled(`CreatePartitions ${name}`, async () => {
      const answer = await this.#cluster.sendToController(createPartitions, {
        topics: [{ name, count }],
        timeoutMs: TIMEOUT_MS,
      })
      return answer.results[0]
    })
    await this.#waitForLeaders(name, count)
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#controlled(`DeleteTopics ${name}`, async () => {
      const answer = await this.#cluster.sendToController(deleteTopics, {
        topics: [{ name }],
        topicNames: [name],
        timeoutMs: TIMEOUT_MS,
      })
      return answer.responses[0]
    })
    this.#cluster.distrust(name, errorCode('UNKNOWN_TOPIC_OR_PARTITION'))
  }

  /** The topic's settings by name; REFUSED where this user may not see them. */
  async topicSettings(name: string): Promise<Map<string, TopicSetting>> {
    const answer = await this.#cluster.sendToAny(describeConfigs, {
      resources: [{ resourceType: describeConfigs.TOPIC_RESOURCE, resourceName: name }],
    })
    const [result] = answer.results
    const code = result?.errorCode ?? errorCode('UNKNOWN_SERVER_ERROR')
    if (code !== errorCode('NONE')) {
      throw refusedBy(
        this.#cluster.name,
        `DescribeConfigs ${name}`,
        code,
        result?.errorMessage ?? '',
      )
    }
    return new Map(
      result!.configs.map(({ name: key, value, configSource }) => [
        key,
        { value, isOwn: configSource === 1 },
      ]),
    )
  }

  /** Asks the controller; again while the cluster says that it may pass. */
  #controlled(
    what: string,
    ask: () => Promise<{ errorCode: number; errorMessage: string | null } | undefined>,
  ): Promise<void> {
    return this.#cluster.retrying(async () => {
      const answer = await ask()
      const code = answer?.errorCode ?? errorCode('UNKNOWN_SERVER_ERROR')
      if (code === errorCode('NONE')) return
      if (code === errorCode('NOT_CONTROLLER')) await this.#cluster.topics()
      const fault = refusedBy(this.#cluster.name, what, code, answer?.errorMessage ?? '')
      // "Retriable" for Kafka, but no topic appears by waiting for it here.
      const isFinal = code === errorCode('UNKNOWN_TOPIC_OR_PARTITION')
      if (!isFinal) throw fault
      throw new AgentError('INPUT_TOPIC', fault.message, { details: fault.details })
    })
  }

  #waitForLeaders(name: string, partitions: number): Promise<void> {
    return this.#cluster.retrying(async () => {
      const topic = await this.#cluster.topic(name, 0)
      const led = topic?.partitions.filter(({ leaderId }) => leaderId >= 0).length ?? 0
      if (led > 0 && led >= partitions) return
      const text = `${name} has leaders for ${led} of ${partitions} partitions so far`
      throw new AgentError('UPSTREAM_RETRY', `${this.#cluster.name}: ${text}`)
    })
  }
}
