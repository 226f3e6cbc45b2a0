// Fetch: v4-16, without sessions (an answer's session id 0 says so, KIP-227).
//
// - Bytes are the log's own, untouched, and end at the high watermark: what is not durable is not
//   visible. There are no transactions, so the last stable offset is the high watermark.
// - The first partition with data gives at least one batch whatever the limits say; the next ones
//   only what fits.
// - Readers of before v10 may not know zstd. They get what lies before the first such batch, and at it
//   UNSUPPORTED_COMPRESSION_TYPE, which Kafka would say of the whole of a zstd topic.
// - A long poll is woken by commits. One that asks for many bytes reads again eight times at most,
//   however often the log commits.

import type { PartitionLog } from '../../../log/partition-log.ts'
import { CODEC_ZSTD } from '../../../record/compression.ts'
import { readBatchHeader } from '../../../record/record-batch.ts'
import { errorCode, type KafkaErrorName } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/01-fetch.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { kafkaErrorOf } from '../error-map.ts'
import { leaderEpochError, topicById } from '../partition-lookup.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'

type Request = Decoded<typeof api.request>
type Response = Encodable<typeof api.response>
type PartitionResponse = Response['responses'][number]['partitions'][number]
type Wanted = Request['topics'][number]['partitions'][number]

const TOPIC_IDS_FROM = 13
const ZSTD_FROM = 10
const READ_COMMITTED = 1
/** A poll that found too little reads again after this part of its wait. */
const READS_PER_POLL = 8
const WAIT_MS_MAX = 60_000
const NOTHING = Buffer.alloc(0)

export const fetch = serve(api, [4, 16], handle)

interface Found {
  wanted: Wanted
  partition: PartitionLog | undefined
  error: KafkaErrorName | undefined
}

interface FoundTopic {
  topic: string
  topicId: string
  partitions: Found[]
}

/** One look at all partitions. */
interface Collected {
  responses: Response['responses'][number][]
  bytes: number
  /** Something must be told at once. */
  isUrgent: boolean
}

async function handle(request: Request, call: Call): Promise<Answer<Response>> {
  const sessionError = sessionErrorOf(request)
  if (sessionError !== undefined) {
    return now({ errorCode: errorCode(sessionError), responses: [] })
  }
  const { clock, commits } = call.broker
  const waitMs = Math.min(Math.max(0, request.maxWaitMs), WAIT_MS_MAX)
  const end = clock.monotonic() + waitMs
  for (;;) {
    // Looked up each time: a topic may go while a client waits for it.
    const topics = request.topics.map((topic) => find(topic, call))
    const seen = watch(topics)
    const collected = await collect(topics, request, call)
    const left = end - clock.monotonic()
    const isEnough = collected.isUrgent || collected.bytes >= request.minBytes
    if (isEnough || left <= 0 || call.client.isOver) return now({ responses: collected.responses })
    if (collected.bytes > 0) {
      // Records trickle in below minBytes: let some gather before everything is read again.
      await commits.wait(Math.min(left, waitMs / READS_PER_POLL), call.client, () => false)
    } else {
      await commits.wait(left, call.client, () => seen.hasMoved())
    }
    if (commits.isClosed) return now({ responses: collected.responses })
  }
}

/** Sessions are never given out, so nobody can have one. */
function sessionErrorOf({ sessionId, sessionEpoch }: Request): KafkaErrorName | undefined {
  if (sessionId !== 0) return 'FETCH_SESSION_ID_NOT_FOUND'
  return sessionEpoch > 0 ? 'INVALID_FETCH_SESSION_EPOCH' : undefined
}

function find(asked: Request['topics'][number], { broker, version }: Call): FoundTopic {
  const byId = version >= TOPIC_IDS_FROM
  const topic = byId ? topicById(broker.log, asked.topicId) : broker.log.topic(asked.topic)
  const partitions = asked.partitions.map((wanted): Found => {
    const partition = topic?.partitions[wanted.partition]
    if (partition === undefined) {
      const unknownId = byId && topic === undefined
      return {
        wanted,
        partition,
        error: unknownId ? 'UNKNOWN_TOPIC_ID' : 'UNKNOWN_TOPIC_OR_PARTITION',
      }
    }
    return { wanted, partition, error: leaderEpochError(partition, wanted.currentLeaderEpoch) }
  })
  return { topic: asked.topic, topicId: asked.topicId, partitions }
}

