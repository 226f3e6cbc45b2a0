// Batches that the log makes by itself, outside the tails: of a record that no slot holds, and of
// the empty records that stand in for lost ones.

import { CODEC_NONE, SCRATCH, SCRATCH_BYTES } from '../../wasm/assembly/limits.ts'
import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import { AgentError } from '../base/errors.ts'
import { CODEC_GZIP } from '../record/compression.ts'
import { encodeRecord } from '../record/record.ts'
import { decodeRecords, readBatchHeader, wrapRecords } from '../record/record-batch.ts'
import { varintSize, writeVarint } from '../record/varint.ts'
import type { LostRange } from './loss.ts'
import type { RecordPointers } from './tail-list.ts'

/** A large record is encoded in the lower half of the scratch window and sealed in the upper. */
const SCRATCH_HALF = SCRATCH_BYTES >> 1
/** Brokers keep an object for each record of a batch while they take it. */
export const HOLLOW_RECORDS_MAX = 65_536
const GAP_HEADER = 'edge-gap'
/** Six bytes and the offset delta. */
const EMPTY_RECORD_BYTES_MAX = 6 + 3

/** An uncompressed batch of one record. Fault: INPUT_BATCH when it is too large. */
export function batchOfLargeRecord(
  kernel: Kernel,
  timestamp: number,
  record: RecordPointers,
): Buffer {
  const [plain, sealed] = [SCRATCH, SCRATCH + SCRATCH_HALF]
  const length = kernel.encodeRecord(
    plain,
    SCRATCH_HALF,
    0,
    0,
    record.key,
    record.keyLength,
    record.value,
    record.valueLength,
    record.headers,
    record.headersLength,
    record.headersCount,
  )
  const args = [CODEC_NONE, 0, 0, timestamp, timestamp, 1] as const
  const size = length < 0 ? length : kernel.sealBatch(plain, length, sealed, SCRATCH_HALF, ...args)
  if (size < 0) {
    throw new AgentError('INPUT_BATCH', `a record of ${record.valueLength} bytes is too large`)
  }
  return Buffer.from(kernel.u8.subarray(sealed, sealed + size))
}

/**
 * Empty records from an offset on: up to `to`, or to the next multiple of 65,536, so that the same
 * offsets always make the same batches. The first record says what is lost, and why.
 */
export function hollowBatch(
  { from, to, reason }: LostRange,
  timestamp: number,
  codecs: Codecs,
): Buffer {
  const boundary = (Math.floor(from / HOLLOW_RECORDS_MAX) + 1) * HOLLOW_RECORDS_MAX
  const count = Math.min(to, boundary) - from
  assert(count > 0, 'a hollow batch has records')
  const first = encodeRecord({
    offsetDelta: 0,
    timestampDelta: 0,
    key: null,
    value: null,
    headers: [[GAP_HEADER, Buffer.from(`${from},${from + count - 1},${reason}`)]],
  })
  const records = Buffer.allocUnsafe(first.length + (count - 1) * EMPTY_RECORD_BYTES_MAX)
  records.set(first)
  let position = first.length
  for (let delta = 1; delta < count; delta++) {
    // Length, attributes, timestamp delta, offset delta, key −1, value −1, no headers.
    records[position++] = 2 * (5 + varintSize(delta))
    records[position++] = 0
    records[position++] = 0
    position = writeVarint(records, position, delta)
    records[position++] = 1
    records[position++] = 1
    records[position++] = 0
  }
  const span = { count, baseTimestamp: timestamp, maxTimestamp: timestamp }
  const options = { codecs, codec: CODEC_GZIP, baseOffset: from } as const
  return wrapRecords(records.subarray(0, position), span, options)
}

/** Whether a batch was made by `hollowBatch`. */
export function isHollow(batch: Buffer, codecs: Codecs): boolean {
  if (readBatchHeader(batch).codec !== CODEC_GZIP) return false
  for (const { key, value, headers } of decodeRecords(batch, codecs)) {
    const isEmpty = key === null && value === null
    return isEmpty && headers[0]?.[0].toString() === GAP_HEADER
  }
  return false
}
