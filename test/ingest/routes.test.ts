// Routes: patterns, templates, what shadows what, and the sentences about what is wrong.

import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { type RouteOptions, Routes } from '../../agent/ingest/routes.ts'
import { Template } from '../../agent/ingest/template.ts'
import { TopicPattern } from '../../agent/ingest/topic-pattern.ts'
import { suite } from '../support/suite.ts'

const test = suite('routes')

const pattern = (text: string): TopicPattern => {
  const parsed = TopicPattern.parse(text)
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}

const routes = (...given: RouteOptions[]) =>
  new Routes({ gateway: 'gw', topicPrefix: '{gateway}.', routes: given, profiles: new Map() })

test('a pattern takes the topics it should and names their levels', () => {
  const table: [pattern: string, topic: string, values: string[] | undefined][] = [
    ['sensors/{device}/{metric}', 'sensors/a/temp', ['a', 'temp']],
    ['sensors/{device}/{metric}', 'sensors/a', undefined],
    ['sensors/{device}/{metric}', 'sensors/a/b/c', undefined],
    ['sensors/{device}', 'sensors/', ['']],
    ['a/{rest...}', 'a/b/c', ['b/c']],
    ['a/{rest...}', 'a', undefined],
    ['a/#', 'a', []],
    ['a/#', 'a/b/c', []],
    ['a/#', 'ab', undefined],
    ['+/b/{x}', 'a/b/c', ['c']],
    ['#', 'anything/at/all', []],
    ['#', '$SYS/x', undefined],
    ['{any}/x', '$SYS/x', undefined],
    ['$SYS/{x}', '$SYS/x', ['x']],
    ['/a', '/a', []],
    ['a', 'a/', undefined],
  ]
  for (const [text, topic, values] of table) {
    assert.equal(pattern(text).match(topic), values, `${text} on ${topic}`)
  }
})

test('a wrong pattern says what is wrong', () => {
  for (const text of ['', 'a/#/b', 'a{x}', '{x}/{x}', 'a+', '{a b}', '{rest...}/x', 'a\0']) {
    assert.type(TopicPattern.parse(text), 'string', JSON.stringify(text))
  }
})

test('what a pattern covers is never taken by another one alone', () => {
  const level = fc.constantFrom('a', 'b', '+', '{n}', '$x')
  const text = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.constantFrom('', '#', '{r...}'))
    .map(([levels, last]) => {
      let number = 0
      const unique = levels.map((each) => (each === '{n}' ? `{n${number++}}` : each))
      return [...unique, ...(last === '' ? [] : [last])].join('/')
    })
  const topic = fc
    .array(fc.constantFrom('a', 'b', 'c', '$x', ''), { minLength: 1, maxLength: 4 })
    .map((levels) => levels.join('/'))
  fc.assert(
    fc.property(text, text, topic, (one, other, name) => {
      const isCovered = pattern(one).covers(pattern(other))
      return !(isCovered && pattern(other).match(name) && !pattern(one).match(name))
    }),
    { numRuns: 5_000, seed: 7 },
  )
})

test('a shadowed route is an error that names both', () => {
  const shadow = () =>
    routes({ mqttTopic: 'sensors/#', topic: 'all' }, { mqttTopic: 'sensors/{id}', topic: 'x' })
  assert.throws(shadow, (error: Error) =>
    error.message.startsWith(
      'routes[1].mqttTopic sensors/{id} is never reached: routes[0] sensors/# takes all',
    ),
  )
  routes({ mqttTopic: 'sensors/{id}', topic: 'x' }, { mqttTopic: 'sensors/#', topic: 'all' })
})

test('the first route that matches wins; without routes everything goes to mqtt', () => {
  const two = routes({ mqttTopic: 'a/b', topic: 'one' }, { mqttTopic: 'a/{x}', topic: 'two' })
  assert.is(two.match('a/b')!.route.index, 0)
  assert.is(two.match('a/c')!.route.index, 1)
  assert.is(two.match('c'), undefined)
  const none = routes()
  assert.is(none.match('any/thing')!.route.topic.text, 'mqtt')
  assert.is(none.match('$SYS/x'), undefined)
})

test('forbidden characters of a Kafka topic become _', () => {
  const { route, captures } = routes({ mqttTopic: '{a}/{b...}', topic: '{a}-{b}' }).match(
    'Küche/x y/😀',
  )!
  const values = {
    gateway: 'gw',
    clientId: '',
    username: undefined,
    mqttTopic: '',
    captures,
    payload: undefined,
  }
  const all = routes({ mqttTopic: '#', topic: 'x' })
  assert.equal(all.topicOf(route, values), { short: 'K_che-x_y__', name: 'gw.K_che-x_y__' })
})

test('a template knows its names and nothing else', () => {
  const parse = (text: string) => Template.parse(text, ['device'])
  for (const text of ['{devise}', '{payload}', '{payload.}', '{', '}', '{a{b}}', '{}']) {
    assert.type(parse(text), 'string', text)
  }
  assert.match(parse('{devise}') as string, 'it may use {device} {gateway} {clientId}')
})

test('a template is missing when one of its values is', () => {
  const render = (text: string, payload: unknown, username?: string) =>
    (Template.parse(text, []) as Template).render({
      gateway: 'gw',
      clientId: 'c',
      username,
      mqttTopic: 't',
      captures: [],
      payload,
    })
  assert.is(render('{gateway}/{clientId}:{mqttTopic}', undefined), 'gw/c:t')
  assert.is(render('{username}', undefined), undefined)
  assert.is(render('{payload.a.b}', { a: { b: 7 } }), '7')
  assert.is(render('{payload.a.b}', { a: { b: true } }), 'true')
  for (const payload of [undefined, 5, null, {}, { a: null }, { a: { b: {} } }, { a: 'b' }]) {
    assert.is(render('{payload.a.b}', payload), undefined)
  }
  assert.is(render('{payload.constructor}', {}), undefined)
  assert.is(render('{payload.__proto__.x}', {}), undefined)
})

test('wrong routes are refused with a sentence that names the key', () => {
  const table: [Partial<RouteOptions>, RegExp][] = [
    [{ mqttTopic: 'a{' }, /routes\[0\]\.mqttTopic /],
    [{ topic: '' }, /routes\[0\]\.topic is empty/],
    [{ topic: '{payload.x}' }, /routes\[0\]\.topic may not use the payload/],
    [{ key: '{nope}' }, /routes\[0\]\.key knows no \{nope\}/],
    [{ partition: 'random' }, /routes\[0\]\.partition is byKey, roundRobin, a number or/],
    [{ partition: -1 }, /routes\[0\]\.partition/],
    [{ profile: 'x' }, /routes\[0\]\.profile x is not a known profile; known: none/],
    [{ headers: { h: '{nope}' } }, /routes\[0\]\.headers\.h knows no/],
    [{ timestampFormat: 'days' as 'iso' }, /routes\[0\]\.timestampFormat is one of auto, iso/],
  ]
  for (const [wrong, words] of table) {
    assert.throws(() => routes({ mqttTopic: 'a', topic: 'a', ...wrong }), words)
  }
})

test('the nearest route is the one that differs least', () => {
  const some = routes(
    { mqttTopic: 'sensors/{device}/{metric}', topic: 's' },
    { mqttTopic: 'alarms/{device}', topic: 'a' },
  )
  assert.is(some.nearest('sensor/a/temp'), 'sensors/{device}/{metric}')
  assert.is(some.nearest('alarm/a'), 'alarms/{device}')
})

test.run()
