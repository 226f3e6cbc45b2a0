// No room: acks are withheld, the socket is not read, memory stays bounded, and everything goes on
// where it stopped.

import * as assert from 'uvu/assert'
import { AgentError } from '../../agent/base/errors.ts'
import { openRig, settle } from '../support/ingest-rig.ts'
import { connect, PING, packetId, publish, subscribe, TYPE } from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('back-pressure')

const burst = (count: number, qos: number, size = 100, first = 1) =>
  Array.from({ length: count }, (_, index) =>
    publish('a', `${first + index} ${'x'.repeat(size)}`, { qos, id: first + index }),
  )

const numbers = (values: string[]) => values.map((value) => Number(value.split(' ', 1)[0]))
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

test('a client fills its window and no more; the rest follows in order', async () => {
  const rig = await openRig({ windowBytes: 10_000 })
  rig.log.auto = false
  const client = rig.peer()
  await client.connect()
  client.send(...burst(1_000, 1))
  await settle()
  assert.ok(rig.log.records('gw.mqtt').length < 120)
  const acks: number[] = []
  for (let round = 0; round < 200 && acks.length < 1_000; round++) {
    rig.log.commit()
    await settle(5)
    acks.push(...client.take().map(packetId))
  }
  assert.equal(acks, upTo(1_000))
  assert.equal(numbers(rig.log.values('gw.mqtt')), upTo(1_000))
  await rig.front.close()
})

test('one client whose window is closed holds up no other', async () => {
  const rig = await openRig({ windowBytes: 1_000 })
  rig.log.auto = false
  const full = rig.peer()
  await full.connect({ clientId: 'full' })
  full.send(...burst(100, 1))
  await settle()
  const other = rig.peer()
  other.send(connect({ clientId: 'other' }), PING)
  await other.expect(TYPE.connack)
  await other.expect(TYPE.pingresp)
  const closing = rig.front.close()
  rig.clock.advance(2_000)
  await closing
})

test('QoS 1 and 2 wait for room with their acks withheld, and lose nothing', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ keepAlive: 5 })
  client.send(...burst(10, 1))
  await settle()
  client.take()
  rig.log.full = true
  client.send(...burst(10, 1, 100, 11), ...burst(10, 2, 100, 21))
  for (let second = 0; second < 20; second++) {
    await settle(3)
    rig.clock.advance(1_000)
  }
  await settle()
  assert.ok(client.take().every(({ type }) => type === TYPE.pingresp))
  assert.is(rig.log.records('gw.mqtt').length, 10)
  rig.log.makeRoom()
  await settle()
  assert.equal(client.take().filter(({ type }) => type !== TYPE.pingresp).length, 20)
  assert.equal(numbers(rig.log.values('gw.mqtt')), upTo(30))
  assert.is(rig.metric('tributary_mqtt_dropped_messages_total'), 0)
  await rig.front.close()
})

test('QoS 0 waits a second for room, then is dropped and counted', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect()
  rig.log.full = true
  client.send(...burst(50, 0), PING)
  await settle()
  assert.is(rig.metric('tributary_mqtt_dropped_messages_total'), 0)
  assert.equal(client.take(), [])
  rig.clock.advance(2_000)
  await client.expect(TYPE.pingresp)
  assert.is(rig.metric('tributary_mqtt_dropped_messages_total'), 50)
  rig.log.makeRoom()
  client.send(...burst(1, 0))
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 1)
  await rig.front.close()
})

test('a packet in many small pieces is put together, whatever lies around it', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect()
  const big = publish('a', Buffer.alloc(500_000, 7), { qos: 1, id: 2 })
  const bytes = Buffer.concat([...burst(1, 1), big, ...burst(1, 1, 10, 3)])
  for (let at = 0; at < bytes.length; at += 7_001) {
    client.send(bytes.subarray(at, at + 7_001))
    await settle(1)
  }
  for (const id of [1, 2, 3]) assert.is(packetId(await client.expect(TYPE.puback)), id)
  assert.ok(rig.log.records('gw.mqtt')[1]!.value!.equals(Buffer.alloc(500_000, 7)))
  assert.ok(rig.front.carriedBudget.used <= 1_024, 'the large buffer is given back')
  await rig.front.close()
})

