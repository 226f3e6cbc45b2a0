// The gate for foreign batches: each rule, one batch that breaks only it.

import * as assert from 'uvu/assert'
import {
  CODEC_GZIP,
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  type Codec,
} from '../../agent/record/compression.ts'
import { encodeRecord } from '../../agent/record/record.ts'
import { BATCH, buildBatch, readBatchHeader } from '../../agent/record/record-batch.ts'
import { type BatchVerdict, validateBatch } from '../../agent/record/validate-batch.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/validate-batch')
const codecs = new Codecs(new Kernel())
const START = 1_763_870_000_156
const LIMITS = { batchBytesMax: 1_048_588 }

const RECORDS = Array.from({ length: 10 }, (_, i) => ({
  timestamp: START + ((i * 7) % 10),
  key: Buffer.from(`key-${i}`),
  value: Buffer.alloc(50, 'value '),
}))

const WRITTEN = [CODEC_NONE, CODEC_GZIP, CODEC_LZ4, CODEC_ZSTD] as const

function batchOf(codec: Codec = CODEC_NONE): Buffer {
  return buildBatch(RECORDS, { codecs, codec })
}

/** A good batch with a change of its own, and the CRC that fits. */
function changed(change: (batch: Buffer) => void, codec: Codec = CODEC_NONE): Buffer {
  const batch = batchOf(codec)
  change(batch)
  return withCrc(batch)
}

function withCrc(batch: Buffer): Buffer {
  batch.writeUInt32BE(codecs.crc32c(batch.subarray(BATCH.attributes)), BATCH.crc)
  return batch
}

/** A batch around record bytes that the builder would not make. */
function around(records: Buffer, count: number): Buffer {
  const batch = Buffer.concat([batchOf().subarray(0, BATCH.records), records])
  batch.writeInt32BE(batch.length - 12, BATCH.length)
  batch.writeInt32BE(count, BATCH.count)
  batch.writeInt32BE(count - 1, BATCH.lastOffsetDelta)
  return withCrc(batch)
}

function judge(batch: Buffer, limits = LIMITS): string {
  const verdict: BatchVerdict = validateBatch(batch, limits, codecs)
  if (verdict.kind === 'valid') return verdict.repaired ? 'repaired' : 'valid'
  assert.ok(verdict.reason.length > 5)
  return verdict.error
}

test('takes good batches of every codec that is read, and tells how many bytes of records they hold', () => {
  const plain = batchOf().subarray(BATCH.records)
  for (const codec of WRITTEN) {
    const batch = batchOf(codec)
    const verdict = validateBatch(batch, LIMITS, codecs)
    assert.ok(verdict.kind === 'valid' && !verdict.repaired)
    assert.is(verdict.recordsBytes, plain.length)
    assert.equal(verdict.header, readBatchHeader(batch))
  }
})

test('an idempotent producer needs sequence and epoch', () => {
  const produced = (producerId: bigint, producerEpoch: number, baseSequence: number): Buffer =>
    buildBatch(RECORDS, { codecs, producer: { producerId, producerEpoch, baseSequence } })
  assert.is(judge(produced(5n, 0, 0)), 'valid')
  assert.is(judge(produced(0n, 3, 2 ** 31 - 1)), 'valid')
  assert.is(judge(produced(5n, 0, -1)), 'INVALID_RECORD')
  assert.is(judge(produced(5n, -1, 0)), 'INVALID_RECORD')
  // kafkajs without idempotence: nobody, but epoch and sequence 0.
  assert.is(judge(produced(-1n, 0, 0)), 'valid')
})

