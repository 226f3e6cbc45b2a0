// The gate for batches of foreign producers: everything a broker checks, and what it forgets.
//
// A batch that passes is taken by any upstream broker without a rewrite, and holds exactly the records
// its header says. Stricter than a broker where brokers let through what breaks readers: offset deltas
// inside uncompressed batches, unused attribute bits, attributes of records, compression that could
// not be read later. The reasons follow LogValidator of Kafka 4.

import {
  CORRUPT,
  OUT_OF_ROOM,
  UNSUPPORTED,
  WRONG_COUNT,
  WRONG_DELTA,
  WRONG_TIMESTAMP,
} from '../../wasm/assembly/limits.ts'
import type { BatchScan, Codecs } from '../../wasm/codecs.ts'
import { CODEC_GZIP, CODEC_LZ4, codecName, decompress } from './compression.ts'
import {
  BATCH,
  BATCH_HEADER_BYTES,
  type BatchHeader,
  CODEC_MASK,
  CONTROL,
  LOG_APPEND_TIME,
  MAX_RECORDS_BYTES,
  patchMaxTimestamp,
  readBatchHeader,
  TRANSACTIONAL,
} from './record-batch.ts'

/** Names of Kafka's error codes that a refused batch is answered with. */
export type BatchError =
  | 'CORRUPT_MESSAGE'
  | 'INVALID_RECORD'
  | 'INVALID_TIMESTAMP'
  | 'MESSAGE_TOO_LARGE'
  | 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED'
  | 'UNSUPPORTED_COMPRESSION_TYPE'

export type BatchVerdict =
  | {
      kind: 'valid'
      header: BatchHeader
      /** Bytes of the encoded records when decompressed. */
      recordsBytes: number
      /** The header's maxTimestamp was wrong, and was put right in place as a broker does. */
      repaired: boolean
    }
  | { kind: 'invalid'; error: BatchError; reason: string }

export interface BatchLimits {
  /** The greatest size of a batch as it came (max.message.bytes). */
  batchBytesMax: number
  /** The greatest size of its records when decompressed. */
  recordsBytesMax?: number
}

const invalid = (error: BatchError, reason: string): BatchVerdict => ({
  kind: 'invalid',
  error,
  reason,
})

/** Judges what a Produce request holds for one partition: it must be exactly one batch. */
export function validateBatch(bytes: Buffer, limits: BatchLimits, codecs: Codecs): BatchVerdict {
  const frame = checkFrame(bytes, limits.batchBytesMax)
  if (frame !== undefined) return frame
  const header = readBatchHeader(bytes)
  const recordsBytesMax = limits.recordsBytesMax ?? MAX_RECORDS_BYTES
  const scan = codecs.scanBatch(bytes, header, recordsBytesMax)
  if (scan.crc !== header.crc) return invalid('CORRUPT_MESSAGE', 'the CRC does not match')
  return checkHeader(header) ?? checkRecords(bytes, header, scan, recordsBytesMax, codecs)
}

function checkFrame(bytes: Buffer, batchBytesMax: number): BatchVerdict | undefined {
  // Magic lies at the same place in all formats; old ones are named as what they are.
  if (bytes.length > BATCH.magic && bytes[BATCH.magic] !== 2) {
    return invalid('INVALID_RECORD', `magic ${bytes.readInt8(BATCH.magic)}: only format 2 is taken`)
  }
  if (bytes.length < BATCH_HEADER_BYTES) return invalid('INVALID_RECORD', 'no whole batch')
  const { size } = readBatchHeader(bytes)
  if (size < BATCH_HEADER_BYTES) return invalid('CORRUPT_MESSAGE', `a batch of ${size} bytes`)
  if (size > batchBytesMax) {
    return invalid('MESSAGE_TOO_LARGE', `${size} bytes, at most ${batchBytesMax} are taken`)
  }
  if (size > bytes.length) return invalid('INVALID_RECORD', 'the batch is cut off')
  if (size < bytes.length) return invalid('INVALID_RECORD', 'more than one batch')
  return undefined
}

