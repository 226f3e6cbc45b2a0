// From message to record: keys, partitions, headers, event time, profiles, dead letters, what has no
// route, and the limits on topics that devices name.

import * as assert from 'uvu/assert'
import { AgentError } from '../../agent/base/errors.ts'
import { Logger, Metrics } from '../../agent/base/telemetry.ts'
import { Ingest, type IngestOptions, NO_ROOM, REFUSED } from '../../agent/ingest/ingest.ts'
import type { PayloadProfile, RouteOptions } from '../../agent/ingest/routes.ts'
import type { TopicSettings } from '../../agent/log/topic.ts'
import { partitionFor } from '../../agent/record/murmur2.ts'
import { FakeLog } from '../support/fake-log.ts'
import { suite } from '../support/suite.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const test = suite('ingest')
const source = { number: 1, clientId: 'c1', username: 'u1' }

function setUp(routes: RouteOptions[], options: Partial<IngestOptions> = {}) {
  const log = new FakeLog()
  const clock = new VirtualClock()
  log.time.now = () => clock.now()
  const metrics = new Metrics()
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const ingest = new Ingest({
    log,
    metrics,
    logger: new Logger({ level: 'info', format: 'text', write, now: () => 0 }),
    gateway: 'gw',
    topicPrefix: '{gateway}.',
    routes,
    profiles: new Map(),
    deadLetter: 'dead-letter',
    unrouted: undefined,
    maxTopics: 100,
    topicSettings: (): TopicSettings => ({ partitions: 6, replicated: true }),
    ...options,
  })
  const send = (mqttTopic: string, payload: string | object = 'x', retain = false) => {
    const bytes = Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload))
    return ingest.publishMessage(source, mqttTopic, bytes, retain)
  }
  const only = (topic: string) => {
    const records = log.records(topic)
    assert.is(records.length, 1, `records of ${topic}`)
    return records[0]!
  }
  return { log, clock, metrics, lines, ingest, send, only }
}

test('key, topic, partition and headers follow the route', () => {
  const { log, send } = setUp([
    {
      mqttTopic: 'sensors/{device}/{metric}',
      topic: 'sensors',
      key: '{device}',
      headers: { metric: '{metric}', who: '{clientId}@{gateway}', site: 'north' },
    },
  ])
  for (const device of ['a', 'b', 'a', 'c']) send(`sensors/${device}/temp`, device)
  const { partitions } = log.topic('gw.sensors')!
  for (const device of ['a', 'b', 'c']) {
    const { records } = partitions[partitionFor(Buffer.from(device), 6)]!
    assert.ok(
      records.some(({ key }) => key === device),
      device,
    )
  }
  const [record] = log.records('gw.sensors')
  assert.equal(record!.headers, {
    'mqtt.topic': `sensors/${record!.key}/temp`,
    metric: 'temp',
    who: 'c1@gw',
    site: 'north',
  })
})

test('the default key is the MQTT topic, an empty one is no key, and takes turns', () => {
  const { log, send, only } = setUp([
    { mqttTopic: 'a', topic: 'a' },
    { mqttTopic: 'b', topic: 'b', key: '' },
    { mqttTopic: 'c', topic: 'c', partition: 'roundRobin' },
  ])
  send('a')
  assert.is(only('gw.a').key, 'a')
  for (let i = 0; i < 12; i++) {
    send('b')
    send('c')
  }
  for (const name of ['gw.b', 'gw.c']) {
    const counts = log.topic(name)!.partitions.map(({ records }) => records.length)
    assert.equal(counts, [2, 2, 2, 2, 2, 2], name)
  }
  assert.is(log.records('gw.b')[0]!.key, null)
  assert.is(log.records('gw.c')[0]!.key, 'c')
})

test('a named partition is taken as it is; one that does not exist makes a dead letter', () => {
  const { log, send, only } = setUp([
    { mqttTopic: 'a/{n}', topic: 'a', partition: '{n}' },
    { mqttTopic: 'b', topic: 'b', partition: 5 },
  ])
  send('a/3')
  send('b')
  assert.is(log.topic('gw.a')!.partitions[3]!.records.length, 1)
  assert.is(log.topic('gw.b')!.partitions[5]!.records.length, 1)
  assert.ok(send('a/6') > 0)
  const { headers } = only('gw.dead-letter')
  assert.is(headers['dead.letter.reason'], 'partition is "6", expected 0 to 5')
  assert.is(headers['dead.letter.topic'], 'gw.a')
  assert.is(headers['mqtt.topic'], 'a/6')
})

test('keys come out of payloads; a missing one is no key, and a header says so', () => {
  const { log, send } = setUp([{ mqttTopic: 'a', topic: 'a', key: '{payload.id}' }])
  send('a', { id: 'k1' })
  send('a', 'not json')
  send('a', { id: 'x'.repeat(5_000) })
  const records = log.records('gw.a')
  const byError = (error?: string) => records.find(({ headers }) => headers['key.error'] === error)!
  assert.is(byError().key, 'k1')
  assert.is(byError('missing').key, null)
  assert.is(byError('too long').key, null)
})

