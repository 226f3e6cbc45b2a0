// LZ4 frames against a twin decoder, against the lz4 command, and against damage.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import {
  CORRUPT,
  INGRESS,
  INGRESS_BYTES,
  LZ4_EPOCH,
  OUT_OF_ROOM,
  SCRATCH,
  SCRATCH_BYTES,
  SEAL,
  SEAL_BYTES,
  UNSUPPORTED,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { lz4Twin, sensorBytes, xxh32Twin } from './twins.ts'

const test = suite('wasm/lz4')
const kernel = new Kernel()

function compress(bytes: Uint8Array, on = kernel): Buffer {
  on.u8.set(bytes, INGRESS)
  const written = on.lz4Frame(INGRESS, bytes.length, SEAL, SEAL_BYTES)
  assert.ok(written > 0)
  return Buffer.from(on.u8.subarray(SEAL, SEAL + written))
}

function decompress(frame: Uint8Array, capacity = SCRATCH_BYTES): Buffer | number {
  kernel.u8.set(frame, SEAL)
  const written = kernel.lz4Unframe(SEAL, frame.length, SCRATCH, capacity)
  return written < 0 ? written : Buffer.from(kernel.u8.subarray(SCRATCH, SCRATCH + written))
}

function assertSame(actual: Buffer | number, expected: Uint8Array, what: string): void {
  assert.ok(typeof actual !== 'number' && actual.equals(expected), what)
}

/** A frame put together by hand, blocks as given. */
function frameOf(flags: number, descriptor: number, size: number[], ...rest: number[][]): Buffer {
  const header = [flags, descriptor, ...size]
  const checksum = (xxh32Twin(Uint8Array.from(header)) >>> 8) & 0xff
  return Buffer.from([0x04, 0x22, 0x4d, 0x18, ...header, checksum, ...rest.flat()])
}

const word = (n: number): number[] => [n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24]

const SAMPLES = {
  sensor: sensorBytes,
  random: (length: number) => new SeededRandom(length).bytes(length),
  zeros: (length: number) => Buffer.alloc(length),
  pairs: (length: number) => Buffer.alloc(length, 'ab'),
  fives: (length: number) => Buffer.alloc(length, 'abcde'),
}

test('xxh32 equals the published vector and the twin', () => {
  assert.is(kernel.xxh32(INGRESS, 0), 0x02cc5d05)
  const bytes = new SeededRandom(1).bytes(300)
  kernel.u8.set(bytes, INGRESS)
  for (let n = 0; n <= 300; n++)
    assert.is(kernel.xxh32(INGRESS, n), xxh32Twin(bytes.subarray(0, n)))
})

test('the twin and the kernel read every frame to 2 KB', () => {
  const whole = sensorBytes(2048)
  for (let length = 0; length <= 2048; length++) {
    const bytes = whole.subarray(0, length)
    const frame = compress(bytes)
    assertSame(lz4Twin(frame), bytes, `twin, ${length}`)
    assertSame(decompress(frame), bytes, `kernel, ${length}`)
  }
})

test('the twin and the kernel read every kind of data at block edges', () => {
  for (const [kind, make] of Object.entries(SAMPLES)) {
    for (const length of [13, 4096, 49_151, 49_152, 65_535, 65_536, 65_537, 262_145, 600_000]) {
      const bytes = make(length)
      const frame = compress(bytes)
      assert.is(frame[5]! >> 4, length <= 65_536 ? 4 : 5)
      assertSame(lz4Twin(frame), bytes, `twin, ${kind} ${length}`)
      assertSame(decompress(frame), bytes, `kernel, ${kind} ${length}`)
    }
  }
})

test('random data is stored and costs the frame only', () => {
  const bytes = SAMPLES.random(100_000)
  assert.is(compress(bytes).length, 100_000 + 7 + 4 + 4)
  assert.ok(compress(SAMPLES.zeros(100_000)).length < 500)
  assert.ok(compress(sensorBytes(16_384)).length < 16_384 / 2)
})