test('wants exactly one whole batch of format 2', () => {
  const batch = batchOf()
  assert.is(judge(Buffer.alloc(0)), 'INVALID_RECORD')
  assert.is(judge(Buffer.concat([batch, batch])), 'INVALID_RECORD')
  assert.is(judge(Buffer.concat([batch, Buffer.alloc(1)])), 'INVALID_RECORD')
  for (let end = 0; end < batch.length; end++) {
    assert.is(judge(batch.subarray(0, end)), 'INVALID_RECORD')
  }
  for (const magic of [0, 1, 3])
    assert.is(judge(changed((b) => b.writeInt8(magic, BATCH.magic))), 'INVALID_RECORD')
  for (const length of [0, -1, -(2 ** 31), 48]) {
    assert.is(judge(changed((b) => b.writeInt32BE(length, BATCH.length))), 'CORRUPT_MESSAGE')
  }
})

test('the size limit counts the whole batch as it came', () => {
  const batch = batchOf()
  assert.is(judge(batch, { batchBytesMax: batch.length }), 'valid')
  assert.is(judge(batch, { batchBytesMax: batch.length - 1 }), 'MESSAGE_TOO_LARGE')
})

test('every bit the CRC covers is covered', () => {
  const batch = batchOf()
  for (let position = BATCH.crc; position < batch.length; position++) {
    const damaged = Buffer.from(batch)
    damaged[position]! ^= 1 << (position % 8)
    assert.is(judge(damaged), 'CORRUPT_MESSAGE', `byte ${position}`)
  }
})

test('the base offset must be 0, and the leader epoch may be anything', () => {
  assert.is(judge(changed((b) => b.writeBigInt64BE(1n, BATCH.baseOffset))), 'INVALID_RECORD')
  assert.is(judge(changed((b) => b.writeBigInt64BE(-1n, BATCH.baseOffset))), 'INVALID_RECORD')
  assert.is(judge(changed((b) => b.writeInt32BE(99, BATCH.leaderEpoch))), 'valid')
})

