// Metadata: v0-12. One broker, which leads everything. Topics that do not exist are created where the
// client allows it (v4 on; before, always) and the settings do, and are durable before they are told.
// A question by topic id (v10 on) is answered by id.

import type { Topic } from '../../../log/topic.ts'
import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/03-metadata.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { ZERO_UUID } from '../../protocol/wire.ts'
import { type Address, NODE_ID } from '../broker.ts'
import { type ErrorFields, failure, failureOf } from '../error-map.ts'
import { topicById } from '../partition-lookup.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'
import { topicFor } from '../topic-creation.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>
type TopicResponse = Response['topics'][number]
type Wanted = NonNullable<Request['topics']>[number]

/** There are no ACLs: everything is allowed. Bits are Kafka's operation numbers. */
const TOPIC_OPERATIONS = operations(3, 4, 5, 6, 7, 8, 10, 11)
const CLUSTER_OPERATIONS = operations(5, 7, 8, 9, 10, 11, 12)

export const metadata = serve(api, [0, 12], handle)

/** The address that clients are told to use. */
export function advertisedAddress({ broker, localAddress }: Call): Address {
  const { advertised } = broker.settings
  return advertised === 'auto' ? localAddress : advertised
}

async function handle(request: Request, call: Call): Promise<Answer<Response>> {
  const { log, settings } = call.broker
  const { host, port } = advertisedAddress(call)
  const wanted = call.version === 0 && request.topics?.length === 0 ? null : request.topics
  const topics: TopicResponse[] = []
  const add = (topic: Topic) => topics.push(describe(topic, request))
  if (wanted === null) for (const topic of log.topics()) add(topic)
  // Each topic once, as in Kafka: an answer is many times its question.
  const asked = new Map((wanted ?? []).map((one) => [one.name ?? one.topicId, one]))
  for (const one of asked.values()) {
    const found = await find(one, request, call)
    if ('errorCode' in found) topics.push(unknown(one, found))
    else add(found)
  }
  return now({
    brokers: [{ nodeId: NODE_ID, host, port }],
    clusterId: settings.clusterId,
    controllerId: NODE_ID,
    topics,
    ...(request.includeClusterAuthorizedOperations && {
      clusterAuthorizedOperations: CLUSTER_OPERATIONS,
    }),
  })
}

async function find(wanted: Wanted, request: Request, call: Call): Promise<Topic | ErrorFields> {
  const { log } = call.broker
  if (wanted.name === null) return topicById(log, wanted.topicId) ?? failure('UNKNOWN_TOPIC_ID')
  const known = log.topic(wanted.name)
  if (known !== undefined) return known
  if (!request.allowAutoTopicCreation) return failure('UNKNOWN_TOPIC_OR_PARTITION')
  const made = topicFor(call.broker, wanted.name)
  if ('errorCode' in made) return made
  try {
    await log.durable(log.openCommit)
    return made
  } catch (fault) {
    return failureOf(fault)
  }
}

function describe({ name, id, partitions }: Topic, request: Request): TopicResponse {
  return {
    errorCode: errorCode('NONE'),
    name,
    topicId: id,
    partitions: partitions.map(({ partition, leaderEpoch }) => ({
      errorCode: errorCode('NONE'),
      partitionIndex: partition,
      leaderId: NODE_ID,
      leaderEpoch,
      replicaNodes: [NODE_ID],
      isrNodes: [NODE_ID],
    })),
    ...(request.includeTopicAuthorizedOperations && {
      topicAuthorizedOperations: TOPIC_OPERATIONS,
    }),
  }
}

function unknown({ name, topicId }: Wanted, { errorCode }: ErrorFields): TopicResponse {
  return { errorCode, name, topicId: name === null ? topicId : ZERO_UUID, partitions: [] }
}

function operations(...numbers: number[]): number {
  return numbers.reduce((bits, number) => bits | (1 << number), 0)
}
