import { Encoder } from 'cbor-x/index-no-eval'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { createDecoder, type DecodeOutcome } from '../../devices/payload.ts'
import { checkProfile } from '../../devices/profile.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/payload')
const encoder = new Encoder({ useRecords: false, mapsAsObjects: true })
const TOPIC = 'farm/g1/climate'

function decoder(profile: object): (payload: string | Buffer, mqttTopic?: string) => DecodeOutcome {
  const check = checkProfile({ name: 'p', mqttTopic: 'farm/{device}/climate', ...profile }, 'p')
  if (check.kind === 'invalid') throw new Error(check.problems.join('\n'))
  const made = createDecoder(check.profile)
  return (payload, mqttTopic = TOPIC) => made.decode(Buffer.from(payload), mqttTopic)
}

function reason(outcome: DecodeOutcome): string {
  if (outcome.kind !== 'invalid')
    throw new Error(`expected a refusal, got ${JSON.stringify(outcome)}`)
  return outcome.reason
}

const climate = {
  key: '{device}',
  time: { path: 'ts' },
  fields: [
    {
      name: 'temperature',
      path: 'air.t',
      unit: '°C',
      min: -40,
      max: 85,
      required: true,
      sentinels: [-127],
    },
    { name: 'count', type: 'integer' },
    { name: 'state', type: 'string', values: ['ON', 'OFF'] },
    { name: 'open', type: 'boolean' },
  ],
}

test('a good payload gives time and key, and its bytes stay untouched', () => {
  const outcome = decoder(climate)(
    '{"ts":1769860800,"air":{"t":21.5},"count":3,"state":"ON","open":true}',
  )
  assert.equal(outcome, { kind: 'ok', timestamp: 1769860800000, key: 'g1' })
})

test('a refusal names field, value and expectation', () => {
  const decode = decoder(climate)
  const cases: [string, string][] = [
    ['{"air":{"t":851.2}}', 'temperature (air.t) is 851.2 °C, expected at most 85 °C'],
    ['{"air":{"t":-41}}', 'temperature (air.t) is -41 °C, expected at least -40 °C'],
    ['{"air":{"t":"warm"}}', 'temperature (air.t) is "warm", expected a number'],
    ['{"air":21}', 'temperature (air.t) is missing, expected a number'],
    ['{"air":{"t":1},"count":1.5}', 'count is 1.5, expected an integer'],
    ['{"air":{"t":1},"state":"on"}', 'state is "on", expected one of "ON, OFF"'],
    ['{"air":{"t":1},"open":1}', 'open is 1, expected true or false'],
    ['[1,2]', 'temperature (air.t) is missing, expected a number'],
  ]
  for (const [payload, expected] of cases) assert.is(reason(decode(payload)), expected)
})

test('sentinels and null are no reading, and satisfy required', () => {
  const decode = decoder({ ...climate, normalise: true })
  for (const t of ['-127', 'null']) {
    const outcome = decode(`{"air":{"t":${t}}}`)
    assert.is(outcome.kind === 'ok' ? String(outcome.value) : '', '{"temperature":null}')
  }
})

test('normalised values are JSON of the named fields and the time', () => {
  const outcome = decoder({ ...climate, normalise: true })(
    '{"ts":1769860800,"air":{"t":1},"x":9,"open":false}',
  )
  assert.is(
    outcome.kind === 'ok' ? String(outcome.value) : '',
    '{"temperature":1,"open":false,"time":"2026-01-31T12:00:00.000Z"}',
  )
})

test('a bad or missing time is no time, unless it is required', () => {
  const time = { path: 'ts', format: 's', required: true }
  assert.equal(decoder({ time: { path: 'ts' } })('{"ts":"soon"}'), { kind: 'ok' })
  assert.equal(decoder({ time: { path: 'ts' } })('{}'), { kind: 'ok' })
  assert.is(
    reason(decoder({ time })('{"ts":"soon"}')),
    'time (ts) is "soon", expected seconds since 1970',
  )
  assert.is(reason(decoder({ time })('{}')), 'time (ts) is missing')
})

test('keys come from topic and payload; a topic that does not fit leaves the key to the route', () => {
  const decode = decoder({ key: '{device}/{payload.id}' })
  assert.equal(decode('{"id":7}'), { kind: 'ok', key: 'g1/7' })
  assert.equal(decode('{"id":7}', 'elsewhere'), { kind: 'ok' })
  assert.is(reason(decode('{}')), 'key {payload.id} is missing, expected text or a number')
  assert.match(reason(decode('{"id":{}}')), 'is an object, expected text or a number')
  assert.match(reason(decode('{"id":36028797018963969}')), 'send it as text')
  assert.match(reason(decode(`{"id":"${'x'.repeat(2_000)}"}`)), 'key has 2003 characters')
})

