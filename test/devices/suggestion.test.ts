import * as assert from 'uvu/assert'
import { nearest, shorten, unknownKeys } from '../../devices/suggestion.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/suggestion')

test('names the nearest word, a swap of neighbours counting once', () => {
  assert.is(nearest('fromat', ['format', 'fields', 'name']), 'format')
  assert.is(nearest('MQTTTOPIC', ['mqttTopic', 'name']), 'mqttTopic')
})

test('names nothing when nothing is near', () => {
  assert.is(nearest('colour', ['format', 'fields', 'name']), undefined)
  assert.is(nearest('x'.repeat(5_000), ['format']), undefined)
})

test('says which key is unknown and which was meant, or which there are', () => {
  assert.equal(unknownKeys({ format: 1, feilds: 2, zzzzzz: 3 }, ['format', 'fields'], 'a.yaml'), [
    'a.yaml: unknown key "feilds"; did you mean fields?',
    'a.yaml: unknown key "zzzzzz"; known: format, fields',
  ])
})

test('shortens any value to something a sentence can hold', () => {
  assert.is(shorten(undefined), 'missing')
  assert.is(shorten('a\nb'), '"a\\nb"')
  assert.is(shorten([1, 2, 3]), 'a list of 3')
  assert.is(shorten({ a: 1 }), 'an object')
  assert.is(shorten(Number.NaN), 'NaN')
  assert.is(shorten(12n), '12')
  assert.ok(shorten('x'.repeat(1e6)).length < 50)
})

test.run()
