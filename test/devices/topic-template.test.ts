import fc from 'fast-check'
import * as assert from 'uvu/assert'
import {
  parseKeyTemplate,
  parseTopicTemplate,
  type TopicTemplate,
} from '../../devices/topic-template.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/topic-template')

function template(text: string): TopicTemplate {
  const parsed = parseTopicTemplate(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}

function matched(text: string, mqttTopic: string): Record<string, string> | undefined {
  const values = template(text).match(mqttTopic)
  return values === undefined ? undefined : Object.fromEntries(values)
}

test('a name takes one level, a name with dots takes the rest', () => {
  assert.equal(matched('tele/{device}/SENSOR', 'tele/plug/SENSOR'), { device: 'plug' })
  assert.equal(matched('z/{device...}', 'z/kitchen/lamp'), { device: 'kitchen/lamp' })
  assert.equal(matched('{a}/{b}', 'x/'), { a: 'x', b: '' })
})

test('levels that differ, lack or remain do not match', () => {
  assert.is(matched('tele/{device}/SENSOR', 'tele/plug/STATE'), undefined)
  assert.is(matched('tele/{device}/SENSOR', 'tele/plug'), undefined)
  assert.is(matched('tele/{device}', 'tele/plug/SENSOR'), undefined)
  assert.is(matched('tele/{device}', 'telex/plug'), undefined)
  assert.is(matched('z/{device...}', 'z'), undefined)
})

test('+ and # work as in a topic filter, # for the parent level too', () => {
  assert.equal(matched('a/+/c', 'a/b/c'), {})
  assert.equal(matched('a/#', 'a/b/c'), {})
  assert.equal(matched('a/#', 'a'), {})
  assert.is(matched('a/#', 'ab'), undefined)
})

test('what is not a whole level, twice there or not last is refused with a reason', () => {
  assert.match(parseTopicTemplate('a/x{device}') as string, 'whole level')
  assert.match(parseTopicTemplate('a/b+') as string, 'whole level')
  assert.match(parseTopicTemplate('{a}/{a}') as string, 'twice')
  assert.match(parseTopicTemplate('{a...}/b') as string, 'last level')
  assert.match(parseTopicTemplate('') as string, 'empty')
})

test('a template of names gives back exactly the levels it was made of', () => {
  const level = fc.string({ minLength: 1 }).filter((text) => !/[/\0{}+#]/.test(text))
  fc.assert(
    fc.property(fc.array(level, { minLength: 1, maxLength: 8 }), (levels) => {
      const names = levels.map((_, index) => `{n${index}}`).join('/')
      assert.equal(Object.values(matched(names, levels.join('/'))!), levels)
    }),
  )
})

test('key templates know the names of the topic, the payload and the topic itself', () => {
  assert.equal(parseKeyTemplate('{device}-{payload.a.b}:{mqttTopic}', ['device']), [
    { kind: 'name', name: 'device' },
    { kind: 'text', text: '-' },
    { kind: 'payload', text: 'payload.a.b', path: ['a', 'b'] },
    { kind: 'text', text: ':' },
    { kind: 'name', name: 'mqttTopic' },
  ])
})

test('a key template that cannot work is refused with a reason', () => {
  assert.match(parseKeyTemplate('{devise}', ['device']) as string, '{device}, {mqttTopic}')
  assert.match(parseKeyTemplate('{device', ['device']) as string, 'without its }')
  assert.match(parseKeyTemplate('device}', ['device']) as string, 'without its {')
  assert.match(parseKeyTemplate('', ['device']) as string, 'empty')
})

test.run()
