import { Encoder } from 'cbor-x/index-no-eval'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { scanCbor } from '../../devices/cbor-scan.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/cbor-scan')
const LIMITS = { maxDepth: 16, maxItems: 1_000 }
const encoder = new Encoder({ useRecords: false, mapsAsObjects: true })

function scan(hex: string): string | undefined {
  return scanCbor(Buffer.from(hex, 'hex'), LIMITS)
}

test('lets through what an encoder makes of plain values', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
      assert.is(scanCbor(encoder.encode(value), { maxDepth: 16, maxItems: 100_000 }), undefined)
    }),
  )
})

test('lets through the examples of RFC 8949 that sensors use', () => {
  const fine = [
    '00',
    '1bffffffffffffffff',
    '3863',
    'f97e00',
    'fb3ff199999999999a',
    '40',
    '6449455446',
  ]
  fine.push(
    '8301820203820405',
    'bf61610161629f0203ffff',
    'c11a514b67b0',
    'd9d9f7830102030a'.slice(0, -2),
  )
  fine.push(
    'c074323031332d30332d32315432303a30343a30305a',
    'c48221196ab3',
    'f6',
    'a0',
    '9fff',
    'bfff',
  )
  for (const hex of fine) assert.is(scan(hex), undefined, hex)
})

test('a cut item, anywhere, ends in the middle', () => {
  const whole = encoder.encode({ device: 'a', list: [1, 2.5, 'three'], deep: { x: 70_000 } })
  for (let length = 0; length < whole.length; length++) {
    assert.match(scanCbor(whole.subarray(0, length), LIMITS)!, 'middle of an item', `${length}`)
  }
})

test('bytes behind the item are counted', () => {
  assert.is(scan('0000ff'), 'has 2 bytes behind its item')
})

test('declared lengths cost nothing', () => {
  assert.match(scan('9b7fffffffffffffff')!, 'middle')
  assert.match(scan('5b7fffffffffffffff')!, 'middle')
  assert.match(scan('bbffffffffffffffff00')!, 'middle')
})

test('nesting and item counts have limits, tags counting as levels', () => {
  assert.is(scan(`${'81'.repeat(16)}00`), undefined)
  assert.match(scan(`${'81'.repeat(17)}00`)!, 'deeper than 16')
  assert.match(scan(`${'9f'.repeat(200_000)}`)!, 'deeper than 16')
  assert.match(scan(`${'c1'.repeat(200_000)}00`)!, 'deeper than 16')
  assert.match(scan(`9903e9${'00'.repeat(1001)}`)!, 'more than 1000 items')
})

test('tags that build more than values are refused by name', () => {
  assert.match(scan('d81b8366526567457870612b6167')!, 'generic object (tag 27)')
  assert.match(scan('d81c80')!, 'shared value')
  assert.match(scan('d90102820102')!, 'a set (tag 258)')
  assert.match(scan('d90103a0')!, 'tag 259')
  assert.match(scan('d9dfff8219e000816161')!, 'tag 57343')
  assert.match(scan('d869831900e0816161f5')!, 'record (tag 105)')
})

test('big integers are short, typed arrays are bytes, fractions are pairs', () => {
  assert.is(scan(`c2${'50'}${'ff'.repeat(16)}`), undefined)
  assert.match(scan(`c251${'ff'.repeat(17)}`)!, 'big integer')
  assert.match(scan('c21a00010000')!, 'big integer')
  assert.is(scan('d84544ffffffff'), undefined)
  assert.match(scan('d8458101')!, 'typed array')
  assert.match(scan('c400')!, 'fraction')
})

test('reserved heads, texts in pieces and lone breaks are refused', () => {
  assert.match(scan('1c')!, 'reserves')
  assert.match(scan('1f')!, 'reserves')
  assert.match(scan('7f6161ff')!, 'text in pieces')
  assert.match(scan('ff')!, 'break')
  assert.match(scan('a1ff')!, 'break')
})

test('no bytes make it throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const problem = scanCbor(bytes, LIMITS)
      assert.ok(problem === undefined || problem.length > 0)
    }),
    { numRuns: 2_000 },
  )
})

test.run()
