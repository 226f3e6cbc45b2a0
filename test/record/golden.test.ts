// Batches of the Java client and of kafkajs: decode, compare with what they were made from, re-encode,
// compare the bytes. `test/golden/record/README.md` says how they were made.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import * as assert from 'uvu/assert'
import { CODEC_GZIP, CODEC_LZ4, CODEC_NONE, decompress } from '../../agent/record/compression.ts'
import {
  buildBatch,
  decodeRecords,
  patchForWire,
  placeAt,
  readBatchHeader,
  unpatch,
} from '../../agent/record/record-batch.ts'
import { validateBatch } from '../../agent/record/validate-batch.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/golden')
const codecs = new Codecs(new Kernel())
const COMPRESSED = ['gzip', 'snappy', 'lz4', 'zstd']
const LIMITS = { batchBytesMax: 1_000_000 }

const golden = (name: string): Buffer =>
  readFileSync(new URL(`../golden/record/java-4.1.1-${name}.bin`, import.meta.url))

/** The forty records of the README. */
function fortyRecords() {
  return Array.from({ length: 40 }, (_, i) => {
    const device = `th-${i % 8}`
    const temp = 20 + i / 4
    const shown = Number.isInteger(temp) ? `${temp}.0` : `${temp}`
    const key = i % 5 === 0 ? null : Buffer.from(i % 7 === 0 ? '' : `plant-7/${device}`)
    const json = `{"device":"${device}","seq":${i},"temp":${shown}}`
    const value = i % 11 === 3 ? null : Buffer.from(i === 13 ? '' : json)
    const headers: [Buffer, Buffer | null][] = []
    if (i % 3 === 0)
      headers.push([Buffer.from('mqtt.topic'), Buffer.from(`sensors/${device}/temp`)])
    if (i % 6 === 0)
      headers.push([Buffer.from('größe'), null], [Buffer.from('empty'), Buffer.alloc(0)])
    return { timestamp: 1763870000156 + ((i * 37) % 101) - 20, key, value, headers }
  })
}

test('reads every record of the Java client, whatever the codec', () => {
  for (const name of ['none', 'idempotent', ...COMPRESSED]) {
    const records = [...decodeRecords(golden(name), codecs)]
    assert.equal(
      records,
      fortyRecords().map((record, offset) => ({ offset, ...record })),
      name,
    )
  }
})

test('validates the batches of the Java client, and finds nothing to repair', () => {
  for (const name of ['none', 'idempotent', ...COMPRESSED]) {
    const batch = golden(name)
    const verdict = validateBatch(batch, LIMITS, codecs)
    assert.is(verdict.kind, 'valid', name)
    assert.is(verdict.kind === 'valid' && verdict.repaired, false)
    assert.equal(batch, golden(name), 'untouched')
  }
})

test('builds the uncompressed batch of the Java client byte for byte', () => {
  const batch = buildBatch(fortyRecords(), { codecs })
  placeAt(batch, 0, -1)
  assert.equal(batch, golden('none'))
})

test('patches producer and sequence to the very bytes the Java client makes, and back', () => {
  const producer = { producerId: 4711n, producerEpoch: 3, baseSequence: 2147483640 }
  const batch = golden('none')
  placeAt(batch, 840_112, 0)
  const stored = Buffer.from(batch)
  patchForWire(batch, producer, codecs.kernel)
  assert.equal(batch, golden('idempotent'))
  unpatch(batch, 840_112, codecs.kernel)
  assert.equal(batch, stored)
})

function inflated(batch: Buffer): Buffer {
  const output = decompress(readBatchHeader(batch).codec, batch.subarray(61), 2 ** 20, codecs)
  assert.ok(output.kind === 'bytes')
  return output.bytes
}

test('compressed batches hold the same encoded records', () => {
  const plain = golden('none').subarray(61)
  for (const name of COMPRESSED) {
    const verdict = validateBatch(golden(name), LIMITS, codecs)
    assert.ok(verdict.kind === 'valid' && verdict.recordsBytes === plain.length, name)
    assert.equal(inflated(golden(name)), plain, name)
  }
})

// kafkajs exports no encoder; its files are plain CommonJS.
const load = createRequire(import.meta.url)
const kafkajsBatch = load('kafkajs/src/protocol/recordBatch/v0/index.js')
const kafkajsRecord = load('kafkajs/src/protocol/recordBatch/record/v0/index.js')
const kafkajsDecode = load('kafkajs/src/protocol/recordBatch/v0/decoder.js')
const KafkajsDecoder = load('kafkajs/src/protocol/decoder.js')

const kafkajsRecords = Array.from({ length: 30 }, (_, i) => ({
  timestamp: 1763870000156 + i * 13,
  key: i % 4 === 0 ? null : Buffer.from(`key-${i}`),
  value: i % 9 === 5 ? null : Buffer.from('v'.repeat(i * 7)),
  headers: (i % 3 === 0 ? [['name', Buffer.from(`${i}`)]] : []) as [string, Buffer][],
}))

async function madeByKafkajs(compression: number): Promise<Buffer> {
  const first = kafkajsRecords[0]!.timestamp
  const { buffer } = await kafkajsBatch.RecordBatch({
    compression,
    firstTimestamp: first,
    maxTimestamp: kafkajsRecords.at(-1)!.timestamp,
    lastOffsetDelta: kafkajsRecords.length - 1,
    records: kafkajsRecords.map(({ timestamp, key, value, headers }, offsetDelta) =>
      kafkajsRecord({
        offsetDelta,
        timestampDelta: timestamp - first,
        key,
        value,
        headers: Object.fromEntries(headers),
      }),
    ),
  })
  return buffer
}

test('builds what kafkajs builds, byte for byte', async () => {
  const producer = { producerId: -1n, producerEpoch: 0, baseSequence: 0 }
  const theirs = await madeByKafkajs(CODEC_NONE)
  assert.equal(buildBatch(kafkajsRecords, { codecs, producer }), theirs)
  assert.is(validateBatch(theirs, LIMITS, codecs).kind, 'valid')
})

test('reads gzip of kafkajs', async () => {
  const theirs = await madeByKafkajs(CODEC_GZIP)
  const verdict = validateBatch(theirs, LIMITS, codecs)
  const plain = buildBatch(kafkajsRecords, { codecs }).subarray(61)
  assert.ok(verdict.kind === 'valid' && verdict.recordsBytes === plain.length)
  assert.equal(inflated(theirs), plain)
})

test('kafkajs reads what is built here', async () => {
  for (const codec of [CODEC_NONE, CODEC_GZIP] as const) {
    const batch = buildBatch(kafkajsRecords, { codecs, codec, baseOffset: 9_000_000_000 })
    const { records } = await kafkajsDecode(new KafkajsDecoder(batch))
    assert.is(records.length, kafkajsRecords.length)
    for (const [i, record] of records.entries()) {
      assert.is(record.offset, `${9_000_000_000 + i}`)
      assert.is(record.timestamp, `${kafkajsRecords[i]!.timestamp}`)
      assert.equal(record.key, kafkajsRecords[i]!.key)
      assert.equal(record.value, kafkajsRecords[i]!.value)
    }
  }
})

test('reads the header fields of a batch of the Java client', () => {
  const header = readBatchHeader(golden('lz4'))
  assert.is(header.codec, CODEC_LZ4)
  assert.is(header.count, 40)
  assert.is(header.lastOffsetDelta, 39)
  assert.is(header.leaderEpoch, -1)
  assert.is(header.size, golden('lz4').length)
  assert.is(header.producerId, -1n)
})

test.run()
