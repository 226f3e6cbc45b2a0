// DescribeConfigs: v1-4. Topics, and of the broker what clients ask for. Nothing here is secret.

import type { Topic } from '../../../log/topic.ts'
import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/32-describe-configs.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { type Broker, NODE_ID } from '../broker.ts'
import { failure } from '../error-map.ts'
import { type Call, now, serve } from '../served-api.ts'
import { CONFIG_SOURCE, CONFIG_TYPE, maxMessageBytes, TOPIC_CONFIGS } from '../topic-configs.ts'

type Request = Decoded<typeof api.request>
type Result = Encodable<typeof api.response>['results'][number]
type Config = Result['configs'][number]

export const describeConfigs = serve(api, [1, 4], (request, call) =>
  now({ results: request.resources.map((resource) => describe(resource, request, call)) }),
)

function describe(
  { resourceType, resourceName, configurationKeys }: Request['resources'][number],
  { includeSynonyms }: Request,
  { broker }: Call,
): Result {
  const found = configsOf(resourceType, resourceName, broker)
  if (!Array.isArray(found)) return { ...found, resourceType, resourceName, configs: [] }
  const configs = found
    .filter(({ name }) => configurationKeys === null || configurationKeys.includes(name))
    .map((config) => (includeSynonyms ? { ...config, synonyms: synonymsOf(config) } : config))
  return { errorCode: errorCode('NONE'), resourceType, resourceName, configs }
}

function configsOf(type: number, name: string, broker: Broker) {
  if (type === api.TOPIC_RESOURCE) {
    const topic = broker.log.topic(name)
    return topic === undefined
      ? failure('UNKNOWN_TOPIC_OR_PARTITION', `there is no ${name}`)
      : topicConfigs(topic, broker)
  }
  if (type === api.BROKER_RESOURCE) {
    const isOurs = name === String(NODE_ID) || name === ''
    return isOurs
      ? brokerConfigs(broker)
      : failure('INVALID_REQUEST', `the only broker is ${NODE_ID}`)
  }
  return failure('INVALID_REQUEST', 'only topics and brokers have configurations here')
}

function topicConfigs({ settings }: Topic, broker: Broker): Config[] {
  const limits = maxMessageBytes(broker.settings.messageBytesMax)
  return [...TOPIC_CONFIGS, limits].map(({ name, type, read, defaultValue }) => {
    const value = read(settings)
    return {
      name,
      value: value ?? defaultValue,
      readOnly: false,
      configSource: value === undefined ? CONFIG_SOURCE.default : CONFIG_SOURCE.topic,
      isSensitive: false,
      configType: type,
    }
  })
}

function brokerConfigs({ settings, producers }: Broker): Config[] {
  const { autoCreateTopics, messageBytesMax } = settings
  const { boolean, int } = CONFIG_TYPE
  const list: [name: string, value: string | number | boolean, type: number][] = [
    ['auto.create.topics.enable', autoCreateTopics, boolean],
    ['default.replication.factor', 1, int],
    ['message.max.bytes', messageBytesMax, int],
    ['node.id', NODE_ID, int],
    ['producer.id.expiration.ms', producers.expirationMs, int],
  ]
  return list.map(([name, value, configType]) => ({
    name,
    value: String(value),
    readOnly: true,
    configSource: CONFIG_SOURCE.staticBroker,
    isSensitive: false,
    configType,
  }))
}

function synonymsOf({ name, value, configSource }: Config) {
  return [{ name, value, source: configSource }]
}