test('byte by byte is as good as in one piece', async () => {
  const rig = await openRig()
  const client = rig.peer()
  const bytes = Buffer.concat([connect(), ...burst(3, 2), PING, subscribe(9, ['a', 0])])
  for (const byte of bytes) {
    client.stream.write(Buffer.of(byte))
    await settle(1)
  }
  await settle()
  assert.equal(
    client
      .take()
      .map(({ type }) => type)
      .sort(),
    [TYPE.connack, TYPE.pubrec, TYPE.pubrec, TYPE.pubrec, TYPE.suback, TYPE.pingresp].sort(),
  )
  await rig.front.close()
})

test('half-received packets of all connections share a budget', async () => {
  const rig = await openRig()
  const half = publish('a', Buffer.alloc(500_000), { qos: 1 }).subarray(0, 400_000)
  const clients = []
  for (let i = 0; i < 45; i++) {
    const client = rig.peer()
    await client.connect({ clientId: `c${i}` })
    client.send(half)
    await settle(3)
    clients.push(client)
  }
  await settle()
  const open = clients.filter(({ stream }) => !stream.destroyed)
  assert.ok(open.length > 20 && open.length < 45, `${open.length} open`)
  assert.ok(rig.front.carriedBudget.used <= rig.front.carriedBudget.limit)
  await rig.front.close()
  await settle()
  assert.is(rig.front.carriedBudget.used, 0)
})

test('a client that reads no acks is not read any more, and given up after a minute', async () => {
  const rig = await openRig({ windowBytes: 10_000_000 })
  const client = rig.peer()
  await client.connect()
  client.serverEnd.isFrozen = true
  for (let at = 0; at < 60; at++) {
    client.send(...burst(1_000, 1, 1, 1 + at * 1_000))
    await settle(3)
  }
  await settle()
  assert.ok(rig.log.records('gw.mqtt').length < 40_000)
  for (let second = 0; second < 62; second++) rig.clock.advance(1_000)
  await settle()
  assert.ok(client.serverEnd.destroyed)
  await rig.front.close()
})

test('closing sends the acks that are owed first', async () => {
  const rig = await openRig()
  rig.log.auto = false
  const client = rig.peer()
  await client.connect()
  client.send(...burst(3, 1))
  await settle()
  const closing = rig.front.close()
  await settle()
  assert.not.ok(client.serverEnd.destroyed)
  rig.log.commit()
  await closing
  for (const id of [1, 2, 3]) assert.is(packetId(await client.expect(TYPE.puback)), id)
})

test('a client that waits for room gets PINGRESPs, also while others hold QoS 0 back', async () => {
  const rig = await openRig()
  const [waiting, other] = [rig.peer(), rig.peer()]
  await waiting.connect({ clientId: 'waiting', keepAlive: 5 })
  await other.connect({ clientId: 'other' })
  rig.log.full = true
  waiting.send(...burst(1, 1))
  other.send(...burst(1, 0))
  await settle()
  let pings = 0
  for (let second = 0; second < 30; second++) {
    rig.clock.advance(1_000)
    other.send(...burst(1, 0))
    await settle(3)
    pings += waiting.take().length
  }
  assert.ok(pings >= 10, `${pings} PINGRESPs in half a minute`)
  rig.log.makeRoom()
  await settle()
  assert.ok(rig.log.values('gw.mqtt').length >= 1)
  await rig.front.close()
})

test('a client that waits for a topic being deleted goes on once that is done', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect()
  const { ensureTopic } = rig.log
  rig.log.ensureTopic = (name) => {
    throw new AgentError('INPUT_TOPIC', `${name} is being deleted`, { retriable: true })
  }
  client.send(...burst(3, 1))
  await settle()
  assert.equal(client.take(), [])
  rig.log.ensureTopic = ensureTopic
  rig.clock.advance(1_000)
  await settle()
  assert.equal(client.take().map(packetId), [1, 2, 3])
  await rig.front.close()
})

test.run()