test('payloads that are not JSON say what they look like', () => {
  const decode = decoder({})
  assert.is(reason(decode('')), 'payload is empty, expected JSON')
  assert.match(reason(decode('on')), 'payload "on" is not JSON')
  assert.match(reason(decode('{"a":1')), 'it ends after 6 bytes without its last bracket')
  assert.match(reason(decode(Buffer.from([0x7b, 0xff, 0x7d]))), 'not UTF-8')
})

test('size, depth and items have limits', () => {
  const decode = decoder({ limits: { maxBytes: 1_000, maxDepth: 4, maxItems: 100 } })
  assert.is(decode('[[[[1]]]]').kind, 'ok')
  assert.match(reason(decode('[[[[[1]]]]]')), 'deeper than 4 levels')
  assert.match(reason(decode(`[${'1,'.repeat(100)}1]`)), 'more than 100 items')
  assert.match(reason(decode('x'.repeat(1_001))), '1001 bytes, expected at most 1000')
  const deep = decoder({ limits: { maxBytes: 1_000_000 } })
  assert.match(reason(deep('['.repeat(200_000) + ']'.repeat(200_000))), 'deeper than 16')
})

test('inherited properties are not fields', () => {
  const decode = decoder({
    fields: [{ name: 'a', path: 'constructor.name', type: 'string', required: true }],
  })
  assert.match(reason(decode('{}')), 'missing')
  assert.is(decode('{"__proto__":{"x":1},"constructor":{"name":"n"}}').kind, 'ok')
})

test('CBOR decodes to the same as JSON', () => {
  const value = { ts: 1769860800, air: { t: 21.5 }, count: 3, state: 'ON', open: true }
  const json = decoder({ ...climate, normalise: true })(JSON.stringify(value))
  const cbor = decoder({ ...climate, normalise: true, format: 'cbor' })(encoder.encode(value))
  assert.equal(cbor, json)
})

test('CBOR dates, big and 64-bit integers, bytes and typed arrays become plain', () => {
  const decode = decoder({ format: 'cbor', normalise: true, time: { path: 'at' } })
  const at = new Date(1769860800000)
  const outcome = decode(
    encoder.encode({
      at,
      big: 2n ** 40n,
      huge: 2n ** 63n,
      raw: Buffer.from('hi'),
      f: new Float32Array([1, 2]),
    }),
  )
  if (outcome.kind !== 'ok') throw new Error(outcome.reason)
  assert.is(outcome.timestamp, 1769860800000)
  const value = JSON.parse(String(outcome.value))
  assert.is(value.at, '2026-01-31T12:00:00.000Z')
  assert.is(value.big, 2 ** 40)
  assert.is(value.raw, 'aGk=')
  assert.equal(value.f, [1, 2])
})

test('CBOR that builds more than values is refused, whatever the library would do', () => {
  const decode = decoder({ format: 'cbor' })
  const structured = new Encoder({ structuredClone: true, useRecords: true } as object)
  assert.match(reason(decode(encoder.encode({ a: /a+$/ }))), 'generic object')
  assert.match(reason(decode(encoder.encode({ a: new Set([1]) }))), 'a set')
  assert.match(reason(decode(structured.encode({ a: 1, b: 2 }))), 'tag')
  assert.match(reason(decode('{"a":1}')), 'it looks like JSON')
  assert.match(reason(decode(Buffer.from('a1f97e00', 'hex'))), 'middle')
})

test('a not-a-number from CBOR is no reading', () => {
  const decode = decoder({ format: 'cbor', fields: [{ name: 't' }] })
  assert.is(reason(decode(encoder.encode({ t: Number.NaN }))), 't is NaN, expected a number')
})

test('no bytes make a decoder throw, and every refusal is one sentence', () => {
  for (const format of ['json', 'cbor']) {
    const decode = decoder({ ...climate, format, key: '{payload.id}' })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 48 }), (bytes) => {
        const outcome = decode(Buffer.from(bytes))
        if (outcome.kind === 'invalid') assert.not.match(outcome.reason, /\n/)
      }),
      { numRuns: 2_000 },
    )
  }
})

test.run()
