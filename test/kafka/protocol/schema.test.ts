import * as assert from 'uvu/assert'
import type { AgentError } from '../../../agent/base/errors.ts'
import {
  array,
  between,
  boolean,
  bytes,
  type Decoded,
  float64,
  int8,
  int16,
  int32,
  int64,
  type Message,
  message,
  nullable,
  records,
  since,
  string,
  struct,
  tagged,
  until,
  withDefault,
} from '../../../agent/kafka/protocol/schema.ts'
import { Reader, Writer } from '../../../agent/kafka/protocol/wire.ts'
import { suite } from '../../support/suite.ts'

const test = suite('kafka schema')

const sample = message(
  { versions: [0, 5], flexible: 3 },
  {
    name: string(),
    old: until(1, int16(), 7),
    middle: between(1, 2, int8(), -1),
    young: since(4, nullable(string()), null),
    ratio: withDefault(float64(), 0.5),
    items: array(struct({ id: int32(), isNew: since(2, boolean(), false) })),
    note: tagged(1, string(), ''),
    place: tagged(0, struct({ x: int8(), y: int8() }), null, 5),
  },
)

function encoded<In>(schema: Message<unknown, In>, value: In, version: number): Buffer {
  const writer = new Writer()
  schema.encode(writer, value, version)
  return Buffer.concat(writer.finish())
}

function roundTrip(
  value: Parameters<typeof sample.encode>[1],
  version: number,
): Decoded<typeof sample> {
  const reader = new Reader(encoded(sample, value, version))
  const decoded = sample.decode(reader, version)
  assert.is(reader.remaining, 0)
  return decoded
}

const full = {
  name: 'n',
  old: 1,
  middle: 2,
  young: 'y',
  ratio: 0.25,
  items: [{ id: 1, isNew: true }, { id: 2 }],
  note: 'tagged',
  place: { x: 1, y: 2 },
}

test('each version carries the fields it has, and names the rest by their fallback', () => {
  assert.equal(roundTrip(full, 0), {
    ...full,
    middle: -1,
    young: null,
    items: [
      { id: 1, isNew: false },
      { id: 2, isNew: false },
    ],
    note: '',
    place: null,
  })
  const later = [
    { id: 1, isNew: true },
    { id: 2, isNew: false },
  ]
  assert.equal(roundTrip(full, 2), {
    ...full,
    old: 7,
    young: null,
    items: later,
    note: '',
    place: null,
  })
  assert.equal(roundTrip(full, 4), { ...full, old: 7, middle: -1, items: later, place: null })
  assert.equal(roundTrip(full, 5), { ...full, old: 7, middle: -1, items: later })
})

test('what has a fallback may be left out', () => {
  const decoded = roundTrip({ name: '', items: [] }, 5)
  assert.equal(decoded, {
    name: '',
    old: 7,
    middle: -1,
    young: null,
    ratio: 0.5,
    items: [],
    note: '',
    place: null,
  })
})

test('a flexible version has compact lengths and tags in ascending order', () => {
  const small = message(
    { versions: [0, 1], flexible: 1 },
    { a: string(), list: array(int8()), b: tagged(2, int8(), 0), c: tagged(1, string(), '') },
  )
  assert.is(encoded(small, { a: 'x', list: [5] }, 0).toString('hex'), '000178' + '0000000105')
  assert.is(
    encoded(small, { a: 'x', list: [5], b: 9, c: 'z' }, 1).toString('hex'),
    '0278' + '0205' + '02' + '0102027a' + '020109',
  )
})

test('unknown tagged fields are skipped, wherever they stand', () => {
  const schema = message(
    { versions: [0, 0], flexible: 0 },
    { name: string(), n: tagged(3, int8(), 0) },
  )
  assert.is(schema.decode(new Reader(Buffer.from('026e00', 'hex')), 0).n, 0)
  const bytesWithTags = Buffer.from('026e' + '03' + '0102aaaa' + '030109' + '0900', 'hex')
  const again = new Reader(bytesWithTags)
  assert.equal(schema.decode(again, 0), { name: 'n', n: 9 })
  assert.is(again.remaining, 0)
})

test('a tagged field that is longer than its type is refused', () => {
  const schema = message({ versions: [0, 0], flexible: 0 }, { n: tagged(0, int8(), 0) })
  assert.throws(
    () => schema.decode(new Reader(Buffer.from('0100020102', 'hex')), 0),
    (error: AgentError) => error.code === 'INPUT_FRAME',
  )
})

test('null is refused where a value must be', () => {
  const schema = message(
    { versions: [0, 1], flexible: 1 },
    { a: string(), b: bytes(), c: array(int8()) },
  )
  for (const [hex, version] of [
    ['ffff' + '00000000' + '00000000', 0],
    ['0000' + 'ffffffff' + '00000000', 0],
    ['0000' + '00000000' + 'ffffffff', 0],
    ['00' + '01' + '01' + '00', 1],
    ['01' + '00' + '01' + '00', 1],
    ['01' + '01' + '00' + '00', 1],
  ] as const) {
    assert.throws(
      () => schema.decode(new Reader(Buffer.from(hex, 'hex')), version),
      (error: AgentError) => error.code === 'INPUT_FRAME',
    )
  }
})

test('a nullable struct is preceded by a byte that says whether it is there', () => {
  const schema = message(
    { versions: [0, 0], flexible: 0 },
    { place: nullable(struct({ x: int8() })) },
  )
  assert.is(encoded(schema, { place: null }, 0).toString('hex'), 'ff00')
  assert.is(encoded(schema, { place: { x: 5 } }, 0).toString('hex'), '01050000')
  for (const place of [null, { x: 5 }]) {
    assert.equal(schema.decode(new Reader(encoded(schema, { place }, 0)), 0), { place })
  }
})

test('records are a view when decoded and not copied when encoded', () => {
  const schema = message({ versions: [0, 1], flexible: 1 }, { data: nullable(records()) })
  const parts = [Buffer.from('one'), Buffer.from('two')]
  for (const version of [0, 1]) {
    const writer = new Writer()
    schema.encode(writer, { data: parts }, version)
    const list = writer.finish()
    assert.ok(list.includes(parts[0]!) && list.includes(parts[1]!))
    const frame = Buffer.concat(list)
    const { data } = schema.decode(new Reader(frame), version)
    assert.is(data?.toString(), 'onetwo')
    assert.is(data?.buffer, frame.buffer)
    assert.equal(schema.decode(new Reader(encoded(schema, { data: null }, version)), version), {
      data: null,
    })
  }
})

test('a count beyond what the bytes can hold is refused before the list is built', () => {
  const schema = message({ versions: [0, 0] }, { list: array(struct({ a: int64(), b: string() })) })
  const frame = Buffer.alloc(4 + 10 * 100)
  frame.writeInt32BE(101, 0)
  assert.throws(
    () => schema.decode(new Reader(frame), 0),
    (error: AgentError) => error.code === 'INPUT_FRAME' && error.message.includes('count of 101'),
  )
  frame.writeInt32BE(100, 0)
  assert.is(schema.decode(new Reader(frame), 0).list.length, 100)
})

test('a version the message does not have is a bug of the caller', () => {
  assert.throws(() => sample.decode(new Reader(Buffer.alloc(10)), 6), /broken invariant/)
  assert.throws(() => sample.encode(new Writer(), full, -1), /broken invariant/)
})

test.run()
