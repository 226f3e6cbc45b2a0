// Sealing against the plain batch builder.

import { decompress } from 'fzstd'
import * as assert from 'uvu/assert'
import { buildBatch, readBatchHeader } from '../../agent/record/record-batch.ts'
import {
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  INGRESS,
  INGRESS_BYTES,
  OUT_OF_ROOM,
  SEAL,
  SEAL_BYTES,
  TAILS,
  TAILS_BYTES,
  UNSUPPORTED,
} from '../../wasm/assembly/limits.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { suite } from '../support/suite.ts'
import { lz4Twin, sensorBytes } from './twins.ts'

const test = suite('wasm/seal')
const kernel = new Kernel()
const codecs = new Codecs(new Kernel())
const BASE_OFFSET = 12_345_678_901
const START = 1_763_870_000_156
const AHEAD = 24

function records(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    timestamp: START + ((i * 37) % 101),
    key: Buffer.from(`key-${i % 8}`),
    value: sensorBytes(40 + (i % 90)),
  }))
}

/** Seals the records of a plain batch. */
function seal(plain: Buffer, codec: number, capacity = SEAL_BYTES, on = kernel): number {
  const { baseOffset, lastOffsetDelta, baseTimestamp, maxTimestamp, count } = readBatchHeader(plain)
  const length = plain.length - 61
  on.u8.set(plain.subarray(61), TAILS)
  return on.sealBatch(
    TAILS,
    length,
    SEAL,
    capacity,
    codec,
    baseOffset,
    lastOffsetDelta,
    baseTimestamp,
    maxTimestamp,
    count,
  )
}

test('without a codec equals the plain builder, byte for byte', () => {
  for (const count of [1, 2, 10, 1000]) {
    const plain = buildBatch(records(count), { codecs, baseOffset: BASE_OFFSET })
    const size = seal(plain, CODEC_NONE)
    assert.ok(kernel.buffer.subarray(SEAL, SEAL + size).equals(plain))
  }
})

const COMPRESSED = [
  { codec: CODEC_LZ4, inflate: lz4Twin },
  { codec: CODEC_ZSTD, inflate: (frame: Buffer) => Buffer.from(decompress(frame)) },
]

test('compressed, it holds the same records under a good CRC', () => {
  for (const { codec, inflate } of COMPRESSED)
    for (const count of [20, 1000, 3000]) {
      const plain = buildBatch(records(count), { codecs, baseOffset: BASE_OFFSET })
      const size = seal(plain, codec)
      const batch = Buffer.from(kernel.buffer.subarray(SEAL, SEAL + size))
      assert.ok(size < plain.length / 2)
      assert.ok(inflate(batch.subarray(61)).equals(plain.subarray(61)))
      const header = readBatchHeader(batch)
      assert.is(header.crc, codecs.crc32c(batch.subarray(21)))
      assert.equal(header, {
        ...readBatchHeader(plain),
        size,
        crc: header.crc,
        attributes: codec,
        codec,
      })
    }
})

test('stays uncompressed when compression does not win', () => {
  const [record] = records(1)
  const plain = buildBatch([{ ...record!, value: Buffer.from('21.5') }], { codecs })
  for (const codec of [CODEC_LZ4, CODEC_ZSTD]) {
    assert.is(seal(plain, codec), plain.length)
    assert.ok(kernel.buffer.subarray(SEAL, SEAL + plain.length).equals(plain))
  }
})

test('keeps inside its window, whatever the capacity', () => {
  const plain = buildBatch(records(50), { codecs })
  for (const codec of [CODEC_NONE, CODEC_LZ4, CODEC_ZSTD]) {
    const size = seal(plain, codec)
    for (let capacity = 0; capacity < size; capacity += capacity + 40 < size ? 37 : 1) {
      assert.is(sealWithin(plain, codec, capacity), OUT_OF_ROOM)
    }
    // Compressors look a little ahead of what they write.
    assert.is(sealWithin(plain, codec, size + (codec === CODEC_NONE ? 0 : AHEAD)), size)
  }
})

function sealWithin(plain: Buffer, codec: number, capacity: number): number {
  kernel.u8.fill(0xa5, SEAL + capacity, SEAL + capacity + 64)
  const status = seal(plain, codec, capacity)
  const behind = kernel.u8.subarray(SEAL + capacity, SEAL + capacity + 64)
  assert.ok(behind.every((byte) => byte === 0xa5))
  return status
}

test('refuses codecs it does not write', () => {
  const plain = buildBatch(records(2), { codecs })
  for (const codec of [1, 2, 5, 7, -1]) assert.is(seal(plain, codec), UNSUPPORTED)
})

test('seals the same in a fresh kernel as after 10,000 calls', () => {
  const small = buildBatch(records(3), { codecs })
  const plain = buildBatch(records(500), { codecs, baseOffset: BASE_OFFSET })
  const fresh = new Kernel()
  for (const { codec } of COMPRESSED) {
    const size = seal(plain, codec, SEAL_BYTES, fresh)
    for (let i = 0; i < 10_000; i++) seal(small, codec)
    assert.is(seal(plain, codec), size)
    const expected = fresh.buffer.subarray(SEAL, SEAL + size)
    assert.ok(kernel.buffer.subarray(SEAL, SEAL + size).equals(expected))
  }
})

test('a warmed-up kernel seals the same, and leaves nothing in its regions', () => {
  const [warm, fresh] = [new Kernel(), new Kernel()]
  warm.warmUp()
  for (const [region, bytes] of [
    [INGRESS, INGRESS_BYTES],
    [SEAL, SEAL_BYTES],
    [TAILS, TAILS_BYTES],
  ] as const) {
    assert.ok(warm.u8.subarray(region, region + bytes).every((byte) => byte === 0))
  }
  const plain = buildBatch(records(500), { codecs })
  for (const { codec } of COMPRESSED) {
    const size = seal(plain, codec, SEAL_BYTES, warm)
    assert.is(seal(plain, codec, SEAL_BYTES, fresh), size)
    assert.equal(
      warm.buffer.subarray(SEAL, SEAL + size).compare(fresh.buffer.subarray(SEAL, SEAL + size)),
      0,
    )
  }
})

test.run()
