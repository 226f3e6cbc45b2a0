// Which bytes are a text, a topic name, a topic filter.

import * as assert from 'uvu/assert'
import { textFault, topicFilterFault, topicNameFault } from '../../agent/ingest/mqtt-text.ts'
import { suite } from '../support/suite.ts'

const test = suite('mqtt text')

const check = (judge: typeof textFault, value: string | number[]) => {
  const bytes = typeof value === 'string' ? Buffer.from(value) : Buffer.from(value)
  return judge(bytes, 0, bytes.length)
}

test('takes every text that UTF-8 can hold', () => {
  for (const value of ['', 'a', 'é', '€', '😀', '\u{10ffbf}', 'ﬀ', '\ufeff']) {
    assert.is(check(textFault, value), undefined, JSON.stringify(value))
  }
})

test('agrees with the decoder of the platform about what is well formed', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for (let first = 0x80; first < 0x100; first++) {
    for (let second = 0x70; second < 0x100; second++) {
      for (const tail of [[], [0x80], [0x80, 0x80]]) {
        const bytes = [first, second, ...tail]
        let isWellFormed = true
        try {
          decoder.decode(Buffer.from(bytes))
        } catch {
          isWellFormed = false
        }
        const fault = check(textFault, bytes)
        if (!isWellFormed) assert.ok(fault, bytes.join())
        else if (fault !== undefined) assert.match(fault, /control|non-character/, bytes.join())
      }
    }
  }
})

test('refuses NUL, control characters, surrogates and non-characters', () => {
  assert.is(check(textFault, 'a\0b'), 'a NUL')
  assert.is(check(textFault, 'a\nb'), 'a control character')
  assert.is(check(textFault, '\x7f'), 'a control character')
  assert.is(check(textFault, '\x85'), 'a control character')
  assert.is(check(textFault, [0xed, 0xa0, 0x80]), 'a surrogate')
  assert.is(check(textFault, '\uffff'), 'a non-character')
  assert.is(check(textFault, '\ufdd0'), 'a non-character')
  assert.is(check(textFault, [0xc0, 0x80]), 'ill-formed UTF-8')
  assert.is(check(textFault, [0xe2, 0x82]), 'ill-formed UTF-8')
})

test('a topic name has no wildcard, is not empty and has at most 100 levels', () => {
  assert.is(check(topicNameFault, 'a/b//c'), undefined)
  assert.is(check(topicNameFault, '/'), undefined)
  for (const name of ['', 'a/+', '#', 'a#b']) assert.ok(check(topicNameFault, name), name)
  assert.is(check(topicNameFault, '/'.repeat(99)), undefined)
  assert.ok(check(topicNameFault, '/'.repeat(100)))
})

test('a wildcard of a filter is a whole level, # the last one', () => {
  for (const filter of ['#', '+', 'a/+/b', 'a/#', '+/+', '/+', '$SYS/#']) {
    assert.is(check(topicFilterFault, filter), undefined, filter)
  }
  for (const filter of ['', 'ab/+e', 'a+', '+a', 'a#', 'a/#/b', '#/a', 'a/b#', '##', '++']) {
    assert.ok(check(topicFilterFault, filter), filter)
  }
})

test.run()
