// The decoder of snappy against frames of other implementations, a twin encoder, and damage.

import * as assert from 'uvu/assert'
import { CORRUPT, OUT_OF_ROOM, UNSUPPORTED } from '../../wasm/assembly/limits.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { DecodeWindow } from './decode-window.ts'
import { goldenFrames, recordsOf } from './golden-frames.ts'
import { sensorBytes } from './twins.ts'

const test = suite('wasm/snappy')
const window = new DecodeWindow()
const golden = goldenFrames('snappy')

const decode = (bytes: Uint8Array, capacity?: number) =>
  window.decode('snappyDecode', bytes, capacity)

function assertSame(actual: Buffer | number, expected: Uint8Array, what: string): void {
  if (typeof actual === 'number') assert.unreachable(`${what}: status ${actual}`)
  else assert.ok(actual.equals(expected), `${what}: other bytes`)
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))]
}

const little = (value: number, bytes: number): number[] =>
  Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256)

/** Literals, with at least `bytes` bytes of length beside the tag. */
function literals(data: ArrayLike<number>, bytes = 0): number[] {
  const less = data.length - 1
  let width = bytes
  while (less >= (width === 0 ? 60 : 256 ** width)) width++
  if (width === 0) return [less << 2, ...Array.from(data)]
  return [(59 + width) << 2, ...little(less, width), ...Array.from(data)]
}

/** A match in the form of so many bytes of distance. */
function match(distance: number, count: number, form: 1 | 2 | 4): number[] {
  if (form === 1) return [1 | ((count - 4) << 2) | ((distance >> 8) << 5), distance & 255]
  return [(form === 2 ? 2 : 3) | ((count - 1) << 2), ...little(distance, form)]
}

const blockOf = (size: number, ...elements: number[][]): Buffer =>
  Buffer.from([...varint(size), ...elements.flat()])

function xerial(blocks: Buffer[], version = 1, compatible = 1): Buffer {
  const big = (value: number) => little(value, 4).reverse()
  return Buffer.concat([
    Buffer.from([0x82, ...Buffer.from('SNAPPY'), 0, ...big(version), ...big(compatible)]),
    ...blocks.flatMap((block) => [Buffer.from(big(block.length)), block]),
  ])
}

test('golden frames hold what they should, with just enough room too', () => {
  for (const { name, frame, bytes } of golden) {
    assertSame(decode(frame), bytes, name)
    assertSame(decode(frame, bytes.length), bytes, `${name}, exactly`)
  }
})

test("a Java producer's batch holds the records of its plain one", () => {
  assertSame(decode(recordsOf('snappy')), recordsOf('none'), 'records')
})

test('every capacity too small is OUT_OF_ROOM', () => {
  for (const { name, frame, bytes } of golden) {
    for (let capacity = bytes.length - 1; capacity >= 0; capacity -= 1 + (capacity >> 6)) {
      assert.is(window.status('snappyDecode', frame, capacity), OUT_OF_ROOM, `${name}: ${capacity}`)
    }
  }
})

test('every cut of a block is CORRUPT, and so is a byte more', () => {
  for (const { name, frame } of golden.filter(({ name }) => !name.includes('OutputStream'))) {
    for (let cut = 0; cut < frame.length; cut += 1 + (frame.length >> 8)) {
      assert.is(decode(frame.subarray(0, cut)), CORRUPT, `${name}: ${cut}`)
    }
    assert.is(decode(Buffer.concat([frame, Buffer.alloc(1)])), CORRUPT, name)
  }
})

test('a xerial stream is its blocks, and may end behind any of them', () => {
  const parts = [sensorBytes(100), Buffer.alloc(0), sensorBytes(70)]
  const blocks = parts.map((part) =>
    part.length === 0 ? blockOf(0) : blockOf(part.length, literals(part)),
  )
  const whole = xerial(blocks)
  const ends = blocks.map((_, i) => xerial(blocks.slice(0, i)).length)
  assertSame(decode(whole), Buffer.concat(parts), 'three blocks')
  for (let cut = 1; cut < whole.length; cut++) {
    const count = ends.indexOf(cut)
    if (count < 0) assert.is(decode(whole.subarray(0, cut)), CORRUPT, `cut at ${cut}`)
    else assertSame(decode(whole.subarray(0, cut)), Buffer.concat(parts.slice(0, count)), 'a part')
  }
  assertSame(decode(xerial(blocks, 2)), Buffer.concat(parts), 'a newer writer')
  assert.is(decode(xerial(blocks, 2, 2)), UNSUPPORTED)
  assert.is(decode(xerial([Buffer.alloc(0)])), CORRUPT)
  const reaching = blockOf(4, match(4, 4, 1))
  assert.is(decode(xerial([blockOf(4, literals(Buffer.from('abcd'))), reaching])), CORRUPT)
})

