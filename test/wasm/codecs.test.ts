// Codecs on heap bytes: the same as the kernels, for lengths beyond every window.

import * as assert from 'uvu/assert'
import { encodeRecord } from '../../agent/record/record.ts'
import {
  CORRUPT,
  OUT_OF_ROOM,
  SCRATCH_BYTES,
  TAILS_BYTES,
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

test('LZ4 of lengths that fit the window, and that do not', () => {
  for (const length of [0, 1, 1000, 700_000, 1_048_000, 1_200_000, 3_000_000]) {
    const bytes = sensorBytes(length)
    const frame = codecs.lz4Compress(bytes)
    if (length < 2_000_000) assert.ok(lz4Twin(frame).equals(bytes))
    const back = codecs.lz4Decompress(frame, length)
    assert.ok(typeof back !== 'number' && back.equals(bytes), `${length}`)
  }
  assert.throws(() => codecs.lz4Compress(Buffer.alloc(TAILS_BYTES / 2 + 100)), /too many/)
})

test('records in an LZ4 frame are scanned where they are inflated', () => {
  const record = (offsetDelta: number) =>
    encodeRecord({ offsetDelta, timestampDelta: 1, key: null, value: sensorBytes(300) })
  const records = Buffer.concat([record(0), record(1), record(2)])
  const frame = codecs.lz4Compress(records)
  assert.is(codecs.scanLz4Records(frame, 3), 0)
  assert.is(codecs.scanLz4Records(frame, 2), WRONG_COUNT)
  frame[6]! ^= 1
  assert.is(codecs.scanLz4Records(frame, 3), CORRUPT)
  const large = codecs.lz4Compress(Buffer.alloc(SCRATCH_BYTES))
  assert.is(codecs.scanLz4Records(large, 1), OUT_OF_ROOM)
  assert.is(codecs.scanLz4Records(Buffer.alloc(SCRATCH_BYTES), 1), OUT_OF_ROOM)
})

test('a frame that inflates beyond the limit is refused, however small it is', () => {
  const bomb = codecs.lz4Compress(Buffer.alloc(8_000_000))
  assert.ok(bomb.length < 40_000)
  assert.is(codecs.lz4Decompress(bomb, 7_999_999), OUT_OF_ROOM)
  assert.is(codecs.lz4Decompress(bomb, 1000), OUT_OF_ROOM)
  const back = codecs.lz4Decompress(bomb, 8_000_000)
  assert.ok(typeof back !== 'number' && back.length === 8_000_000)
  assert.is(codecs.lz4Decompress(Buffer.alloc(TAILS_BYTES), 1000), OUT_OF_ROOM)
})

test('damage stays damage in the wide window', () => {
  const frame = codecs.lz4Compress(sensorBytes(3_000_000))
  frame[6]! ^= 1
  assert.is(codecs.lz4Decompress(frame, 3_000_000), CORRUPT)
})

test('results outlive later calls', () => {
  const frame = codecs.lz4Compress(sensorBytes(500))
  const copy = Buffer.from(frame)
  const back = codecs.lz4Decompress(frame, 500) as Buffer
  codecs.lz4Compress(Buffer.alloc(5000))
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
