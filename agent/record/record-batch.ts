// Record batches of format v2, as Kafka stores and sends them.
//
//   0 baseOffset i64 | 8 length i32 | 12 partitionLeaderEpoch i32 | 16 magic i8 = 2 | 17 crc u32
//   | 21 attributes i16 | 23 lastOffsetDelta i32 | 27 baseTimestamp i64 | 35 maxTimestamp i64
//   | 43 producerId i64 | 51 producerEpoch i16 | 53 baseSequence i32 | 57 count i32 | 61 records
//
// - `length` counts what comes after it. The CRC covers everything from the attributes on, so base
//   offset and leader epoch may change freely.
// - Changes of the header patch the CRC by what changed and never compute it from the bytes: a batch
//   that has rotted keeps a CRC that says so.

import { SCRATCH } from '../../wasm/assembly/limits.ts'
import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import { CODEC_NONE, type Codec, codecName, compress, decompress } from './compression.ts'
import { encodeRecord, type Header, iterateRecords } from './record.ts'

/** Positions of the fields, from the start of the batch. */
export const BATCH = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  count: 57,
  records: 61,
} as const

/** Bytes that `length` does not count. */
export const BATCH_PREFIX_BYTES = 12
export const BATCH_HEADER_BYTES = BATCH.records

// Bits of the attributes.
export const CODEC_MASK = 0x07
export const LOG_APPEND_TIME = 0x08
export const TRANSACTIONAL = 0x10
export const CONTROL = 0x20

/** Decompressed records are refused above this, whatever a batch claims. */
export const MAX_RECORDS_BYTES = 16 * 1024 * 1024

export interface BatchHeader {
  baseOffset: number
  /** Bytes of the whole batch. */
  size: number
  leaderEpoch: number
  magic: number
  crc: number
  attributes: number
  codec: number
  lastOffsetDelta: number
  baseTimestamp: number
  maxTimestamp: number
  producerId: bigint
  producerEpoch: number
  baseSequence: number
  count: number
}

/** Who produced a batch; −1n, −1, −1 stand for nobody in particular. */
export interface ProducerIdentity {
  producerId: bigint
  producerEpoch: number
  baseSequence: number
}

const NOBODY: ProducerIdentity = { producerId: -1n, producerEpoch: -1, baseSequence: -1 }

export interface BatchRecord {
  timestamp: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly (readonly [key: string | Uint8Array, value: Uint8Array | null])[]
}

export interface DecodedRecord {
  offset: number
  timestamp: number
  key: Buffer | null
  value: Buffer | null
  headers: Header[]
}

/**
 * The header's fields as they stand, nothing checked; 61 bytes must be there. Offsets and times
 * beyond the safe integers lose their low bits.
 */
export function readBatchHeader(buffer: Buffer, position = 0): BatchHeader {
  const attributes = buffer.readInt16BE(position + BATCH.attributes)
  return {
    baseOffset: readInt64(buffer, position + BATCH.baseOffset),
    size: buffer.readInt32BE(position + BATCH.length) + BATCH_PREFIX_BYTES,
    leaderEpoch: buffer.readInt32BE(position + BATCH.leaderEpoch),
    magic: buffer.readInt8(position + BATCH.magic),
    crc: buffer.readUInt32BE(position + BATCH.crc),
    attributes,
    codec: attributes & CODEC_MASK,
    lastOffsetDelta: buffer.readInt32BE(position + BATCH.lastOffsetDelta),
    baseTimestamp: readInt64(buffer, position + BATCH.baseTimestamp),
    maxTimestamp: readInt64(buffer, position + BATCH.maxTimestamp),
    producerId: buffer.readBigInt64BE(position + BATCH.producerId),
    producerEpoch: buffer.readInt16BE(position + BATCH.producerEpoch),
    baseSequence: buffer.readInt32BE(position + BATCH.baseSequence),
    count: buffer.readInt32BE(position + BATCH.count),
  }
}

/** Sets the base offset, and the leader epoch a batch has in a log; both lie outside the CRC. */
export function placeAt(batch: Buffer, baseOffset: number, leaderEpoch: number): void {
  writeInt64(batch, BATCH.baseOffset, baseOffset)
  batch.writeInt32BE(leaderEpoch, BATCH.leaderEpoch)
}

/** Turns a stored batch, in place, into the one to send upstream: base offset 0, leader epoch −1. */
export function patchForWire(batch: Buffer, producer: ProducerIdentity, kernel: Kernel): void {
  placeAt(batch, 0, -1)
  patchProducer(batch, producer, kernel)
}

/** Turns a batch that was sent or fetched, in place, into the stored one: no producer. */
export function unpatch(batch: Buffer, baseOffset: number, kernel: Kernel): void {
  placeAt(batch, baseOffset, 0)
  patchProducer(batch, NOBODY, kernel)
}

function patchProducer(batch: Buffer, producer: ProducerIdentity, kernel: Kernel): void {
  patchHeader(batch, BATCH.producerId, BATCH.count, kernel, () => {
    batch.writeBigInt64BE(producer.producerId, BATCH.producerId)
    batch.writeInt16BE(producer.producerEpoch, BATCH.producerEpoch)
    batch.writeInt32BE(producer.baseSequence, BATCH.baseSequence)
  })
}

