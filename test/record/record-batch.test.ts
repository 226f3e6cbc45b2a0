// Batches: build, read, patch against rebuilding, decode.

import * as assert from 'uvu/assert'
import { CODEC_GZIP, CODEC_LZ4, CODEC_NONE } from '../../agent/record/compression.ts'
import {
  BATCH,
  buildBatch,
  decodeRecords,
  LOG_APPEND_TIME,
  patchForWire,
  patchMaxTimestamp,
  placeAt,
  readBatchHeader,
  unpatch,
} from '../../agent/record/record-batch.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/record-batch')
const codecs = new Codecs(new Kernel())
const { kernel } = codecs
const isCorrupt = (error: { code?: string }): boolean => error.code === 'CORRUPT_BATCH'

function someRecords(count: number) {
  const random = new SeededRandom(count)
  return Array.from({ length: count }, () => ({
    timestamp: 1_763_870_000_156 + random.below(5000),
    key: random.chance(0.3) ? null : Buffer.from(`key-${random.below(9)}`),
    value: random.chance(0.1) ? null : Buffer.alloc(random.below(200), 'abc'),
    headers: random.chance(0.5)
      ? []
      : ([[Buffer.from('h'), random.bytes(4)]] as [Buffer, Buffer][]),
  }))
}

const crcIsGood = (batch: Buffer): boolean =>
  codecs.crc32c(batch.subarray(BATCH.attributes)) === readBatchHeader(batch).crc

test('what is built reads back, for every codec, at offsets beyond 32 bits', () => {
  for (const codec of [CODEC_NONE, CODEC_GZIP, CODEC_LZ4] as const) {
    for (const baseOffset of [0, 5, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1000]) {
      const records = someRecords(100)
      const batch = buildBatch(records, { codecs, codec, baseOffset })
      assert.ok(crcIsGood(batch))
      const header = readBatchHeader(batch)
      assert.is(header.baseOffset, baseOffset)
      assert.is(header.size, batch.length)
      assert.is(header.codec, codec)
      assert.is(header.maxTimestamp, Math.max(...records.map(({ timestamp }) => timestamp)))
      const expected = records.map((record, i) => ({ offset: baseOffset + i, ...record }))
      assert.equal([...decodeRecords(batch, codecs)], expected)
    }
  }
})

test('reads a header in the middle of other bytes', () => {
  const batch = buildBatch(someRecords(3), { codecs, baseOffset: 77 })
  const around = Buffer.concat([Buffer.alloc(13, 9), batch, Buffer.alloc(5, 9)])
  assert.equal(readBatchHeader(around, 13), readBatchHeader(batch))
})

test('negative timestamps keep their value', () => {
  for (const timestamp of [-1, -(2 ** 31), -(2 ** 40) - 7, 0]) {
    const batch = buildBatch([{ timestamp, key: null, value: null }], { codecs })
    assert.is(readBatchHeader(batch).baseTimestamp, timestamp)
    assert.is([...decodeRecords(batch, codecs)][0]!.timestamp, timestamp)
  }
})

test('patching for the wire equals building for the producer, and unpatching undoes it', () => {
  const random = new SeededRandom(5)
  for (let count = 1; count <= 60; count++) {
    const producer = {
      producerId: BigInt(random.below(2 ** 31)) * 4097n,
      producerEpoch: random.below(2 ** 15),
      baseSequence: random.below(2 ** 31),
    }
    const records = someRecords(count)
    const stored = buildBatch(records, { codecs, codec: CODEC_LZ4, baseOffset: 9000 })
    const wire = Buffer.from(stored)
    patchForWire(wire, producer, kernel)
    const expected = buildBatch(records, { codecs, codec: CODEC_LZ4, producer })
    placeAt(expected, 0, -1)
    assert.equal(wire, expected)
    unpatch(wire, 9000, kernel)
    assert.equal(wire, stored)
  }
})

test('a rotten batch stays rotten under a patch', () => {
  const batch = buildBatch(someRecords(20), { codecs })
  batch[batch.length - 1]! ^= 1
  patchForWire(batch, { producerId: 7n, producerEpoch: 0, baseSequence: 1 }, kernel)
  assert.not.ok(crcIsGood(batch))
  batch[batch.length - 1]! ^= 1
  assert.ok(crcIsGood(batch))
})

test('patches the greatest timestamp', () => {
  const batch = buildBatch(someRecords(20), { codecs })
  for (const time of [0, -1, 2 ** 45 + 3, Number.MAX_SAFE_INTEGER]) {
    patchMaxTimestamp(batch, time, kernel)
    assert.is(readBatchHeader(batch).maxTimestamp, time)
    assert.ok(crcIsGood(batch))
  }
})

test('log append time is the time of every record', () => {
  const batch = buildBatch(someRecords(5), { codecs })
  batch.writeInt16BE(LOG_APPEND_TIME, BATCH.attributes)
  const { maxTimestamp } = readBatchHeader(batch)
  for (const { timestamp } of decodeRecords(batch, codecs)) assert.is(timestamp, maxTimestamp)
})

test('damaged compressed records are a fault', () => {
  for (const codec of [CODEC_GZIP, CODEC_LZ4] as const) {
    const batch = buildBatch(someRecords(50), { codecs, codec })
    batch.fill(0x55, BATCH.records + 20, BATCH.records + 40)
    assert.throws(() => [...decodeRecords(batch, codecs)], isCorrupt)
  }
  const plain = buildBatch(someRecords(5), { codecs })
  plain.writeInt32BE(6, BATCH.count)
  assert.throws(() => [...decodeRecords(plain, codecs)], isCorrupt)
})

test.run()
