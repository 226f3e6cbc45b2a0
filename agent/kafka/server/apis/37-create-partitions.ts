// CreatePartitions: v0-3. Partitions are only ever added; durable when it is answered.

import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/37-create-partitions.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { NODE_ID } from '../broker.ts'
import { type ErrorFields, failure, failureOf } from '../error-map.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'
import { partitionsError } from '../topic-creation.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>
type Wanted = Request['topics'][number]

export const createPartitions = serve(api, [0, 3], handle)

async function handle(request: Request, call: Call): Promise<Answer<Response>> {
  const results: Response['results'][number][] = []
  for (const wanted of request.topics) {
    const outcome = await add(wanted, request.validateOnly, call)
    results.push({ name: wanted.name, ...outcome })
  }
  return now({ results })
}

async function add(
  { name, count, assignments }: Wanted,
  validateOnly: boolean,
  { broker }: Call,
): Promise<ErrorFields> {
  const topic = broker.log.topic(name)
  if (topic === undefined) return failure('UNKNOWN_TOPIC_OR_PARTITION', `there is no ${name}`)
  const present = topic.partitions.length
  if (count <= present) {
    return failure('INVALID_PARTITIONS', `${name} has ${present} partitions; none can be removed`)
  }
  const isOurs = assignments?.every(
    ({ brokerIds }) => brokerIds.length === 1 && brokerIds[0] === NODE_ID,
  )
  if (assignments !== null && (!isOurs || assignments.length !== count - present)) {
    return failure('INVALID_REPLICA_ASSIGNMENT', `the only broker is ${NODE_ID}`)
  }
  const error = partitionsError(broker, name, present, count)
  if (error !== undefined) return error
  try {
    if (!validateOnly) await broker.log.addPartitions(name, count)
    return { errorCode: errorCode('NONE'), errorMessage: null }
  } catch (fault) {
    return failureOf(fault)
  }
}
