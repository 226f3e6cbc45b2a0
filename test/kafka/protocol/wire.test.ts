import * as assert from 'uvu/assert'
import type { AgentError } from '../../../agent/base/errors.ts'
import { Reader, Writer, ZERO_UUID } from '../../../agent/kafka/protocol/wire.ts'
import { suite } from '../../support/suite.ts'

const test = suite('kafka wire')

function written(write: (writer: Writer) => void): Buffer {
  const writer = new Writer()
  write(writer)
  return Buffer.concat(writer.finish())
}

function reader(hex: string): Reader {
  return new Reader(Buffer.from(hex, 'hex'))
}

function refuses(read: () => unknown): void {
  assert.throws(read, (error: AgentError) => error.code === 'INPUT_FRAME' && !error.retriable)
}

test('integers are big-endian and keep their sign', () => {
  const bytes = written((writer) => {
    writer.int8(-2)
    writer.int16(-3)
    writer.int32(-4)
    writer.int32(0x01020304)
    writer.int64(-5)
  })
  assert.is(bytes.toString('hex'), 'fefffdfffffffc01020304fffffffffffffffb')
  const back = new Reader(bytes)
  assert.equal(
    [back.int8(), back.int16(), back.int32(), back.int32(), back.int64()],
    [-2, -3, -4, 0x01020304, -5],
  )
  assert.is(back.remaining, 0)
})

test('an int64 is every safe integer and nothing else', () => {
  for (const value of [
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
    0,
    -1,
    2 ** 32,
    -(2 ** 32),
  ]) {
    const bytes = written((writer) => writer.int64(value))
    assert.is(bytes.readBigInt64BE(0), BigInt(value))
    assert.is(new Reader(bytes).int64(), value)
  }
  refuses(() => reader('0020000000000000').int64())
  refuses(() => reader('ffe0000000000000').int64())
  refuses(() => reader('7fffffffffffffff').int64())
  assert.throws(() => written((writer) => writer.int64(2 ** 53)))
})

test('opaque ids keep all their 64 bits', () => {
  const bytes = written((writer) => writer.int64Big(0x7fff_ffff_ffff_fffen))
  assert.is(new Reader(bytes).int64Big(), 0x7fff_ffff_ffff_fffen)
})

test('unsigned varints are at most 32 bits wide', () => {
  const cases: [number, string][] = [
    [0, '00'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [0xffffffff, 'ffffffff0f'],
  ]
  for (const [value, hex] of cases) {
    assert.is(written((writer) => writer.uvarint(value)).toString('hex'), hex)
    assert.is(reader(hex).uvarint(), value)
  }
  refuses(() => reader('ffffffff1f').uvarint())
  refuses(() => reader('ffffffffff01').uvarint())
  refuses(() => reader('8080').uvarint())
})

test('strings and bytes have a plain and a compact form, and null in both', () => {
  const bytes = written((writer) => {
    writer.string('aé')
    writer.string(null)
    writer.compactString('aé')
    writer.compactString(null)
    writer.bytes(Buffer.from([7]))
    writer.bytes(null)
    writer.compactBytes(Buffer.from([7]))
    writer.compactBytes(null)
  })
  assert.is(
    bytes.toString('hex'),
    '000361c3a9ffff0461c3a90000000001 07ffffffff0207 00'.replaceAll(' ', ''),
  )
  const back = new Reader(bytes)
  assert.equal(
    [back.string(), back.string(), back.compactString(), back.compactString()],
    ['aé', null, 'aé', null],
  )
  assert.equal([back.bytes(), back.bytes()], [Buffer.from([7]), null])
  assert.equal([back.compactBytes(), back.compactBytes()], [Buffer.from([7]), null])
})

test('a uuid is sixteen bytes and hyphenated text', () => {
  const id = '01234567-89ab-cdef-0123-456789abcdef'
  const bytes = written((writer) => writer.uuid(id))
  assert.is(bytes.toString('hex'), '0123456789abcdef0123456789abcdef')
  assert.is(new Reader(bytes).uuid(), id)
  assert.is(new Reader(Buffer.alloc(16)).uuid(), ZERO_UUID)
  assert.throws(() => written((writer) => writer.uuid('not-a-uuid')))
})

test('lengths and counts are held against what is left', () => {
  refuses(() => reader('000561').string())
  refuses(() => reader('fffe').string())
  refuses(() => reader('0561').compactString())
  refuses(() => reader('7fffffff').bytes())
  refuses(() => reader('fffffffe').bytes())
  refuses(() => reader('ffffffff0f').compactBytes())
  refuses(() => reader('7fffffff').count(1))
  refuses(() => reader('000000030000').count(1))
  refuses(() => reader('0400').compactCount(1))
  refuses(() => reader('').int8())
  assert.is(reader('0000000200000000').count(2), 2)
  assert.is(reader('ffffffff').count(1), -1)
})

test('a string that could not be encoded again is not decoded', () => {
  const bytes = written((writer) => {
    writer.uvarint(20_001)
    for (let index = 0; index < 20_000; index++) writer.int8(0xff)
  })
  refuses(() => new Reader(bytes).compactString())
})

test('tagged fields nobody wants are stepped over, size by size', () => {
  const one = reader('0200010003020102ff')
  one.skipTaggedFields()
  assert.is(one.int8(), -1)
  refuses(() => reader('010005').skipTaggedFields())
  refuses(() => reader('7f').skipTaggedFields())
})

test('a reader stays inside its part of the buffer', () => {
  const part = new Reader(Buffer.from('0001020304', 'hex'), 1, 3)
  assert.is(part.int16(), 0x0102)
  refuses(() => part.int8())
  const section = reader('0102030405').section(2)
  assert.is(section.int16(), 0x0102)
  refuses(() => section.int8())
})

test('referenced bytes are handed out as they are, in their place', () => {
  const records = Buffer.from('records')
  const writer = new Writer()
  writer.int32(0)
  writer.int8(1)
  writer.reference(records)
  writer.int8(2)
  const list = writer.finishFrame()
  assert.is(list.length, 3)
  assert.is(list[1], records)
  assert.is(Buffer.concat(list).toString('hex'), `0000000901${records.toString('hex')}02`)
})

test('a writer grows without moving what it holds', () => {
  const writer = new Writer(8)
  let expected = ''
  for (let index = 0; index < 5000; index++) {
    writer.string(`value-${index}`)
    expected += `value-${index}`
  }
  const size = writer.size
  const bytes = Buffer.concat(writer.finish())
  assert.is(bytes.length, size)
  const back = new Reader(bytes)
  let text = ''
  while (back.remaining > 0) text += back.string()
  assert.is(text, expected)
})

test.run()
