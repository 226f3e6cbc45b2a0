// The LZ4 frames that are written: read by a twin and by the lz4 command, the same whatever came before.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as assert from 'uvu/assert'
import {
  INGRESS,
  INGRESS_BYTES,
  LZ4_EPOCH,
  OUT_OF_ROOM,
  SCRATCH,
  SCRATCH_BYTES,
  SEAL,
  SEAL_BYTES,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { requirePeer } from '../support/peers.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { lz4Twin, sensorBytes } from './twins.ts'

const test = suite('wasm/lz4-frame')
const kernel = new Kernel()

function compress(bytes: Uint8Array, on = kernel): Buffer {
  on.u8.set(bytes, INGRESS)
  const written = on.lz4Frame(INGRESS, bytes.length, SEAL, SEAL_BYTES)
  assert.ok(written > 0)
  return Buffer.from(on.u8.subarray(SEAL, SEAL + written))
}

/** By the kernel's own reader, which `lz4-unframe.test.ts` tests. */
function decompress(frame: Uint8Array): Buffer {
  kernel.u8.set(frame, SEAL)
  const written = kernel.lz4Unframe(SEAL, frame.length, SCRATCH, SCRATCH_BYTES)
  assert.ok(written >= 0, `status ${written}`)
  return kernel.buffer.subarray(SCRATCH, SCRATCH + written)
}

const SAMPLES = {
  sensor: sensorBytes,
  random: (length: number) => new SeededRandom(length).bytes(length),
  zeros: (length: number) => Buffer.alloc(length),
  pairs: (length: number) => Buffer.alloc(length, 'ab'),
  fives: (length: number) => Buffer.alloc(length, 'abcde'),
}

test('the twin and the kernel read every frame to 4 KB', () => {
  const whole = sensorBytes(4096)
  for (let length = 0; length <= 4096; length++) {
    const bytes = whole.subarray(0, length)
    const frame = compress(bytes)
    assert.ok(lz4Twin(frame).equals(bytes), `twin, ${length}`)
    assert.ok(decompress(frame).equals(bytes), `kernel, ${length}`)
  }
})

test('the twin and the kernel read every kind of data at block edges', () => {
  for (const [kind, make] of Object.entries(SAMPLES)) {
    for (const length of [13, 4096, 49_151, 49_152, 65_535, 65_536, 65_537, 262_145, 600_000]) {
      const bytes = make(length)
      const frame = compress(bytes)
      assert.is(frame[5]! >> 4, length <= 65_536 ? 4 : 5)
      assert.ok(lz4Twin(frame).equals(bytes), `twin, ${kind} ${length}`)
      assert.ok(decompress(frame).equals(bytes), `kernel, ${kind} ${length}`)
    }
  }
})

/** Bytes with repeats near and far, short and long, and with stretches that repeat nothing. */
function mixedBytes(random: SeededRandom, length: number): Buffer {
  const bytes = random.bytes(length)
  for (let at = 8; at < length; ) {
    const size = 1 + random.below(random.chance(0.1) ? 300 : 24)
    const distance = 1 + random.below(random.chance(0.5) ? Math.min(at, 20) : at)
    const end = Math.min(at + size, length)
    if (random.chance(0.7)) for (let i = at; i < end; i++) bytes[i] = bytes[i - distance]!
    at = end
  }
  return bytes
}

test('the twin and the kernel read 20,000 random mixtures', () => {
  const random = new SeededRandom(11)
  for (let round = 0; round < 20_000; round++) {
    const bytes = mixedBytes(random, random.below(600))
    const frame = compress(bytes)
    assert.ok(lz4Twin(frame).equals(bytes), `twin, seed 11, round ${round}`)
    assert.ok(decompress(frame).equals(bytes), `kernel, seed 11, round ${round}`)
  }
})

test('encoder version 1 writes what it always wrote', () => {
  const golden = {
    sensor: 'a686c54e66511b8e',
    random: '915a9d26b67543e5',
    zeros: '9dece9618bc83186',
    pairs: '24aa7d92dc87aa7e',
    fives: '9d6f5d844bf86560',
  }
  const hashes = Object.entries(SAMPLES).map(([kind, make]) => {
    const hash = createHash('sha256')
    for (const length of [0, 1, 100, 1000, 16_384, 50_000, 65_537, 700_000]) {
      hash.update(compress(make(length)))
    }
    return [kind, hash.digest('hex').slice(0, 16)]
  })
  assert.equal(Object.fromEntries(hashes), golden)
})

test('random data is stored and costs the frame only', () => {
  const bytes = SAMPLES.random(100_000)
  assert.is(compress(bytes).length, 100_000 + 7 + 4 + 4)
  assert.ok(compress(SAMPLES.zeros(100_000)).length < 500)
  assert.ok(compress(sensorBytes(16_384)).length < 16_384 / 2)
})

test('says OUT_OF_ROOM for every capacity too small, and touches nothing outside', () => {
  for (const make of Object.values(SAMPLES)) {
    const bytes = make(3000)
    const frame = compress(bytes)
    for (let capacity = 0; capacity < frame.length; capacity += 1 + (capacity >> 5)) {
      assert.is(frameWithin(bytes, capacity), OUT_OF_ROOM)
    }
    // The writer looks up to 24 bytes ahead of what it writes.
    for (let capacity = frame.length; capacity < frame.length + 24; capacity++) {
      const written = frameWithin(bytes, capacity)
      assert.ok(written === OUT_OF_ROOM || written === frame.length, `${capacity}`)
    }
    assert.is(frameWithin(bytes, frame.length + 24), frame.length)
  }
})

function frameWithin(bytes: Buffer, capacity: number): number {
  kernel.u8.fill(0xa5, SEAL - 32, SEAL + capacity + 64)
  kernel.u8.set(bytes, INGRESS)
  const written = kernel.lz4Frame(INGRESS, bytes.length, SEAL, capacity)
  const before = kernel.u8.subarray(SEAL - 32, SEAL)
  const behind = kernel.u8.subarray(SEAL + capacity, SEAL + capacity + 64)
  if (before.some((byte) => byte !== 0xa5)) throw new Error('written before the window')
  if (behind.some((byte) => byte !== 0xa5)) throw new Error(`written behind ${capacity}`)
  return written
}

test('a frame is the same in a fresh kernel, after 10,000 others, and at the wrap of the epoch', () => {
  const inputs = [sensorBytes(500), sensorBytes(50_000), sensorBytes(70_000)]
  const expected = inputs.map((bytes) => compress(bytes, new Kernel()))
  for (let i = 0; i < 10_000; i++) kernel.lz4Frame(INGRESS + i, 40 + (i % 100), SEAL, SEAL_BYTES)
  for (const [i, bytes] of inputs.entries()) assert.equal(compress(bytes), expected[i])
  for (const before of [600, 66_000, 140_000, 200_000]) {
    kernel.view.setUint32(LZ4_EPOCH, 2 ** 32 - before, true)
    for (const [i, bytes] of inputs.entries()) assert.equal(compress(bytes), expected[i])
    assert.ok(kernel.view.getUint32(LZ4_EPOCH, true) < 2 ** 31, 'it has wrapped')
  }
})

test('behind the wrap of the epoch an empty table entry is not taken for a match', () => {
  const fresh = new Kernel()
  const random = new SeededRandom(6)
  const epoch = 2 ** 32 - 600
  fresh.view.setUint32(LZ4_EPOCH, epoch, true)
  fresh.u8.set(random.bytes(500), INGRESS)
  fresh.lz4Frame(INGRESS, 500, SEAL, SEAL_BYTES)
  // Where the next epoch would be if it just went on, and what entry 0 would then point at.
  const next = (epoch + 500 + 65_536) % 2 ** 32
  const src = INGRESS + 70_000
  const bytes = Buffer.concat([
    random.bytes(50),
    Buffer.from('ABCDEFGHIJKLMNOP'),
    Buffer.alloc(600),
  ])
  fresh.u8.set(Buffer.from('ABCDEFGHIJKLMNOP'), src - next)
  fresh.u8.set(bytes, src)
  const written = fresh.lz4Frame(src, bytes.length, SEAL, SEAL_BYTES)
  const frame = Buffer.from(fresh.u8.subarray(SEAL, SEAL + written))
  assert.ok(lz4Twin(frame).equals(bytes), 'its own bytes only')
})

test('the lz4 command reads them', () => {
  const lz4 = requirePeer('lz4')
  if (lz4 === undefined) return
  for (const [kind, make] of Object.entries(SAMPLES)) {
    for (const length of [0, 1, 13, 1000, 65_536, 65_537, 700_000]) {
      const bytes = make(length)
      const read = execFileSync(lz4, ['-dc'], { input: compress(bytes), maxBuffer: 2 ** 20 })
      assert.ok(read.equals(bytes), `${kind}, ${length}`)
    }
  }
})

test('all of INGRESS goes into one frame and back', () => {
  const bytes = sensorBytes(INGRESS_BYTES)
  assert.ok(decompress(compress(bytes)).equals(bytes))
})

test.run()
