// Reading LZ4 frames of others: against a twin, the lz4 command at all its levels, and damage.

import { execFileSync } from 'node:child_process'
import * as assert from 'uvu/assert'
import {
  CORRUPT,
  OUT_OF_ROOM,
  SCRATCH,
  SCRATCH_BYTES,
  SEAL,
  TAILS,
  UNSUPPORTED,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { requirePeer } from '../support/peers.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { blocksOf, foreignTwin, frameOf, word } from './lz4-foreign.ts'
import { sensorBytes, xxh32Twin } from './twins.ts'

const test = suite('wasm/lz4-unframe')
const kernel = new Kernel()

function decompress(frame: Uint8Array, capacity = SCRATCH_BYTES): Buffer | number {
  kernel.u8.set(frame, SEAL)
  const written = kernel.lz4Unframe(SEAL, frame.length, SCRATCH, capacity)
  return written < 0 ? written : Buffer.from(kernel.u8.subarray(SCRATCH, SCRATCH + written))
}

/** The same with canaries on both sides of the window. */
function decompressWithin(frame: Uint8Array, capacity: number): Buffer | number {
  kernel.u8.fill(0xa5, SCRATCH - 32, SCRATCH + capacity + 64)
  const output = decompress(frame, capacity)
  const before = kernel.u8.subarray(SCRATCH - 32, SCRATCH)
  const behind = kernel.u8.subarray(SCRATCH + capacity, SCRATCH + capacity + 64)
  if (before.some((byte) => byte !== 0xa5)) throw new Error('written before the window')
  if (behind.some((byte) => byte !== 0xa5)) throw new Error(`written behind ${capacity}`)
  return output
}

function assertSame(actual: Buffer | number, expected: Uint8Array, what: string): void {
  assert.ok(typeof actual !== 'number' && actual.equals(expected), what)
}

/** A length beyond the fifteen that its four bits hold. */
const more = (length: number): number[] =>
  length < 15 ? [] : [...Array(Math.floor((length - 15) / 255)).fill(255), (length - 15) % 255]

/** A sequence of a block; the last one of a block has no match. */
function sequence(literals: Uint8Array, distance = 0, size = 4): number[] {
  const token = (Math.min(literals.length, 15) << 4) | (distance === 0 ? 0 : Math.min(size - 4, 15))
  const match = distance === 0 ? [] : [distance & 255, distance >> 8, ...more(size - 4)]
  return [token, ...more(literals.length), ...literals, ...match]
}

const HELLO = Buffer.from('hello')
const STORED_HELLO = [...word(0x80000005), ...HELLO]
const FIVE = [5, 0, 0, 0, 0, 0, 0, 0]

test('reads checksums and content sizes, and refuses wrong ones', () => {
  const sum = word(xxh32Twin(HELLO))
  const good = [
    frameOf(0x60, 0x40, [], STORED_HELLO, word(0)),
    frameOf(0x40, 0x40, [], STORED_HELLO, word(0)),
    frameOf(0x64, 0x40, [], STORED_HELLO, word(0), sum),
    frameOf(0x70, 0x40, [], STORED_HELLO, sum, word(0)),
    frameOf(0x68, 0x70, FIVE, STORED_HELLO, word(0)),
    frameOf(0x5c, 0x60, FIVE, STORED_HELLO, sum, word(0), sum),
  ]
  for (const frame of good) {
    assertSame(decompress(frame), HELLO, frame.toString('hex'))
    for (let cut = 0; cut < frame.length; cut++)
      assert.is(decompress(frame.subarray(0, cut)), CORRUPT)
  }
  const wrong = sum.map((byte, i) => (i === 2 ? byte ^ 1 : byte))
  assert.is(decompress(frameOf(0x64, 0x40, [], STORED_HELLO, word(0), wrong)), CORRUPT)
  assert.is(decompress(frameOf(0x70, 0x40, [], STORED_HELLO, wrong, word(0))), CORRUPT)
  const six = [6, ...FIVE.slice(1)]
  assert.is(decompress(frameOf(0x68, 0x40, six, STORED_HELLO, word(0))), CORRUPT)
  const beyond = [...FIVE.slice(0, 7), 1]
  assert.is(decompress(frameOf(0x68, 0x40, beyond, STORED_HELLO, word(0))), CORRUPT)
})

test('refuses dictionaries, unknown versions and reserved bits', () => {
  const refuses = (flags: number, descriptor: number, status: number) =>
    assert.is(decompress(frameOf(flags, descriptor, [], STORED_HELLO, word(0))), status)
  refuses(0x61, 0x40, UNSUPPORTED)
  refuses(0xa0, 0x40, CORRUPT)
  refuses(0x62, 0x40, CORRUPT)
  refuses(0x60, 0x41, CORRUPT)
  refuses(0x60, 0xc0, CORRUPT)
  refuses(0x60, 0x30, CORRUPT)
  const badChecksum = frameOf(0x60, 0x40, [], STORED_HELLO, word(0))
  badChecksum[6]! ^= 1
  assert.is(decompress(badChecksum), CORRUPT)
})

test('refuses what readers disagree about: a second frame, a stored block of nothing', () => {
  const frame = frameOf(0x60, 0x40, [], STORED_HELLO, word(0))
  assert.is(decompress(Buffer.concat([frame, Buffer.alloc(1)])), CORRUPT)
  assert.is(decompress(Buffer.concat([frame, frame])), CORRUPT)
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0])
  assert.is(decompress(Buffer.concat([skippable, frame])), CORRUPT)
  assert.is(decompress(Buffer.concat([frame, skippable])), CORRUPT)
  const nothing = word(0x80000000)
  assert.is(decompress(frameOf(0x60, 0x40, [], STORED_HELLO, nothing, word(0))), CORRUPT)
})