test('event time: taken, bad, missing, out of the window', () => {
  const { clock, send, log } = setUp([
    { mqttTopic: '{kind}', topic: '{kind}', timestamp: '{payload.ts}' },
  ])
  const now = clock.now()
  const hour = 3_600_000
  const day = 24 * hour
  const table: [kind: string, ts: unknown, timestamp: number, headers: object][] = [
    ['ms', now - 5, now - 5, {}],
    ['s', (now - 4_000) / 1000, now - 4_000, {}],
    ['iso', new Date(now - 7).toISOString(), now - 7, {}],
    ['oldest', now - 30 * day, now - 30 * day, {}],
    ['newest', now + hour, now + hour, {}],
    [
      'older',
      now - 30 * day - 1,
      now,
      { 'event.time': new Date(now - 30 * day - 1).toISOString() },
    ],
    ['future', now + hour + 1, now, { 'event.time': new Date(now + hour + 1).toISOString() }],
    ['epoch', 0, now, { 'event.time': '1970-01-01T00:00:00.000Z' }],
    ['missing', undefined, now, { 'event.time.error': 'missing' }],
    [
      'bad',
      'yesterday',
      now,
      { 'event.time.error': 'bad: expected ISO 8601, such as 2026-01-31T12:00:00Z' },
    ],
  ]
  for (const [kind, ts, timestamp, headers] of table) {
    send(kind, { ts })
    const [record] = log.records(`gw.${kind}`)
    assert.is(record!.timestamp, timestamp, kind)
    assert.equal(record!.headers, { 'mqtt.topic': kind, ...headers }, kind)
  }
})

test('while the clock is not synchronized every record says so, whatever way it takes', () => {
  const { log, send } = setUp(
    [
      { mqttTopic: 'static/{a}', topic: 'static' },
      { mqttTopic: 'payload/{a}', topic: 'payload', key: '{payload.id}' },
      { mqttTopic: 'refused/{a}', topic: 'refused', partition: '{payload.p}' },
    ],
    { unrouted: 'rest' },
  )
  const sendAll = () => {
    for (const topic of ['static/a', 'payload/a', 'refused/a', 'other']) {
      send(topic, { id: 'k' })
      send(topic, { id: 'k' }, true)
    }
  }
  const topics = ['gw.static', 'gw.payload', 'gw.dead-letter', 'gw.rest']
  log.time.isSynchronized = false
  sendAll()
  for (const topic of topics) {
    const records = log.records(topic)
    assert.is(records.length, 2, topic)
    for (const { headers } of records) assert.is(headers.clock, 'unsynced', topic)
    assert.is(records[1]!.headers['mqtt.retain'], 'true')
    assert.ok(records.every(({ headers }) => headers['mqtt.topic'] !== undefined))
  }
  log.time.isSynchronized = true
  sendAll()
  for (const topic of topics) {
    const headers = log.records(topic).map(({ headers }) => headers.clock)
    assert.equal(headers, ['unsynced', 'unsynced', undefined, undefined], topic)
  }
})

test('a profile decides about value, key and time; what it refuses is a dead letter', () => {
  const profile: PayloadProfile = {
    decode: (payload) =>
      payload.toString() === 'bad'
        ? { kind: 'invalid', reason: 'temp is "x", expected a number' }
        : { kind: 'ok', timestamp: 1, key: 'from-profile', value: Buffer.from('normal') },
  }
  const { clock, log, metrics, send, only } = setUp(
    [
      { mqttTopic: 'a', topic: 'a', profile: 'p' },
      { mqttTopic: 'b', topic: 'b', profile: 'p', key: '{mqttTopic}' },
    ],
    { profiles: new Map([['p', profile]]) },
  )
  send('a', 'good')
  send('b', 'good')
  const a = only('gw.a')
  assert.equal([a.key, String(a.value)], ['from-profile', 'normal'])
  assert.is(a.timestamp, clock.now(), '1970 is out of the window')
  assert.is(only('gw.b').key, 'b', 'a key in the route wins')
  assert.ok(send('a', 'bad', true) > 0, 'acked when durable')
  const letter = only('gw.dead-letter')
  assert.is(String(letter.value), 'bad')
  assert.equal(letter.headers, {
    'mqtt.topic': 'a',
    'dead.letter.reason': 'temp is "x", expected a number',
    'dead.letter.topic': 'gw.a',
    'mqtt.retain': 'true',
  })
  assert.match(metrics.text(), 'tributary_dead_letter_records_total 1\n')
  assert.is(log.records('gw.a').length, 1)
})