test('only codec bits may be set in the attributes', () => {
  const withBits = (bits: number): string =>
    judge(changed((b) => b.writeInt16BE(bits, BATCH.attributes)))
  assert.is(withBits(0x08), 'INVALID_TIMESTAMP')
  assert.is(withBits(0x10), 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED')
  assert.is(withBits(0x20), 'INVALID_RECORD')
  assert.is(withBits(0x30), 'INVALID_RECORD')
  for (let bit = 6; bit < 15; bit++) assert.is(withBits(1 << bit), 'INVALID_RECORD')
  assert.is(withBits(-0x8000), 'INVALID_RECORD')
  for (const codec of [1, 2, 3, 4]) assert.is(withBits(codec), 'INVALID_RECORD')
  for (const codec of [5, 6, 7]) assert.is(withBits(codec), 'UNSUPPORTED_COMPRESSION_TYPE')
})

test('counts must agree', () => {
  const counted = (count: number, lastOffsetDelta: number): string =>
    judge(
      changed((b) => {
        b.writeInt32BE(count, BATCH.count)
        b.writeInt32BE(lastOffsetDelta, BATCH.lastOffsetDelta)
      }),
    )
  assert.is(counted(10, 9), 'valid')
  for (const [count, last] of [
    [10, 10],
    [10, 8],
    [0, -1],
    [-1, -2],
    [9, 8],
    [11, 10],
  ] as const) {
    assert.is(counted(count, last), 'INVALID_RECORD', `${count} ${last}`)
  }
  const none = around(Buffer.alloc(0), 0)
  assert.is(judge(none), 'INVALID_RECORD')
})

test('offset deltas must be 0, 1, 2, … inside, compressed or not', () => {
  const record = (offsetDelta: number): Buffer =>
    encodeRecord({ offsetDelta, timestampDelta: 0, key: null, value: null })
  assert.is(judge(around(Buffer.concat([record(0), record(1)]), 2)), 'repaired')
  assert.is(judge(around(Buffer.concat([record(0), record(7)]), 2)), 'INVALID_RECORD')
  assert.is(judge(around(Buffer.concat([record(1), record(0)]), 2)), 'INVALID_RECORD')
  const packed = codecs.compress(CODEC_LZ4, Buffer.concat([record(0), record(7)]))
  const compressed = around(packed, 2)
  compressed.writeInt16BE(CODEC_LZ4, BATCH.attributes)
  assert.is(judge(withCrc(compressed)), 'INVALID_RECORD')
})

test('compressed records must decompress, within the limit', () => {
  for (const codec of WRITTEN.slice(1)) {
    const cut = changed((b) => b.fill(0xee, BATCH.records, BATCH.records + 12), codec)
    assert.is(judge(cut), 'INVALID_RECORD')
    const verdict = validateBatch(batchOf(codec), { ...LIMITS, recordsBytesMax: 100 }, codecs)
    assert.is(verdict.kind === 'invalid' && verdict.error, 'MESSAGE_TOO_LARGE')
  }
  // Linked blocks, which are read here but not by brokers: FLG without the independence bit, with the
  // header checksum that belongs to it.
  const linked = changed((b) => {
    b[BATCH.records + 4] = 0x40
    b[BATCH.records + 6] = 0xc0
  }, CODEC_LZ4)
  assert.is(judge(linked), 'UNSUPPORTED_COMPRESSION_TYPE')
  // A window of 256 MiB, which brokers refuse; of a single segment, the content size is the window.
  const single = batchOf(CODEC_ZSTD)
  const wide = Buffer.concat([
    single.subarray(0, BATCH.records + 4),
    Buffer.from([single[BATCH.records + 4]! & ~0x20, 18 << 3]),
    single.subarray(BATCH.records + 5),
  ])
  assert.ok((single[BATCH.records + 4]! & 0x20) !== 0)
  wide.writeInt32BE(wide.length - 12, BATCH.length)
  assert.is(judge(withCrc(wide)), 'UNSUPPORTED_COMPRESSION_TYPE')
})

test('a wrong greatest timestamp is put right in place, with the CRC', () => {
  for (const codec of WRITTEN) {
    for (const wrong of [0n, -1n, BigInt(START) + 10n, 2n ** 62n]) {
      const batch = changed((b) => b.writeBigInt64BE(wrong, BATCH.maxTimestamp), codec)
      assert.is(judge(batch), 'repaired')
      assert.equal(batch, batchOf(codec))
      assert.is(judge(batch), 'valid')
    }
  }
})

test('timestamps must be times', () => {
  const based = (base: bigint): string =>
    judge(changed((b) => b.writeBigInt64BE(base, BATCH.baseTimestamp)))
  assert.is(based(-2n), 'INVALID_TIMESTAMP')
  assert.is(based(2n ** 60n), 'INVALID_TIMESTAMP')
  assert.is(based(2n ** 53n - 1n), 'INVALID_TIMESTAMP')
  assert.is(based(0n), 'repaired')
  const untimed = buildBatch([{ timestamp: -1, key: null, value: null }], { codecs })
  assert.is(judge(untimed), 'valid')
  const early = encodeRecord({ offsetDelta: 0, timestampDelta: -START - 5, key: null, value: null })
  assert.is(judge(around(early, 1)), 'INVALID_TIMESTAMP')
})

test('a damaged batch with a CRC that fits ends in a verdict, never in a throw', () => {
  const random = new SeededRandom(8)
  const verdicts = new Map<string, number>()
  for (let i = 0; i < 4000; i++) {
    const codec = WRITTEN[i % WRITTEN.length]!
    const batch = changed((b) => {
      for (let n = random.below(3); n >= 0; n--) {
        b[BATCH.attributes + random.below(b.length - BATCH.attributes)] = random.below(256)
      }
    }, codec)
    const verdict = judge(batch)
    verdicts.set(verdict, (verdicts.get(verdict) ?? 0) + 1)
  }
  assert.ok((verdicts.get('INVALID_RECORD') ?? 0) > 500, `${[...verdicts]}`)
})

test.run()
