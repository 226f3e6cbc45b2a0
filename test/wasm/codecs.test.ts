// Codecs on heap bytes: the same as the kernels, for lengths beyond every window.

import * as assert from 'uvu/assert'
import { encodeRecord } from '../../agent/record/record.ts'
import { readBatchHeader, wrapRecords } from '../../agent/record/record-batch.ts'
import {
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  CORRUPT,
  OUT_OF_ROOM,
  SCRATCH_BYTES,
  TAILS_BYTES,
  UNSUPPORTED,
  WRONG_COUNT,
} from '../../wasm/assembly/limits.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { suite } from '../support/suite.ts'
import { crc32cTwin, lz4Twin, sensorBytes } from './twins.ts'

const test = suite('wasm/codecs')
const codecs = new Codecs(new Kernel())

test('CRC of bytes around and beyond the window', () => {
  const bytes = sensorBytes(SCRATCH_BYTES + 3000)
  for (const length of [0, 1, SCRATCH_BYTES - 1, SCRATCH_BYTES, SCRATCH_BYTES + 1, bytes.length]) {
    const piece = bytes.subarray(0, length)
    assert.is(codecs.crc32c(piece), crc32cTwin(piece), `${length}`)
  }
  const middle = codecs.crc32c(bytes.subarray(0, 777))
  assert.is(codecs.crcUpdate(middle, bytes.subarray(777)), codecs.crc32c(bytes))
})

test('frames of lengths that fit the window, and that do not', () => {
  for (const length of [0, 1, 1000, 700_000, 1_048_000, 1_200_000, 3_000_000]) {
    const bytes = sensorBytes(length)
    for (const codec of [CODEC_LZ4, CODEC_ZSTD] as const) {
      const frame = codecs.compress(codec, bytes)
      if (codec === CODEC_LZ4 && length < 2_000_000) assert.ok(lz4Twin(frame).equals(bytes))
      const back = codecs.decompress(codec, frame, length)
      assert.ok(typeof back !== 'number' && back.equals(bytes), `${length} in codec ${codec}`)
    }
  }
  const tooMany = Buffer.alloc(TAILS_BYTES / 2 + 100)
  assert.throws(() => codecs.compress(CODEC_LZ4, tooMany), /too many/)
  assert.throws(() => codecs.compress(CODEC_ZSTD, tooMany), /too many/)
})

test('codecs that no kernel reads are UNSUPPORTED', () => {
  for (const codec of [1, 5, 7]) {
    assert.is(codecs.decompress(codec, Buffer.alloc(100), 1000), UNSUPPORTED)
    const batch = batchOf(threeRecords(300), codec)
    const scan = codecs.scanBatch(batch, { ...readBatchHeader(batch), codec }, 1000)
    assert.equal([scan.inflated, scan.status], [UNSUPPORTED, UNSUPPORTED])
  }
})

function threeRecords(valueBytes: number): Buffer {
  const value = sensorBytes(valueBytes)
  return Buffer.concat(
    [0, 1, 2].map((offsetDelta) =>
      encodeRecord({ offsetDelta, timestampDelta: 5 * offsetDelta, key: null, value }),
    ),
  )
}

function batchOf(records: Buffer, codec: number): Buffer {
  const span = { count: 3, baseTimestamp: 0, maxTimestamp: 10 }
  return wrapRecords(records, span, { codecs, codec: codec === CODEC_LZ4 ? CODEC_LZ4 : CODEC_NONE })
}

test('a batch is checked in one pass, whatever it inflates to', () => {
  for (const codec of [CODEC_NONE, CODEC_LZ4]) {
    // The last of LZ4 fits SCRATCH packed and not inflated, the last without codec not at all.
    for (const valueBytes of [0, 300, 100_000, 1_000_000]) {
      const records = threeRecords(valueBytes)
      const batch = batchOf(records, codec)
      const header = readBatchHeader(batch)
      const { length: inflated } = records
      const { crc } = header
      const good = { crc, inflated, status: 0, maxTimestampDelta: 10 }
      assert.equal(codecs.scanBatch(batch, header, 2 ** 24), good)
      const fewer = { crc, inflated, status: WRONG_COUNT, maxTimestampDelta: 0 }
      assert.equal(codecs.scanBatch(batch, { ...header, count: 2 }, 2 ** 24), fewer)
      if (codec === CODEC_NONE) continue
      const { inflated: status } = codecs.scanBatch(batch, header, inflated - 1)
      assert.is(status, OUT_OF_ROOM)
    }
  }
})

