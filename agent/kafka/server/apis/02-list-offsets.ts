// ListOffsets: v1-8. LATEST is the high watermark for both isolation levels, EARLIEST (and EARLIEST
// LOCAL, v8) the log start. A timestamp finds the first record at or after it, by record time; MAX
// TIMESTAMP (v7) the first record with the greatest one.

import type { PartitionLog } from '../../../log/partition-log.ts'
import { errorCode, type KafkaErrorName } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/02-list-offsets.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { failureOf } from '../error-map.ts'
import { leaderEpochError, partitionOf } from '../partition-lookup.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>
type PartitionResponse = Response['topics'][number]['partitions'][number]
type Wanted = Request['topics'][number]['partitions'][number]

const MAX_TIMESTAMP_FROM = 7
const EARLIEST_LOCAL_FROM = 8
/** An offset that no record stands behind. */
const NO_TIMESTAMP = -1

export const listOffsets = serve(api, [1, 8], handle)

async function handle(request: Request, call: Call): Promise<Answer<Response>> {
  const topics: Response['topics'][number][] = []
  for (const { name, partitions } of request.topics) {
    const list: PartitionResponse[] = []
    for (const wanted of partitions) list.push(await answerOne(name, wanted, call))
    topics.push({ name, partitions: list })
  }
  return now({ topics })
}

async function answerOne(name: string, wanted: Wanted, call: Call): Promise<PartitionResponse> {
  const { partitionIndex, timestamp, currentLeaderEpoch } = wanted
  const partition = partitionOf(call.broker.log, name, partitionIndex)
  const error =
    partition === undefined
      ? 'UNKNOWN_TOPIC_OR_PARTITION'
      : leaderEpochError(partition, currentLeaderEpoch)
  if (partition === undefined || error !== undefined) return failed(partitionIndex, error!)
  if (!isKnown(timestamp, call.version)) return failed(partitionIndex, 'UNSUPPORTED_VERSION')
  try {
    const found = await offsetOf(partition, timestamp)
    const { leaderEpoch } = partition
    return found === null
      ? { partitionIndex, errorCode: 0 }
      : { partitionIndex, errorCode: 0, leaderEpoch, ...found }
  } catch (fault) {
    return { partitionIndex, errorCode: failureOf(fault).errorCode }
  }
}

function isKnown(timestamp: number, version: number): boolean {
  switch (timestamp) {
    case api.MAX_TIMESTAMP:
      return version >= MAX_TIMESTAMP_FROM
    case api.EARLIEST_LOCAL_TIMESTAMP:
      return version >= EARLIEST_LOCAL_FROM
    default:
      return timestamp > api.MAX_TIMESTAMP
  }
}

type Found = { offset: number; timestamp: number } | null

async function offsetOf(partition: PartitionLog, timestamp: number): Promise<Found> {
  switch (timestamp) {
    case api.LATEST_TIMESTAMP:
      return { offset: partition.highWatermark, timestamp: NO_TIMESTAMP }
    case api.EARLIEST_TIMESTAMP:
    case api.EARLIEST_LOCAL_TIMESTAMP:
      return { offset: partition.logStartOffset, timestamp: NO_TIMESTAMP }
    case api.MAX_TIMESTAMP:
      return offsetOfMaxTimestamp(partition)
    default:
      return partition.offsetForTime(timestamp)
  }
}

/**
 * The greatest timestamp by questions for times: in growing steps until there is none so late, then
 * halving. Some dozens of index look-ups, for a question that only people ask.
 */
async function offsetOfMaxTimestamp(partition: PartitionLog): Promise<Found> {
  let best = await partition.offsetForTime(NO_TIMESTAMP)
  let tooLate = Number.POSITIVE_INFINITY
  let step = 1
  while (best !== null && best.timestamp + 1 < tooLate) {
    const half = Math.floor((tooLate - best.timestamp) / 2)
    const probe: number = best.timestamp + Math.min(step, half)
    const found: Found = await partition.offsetForTime(probe)
    if (found === null) tooLate = probe
    else best = found
    step *= 2
  }
  return best
}

function failed(partitionIndex: number, error: KafkaErrorName): PartitionResponse {
  return { partitionIndex, errorCode: errorCode(error) }
}
