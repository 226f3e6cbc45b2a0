// The plain record encoder and decoder: known bytes, round trips, damage.

import * as assert from 'uvu/assert'
import {
  encodeHeader,
  encodeRecord,
  iterateRecords,
  type RecordFields,
  readRecord,
} from '../../agent/record/record.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('record/record')

const isCorrupt = (error: { code?: string }): boolean => error.code === 'CORRUPT_BATCH'
const BARE: RecordFields = { offsetDelta: 0, timestampDelta: 0, key: null, value: null }

test('encodes the bytes of the format', () => {
  assert.is(encodeRecord(BARE).toString('hex'), '0c000000010100')
  const record = encodeRecord({
    offsetDelta: 3,
    timestampDelta: -2,
    key: Buffer.from('k'),
    value: Buffer.from('vv'),
    headers: [['h', null]],
  })
  assert.is(record.toString('hex'), '1800030602' + '6b' + '04' + '7676' + '02' + '0268' + '01')
  assert.is(encodeHeader('ü', Buffer.from([1, 2])).toString('hex'), '04c3bc040102')
  assert.is(encodeHeader(Buffer.from([7]), null).toString('hex'), '020701')
})

test('decodes what it encoded, as views of the bytes', () => {
  const record = {
    offsetDelta: 70,
    timestampDelta: 1e12,
    key: Buffer.alloc(0),
    value: Buffer.alloc(300, 'x'),
    headers: [
      [Buffer.from('a'), Buffer.from('b')],
      [Buffer.from(''), null],
    ] as [Buffer, Buffer | null][],
  }
  const bytes = encodeRecord(record)
  const cursor = { position: 0 }
  const back = readRecord(bytes, cursor, bytes.length)
  assert.equal(back, record)
  assert.is(cursor.position, bytes.length)
  assert.is(back.value!.buffer, bytes.buffer)
})

test('iterates exactly the number of records asked for', () => {
  const parts = [0, 1, 2].map((offsetDelta) => encodeRecord({ ...BARE, offsetDelta }))
  const bytes = Buffer.concat(parts)
  const deltas = [...iterateRecords(bytes, 3)].map(({ offsetDelta }) => offsetDelta)
  assert.equal(deltas, [0, 1, 2])
  assert.throws(() => [...iterateRecords(bytes, 2)], isCorrupt)
  assert.throws(() => [...iterateRecords(bytes, 4)], isCorrupt)
  assert.equal([...iterateRecords(Buffer.alloc(0), 0)], [])
})

test('every cut of a record is a fault, and so is a record longer than its fields', () => {
  const headers: RecordFields['headers'] = [['name', Buffer.from('value')]]
  const bytes = encodeRecord({ ...BARE, key: Buffer.from('key'), value: Buffer.alloc(70), headers })
  for (let end = 0; end < bytes.length; end++) {
    assert.throws(() => readRecord(bytes, { position: 0 }, end), isCorrupt)
  }
  assert.throws(
    () => readRecord(Buffer.from('0e00000001010000', 'hex'), { position: 0 }, 8),
    isCorrupt,
  )
  // A header without a key, and more headers than bytes.
  assert.throws(
    () => readRecord(Buffer.from('1000000001010201' + '01', 'hex'), { position: 0 }, 9),
    isCorrupt,
  )
  assert.throws(
    () => readRecord(Buffer.from('140000000101feffff7f00', 'hex'), { position: 0 }, 11),
    isCorrupt,
  )
})

test('damage is a fault or another record, never anything else', () => {
  const random = new SeededRandom(11)
  const parts = Array.from({ length: 5 }, (_, offsetDelta) =>
    encodeRecord({ ...BARE, offsetDelta, value: random.bytes(30), headers: [['h', null]] }),
  )
  const bytes = Buffer.concat(parts)
  let faults = 0
  for (let i = 0; i < 5000; i++) {
    const damaged = Buffer.from(bytes)
    for (let n = random.below(3); n >= 0; n--)
      damaged[random.below(bytes.length)] = random.below(256)
    try {
      for (const record of iterateRecords(damaged, 5))
        assert.ok(Number.isSafeInteger(record.offsetDelta))
    } catch (error) {
      if (!isCorrupt(error as { code?: string })) throw error
      faults++
    }
  }
  assert.ok(faults > 500, `${faults} faults`)
})

test.run()