test('matches reach into earlier blocks of a linked frame, and not before it', () => {
  const first = sequence(Buffer.from('0123456789'))
  const reach = (distance: number) => [
    ...sequence(Buffer.from('ab'), distance, 8),
    ...sequence(Buffer.from('!')),
  ]
  const linked = (distance: number) =>
    decompressWithin(frameOf(0x40, 0x40, [], blocksOf(first, reach(distance))), 1000)
  assertSame(linked(12), Buffer.from('0123456789ab01234567!'), 'from the very start')
  assertSame(linked(5), Buffer.from('0123456789ab789ab789!'), 'over the edge')
  assert.is(linked(13), CORRUPT)
  assert.is(linked(65_535), CORRUPT)
  const independent = (distance: number) =>
    decompress(frameOf(0x60, 0x40, [], blocksOf(first, reach(distance))))
  assertSame(independent(2), Buffer.from('0123456789ababababab!'), 'own')
  assert.is(independent(3), CORRUPT)
  assert.is(independent(12), CORRUPT)
  // A stored block is history like any other.
  const stored = frameOf(0x40, 0x40, [], STORED_HELLO, blocksOf(reach(7)))
  assertSame(decompress(stored), Buffer.from('helloabhelloabh!'), 'stored')
})

test('a match reaches 65,535 bytes back over blocks of a linked frame', () => {
  const [random, far] = [new SeededRandom(3).bytes(65_536), 65_535]
  const stored = (bytes: Buffer) => [...word(0x80000000 + bytes.length), ...bytes]
  const block = [...sequence(Buffer.alloc(0), far, 300), ...sequence(HELLO)]
  const frame = frameOf(0x40, 0x40, [], stored(random), blocksOf(block))
  const expected = Buffer.concat([random, random.subarray(1, 301), HELLO])
  assertSame(decompressWithin(frame, expected.length), expected, 'reach')
})