test('elements of every form', () => {
  const long = new SeededRandom(2).bytes(70_000)
  for (const size of [1, 16, 17, 59, 60, 61, 256, 257, 65_536, 65_537]) {
    const bytes = long.subarray(0, size)
    for (const width of [0, 1, 2, 3, 4]) {
      assertSame(decode(blockOf(size, literals(bytes, width)), size), bytes, `${size}, ${width}`)
    }
  }
  const far = [...long, ...long.subarray(0, 64)]
  const reach = blockOf(far.length, literals(long), match(70_000, 64, 4))
  assertSame(decode(reach), Buffer.from(far), 'a distance of 70,000')
  const ab = literals(Buffer.from('ab'))
  assertSame(
    decode(blockOf(13, ab, match(2, 11, 1))),
    Buffer.from('abababababababa'.slice(0, 13)),
    '1',
  )
  assertSame(decode(blockOf(3, ab, match(1, 1, 2))), Buffer.from('abb'), '2')
  assertSame(decode(blockOf(3, ab, match(2, 1, 4))), Buffer.from('aba'), '4')
})

test('elements are held to their bounds', () => {
  const ab = literals(Buffer.from('ab'))
  for (const form of [1, 2, 4] as const) {
    assert.is(decode(blockOf(6, ab, match(3, 4, form))), CORRUPT, 'before the beginning')
    assert.is(decode(blockOf(6, ab, match(0, 4, form))), CORRUPT, 'no distance')
    assert.is(decode(blockOf(5, ab, match(1, 4, form))), CORRUPT, 'behind the end')
    assert.is(decode(blockOf(7, ab, match(1, 4, form))), CORRUPT, 'not to the end')
  }
  assert.is(decode(blockOf(1, ab)), CORRUPT)
  assert.is(decode(blockOf(3, ab)), CORRUPT)
  assert.is(decode(blockOf(2, [63 << 2, 255, 255, 255, 255], ab)), CORRUPT)
  assert.is(decode(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x10])), CORRUPT)
  assert.is(decode(Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80, 0])), CORRUPT)
  assert.is(decode(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])), OUT_OF_ROOM)
  assert.is(decode(Buffer.alloc(0)), CORRUPT)
  assertSame(decode(Buffer.from([0])), Buffer.alloc(0), 'nothing')
})

test('random elements do what they say', () => {
  const random = new SeededRandom(8)
  for (let i = 0; i < 3000; i++) {
    const { block, bytes } = randomBlock(random)
    assertSame(decode(block, bytes.length), bytes, `block ${i}`)
    assertSame(decode(block, bytes.length + 100), bytes, `block ${i}, with room`)
    assert.is(decode(block, bytes.length - 1), OUT_OF_ROOM)
  }
})

/** Literals and matches as they come, and what a plain execution makes of them. */
function randomBlock(random: SeededRandom): { block: Buffer; bytes: Buffer } {
  const out: number[] = []
  const elements: number[][] = []
  for (let left = random.below(40); left >= 0; left--) {
    if (out.length === 0 || random.chance(0.4)) {
      const data = random.bytes(1 + random.below(random.chance(0.1) ? 400 : 20))
      elements.push(literals(data, random.chance(0.2) ? 1 + random.below(4) : 0))
      out.push(...data)
      continue
    }
    const near = random.chance(0.5) ? 20 : out.length
    const distance = 1 + random.below(Math.min(near, out.length))
    const form = ([1, 2, 4] as const)[
      random.below(distance < 2048 ? 3 : 2) + (distance < 2048 ? 0 : 1)
    ]!
    const count = form === 1 ? 4 + random.below(8) : 1 + random.below(64)
    elements.push(match(distance, count, form))
    for (let n = 0; n < count; n++) out.push(out[out.length - distance]!)
  }
  return { block: blockOf(out.length, ...elements), bytes: Buffer.from(out) }
}

test.run()