test('says OUT_OF_ROOM for every capacity too small, and touches nothing outside', () => {
  const bytes = sensorBytes(3000)
  const frame = compress(bytes)
  for (let capacity = 0; capacity < frame.length; capacity += 1 + (capacity >> 5)) {
    kernel.u8.fill(0xa5, SEAL - 32, SEAL + 4096)
    assert.is(kernel.lz4Frame(INGRESS, 3000, SEAL, capacity), OUT_OF_ROOM)
    assertCanaries(SEAL, capacity)
  }
  for (let capacity = 0; capacity < 3000; capacity += 1 + (capacity >> 5)) {
    kernel.u8.set(frame, SEAL)
    kernel.u8.fill(0xa5, SCRATCH - 32, SCRATCH + 4096)
    assert.is(kernel.lz4Unframe(SEAL, frame.length, SCRATCH, capacity), OUT_OF_ROOM)
    assertCanaries(SCRATCH, capacity)
  }
  kernel.u8.fill(0xa5, SCRATCH - 32, SCRATCH + 4096)
  assertSame(decompress(frame, 3000), bytes, 'exact capacity')
  assertCanaries(SCRATCH, 3000)
})

function assertCanaries(start: number, capacity: number): void {
  const before = kernel.u8.subarray(start - 32, start)
  const behind = kernel.u8.subarray(start + capacity, start + capacity + 64)
  if (before.some((byte) => byte !== 0xa5)) throw new Error('written before the window')
  if (behind.some((byte) => byte !== 0xa5)) throw new Error(`written behind ${capacity}`)
}

test('damaged frames end in a status or in bytes, within the window', () => {
  const random = new SeededRandom(9)
  let refused = 0
  const frames = [sensorBytes(700), Buffer.alloc(900, 'abc'), sensorBytes(3000)].map((b) =>
    compress(b),
  )
  for (let i = 0; i < 6000; i++) {
    const frame = Buffer.from(frames[i % frames.length]!)
    for (let n = random.below(4); n >= 0; n--) frame[random.below(frame.length)] = random.below(256)
    const length = random.chance(0.3) ? random.below(frame.length) : frame.length
    const capacity = random.chance(0.5) ? 4096 : random.below(3000)
    kernel.u8.set(frame, SEAL)
    kernel.u8.fill(0xa5, SCRATCH - 32, SCRATCH + capacity + 64)
    const written = kernel.lz4Unframe(SEAL, length, SCRATCH, capacity)
    assert.ok(written <= capacity && written >= UNSUPPORTED)
    assertCanaries(SCRATCH, capacity)
    if (written < 0) refused++
  }
  assert.ok(refused > 3000, `${refused} refused`)
})

test('reads checksums and content sizes, and refuses wrong ones', () => {
  const stored = [...word(0x80000005), ...Buffer.from('hello')]
  const sum = word(xxh32Twin(Buffer.from('hello')))
  const size = [5, 0, 0, 0, 0, 0, 0, 0]
  const good = [
    frameOf(0x60, 0x40, [], stored, word(0)),
    frameOf(0x64, 0x40, [], stored, word(0), sum),
    frameOf(0x70, 0x40, [], stored, sum, word(0)),
    frameOf(0x68, 0x70, size, stored, word(0)),
    frameOf(0x7c, 0x60, size, stored, sum, word(0), sum),
  ]
  for (const frame of good) {
    assertSame(decompress(frame), Buffer.from('hello'), frame.toString('hex'))
    for (let cut = 0; cut < frame.length; cut++)
      assert.is(decompress(frame.subarray(0, cut)), CORRUPT)
    assert.is(decompress(Buffer.concat([frame, Buffer.alloc(1)])), CORRUPT)
  }
  const wrong = sum.map((byte, i) => (i === 2 ? byte ^ 1 : byte))
  assert.is(decompress(frameOf(0x64, 0x40, [], stored, word(0), wrong)), CORRUPT)
  assert.is(decompress(frameOf(0x70, 0x40, [], stored, wrong, word(0))), CORRUPT)
  assert.is(decompress(frameOf(0x68, 0x40, [6, ...size.slice(1)], stored, word(0))), CORRUPT)
})

