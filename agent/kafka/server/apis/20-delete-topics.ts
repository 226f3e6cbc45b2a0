// DeleteTopics: v1-6, by name, from v6 on by name or id. Durable, files gone, when it is answered.

import type { Topic } from '../../../log/topic.ts'
import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/20-delete-topics.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import type { Broker } from '../broker.ts'
import { failure, failureOf } from '../error-map.ts'
import { topicById } from '../partition-lookup.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>
type TopicResponse = Response['responses'][number]

const BY_ID_FROM = 6

export const deleteTopics = serve(api, [1, 6], handle)

async function handle(request: Request, { broker, version }: Call): Promise<Answer<Response>> {
  const wanted =
    version >= BY_ID_FROM
      ? request.topics
      : request.topicNames.map((name) => ({ name, topicId: undefined }))
  const responses: TopicResponse[] = []
  for (const { name, topicId } of wanted) {
    const topic = name === null ? topicById(broker.log, topicId!) : broker.log.topic(name)
    if (topic !== undefined) {
      responses.push(await remove(topic, broker))
    } else if (name === null) {
      responses.push({ name, topicId, ...failure('UNKNOWN_TOPIC_ID') })
    } else {
      responses.push({ name, ...failure('UNKNOWN_TOPIC_OR_PARTITION', `there is no ${name}`) })
    }
  }
  return now({ responses })
}

async function remove(topic: Topic, { log, producers }: Broker): Promise<TopicResponse> {
  const { name, id: topicId } = topic
  try {
    for (const partition of topic.partitions) producers.forget(partition)
    await log.deleteTopic(name)
    return { name, topicId, errorCode: errorCode('NONE') }
  } catch (fault) {
    return { name, topicId, ...failureOf(fault) }
  }
}
