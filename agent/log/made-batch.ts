// Batches that the log makes by itself, outside the tails: of a record that no slot holds, and of
// the empty records that stand in for lost ones.

import { CODEC_NONE, SCRATCH, SCRATCH_BYTES } from '../../wasm/assembly/limits.ts'
import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import { buildBatch } from '../record/record-batch.ts'
import type { RecordPointers } from './tail-list.ts'

/** A large record is encoded in the lower half of the scratch window and sealed in the upper. */
const SCRATCH_HALF = SCRATCH_BYTES >> 1
const HOLLOW_RECORDS_MAX = 65_536

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

/** Null records from an offset on, up to `to` or as many as a batch takes; the first says what is lost. */
export function hollowBatch(from: number, to: number, timestamp: number, codecs: Codecs): Buffer {
  const count = Math.min(HOLLOW_RECORDS_MAX, to - from)
  const gap = Buffer.from(`${from},${from + count - 1},lost`)
  const records = Array.from({ length: count }, (_, index) => ({
    timestamp,
    key: null,
    value: null,
    headers: index === 0 ? ([['edge-gap', gap]] as const) : [],
  }))
  return buildBatch(records, { codecs, codec: 3 })
}