test('behind a wrong CRC nothing is looked at', () => {
  const batch = batchOf(threeRecords(300), CODEC_LZ4)
  const header = readBatchHeader(batch)
  batch[100]! ^= 1
  const scan = codecs.scanBatch(batch, header, 2 ** 24)
  assert.is(scan.crc, crc32cTwin(batch.subarray(21)))
  assert.equal([scan.inflated, scan.status], [CORRUPT, CORRUPT])
  // Under its own CRC it is the frame that is wrong.
  batch.fill(0xee, 61, 70)
  const crc = crc32cTwin(batch.subarray(21))
  assert.is(codecs.scanBatch(batch, { ...header, crc }, 2 ** 24).inflated, CORRUPT)
})

test('a batch beyond every window is OUT_OF_ROOM under its CRC', () => {
  const batch = Buffer.alloc(TAILS_BYTES)
  const crc = codecs.crc32c(batch.subarray(21))
  const scan = codecs.scanBatch(batch, { crc, codec: CODEC_NONE, count: 1 }, 2 ** 24)
  assert.equal(scan, { crc, inflated: OUT_OF_ROOM, status: OUT_OF_ROOM, maxTimestampDelta: 0 })
})

test('a frame that inflates beyond the limit is refused, however small it is', () => {
  const bomb = codecs.compress(CODEC_LZ4, Buffer.alloc(8_000_000))
  assert.ok(bomb.length < 40_000)
  assert.is(codecs.decompress(CODEC_LZ4, bomb, 7_999_999), OUT_OF_ROOM)
  assert.is(codecs.decompress(CODEC_LZ4, bomb, 1000), OUT_OF_ROOM)
  const back = codecs.decompress(CODEC_LZ4, bomb, 8_000_000)
  assert.ok(typeof back !== 'number' && back.length === 8_000_000)
  assert.is(codecs.decompress(CODEC_LZ4, Buffer.alloc(TAILS_BYTES), 1000), OUT_OF_ROOM)
})

test('damage stays damage in the wide window', () => {
  const frame = codecs.compress(CODEC_LZ4, sensorBytes(3_000_000))
  frame[6]! ^= 1
  assert.is(codecs.decompress(CODEC_LZ4, frame, 3_000_000), CORRUPT)
})

test('results outlive later calls', () => {
  const frame = codecs.compress(CODEC_LZ4, sensorBytes(500))
  const copy = Buffer.from(frame)
  const back = codecs.decompress(CODEC_LZ4, frame, 500) as Buffer
  codecs.compress(CODEC_LZ4, Buffer.alloc(5000))
  assert.ok(frame.equals(copy))
  assert.ok(back.equals(sensorBytes(500)))
})

test('scans records in both windows', () => {
  const value = Buffer.alloc(300_000)
  const records = Buffer.concat(
    Array.from({ length: 9 }, (_, offsetDelta) =>
      encodeRecord({ offsetDelta, timestampDelta: 10 * offsetDelta, key: null, value }),
    ),
  )
  assert.ok(records.length > SCRATCH_BYTES)
  assert.equal(codecs.scanRecords(records, 9), { status: 0, maxTimestampDelta: 80 })
  assert.is(codecs.scanRecords(records, 8).status, WRONG_COUNT)
  const one = records.subarray(0, records.length / 9)
  assert.equal(codecs.scanRecords(one, 1), { status: 0, maxTimestampDelta: 0 })
  assert.is(codecs.scanRecords(Buffer.alloc(TAILS_BYTES + 1), 1).status, OUT_OF_ROOM)
})

test.run()
