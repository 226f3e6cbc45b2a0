// Encoder version 1 of the zstd frames, pinned: what a batch compresses to is the same for ever, whatever
// the kernel did before. Whoever changes these hashes raises the version in `zstd-frame.ts`.

import { createHash } from 'node:crypto'
import * as assert from 'uvu/assert'
import { SEAL, SEAL_BYTES, TAILS, ZSTD_ENCODER } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { sensorBytes } from './twins.ts'

const test = suite('wasm/zstd-golden')

/** Four bits of chance in each byte: literals that compress, and no matches to speak of. */
const halfRandom = (length: number): Buffer =>
  Buffer.from(new SeededRandom(length).bytes(length).map((byte) => byte & 0x2d))

const INPUTS: [name: string, bytes: Buffer, bytesOut: number, sha256: string][] = [
  [
    'nothing',
    Buffer.alloc(0),
    9,
    '6fb8543883dafcc2ed0934866b8b3f775231f5b0933add08bf502e9e84944cbd',
  ],
  [
    'one byte',
    Buffer.from('a'),
    10,
    '47091afb1c226843b9e819d75ed9684f42073994761521e3f57b1697ce5b09c7',
  ],
  [
    'a run',
    Buffer.alloc(200_000, 7),
    17,
    '0bc7db903e6eeef0d579268ea2a4e432de54b54b2182898f3e180d772666b761',
  ],
  [
    'pairs',
    Buffer.alloc(3000, 'ab'),
    20,
    '1b9f42dfcb915b75fe01519bc81c6aefaff5ee506f9454dfdb36e94120d1280d',
  ],
  [
    'sensors, 1,000 bytes',
    sensorBytes(1000),
    196,
    '1d6460b72564e2a75d828e49044d842f3c52a66e79a01f35a7f5e5fefae497fb',
  ],
  [
    'sensors, 16 KiB',
    sensorBytes(16_384),
    2211,
    '84d9762692ebf9ebde6987aecc184597de325624a9022a6142731061dda8f31d',
  ],
  [
    'sensors, three blocks',
    sensorBytes(300_000),
    41007,
    'f8f6f292d2a0678b45bb70cd20b24dd20c9fa3d8a65e058fc923b8aa6dd8b2c7',
  ],
  [
    'random',
    new SeededRandom(1).bytes(5000),
    5010,
    'afacb5891f7708d3a25e40c7c22e0034d15c994e1d69f2f8bef34ea281a872a8',
  ],
  [
    'half random',
    halfRandom(150_000),
    75057,
    '7e42223433d0f98c3e1ec2c5df5494978eb63523cdf46b3aeb3f5891589efb1c',
  ],
]

function compress(kernel: Kernel, bytes: Buffer): Buffer {
  kernel.u8.set(bytes, TAILS)
  const written = kernel.zstdFrame(TAILS, bytes.length, SEAL, SEAL_BYTES)
  return Buffer.from(kernel.u8.subarray(SEAL, SEAL + written))
}

function assertGolden(kernel: Kernel, when: string): void {
  for (const [name, bytes, bytesOut, sha256] of INPUTS) {
    const frame = compress(kernel, bytes)
    const what = `${name}, ${when}`
    assert.is(frame.length, bytesOut, what)
    assert.is(createHash('sha256').update(frame).digest('hex'), sha256, what)
  }
}

test('frames of encoder version 1 are what they were, in a fresh module and in a used one', () => {
  const kernel = new Kernel()
  assertGolden(kernel, 'fresh')
  assertGolden(kernel, 'used')
  const random = new SeededRandom(1)
  kernel.u8.set(sensorBytes(4096), TAILS)
  for (let i = 0; i < 10_000; i++) {
    kernel.zstdFrame(TAILS + random.below(2000), random.below(2000), SEAL, random.below(2200))
  }
  assertGolden(kernel, 'after 10,000 others')
})

test('frames are the same at the wrap of the epoch', () => {
  const kernel = new Kernel()
  for (const before of [1, 500, 5000, 100_000, 300_000, 400_000, 700_000]) {
    assertGolden(kernel, `before ${before}`)
    kernel.view.setUint32(ZSTD_ENCODER, 2 ** 32 - before, true)
    assertGolden(kernel, `${before} bytes before the wrap`)
  }
})

test.run()
