// Codecs of batches as outcomes: bytes, corrupt, too large, unsupported.

import * as assert from 'uvu/assert'
import {
  CODEC_GZIP,
  CODEC_LZ4,
  CODEC_NONE,
  codecName,
  compress,
  decompress,
} from '../../agent/record/compression.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/compression')
const codecs = new Codecs(new Kernel())
const BYTES = Buffer.alloc(10_000, 'some bytes that repeat ')

test('every codec gives back what it was given, up to the limit and not beyond', () => {
  for (const codec of [CODEC_NONE, CODEC_GZIP, CODEC_LZ4] as const) {
    const packed = compress(codec, BYTES, codecs)
    assert.equal(decompress(codec, packed, BYTES.length, codecs), { kind: 'bytes', bytes: BYTES })
    if (codec === CODEC_NONE) continue
    assert.ok(packed.length < 1000)
    assert.equal(decompress(codec, packed, BYTES.length - 1, codecs), { kind: 'tooLarge' })
    assert.equal(decompress(codec, packed.subarray(0, -3), 20_000, codecs), { kind: 'corrupt' })
    assert.equal(decompress(codec, Buffer.alloc(0), 20_000, codecs), { kind: 'corrupt' })
    assert.equal(decompress(codec, BYTES, 20_000, codecs), { kind: 'corrupt' })
  }
})

test('codecs that are not read, and LZ4 dictionaries, are unsupported', () => {
  for (const codec of [5, 6, 7]) {
    assert.equal(decompress(codec, BYTES, 20_000, codecs), { kind: 'unsupported' })
  }
  const dictionary = Buffer.from('04224d186140c000000000', 'hex')
  assert.equal(decompress(CODEC_LZ4, dictionary, 20_000, codecs), { kind: 'unsupported' })
})

test('codecs have Kafka’s names', () => {
  assert.equal([0, 1, 2, 3, 4, 5].map(codecName), [
    'none',
    'gzip',
    'snappy',
    'lz4',
    'zstd',
    'codec 5',
  ])
})

test.run()
