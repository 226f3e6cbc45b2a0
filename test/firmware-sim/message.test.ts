import * as assert from 'uvu/assert'
import { encodeMessage, readMessage } from '../../firmware-sim/message.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/message')
const MESSAGE = { device: 'dev-0001', sequence: 17, timeMs: 1769860800000 }

test('both formats carry device, sequence and time to the other end', () => {
  for (const format of ['json', 'cbor'] as const) {
    assert.equal(
      readMessage(encodeMessage(format, MESSAGE, { temperature: 21.4, on: true })),
      MESSAGE,
    )
  }
})

test('JSON is what a consumer would expect to read', () => {
  assert.is(
    String(encodeMessage('json', MESSAGE, { temperature: 21.4 })),
    '{"device":"dev-0001","seq":17,"ts":1769860800000,"temperature":21.4}',
  )
})

test('what is no message of the fleet is none', () => {
  for (const text of [
    '',
    '{',
    '{}',
    'null',
    '{"device":1,"seq":1,"ts":1}',
    '{"device":"a","seq":1.5,"ts":1}',
  ]) {
    assert.is(readMessage(Buffer.from(text)), undefined, text)
  }
})

test.run()
