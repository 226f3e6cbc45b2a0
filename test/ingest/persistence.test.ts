// What is kept for subscribers: filters, sessions, retained messages and queues, all of it bounded.

import * as assert from 'uvu/assert'
import { Metrics } from '../../agent/base/telemetry.ts'
import { newPacket } from '../../agent/ingest/broker-packet.ts'
import { FilterTree, filterMatches } from '../../agent/ingest/filter-tree.ts'
import { QUEUE_PACKETS_MAX } from '../../agent/ingest/offline-queue.ts'
import { Persistence, RETAINED_MAX, SESSIONS_MAX } from '../../agent/ingest/persistence.ts'
import { FakeLog } from '../support/fake-log.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('persistence')
const broker = { id: 'b', counter: 0 }

function setUp(log = new FakeLog()) {
  const metrics = new Metrics()
  let changes = 0
  const changed = () => void changes++
  const persistence = new Persistence({ log, metrics, changed, forget: () => false })
  return { log, metrics, persistence, changes: () => changes }
}

const message = (topic: string, payload: string | Buffer, qos = 1) =>
  newPacket({ topic, payload: Buffer.from(payload), qos, retain: false }, broker)

test('the tree and the single filter agree with each other on random filters', () => {
  const random = new SeededRandom(3)
  const level = () => ['a', 'b', '+', '', '$x'][random.below(5)]!
  const pick = (end: string[]) => {
    const levels = Array.from({ length: 1 + random.below(3) }, level)
    return [...levels, ...(random.chance(0.4) ? end : [])]
  }
  for (let round = 0; round < 3_000; round++) {
    const filter = pick(['#'])
    const topic = pick([])
      .map((each) => (each === '+' ? 'c' : each))
      .join('/')
    const tree = new FilterTree()
    tree.add(filter.join('/'), 'c', 1)
    const words = `${filter.join('/')} on ${topic}`
    assert.is(tree.match(topic).has('c'), filterMatches(filter, topic), words)
  }
})

test('the standard says which filters match', () => {
  const table: [filter: string, topic: string, matches: boolean][] = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/monitor', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor', true],
  ]
  for (const [filter, topic, matches] of table) {
    assert.is(filterMatches(filter.split('/'), topic), matches, `${filter} on ${topic}`)
  }
})

test('a removed filter is gone, and leaves nothing behind', () => {
  const tree = new FilterTree()
  tree.add('a/b', 'c', 1)
  tree.add('a/b/#', 'c', 2)
  assert.equal(tree.match('a/b'), new Map([['c', 2]]))
  tree.remove('a/b/#', 'c')
  tree.remove('a/b/#', 'c')
  assert.equal(tree.match('a/b'), new Map([['c', 1]]))
  tree.remove('a/b', 'c')
  assert.is(tree.size, 0)
})

test('SUBACK waits for the commit, also when the same list is given twice', async () => {
  const { log, persistence } = setUp()
  log.auto = false
  persistence.beginSession('c')
  let done = 0
  const subscriptions = [
    { topic: 'a', qos: 1 },
    { topic: 'b', qos: 0 },
  ]
  for (let i = 0; i < 2; i++) {
    void persistence.addSubscriptions({ id: 'c' }, subscriptions).then(() => done++)
  }
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(done, 0)
  log.commit()
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(done, 2)
  const after = setUp(log.crash()).persistence
  assert.equal(await after.subscriptionsByClient({ id: 'c' }), subscriptions)
  assert.equal([after.hasSubscribers('a'), after.hasSubscribers('b')], [true, false])
})

test('a queue holds so many packets and no more; the rest is counted', async () => {
  const { metrics, persistence } = setUp()
  persistence.beginSession('c')
  await persistence.addSubscriptions({ id: 'c' }, [{ topic: '#', qos: 1 }])
  for (let i = 0; i < QUEUE_PACKETS_MAX + 5; i++) persistence.enqueue(message('a', `${i}`))
  let count = 0
  for await (const _ of persistence.outgoingStream({ id: 'c' })) count++
  assert.is(count, QUEUE_PACKETS_MAX)
  assert.match(metrics.text(), 'tributary_mqtt_queue_dropped_total 5\n')
  persistence.endSession('c')
  persistence.beginSession('c')
  await persistence.addSubscriptions({ id: 'c' }, [{ topic: '#', qos: 1 }])
  for (let i = 0; i < 200; i++) persistence.enqueue(message('a', Buffer.alloc(100_000)))
  let bytes = 0
  for await (const packet of persistence.outgoingStream({ id: 'c' })) bytes += packet.payload.length
  assert.ok(bytes > 7_000_000 && bytes < 8_388_608, `${bytes}`)
})

test('retained messages are replaced and cleared; a full store keeps what it has', async () => {
  const { metrics, persistence } = setUp()
  const kept = async (filter: string) => {
    const found: string[] = []
    for await (const packet of persistence.createRetainedStream(filter)) {
      found.push(`${packet.topic}=${packet.payload}`)
    }
    return found
  }
  persistence.retain(message('a/1', 'x'))
  persistence.retain(message('a/1', 'y'))
  persistence.retain(message('b', 'z'))
  assert.equal(await kept('a/+'), ['a/1=y'])
  persistence.retain(message('a/1', ''))
  assert.equal(await kept('#'), ['b=z'])
  for (let i = 0; i < RETAINED_MAX + 10; i++) persistence.retain(message(`t/${i}`, 'v'))
  assert.is((await kept('#')).length, RETAINED_MAX)
  persistence.retain(message('b', 'new'))
  assert.equal(await kept('b'), ['b=new'])
  assert.match(metrics.text(), 'tributary_mqtt_retained_dropped_total 11\n')
})

test('too many sessions: the one that is away the longest is forgotten, nobody connected', () => {
  const { persistence } = setUp()
  for (let i = 0; i < SESSIONS_MAX; i++) persistence.beginSession(`c${i}`)
  persistence.leaveSession('c7')
  persistence.leaveSession('c3')
  persistence.beginSession('one-more')
  assert.not.ok(persistence.hasSession('c7'))
  assert.ok(persistence.hasSession('c3') && persistence.hasSession('c0'))
})

test('ending a session without filters is no change for anybody', async () => {
  const { persistence, changes } = setUp()
  persistence.beginSession('c')
  persistence.endSession('c')
  await persistence.cleanSubscriptions({ id: 'other' })
  assert.is(changes(), 0)
})

test('there are no wills of dead brokers', async () => {
  const { persistence } = setUp()
  await persistence.putWill({ id: 'c' }, { topic: 'w' })
  let count = 0
  for await (const _ of persistence.streamWill()) count++
  assert.is(count, 0)
  assert.equal(await persistence.delWill({ id: 'c' }), { topic: 'w' })
})

test.run()