test('what has no route is counted, and named once per prefix with the nearest route', () => {
  const { lines, log, metrics, send } = setUp([
    { mqttTopic: 'sensors/{device}/{metric}', topic: 'sensors' },
  ])
  for (let i = 0; i < 42; i++) assert.is(send(`sensor/a${i}/temp`), 0)
  send('other')
  assert.is(lines.length, 2)
  assert.match(
    lines[0]!,
    'no route for "sensor/a0/temp" (1 acked, not stored); nearest: sensors/{device}/{metric}',
  )
  assert.match(metrics.text(), 'tributary_unrouted_messages_total 43\n')
  assert.equal([...log.topics()], [])
})

test('what has no route can have a topic', () => {
  const { ingest, send, only } = setUp([{ mqttTopic: 'a', topic: 'a' }], { unrouted: 'lost' })
  assert.ok(send('b/c', 'v') > 0)
  const record = only('gw.lost')
  assert.equal([record.key, record.headers], ['b/c', { 'mqtt.topic': 'b/c' }])
  assert.is(ingest.unrouted.total, 1)
})

test('devices cannot name more topics than maxTopics, or 1,000 partitions', () => {
  const byTopics = setUp([{ mqttTopic: '{t}', topic: '{t}' }], { maxTopics: 3 })
  for (let i = 0; i < 10; i++) byTopics.send(`t${i}`)
  assert.is([...byTopics.log.topics()].length, 3)
  assert.is(byTopics.ingest.unrouted.total, 7)
  assert.match(
    byTopics.lines[0]!,
    'no topic for "t3" (1 acked, not stored): maxTopics 3 is reached',
  )
  byTopics.log.deleteTopic('gw.t0')
  assert.ok(byTopics.send('t9') > 0, 'there is room again')
  const byPartitions = setUp([{ mqttTopic: '{t}', topic: '{t}' }], {
    maxTopics: 1_000,
    topicSettings: () => ({ partitions: 400, replicated: true }),
  })
  for (let i = 0; i < 3; i++) byPartitions.send(`t${i}`)
  assert.is([...byPartitions.log.topics()].length, 2)
})

test('a topic that was deleted or got partitions is looked up again', () => {
  const { log, send } = setUp([{ mqttTopic: 'a', topic: 'a' }])
  send('a', '1')
  log.deleteTopic('gw.a')
  send('a', '2')
  assert.equal(log.values('gw.a'), ['2'])
})

test('routes that look at the client keep clients apart', () => {
  const { log, ingest } = setUp([{ mqttTopic: 'a', topic: 'a', key: '{clientId}' }])
  for (const number of [1, 2, 1]) {
    const client = { number, clientId: `c${number}`, username: undefined }
    ingest.publishMessage(client, 'a', Buffer.from('x'), false)
  }
  assert.equal(
    log
      .records('gw.a')
      .map(({ key }) => key)
      .sort(),
    ['c1', 'c1', 'c2'],
  )
})

test('many topics in one chunk, and more than the cache holds, keep their own keys', () => {
  const { log, send, ingest } = setUp([{ mqttTopic: 'd/{n}', topic: 'd', key: '{n}' }])
  for (let round = 0; round < 2; round++) for (let n = 0; n < 20_000; n++) send(`d/${n}`, `${n}`)
  const records = log.records('gw.d')
  assert.is(records.length, 40_000)
  assert.ok(records.every(({ key, value }) => key === String(value)))
  assert.is(ingest.unrouted.total, 0)
})

test('$SYS is acked and goes nowhere; a name that is none is refused', () => {
  const { log, send, ingest } = setUp([])
  assert.is(send('$SYS/x'), 0)
  assert.is(ingest.unrouted.total, 0)
  assert.is(send('a/+'), REFUSED)
  assert.is(ingest.fault, 'a wildcard in a topic name')
  assert.equal([...log.topics()], [])
})

test('while a topic of that name is being deleted, messages wait; none is acked unstored', () => {
  const profiles = new Map<string, PayloadProfile>()
  const routes = [
    { mqttTopic: 'a', topic: 'routed' },
    { mqttTopic: 'p/{x}', topic: 'payload', key: '{payload.k}' },
  ]
  const { log, lines, send } = setUp(routes, { profiles, unrouted: 'other' })
  const names = ['a', 'p/1', 'elsewhere']
  for (const name of names) assert.ok(send(name, { k: 1 }) > 0)
  for (const topic of [...log.topics()]) log.deleteTopic(topic.name)
  const { ensureTopic } = log
  log.ensureTopic = (name) => {
    throw new AgentError('INPUT_TOPIC', `${name} is being deleted`, { retriable: true })
  }
  for (const name of [...names, ...names]) assert.is(send(name, { k: 2 }), NO_ROOM)
  log.ensureTopic = ensureTopic
  for (const name of names) assert.ok(send(name, { k: 3 }) > 0)
  for (const topic of ['gw.routed', 'gw.payload', 'gw.other']) {
    assert.equal(log.values(topic), ['{"k":3}'])
  }
  assert.equal(
    lines.filter((line) => line.includes('no topic')),
    [],
  )
})

test.run()