test('copies literals and matches of every length at every distance, near the limits and far', () => {
  const literals = new SeededRandom(4).bytes(700)
  const rest = [...sequence(literals.subarray(0, 100), 50, 40), ...sequence(literals)]
  for (let distance = 1; distance <= 70; distance++) {
    for (const size of [4, 7, 15, 16, 17, 18, 19, 20, 31, 32, 33, 34, 48, 100, 273, 274, 529]) {
      const start = sequence(literals.subarray(0, distance), distance, size)
      for (const block of [
        [...start, ...rest],
        [...start, ...sequence(HELLO)],
      ]) {
        const frame = frameOf(0x60, 0x40, [], blocksOf(block))
        const expected = foreignTwin(frame)
        const what = `distance ${distance}, size ${size}`
        assertSame(decompressWithin(frame, expected.length), expected, what)
        assertSame(decompressWithin(frame, 5000), expected, what)
        assert.is(decompressWithin(frame, expected.length - 1), OUT_OF_ROOM)
      }
    }
  }
  for (let length = 0; length <= 700; length++) {
    const start = sequence(literals.subarray(0, length), length === 0 ? 0 : 1, 9)
    const frame = frameOf(0x60, 0x40, [], blocksOf([...start, ...(length === 0 ? [] : rest)]))
    assertSame(decompressWithin(frame, 5000), foreignTwin(frame), `${length} literals`)
  }
})

test('says OUT_OF_ROOM for every capacity too small, and touches nothing outside', () => {
  kernel.u8.set(sensorBytes(3000), TAILS)
  const packed = kernel.lz4Frame(TAILS, 3000, SEAL, 4000)
  const frame = Buffer.from(kernel.u8.subarray(SEAL, SEAL + packed))
  for (let capacity = 0; capacity < 3000; capacity++) {
    assert.is(decompressWithin(frame, capacity), OUT_OF_ROOM, `${capacity}`)
  }
  assertSame(decompressWithin(frame, 3000), sensorBytes(3000), 'exact capacity')
})

test('refuses matches out of reach and blocks that outgrow their size', () => {
  const block = (...bytes: number[]) => frameOf(0x60, 0x40, [], blocksOf(bytes))
  // One literal, then a match; distance 1 repeats it, 2 and 0 point at nothing.
  assertSame(decompress(block(0x10, 65, 1, 0, 0x00)), Buffer.from('AAAAA'), 'distance 1')
  assert.is(decompress(block(0x10, 65, 2, 0, 0x00)), CORRUPT)
  assert.is(decompress(block(0x10, 65, 0, 0, 0x00)), CORRUPT)
  // A block may not end with a match, nor inside a sequence.
  assert.is(decompress(block(0x10, 65, 1, 0)), CORRUPT)
  assert.is(decompress(block(0x10)), CORRUPT)
  assert.is(decompress(block(0xf0)), CORRUPT)
  assert.is(decompress(block(0xf0, 255, 255)), CORRUPT)
  assert.is(decompress(block(0x1f, 65, 1, 0, 255)), CORRUPT)
  // 70,000 bytes from a frame of 64 KiB blocks.
  const grown = block(0x1f, 65, 1, 0, ...Array(275).fill(255), 0, 0x00)
  assert.is(decompress(grown), CORRUPT)
  assert.is(decompress(grown, 65_536), CORRUPT)
  // With less room than a block may have, more room is what it asks for.
  assert.is(decompress(grown, 65_535), OUT_OF_ROOM)
})

test('lengths of a million bytes end in a status', () => {
  const endless = [...Array(5000).fill(255), 0]
  for (const start of [[0xf0], [0x1f, 65, 1, 0]]) {
    const frame = frameOf(0x60, 0x70, [], blocksOf([...start, ...endless]))
    const output = decompressWithin(frame, 10_000)
    assert.ok(output === CORRUPT || output === OUT_OF_ROOM)
  }
})

