// Zig-zag varints: known bytes, every edge, and what is no varint.

import * as assert from 'uvu/assert'
import { readVarint, readVarlong, varintSize, writeVarint } from '../../agent/record/varint.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/varint')

function encoded(value: number): Buffer {
  const buffer = Buffer.alloc(12, 0xee)
  return buffer.subarray(0, writeVarint(buffer, 0, value))
}

const int = (bytes: number[]) => readVarint(Buffer.from(bytes), { position: 0 }, bytes.length)
const long = (bytes: number[]) => readVarlong(Buffer.from(bytes), { position: 0 }, bytes.length)

test('writes the bytes of the format', () => {
  const known: [number, string][] = [
    [0, '00'],
    [-1, '01'],
    [1, '02'],
    [-2, '03'],
    [63, '7e'],
    [-64, '7f'],
    [64, '8001'],
    [-65, '8101'],
    [8191, 'fe7f'],
    [8192, '808001'],
    [2147483647, 'feffffff0f'],
    [-2147483648, 'ffffffff0f'],
    [Number.MAX_SAFE_INTEGER, 'feffffffffffff1f'],
    [Number.MIN_SAFE_INTEGER, 'fdffffffffffff1f'],
  ]
  for (const [value, hex] of known) assert.is(encoded(value).toString('hex'), hex)
})

test('reads back what it wrote, in exactly varintSize bytes', () => {
  const random = new SeededRandom(1)
  const values = [0, 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]
  for (let bits = 0; bits < 53; bits++) values.push(2 ** bits - 1, 2 ** bits, -(2 ** bits) - 1)
  for (let i = 0; i < 5000; i++)
    values.push(Math.floor((random.next() - 0.5) * 2 ** random.below(54)))
  for (const value of values) {
    const bytes = encoded(value)
    const cursor = { position: 0 }
    assert.is(readVarlong(bytes, cursor, bytes.length), value === 0 ? 0 : value)
    assert.is(cursor.position, bytes.length)
    assert.is(varintSize(value), bytes.length)
    const fits = value >= -(2 ** 31) && value < 2 ** 31
    const narrow = readVarint(bytes, { position: 0 }, bytes.length)
    assert.is(Number.isNaN(narrow) ? undefined : narrow, fits ? value : undefined)
  }
})

test('what is cut off, too long or too large is NaN', () => {
  for (const read of [int, long]) {
    assert.ok(Number.isNaN(read([])))
    assert.ok(Number.isNaN(read([0x80])))
    assert.ok(Number.isNaN(read([0xff, 0xff, 0xff])))
  }
  assert.ok(Number.isNaN(int([0x80, 0x80, 0x80, 0x80, 0x10])))
  assert.ok(Number.isNaN(int([0x80, 0x80, 0x80, 0x80, 0x80, 0])))
  assert.is(long([0x80, 0x80, 0x80, 0x80, 0x10]), 2 ** 31)
  assert.ok(Number.isNaN(long([0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])))
  assert.ok(Number.isNaN(long([...Array(10).fill(0x80), 0])))
})

test('never reads at or behind its end', () => {
  const bytes = Buffer.from([0x80, 0x01])
  assert.ok(Number.isNaN(readVarint(bytes, { position: 0 }, 1)))
  assert.is(readVarint(bytes, { position: 0 }, 2), 64)
})

test.run()
