// CreateTopics: v2-7. Durable when it is answered. The replication factor is 1 or the broker's own
// (-1, v4 on); settings by Kafka's names are those of topic-configs.ts. v5 on tells what the topic
// came out as, v7 its id.

import type { Topic, TopicSettings } from '../../../log/topic.ts'
import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/19-create-topics.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { NODE_ID } from '../broker.ts'
import { type ErrorFields, failure, failureOf } from '../error-map.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'
import {
  applyTopicConfig,
  CONFIG_SOURCE,
  maxMessageBytes,
  TOPIC_CONFIGS,
} from '../topic-configs.ts'
import { creationError } from '../topic-creation.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>
type Wanted = Request['topics'][number]
type TopicResponse = Response['topics'][number]

const BROKER_DEFAULT = -1

export const createTopics = serve(api, [2, 7], handle)

async function handle(request: Request, call: Call): Promise<Answer<Response>> {
  const counts = new Map<string, number>()
  for (const { name } of request.topics) counts.set(name, (counts.get(name) ?? 0) + 1)
  const topics: TopicResponse[] = []
  for (const wanted of request.topics) {
    const isTwice = counts.get(wanted.name) !== 1
    topics.push(await create(wanted, isTwice, request.validateOnly, call))
  }
  return now({ topics })
}

async function create(
  wanted: Wanted,
  isTwice: boolean,
  validateOnly: boolean,
  { broker }: Call,
): Promise<TopicResponse> {
  const { name } = wanted
  if (isTwice) return { name, ...failure('INVALID_REQUEST', `${name} is in the request twice`) }
  if (broker.log.topic(name) !== undefined) {
    return { name, ...failure('TOPIC_ALREADY_EXISTS', `${name} exists already`) }
  }
  const configs = [...TOPIC_CONFIGS, maxMessageBytes(broker.settings.messageBytesMax)]
  const settings = { ...broker.settings.topicDefaults(name) }
  const error = readWish(wanted, configs, settings) ?? creationError(broker, name, settings)
  if (error !== undefined) return { name, ...error }
  try {
    const topic = validateOnly ? undefined : await broker.log.createTopic(name, settings)
    return created(name, topic, settings, configs)
  } catch (fault) {
    return { name, ...failureOf(fault) }
  }
}

/** Puts what is asked for into the settings, or says what is impossible. */
function readWish(
  { numPartitions, replicationFactor, assignments, configs: wishes }: Wanted,
  configs: typeof TOPIC_CONFIGS,
  settings: TopicSettings,
): ErrorFields | undefined {
  if (assignments.length > 0) {
    if (numPartitions !== BROKER_DEFAULT || replicationFactor !== BROKER_DEFAULT) {
      return failure('INVALID_REQUEST', 'counts and assignments exclude each other')
    }
    const isOurs = assignments.every(
      ({ partitionIndex, brokerIds }) =>
        partitionIndex < assignments.length && brokerIds.length === 1 && brokerIds[0] === NODE_ID,
    )
    const indexes = new Set(assignments.map(({ partitionIndex }) => partitionIndex))
    if (!isOurs || indexes.size !== assignments.length) {
      return failure('INVALID_REPLICA_ASSIGNMENT', `the only broker is ${NODE_ID}`)
    }
    settings.partitions = assignments.length
  } else {
    if (replicationFactor !== 1 && replicationFactor !== BROKER_DEFAULT) {
      return failure('INVALID_REPLICATION_FACTOR', `${replicationFactor} replicas, one broker`)
    }
    if (numPartitions !== BROKER_DEFAULT) settings.partitions = numPartitions
  }
  for (const { name, value } of wishes) {
    const problem = applyTopicConfig(configs, name, value, settings)
    if (problem !== undefined) return failure('INVALID_CONFIG', problem)
  }
  return undefined
}

function created(
  name: string,
  topic: Topic | undefined,
  settings: TopicSettings,
  configs: typeof TOPIC_CONFIGS,
): TopicResponse {
  return {
    name,
    ...(topic !== undefined && { topicId: topic.id }),
    errorCode: errorCode('NONE'),
    numPartitions: settings.partitions,
    replicationFactor: 1,
    configs: configs.map((config) => {
      const value = config.read(settings)
      return {
        name: config.name,
        value: value ?? config.defaultValue,
        readOnly: false,
        configSource: value === undefined ? CONFIG_SOURCE.default : CONFIG_SOURCE.topic,
        isSensitive: false,
      }
    }),
  }
}
