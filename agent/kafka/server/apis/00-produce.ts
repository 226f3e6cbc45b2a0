// Produce: v3-11; v0-2 are advertised, because librdkafka refuses codecs otherwise, and refused.
//
// - An answer with an offset leaves only after the group commit that holds the records, whatever acks
//   says; acks 0 gets none. One wait per request, not per partition.
// - Order: batches of one connection are appended as they came. A request whose appends are done lets
//   the next one begin before its commit is on disk.
// - acks 0 with a problem ends the connection, as in Kafka: there is no other way to say it.

import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/00-produce.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { type Appended, appendProduced, refused } from '../batch-append.ts'
import { type ErrorFields, failure, failureOf } from '../error-map.ts'
import { type Answer, type Call, serve } from '../served-api.ts'
import { topicFor } from '../topic-creation.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>

const FIRST_VERSION = 3

export const produce = serve(api, [0, 11], handle)

/** What a request holds for one partition. */
interface Item {
  /** Place of its topic in the request. */
  topic: number
  name: string
  index: number
  records: Buffer | null
}

interface Outcome {
  item: Item
  result: Appended
}

function handle(request: Request, call: Call): Answer<Response> | Promise<Answer<Response>> {
  const error = requestError(request, call)
  const items = request.topicData.flatMap(({ name, partitionData }, topic) =>
    partitionData.map(({ index, records }) => ({ topic, name, index, records })),
  )
  const outcomes: Outcome[] = []
  for (const item of items) {
    const result = error === undefined ? append(item, request, call) : refused(error)
    if (result instanceof Promise) return resume(result, items, outcomes, request, call)
    outcomes.push({ item, result })
  }
  return answer(request, outcomes, call)
}

/** Rare: no room. What follows has to wait, too, or the order of a producer is lost. */
async function resume(
  waiting: Promise<Appended>,
  items: Item[],
  outcomes: Outcome[],
  request: Request,
  call: Call,
): Promise<Answer<Response>> {
  outcomes.push({ item: items[outcomes.length]!, result: await waiting })
  for (const item of items.slice(outcomes.length)) {
    outcomes.push({ item, result: await append(item, request, call) })
  }
  return answer(request, outcomes, call)
}

function requestError({ acks, transactionalId }: Request, call: Call): ErrorFields | undefined {
  if (call.version < FIRST_VERSION) {
    return failure('UNSUPPORTED_VERSION', 'only record batches (Produce v3 and later) are taken')
  }
  if (transactionalId !== null) {
    return failure('TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'transactions are not supported')
  }
  return acks < -1 || acks > 1 ? failure('INVALID_REQUIRED_ACKS') : undefined
}

function append(
  { name, index, records }: Item,
  { timeoutMs }: Request,
  call: Call,
): Appended | Promise<Appended> {
  const found = topicFor(call.broker, name)
  if ('errorCode' in found) return refused(found)
  const partition = found.partitions[index]
  if (partition === undefined) return refused(failure('UNKNOWN_TOPIC_OR_PARTITION'))
  if (records === null) return refused(failure('INVALID_RECORD', 'no record batch'))
  return appendProduced(partition, records, timeoutMs, call)
}

function answer(request: Request, outcomes: Outcome[], call: Call): Answer<Response> {
  const refusal = outcomes.find(({ result }) => result.errorCode !== errorCode('NONE'))
  if (request.acks === 0) {
    if (refusal === undefined) return { kind: 'none' }
    const { errorMessage } = refusal.result
    return { kind: 'close', reason: `acks=0 and a batch was refused: ${errorMessage}` }
  }
  const { log } = call.broker
  const commit = outcomes.reduce((last, { result }) => Math.max(last, result.commit), 0)
  if (commit <= log.durableCommit) {
    return { kind: 'now', response: responseOf(request, outcomes) }
  }
  const response = log.durable(commit).then(
    () => responseOf(request, outcomes),
    (fault) => responseOf(request, withFailure(outcomes, failureOf(fault))),
  )
  return { kind: 'later', response }
}

/** The commit failed: what was appended may or may not be on disk. */
function withFailure(outcomes: Outcome[], error: ErrorFields): Outcome[] {
  return outcomes.map(({ item, result }) => ({
    item,
    result: result.commit === 0 ? result : refused(error),
  }))
}

function responseOf(request: Request, outcomes: Outcome[]): Response {
  return {
    responses: request.topicData.map(({ name }, topic) => ({
      name,
      partitionResponses: outcomes
        .filter(({ item }) => item.topic === topic)
        .map(({ item, result: { commit: _, ...fields } }) => ({ index: item.index, ...fields })),
    })),
  }
}
