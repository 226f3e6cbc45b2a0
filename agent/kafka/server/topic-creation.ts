// Topics that a client's wish brings into being: the limits are the same whichever API it came by.

import { checkPartitions, checkTopicName, type Topic, type TopicSettings } from '../../log/topic.ts'
import type { Broker } from './broker.ts'
import { type ErrorFields, failure, failureOf } from './error-map.ts'

/** The topic, created where the settings allow it: usable at once, durable with its first records. */
export function topicFor(broker: Broker, name: string): Topic | ErrorFields {
  const known = broker.log.topic(name)
  if (known !== undefined) return known
  if (!broker.settings.autoCreateTopics) return failure('UNKNOWN_TOPIC_OR_PARTITION')
  const settings = broker.settings.topicDefaults(name)
  const error = creationError(broker, name, settings)
  if (error !== undefined) return error
  try {
    return broker.log.ensureTopic(name, settings)
  } catch (fault) {
    return failureOf(fault)
  }
}

/** Why a new topic may not be made. */
export function creationError(
  broker: Broker,
  name: string,
  settings: TopicSettings,
): ErrorFields | undefined {
  try {
    checkTopicName(name)
  } catch (fault) {
    return failureOf(fault)
  }
  let topics = 0
  for (const _ of broker.log.topics()) topics++
  const { topicsMax } = broker.settings
  if (topics >= topicsMax) {
    return failure('POLICY_VIOLATION', `there are ${topics} topics; maxTopics is ${topicsMax}`)
  }
  return partitionsError(broker, name, 0, settings.partitions)
}

/** Why a topic may not have `wanted` partitions instead of `present`. */
export function partitionsError(
  broker: Broker,
  name: string,
  present: number,
  wanted: number,
): ErrorFields | undefined {
  try {
    checkPartitions(name, wanted)
  } catch (fault) {
    return failure('INVALID_PARTITIONS', fault instanceof Error ? fault.message : null)
  }
  const { partitionsMax } = broker.settings
  let total = wanted - present
  for (const { partitions } of broker.log.topics()) total += partitions.length
  if (total <= partitionsMax) return undefined
  return failure(
    'INVALID_PARTITIONS',
    `${total} partitions of all topics; at most ${partitionsMax}`,
  )
}