test('refuses linked blocks, dictionaries, unknown versions and reserved bits', () => {
  const stored = [...word(0x80000005), ...Buffer.from('hello'), ...word(0)]
  assert.is(decompress(frameOf(0x40, 0x40, [], stored)), UNSUPPORTED)
  assert.is(decompress(frameOf(0x61, 0x40, [], stored)), UNSUPPORTED)
  assert.is(decompress(frameOf(0xa0, 0x40, [], stored)), CORRUPT)
  assert.is(decompress(frameOf(0x62, 0x40, [], stored)), CORRUPT)
  assert.is(decompress(frameOf(0x60, 0x41, [], stored)), CORRUPT)
  assert.is(decompress(frameOf(0x60, 0xc0, [], stored)), CORRUPT)
  assert.is(decompress(frameOf(0x60, 0x30, [], stored)), CORRUPT)
  const badChecksum = frameOf(0x60, 0x40, [], stored)
  badChecksum[6]! ^= 1
  assert.is(decompress(badChecksum), CORRUPT)
})

test('refuses matches out of reach and blocks that outgrow their size', () => {
  const block = (...bytes: number[]) => frameOf(0x60, 0x40, [], word(bytes.length), bytes, word(0))
  // One literal, then a match; distance 1 repeats it, 2 and 0 point at nothing.
  assertSame(decompress(block(0x10, 65, 1, 0, 0x00)), Buffer.from('AAAAA'), 'distance 1')
  assert.is(decompress(block(0x10, 65, 2, 0, 0x00)), CORRUPT)
  assert.is(decompress(block(0x10, 65, 0, 0, 0x00)), CORRUPT)
  // A block may not end with a match, nor be empty.
  assert.is(decompress(block(0x10, 65, 1, 0)), CORRUPT)
  assert.is(decompress(frameOf(0x60, 0x40, [], word(1), [0x10], word(0))), CORRUPT)
  // 70,000 bytes from a frame of 64 KiB blocks.
  const grown = block(0x1f, 65, 1, 0, ...Array(275).fill(255), 0, 0x00)
  assert.is(decompress(grown), CORRUPT)
  assert.is(decompress(grown, 65_536), CORRUPT)
  // With less room than a block may have, more room is what it asks for.
  assert.is(decompress(grown, 65_535), OUT_OF_ROOM)
})

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
  assertSame(
    lz4Twin(Buffer.from(fresh.u8.subarray(SEAL, SEAL + written))),
    bytes,
    'its own bytes only',
  )
})

test('the lz4 command reads our frames, and we read its', () => {
  if (spawnSync('lz4', ['--version']).error !== undefined) {
    console.log('skipped: frames against the lz4 command (apt-get install lz4)')
    return
  }
  const folder = mkdtempSync(join(tmpdir(), 'tributary-lz4-'))
  const [file, packed] = [join(folder, 'bytes'), join(folder, 'bytes.lz4')]
  try {
    for (const length of [0, 1, 13, 1000, 65_536, 65_537, 300_000]) {
      const bytes = sensorBytes(length)
      writeFileSync(packed, compress(bytes))
      assert.ok(execFileSync('lz4', ['-dc', packed]).equals(bytes), `ours, ${length}`)
      writeFileSync(file, bytes)
      for (const options of [['-1'], ['-9', '--content-size'], ['-1', '-BX', '-B4']]) {
        execFileSync('lz4', ['-qf', ...options, file, packed])
        assertSame(decompress(readFileSync(packed)), bytes, `theirs, ${length} ${options}`)
      }
    }
    execFileSync('lz4', ['-qf', '-BD', '-B4', file, packed])
    assert.is(decompress(readFileSync(packed)), UNSUPPORTED)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('all of INGRESS goes into one frame and back', () => {
  const bytes = sensorBytes(INGRESS_BYTES)
  assertSame(decompress(compress(bytes)), bytes, 'all of INGRESS')
})

test.run()