/** Remembers high watermarks: tells cheaply, at every commit, whether another look is worth it. */
function watch(topics: FoundTopic[]): { hasMoved: () => boolean } {
  const marks: { partition: PartitionLog; highWatermark: number }[] = []
  for (const { partitions } of topics) {
    for (const { partition } of partitions) {
      if (partition !== undefined) marks.push({ partition, highWatermark: partition.highWatermark })
    }
  }
  return {
    hasMoved: () =>
      marks.some(({ partition, highWatermark }) => partition.highWatermark !== highWatermark),
  }
}

async function collect(topics: FoundTopic[], request: Request, call: Call): Promise<Collected> {
  const limit = Math.min(request.maxBytes, call.broker.settings.fetchBytesMax)
  const collected: Collected = { responses: [], bytes: 0, isUrgent: false }
  const isCommitted = request.isolationLevel === READ_COMMITTED
  for (const { topic, topicId, partitions } of topics) {
    const list: PartitionResponse[] = []
    for (const found of partitions) {
      const room = limit - collected.bytes
      const response = await read(found, room, collected.bytes === 0, call.version)
      if (response.errorCode !== 0) collected.isUrgent = true
      collected.bytes += sizeOf(response)
      list.push(isCommitted ? { ...response, abortedTransactions: [] } : response)
    }
    collected.responses.push({ topic, topicId, partitions: list })
  }
  return collected
}

async function read(
  found: Found,
  room: number,
  isFirst: boolean,
  version: number,
): Promise<PartitionResponse> {
  const { wanted, partition, error } = found
  if (partition === undefined || error !== undefined) {
    return failed(wanted, error ?? 'UNKNOWN_TOPIC_OR_PARTITION')
  }
  const maxBytes = Math.min(wanted.partitionMaxBytes, room)
  const isIdle = wanted.fetchOffset === partition.highWatermark
  if (isIdle || (maxBytes <= 0 && !isFirst)) {
    return { ...marksOf(wanted, partition), records: NOTHING }
  }
  try {
    const outcome = await partition.read(wanted.fetchOffset, Math.max(1, maxBytes))
    if (outcome.kind === 'outOfRange') return failed(wanted, 'OFFSET_OUT_OF_RANGE')
    if (outcome.kind === 'empty') return { ...marksOf(wanted, partition), records: NOTHING }
    const bytes = version < ZSTD_FROM ? beforeZstd(outcome.bytes) : outcome.bytes
    if (bytes.length === 0) return failed(wanted, 'UNSUPPORTED_COMPRESSION_TYPE')
    const isGiven = isFirst || bytes.length <= maxBytes
    return { ...marksOf(wanted, partition), records: isGiven ? bytes : NOTHING }
  } catch (fault) {
    return failed(wanted, kafkaErrorOf(fault))
  }
}

function beforeZstd(batches: Buffer): Buffer {
  for (let at = 0; at < batches.length; ) {
    const { codec, size } = readBatchHeader(batches, at)
    if (codec === CODEC_ZSTD) return batches.subarray(0, at)
    at += size
  }
  return batches
}

function marksOf(wanted: Wanted, partition: PartitionLog): Omit<PartitionResponse, 'records'> {
  const { highWatermark, logStartOffset } = partition
  return {
    partitionIndex: wanted.partition,
    errorCode: 0,
    highWatermark,
    lastStableOffset: highWatermark,
    logStartOffset,
  }
}

function failed(wanted: Wanted, error: KafkaErrorName): PartitionResponse {
  return {
    partitionIndex: wanted.partition,
    errorCode: errorCode(error),
    highWatermark: -1,
    records: NOTHING,
  }
}

function sizeOf({ records }: PartitionResponse): number {
  return records instanceof Uint8Array ? records.length : 0
}