/** Sets the header's greatest timestamp, in place. */
export function patchMaxTimestamp(batch: Buffer, maxTimestamp: number, kernel: Kernel): void {
  patchHeader(batch, BATCH.maxTimestamp, BATCH.producerId, kernel, () => {
    writeInt64(batch, BATCH.maxTimestamp, maxTimestamp)
  })
}

/** Changes bytes from `start` to `end` of the header and the CRC with them. */
function patchHeader(
  batch: Buffer,
  start: number,
  end: number,
  kernel: Kernel,
  change: () => void,
): void {
  const { u8 } = kernel
  for (let i = start; i < end; i++) u8[SCRATCH + i - start] = batch[i]!
  change()
  for (let i = start; i < end; i++) u8[SCRATCH + i - start]! ^= batch[i]!
  const size = batch.readInt32BE(BATCH.length) + BATCH_PREFIX_BYTES
  const crc = kernel.crcPatch(batch.readUInt32BE(BATCH.crc), SCRATCH, end - start, size - end)
  batch.writeUInt32BE(crc, BATCH.crc)
}

/** A batch of some records, for small jobs: not for the hot path. At least one record. */
export function buildBatch(
  records: readonly BatchRecord[],
  options: { codecs: Codecs; codec?: Codec; baseOffset?: number; producer?: ProducerIdentity },
): Buffer {
  const baseTimestamp = records[0]!.timestamp
  const encoded = records.map(({ timestamp, ...fields }, offsetDelta) =>
    encodeRecord({ ...fields, offsetDelta, timestampDelta: timestamp - baseTimestamp }),
  )
  const maxTimestamp = records.reduce((max, { timestamp }) => Math.max(max, timestamp), -1)
  const span = { count: records.length, baseTimestamp, maxTimestamp }
  return wrapRecords(Buffer.concat(encoded), span, options)
}

/** The batch of records that are encoded already, with deltas 0, 1, 2, … */
export function wrapRecords(
  records: Buffer,
  span: { count: number; baseTimestamp: number; maxTimestamp: number },
  options: { codecs: Codecs; codec?: Codec; baseOffset?: number; producer?: ProducerIdentity },
): Buffer {
  const { codecs, codec = CODEC_NONE, baseOffset = 0, producer = NOBODY } = options
  const body = compress(codec, records, codecs)
  const batch = Buffer.alloc(BATCH_HEADER_BYTES + body.length)
  batch.set(body, BATCH.records)
  placeAt(batch, baseOffset, 0)
  batch.writeInt32BE(batch.length - BATCH_PREFIX_BYTES, BATCH.length)
  batch.writeInt8(2, BATCH.magic)
  batch.writeInt16BE(codec, BATCH.attributes)
  batch.writeInt32BE(span.count - 1, BATCH.lastOffsetDelta)
  writeInt64(batch, BATCH.baseTimestamp, span.baseTimestamp)
  writeInt64(batch, BATCH.maxTimestamp, span.maxTimestamp)
  batch.writeBigInt64BE(producer.producerId, BATCH.producerId)
  batch.writeInt16BE(producer.producerEpoch, BATCH.producerEpoch)
  batch.writeInt32BE(producer.baseSequence, BATCH.baseSequence)
  batch.writeInt32BE(span.count, BATCH.count)
  batch.writeUInt32BE(codecs.crc32c(batch.subarray(BATCH.attributes)), BATCH.crc)
  return batch
}

/**
 * The records of one batch with their offsets and timestamps; keys and values are views. Faults:
 * CORRUPT_BATCH, INPUT_CODEC. The CRC is the caller's business.
 */
export function* decodeRecords(batch: Buffer, codecs: Codecs): Generator<DecodedRecord> {
  const header = readBatchHeader(batch)
  const packed = batch.subarray(BATCH.records, header.size)
  const inflated = decompress(header.codec, packed, MAX_RECORDS_BYTES, codecs)
  if (inflated.kind === 'unsupported') {
    const name = codecName(header.codec)
    throw new AgentError('INPUT_CODEC', `a batch at ${header.baseOffset} has unreadable ${name}`)
  }
  if (inflated.kind !== 'bytes') {
    const fault = inflated.kind === 'corrupt' ? 'does not decompress' : 'inflates beyond all limits'
    throw new AgentError('CORRUPT_BATCH', `the batch at ${header.baseOffset} ${fault}`)
  }
  const appendTime = (header.attributes & LOG_APPEND_TIME) !== 0
  for (const record of iterateRecords(inflated.bytes, header.count)) {
    const { offsetDelta, timestampDelta, key, value, headers } = record
    yield {
      offset: header.baseOffset + offsetDelta,
      timestamp: appendTime ? header.maxTimestamp : header.baseTimestamp + timestampDelta,
      key,
      value,
      headers,
    }
  }
}

/** Two 32-bit halves: no bigint on the way. */
function readInt64(buffer: Buffer, position: number): number {
  return buffer.readInt32BE(position) * 0x100000000 + buffer.readUInt32BE(position + 4)
}

function writeInt64(buffer: Buffer, position: number, value: number): void {
  buffer.writeInt32BE(Math.floor(value / 0x100000000), position)
  buffer.writeUInt32BE(value >>> 0, position + 4)
}
