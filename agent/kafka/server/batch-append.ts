// One produced batch into a partition: judged, checked against its producer's sequence, appended with
// the producer's new state in the same turn, so that one commit holds both.
//
// A batch of 16 KiB or more is kept as it came: the client's CRC guards it for ever. A smaller one is
// decoded into the tail like records of MQTT, all of it or nothing: upstream, a backlog of small
// batches would never drain, for Kafka takes one batch per partition and request.

import type { HeapRecord } from '../../log/heap-record.ts'
import type { PartitionLog } from '../../log/partition-log.ts'
import { CODEC_ZSTD } from '../../record/compression.ts'
import { type BatchHeader, decodeRecords } from '../../record/record-batch.ts'
import { type BatchVerdict, validateBatch } from '../../record/validate-batch.ts'
import { errorCode } from '../protocol/error-codes.ts'
import type { Broker } from './broker.ts'
import { type ErrorFields, failure, failureOf } from './error-map.ts'
import type { Call } from './served-api.ts'

/** The Produce version of a client that may say zstd (KIP-110). */
const ZSTD_FROM = 7
export const KEPT_BATCH_BYTES = 16 * 1024
/** A small batch that inflates beyond this is kept as it came, too. */
const DECODED_BYTES_MAX = 64 * 1024
/**
 * Batches that may wait for full partitions together. More are refused at once: their requests hold
 * memory that those to other partitions need.
 */
const FULL_WAIT_BYTES_MAX = 2 * 1024 * 1024
/** Of a request's timeout: the client must see our answer before it gives up. */
const ROOM_WAIT_SHARE = 0.75

export interface Appended extends ErrorFields {
  baseOffset: number
  logAppendTimeMs: number
  logStartOffset: number
  /** The commit that the answer has to wait for; 0 for none. */
  commit: number
}

type ValidBatch = Extract<BatchVerdict, { kind: 'valid' }>

/** In memory when it returns; a promise only when the batch has to wait for room. */
export function appendProduced(
  partition: PartitionLog,
  batch: Buffer,
  timeoutMs: number,
  call: Call,
): Appended | Promise<Appended> {
  const { broker } = call
  const limits = { batchBytesMax: broker.settings.messageBytesMax }
  const verdict = validateBatch(batch, limits, broker.codecs)
  if (verdict.kind === 'invalid') return refused(failure(verdict.error, verdict.reason))
  if (verdict.header.codec === CODEC_ZSTD && call.version < ZSTD_FROM) {
    return refused(failure('UNSUPPORTED_COMPRESSION_TYPE', `zstd needs Produce v${ZSTD_FROM}`))
  }
  const attempt = () => appendOnce(partition, batch, verdict, broker)
  return attempt() ?? appendWithRoom(partition, batch, attempt, timeoutMs, call)
}

export function refused(error: ErrorFields): Appended {
  return { ...error, baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1, commit: 0 }
}

async function appendWithRoom(
  partition: PartitionLog,
  batch: Buffer,
  attempt: () => Appended | undefined,
  timeoutMs: number,
  call: Call,
): Promise<Appended> {
  const { broker, client } = call
  const wait = Math.min(timeoutMs * ROOM_WAIT_SHARE, broker.settings.roomWaitMsMax)
  let appended: Appended | undefined
  const { length } = batch
  if (partition.fullSince === undefined || broker.fullWaitBytes + length <= FULL_WAIT_BYTES_MAX) {
    broker.fullWaitBytes += length
    // The attempt itself runs when room is announced: whoever waited longest goes first.
    await broker.room.wait(wait, client, () => {
      if (partition.fullSince === undefined) appended = attempt()
      return appended !== undefined
    })
    broker.fullWaitBytes -= length
  }
  // Retriable for every client, and none of them takes it for "perhaps appended".
  const message = `${partition.name}: no room for now, nothing was appended`
  return appended ?? refused(failure('NOT_ENOUGH_REPLICAS', message))
}

/** Undefined: there is no room, nothing happened. */
function appendOnce(
  partition: PartitionLog,
  batch: Buffer,
  verdict: ValidBatch,
  broker: Broker,
): Appended | undefined {
  const { header } = verdict
  const { topic } = partition
  // While the batch waited, the topic may have gone.
  if (broker.log.topic(topic.name) !== topic) return refused(failure('UNKNOWN_TOPIC_OR_PARTITION'))
  const isIdempotent = header.producerId >= 0n
  const known = isIdempotent ? judgeSequence(partition, header, broker) : undefined
  if (known !== undefined) return known
  try {
    const baseOffset = isKept(batch, verdict)
      ? partition.appendBatch(batch)
      : partition.appendRecords(decoded(batch, broker))
    if (baseOffset < 0) return undefined
    if (isIdempotent) broker.producers.appended(partition, header, baseOffset)
    const { logStartOffset } = partition
    const { openCommit } = broker.log
    return { ...NONE, baseOffset, logAppendTimeMs: -1, logStartOffset, commit: openCommit }
  } catch (fault) {
    return refused(failureOf(fault))
  }
}

const NONE: ErrorFields = { errorCode: errorCode('NONE'), errorMessage: null }

/** The answer to a batch that is not the producer's next one. */
function judgeSequence(
  partition: PartitionLog,
  header: BatchHeader,
  broker: Broker,
): Appended | undefined {
  const verdict = broker.producers.judge(partition, header)
  const producer = `producer ${header.producerId} of ${partition.name}`
  switch (verdict.kind) {
    case 'next':
      return undefined
    case 'duplicate': {
      const { baseOffset, timestamp, commit } = verdict.batch
      const { logStartOffset } = partition
      return { ...NONE, baseOffset, logAppendTimeMs: timestamp, logStartOffset, commit }
    }
    case 'outOfOrder': {
      const message = `${producer}: sequence ${header.baseSequence}, expected ${verdict.expected}`
      return refused(failure('OUT_OF_ORDER_SEQUENCE_NUMBER', message))
    }
    case 'fenced': {
      const message = `${producer}: epoch ${header.producerEpoch}, the current one is ${verdict.epoch}`
      return refused(failure('INVALID_PRODUCER_EPOCH', message))
    }
  }
}

function isKept(batch: Buffer, { recordsBytes }: ValidBatch): boolean {
  return batch.length >= KEPT_BATCH_BYTES || recordsBytes > DECODED_BYTES_MAX
}

function decoded(batch: Buffer, { codecs }: Broker): HeapRecord[] {
  return [...decodeRecords(batch, codecs)]
}