/** One frame of the twin's kinds: flags at random, blocks of random sequences, right sums. */
function randomFrame(random: SeededRandom): Buffer {
  const isLinked = random.chance(0.5)
  const blocks: number[][] = []
  let history = 0
  for (let count = random.below(4); count >= 0; count--) {
    const block: number[] = []
    let length = isLinked ? history : 0
    for (let n = random.below(12); n > 0; n--) {
      const literals = random.bytes(random.below(random.chance(0.2) ? 80 : 12))
      length += literals.length
      if (length === 0) continue
      const size = 4 + random.below(random.chance(0.2) ? 300 : 20)
      block.push(...sequence(literals, 1 + random.below(Math.min(length, 40)), size))
      length += size
    }
    const last = random.bytes(1 + random.below(30))
    blocks.push([...block, ...sequence(last)])
    history = length + last.length
  }
  return frameOf(isLinked ? 0x40 : 0x60, 0x40, [], blocksOf(...blocks))
}

test('reads, and judges damaged frames, as the twin does', () => {
  const random = new SeededRandom(9)
  let [read, refused] = [0, 0]
  for (let round = 0; round < 20_000; round++) {
    let frame = randomFrame(random)
    for (let n = random.below(4); n > 0; n--) {
      frame[7 + random.below(frame.length - 7)] = random.below(256)
    }
    if (random.chance(0.1)) frame = frame.subarray(0, random.below(frame.length))
    const capacity = random.chance(0.8) ? 70_000 : random.below(1000)
    const output = decompressWithin(frame, capacity)
    let expected: Buffer | undefined
    try {
      expected = foreignTwin(frame)
    } catch {
      expected = undefined
    }
    const what = `seed 9, round ${round}`
    if (typeof output !== 'number') {
      assert.ok(expected?.equals(output), what)
      read++
    } else {
      assert.ok(expected === undefined || expected.length > capacity, what)
      refused++
    }
  }
  assert.ok(read > 6000 && refused > 6000, `${read} read, ${refused} refused`)
})

test('reads what the lz4 command writes at any level, with any option', () => {
  const lz4 = requirePeer('lz4')
  if (lz4 === undefined) return
  const options = [
    ['-1'],
    ['-9'],
    ['-12'],
    ['-1', '-BD', '-B4'],
    ['-12', '-BD', '-B5'],
    ['-1', '-BX', '-B4'],
    ['-9', '-B5', '-BX', '-BD'],
    ['-1', '-B6'],
    ['-1', '-B7'],
    ['-1', '--content-size'],
    ['-9', '--no-frame-crc', '-B4', '-BD'],
    ['--fast=9'],
  ]
  const inputs = [0, 1, 13, 1000, 65_536, 65_537, 300_000].map(sensorBytes)
  inputs.push(Buffer.alloc(200_000, 'abcde'), new SeededRandom(5).bytes(200_000))
  for (const bytes of inputs) {
    for (const option of options) {
      const frame = execFileSync(lz4, ['-qc', ...option], { input: bytes, maxBuffer: 2 ** 20 })
      const what = `${bytes.length} bytes, ${option.join(' ')}`
      assertSame(decompressWithin(frame, bytes.length), bytes, what)
      if (bytes.length > 0) assert.is(decompressWithin(frame, bytes.length - 1), OUT_OF_ROOM, what)
    }
  }
})

test('reads linked blocks of 4 MiB', () => {
  const lz4 = requirePeer('lz4')
  if (lz4 === undefined) return
  const bytes = sensorBytes(5_000_000)
  const options = { input: bytes, maxBuffer: 2 ** 23 }
  const frame = execFileSync(lz4, ['-qc', '-1', '-B7', '-BD'], options)
  const target = TAILS + 8 * 2 ** 20
  kernel.u8.set(frame, TAILS)
  assert.is(kernel.lz4Unframe(TAILS, frame.length, target, bytes.length), bytes.length)
  assert.ok(kernel.buffer.subarray(target, target + bytes.length).equals(bytes))
})

test.run()