function checkHeader(header: BatchHeader): BatchVerdict | undefined {
  const { attributes, count, lastOffsetDelta, producerId } = header
  if (header.baseOffset !== 0) return invalid('INVALID_RECORD', 'the base offset should be 0')
  if ((attributes & CONTROL) !== 0) return invalid('INVALID_RECORD', 'a control batch')
  if ((attributes & TRANSACTIONAL) !== 0) {
    return invalid('TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'transactions are not supported')
  }
  if ((attributes & LOG_APPEND_TIME) !== 0) {
    return invalid('INVALID_TIMESTAMP', 'producers must not set log append time')
  }
  if ((attributes & ~CODEC_MASK) !== 0) return invalid('INVALID_RECORD', 'unused attribute bits')
  if (count <= 0) return invalid('INVALID_RECORD', `a batch of ${count} records`)
  if (lastOffsetDelta !== count - 1) {
    return invalid('INVALID_RECORD', `${count} records up to offset delta ${lastOffsetDelta}`)
  }
  if (producerId >= 0n && (header.baseSequence < 0 || header.producerEpoch < 0)) {
    return invalid('INVALID_RECORD', 'a producer id without sequence or epoch')
  }
  if (!Number.isSafeInteger(header.baseTimestamp) || header.baseTimestamp < -1) {
    return invalid('INVALID_TIMESTAMP', `base timestamp ${header.baseTimestamp}`)
  }
  return undefined
}

function checkRecords(
  batch: Buffer,
  header: BatchHeader,
  seen: BatchScan,
  recordsBytesMax: number,
  codecs: Codecs,
): BatchVerdict {
  const { codec } = header
  const scan = codec === CODEC_GZIP ? scanGzip(batch, header, recordsBytesMax, codecs) : seen
  if (scan.inflated < 0) return refuseCompression(scan.inflated, codec, recordsBytesMax)
  if (scan.status !== 0) return refuseRecords(scan.status)
  if (codec === CODEC_LZ4 && isLinked(batch)) return refuseCompression(UNSUPPORTED, codec, 0)
  const maxTimestamp = header.baseTimestamp + scan.maxTimestampDelta
  if (!Number.isSafeInteger(maxTimestamp) || maxTimestamp < -1) {
    return invalid('INVALID_TIMESTAMP', `timestamp ${maxTimestamp}`)
  }
  const repaired = maxTimestamp !== header.maxTimestamp
  if (repaired) patchMaxTimestamp(batch, maxTimestamp, codecs.kernel)
  return { kind: 'valid', header: readBatchHeader(batch), recordsBytes: scan.inflated, repaired }
}

/** The one codec that no kernel reads. */
function scanGzip(
  batch: Buffer,
  header: BatchHeader,
  recordsBytesMax: number,
  codecs: Codecs,
): Omit<BatchScan, 'crc'> {
  const packed = batch.subarray(BATCH.records)
  const output = decompress(CODEC_GZIP, packed, recordsBytesMax, codecs)
  if (output.kind === 'bytes') {
    return { inflated: output.bytes.length, ...codecs.scanRecords(output.bytes, header.count) }
  }
  const status = output.kind === 'tooLarge' ? OUT_OF_ROOM : CORRUPT
  return { inflated: status, status, maxTimestampDelta: 0 }
}

/** Whether an LZ4 frame has linked blocks: Java's readers, brokers among them, refuse those. */
function isLinked(batch: Buffer): boolean {
  return (batch[BATCH.records + 4]! & 0x20) === 0
}

function refuseCompression(status: number, codec: number, recordsBytesMax: number): BatchVerdict {
  const name = codecName(codec)
  switch (status) {
    case UNSUPPORTED:
      return invalid('UNSUPPORTED_COMPRESSION_TYPE', `${name} of this kind is not read here`)
    case OUT_OF_ROOM:
      return invalid('MESSAGE_TOO_LARGE', `more than ${recordsBytesMax} bytes of records`)
    default:
      return invalid('INVALID_RECORD', `${name} does not decompress`)
  }
}

function refuseRecords(status: number): BatchVerdict {
  switch (status) {
    case WRONG_COUNT:
      return invalid('INVALID_RECORD', 'more or fewer records than the header says')
    case WRONG_DELTA:
      return invalid('INVALID_RECORD', 'offset deltas are not 0, 1, 2, …')
    case WRONG_TIMESTAMP:
      return invalid('INVALID_TIMESTAMP', 'a timestamp beyond all calendars')
    case OUT_OF_ROOM:
      return invalid('MESSAGE_TOO_LARGE', 'more bytes of records than can be checked')
    default:
      return invalid('INVALID_RECORD', 'a record does not parse')
  }
}
