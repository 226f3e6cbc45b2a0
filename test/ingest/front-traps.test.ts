// Ways in which a front of our own before aedes goes wrong, each of which was seen to happen:
// the stream between them, the gate, the end of a connection, sessions, time.

import * as assert from 'uvu/assert'
import type { Users } from '../../agent/ingest/users.ts'
import { openRig, type Rig, settle } from '../support/ingest-rig.ts'
import {
  ack,
  connect,
  DISCONNECT,
  delivery,
  type MqttPeer,
  PING,
  packetId,
  publish,
  subscribe,
  TYPE,
} from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('front traps')

/** Users whose check takes some turns of the loop, as hashing does. */
const slowUsers = {
  verify: async () => {
    await settle(5)
    return 'right' as const
  },
} as unknown as Users

async function subscriber(rig: Rig, filter: string, qos: number, id = 'sub'): Promise<MqttPeer> {
  const client = rig.peer()
  await client.connect({ clientId: id })
  client.send(subscribe(1, [filter, qos]))
  await client.expect(TYPE.suback)
  return client
}

test('acks of ours never land inside a packet of aedes while the client does not read', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect()
  client.send(subscribe(1, ['#', 1]))
  await client.expect(TYPE.suback)
  client.serverEnd.isFrozen = true
  const count = 200
  for (let id = 1; id <= count; id++) {
    client.send(publish(`topic/${id}`, 'x'.repeat(id), { qos: 1, id }))
    if (id % 10 === 0) await settle(3)
  }
  await settle()
  client.serverEnd.thaw()
  const got = { acks: [] as number[], deliveries: [] as string[] }
  while (got.acks.length < count || got.deliveries.length < count) {
    const packet = await client.next()
    if (packet?.type === TYPE.puback) got.acks.push(packetId(packet))
    else if (packet?.type === TYPE.publish) got.deliveries.push(delivery(packet).topic)
    else throw new Error(`a broken packet of type ${packet?.type}`)
  }
  const ids = Array.from({ length: count }, (_, index) => index + 1)
  assert.equal(got.acks, ids)
  assert.equal(
    got.deliveries,
    ids.map((id) => `topic/${id}`),
  )
  await rig.front.close()
})

test('everything behind CONNECT waits for the CONNACK, however much, and keeps its order', async () => {
  const rig = await openRig({ users: slowUsers })
  const client = rig.peer()
  const count = 500
  const messages = Array.from({ length: count }, (_, id) =>
    publish('a', `${id}`, { qos: 1, id: id + 1 }),
  )
  client.send(connect({ username: 'u', password: 'p' }), ...messages, PING)
  await settle(2)
  assert.is(rig.log.records('gw.mqtt').length, 0)
  await client.expect(TYPE.connack)
  await client.expect(TYPE.pingresp)
  for (let id = 1; id <= count; id++) assert.is(packetId(await client.expect(TYPE.puback)), id)
  assert.equal(
    rig.log.values('gw.mqtt'),
    messages.map((_, id) => `${id}`),
  )
  await rig.front.close()
})

test('nothing behind CONNECT is stored when the client is refused', async () => {
  const users = { verify: async () => 'wrong' as const } as unknown as Users
  const rig = await openRig({ users })
  const client = rig.peer()
  client.send(connect({ username: 'u', password: 'p' }), publish('a', 'x', { qos: 1 }))
  const connack = await client.expect(TYPE.connack)
  assert.is(connack.body[1], 4)
  await client.closed
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 0)
  await rig.front.close()
})

test('CONNECT, PUBLISH, DISCONNECT and FIN in one segment lose nothing, 30 of 30', async () => {
  const rig = await openRig({ users: slowUsers })
  for (let i = 0; i < 30; i++) {
    const client = rig.peer()
    const will = { topic: 'will', payload: 'w' }
    const hello = connect({ clientId: `c${i}`, username: 'u', password: 'p', will })
    client.stream.end(Buffer.concat([hello, publish('a', `${i}`), DISCONNECT]))
    await client.closed
  }
  await settle()
  const sent = Array.from({ length: 30 }, (_, i) => `${i}`)
  assert.equal(rig.log.values('gw.mqtt'), sent)
  await rig.front.close()
})

test('a FIN without DISCONNECT: acks that are owed still leave, then the will is published', async () => {
  const rig = await openRig()
  rig.log.auto = false
  const client = rig.peer()
  await client.connect({ will: { topic: 'will', payload: 'gone', qos: 1 } })
  client.stream.end(publish('a', 'x', { qos: 1, id: 3 }))
  await settle()
  assert.not.ok(client.stream.destroyed)
  rig.log.commit()
  assert.is(packetId(await client.expect(TYPE.puback)), 3)
  await client.closed
  await settle()
  assert.equal(rig.log.values('gw.mqtt'), ['x', 'gone'])
  await rig.front.close()
})

test('session present is true for a session without subscriptions, and false after a clean one', async () => {
  const rig = await openRig()
  const present = async (clean: boolean): Promise<number> => {
    const client = rig.peer()
    const connack = await client.connect({ clientId: 'c', clean })
    client.send(DISCONNECT)
    await client.closed
    return connack.body[0]!
  }
  assert.is(await present(false), 0)
  assert.is(await present(false), 1)
  assert.is(await present(true), 0)
  assert.is(await present(false), 0)
  await rig.front.close()
})

test('a QoS 2 id alone makes a session after a crash', async () => {
  const first = await openRig()
  const client = first.peer()
  await client.connect({ clientId: 'c', clean: false })
  client.send(publish('a', 'x', { qos: 2, id: 1 }))
  await client.expect(TYPE.pubrec)
  const log = first.log.crash()
  for (const key of [...log.state.live.keys()]) {
    if (key.startsWith('session/')) log.state.live.delete(key)
  }
  const after = await openRig({ log })
  const connack = await after.peer().connect({ clientId: 'c', clean: false })
  assert.is(connack.body[0], 1)
  await after.front.close()
})

test('a commit stalled for 60 s disconnects nobody who has a keep alive of 5 s', async () => {
  const rig = await openRig({ windowBytes: 1_000 })
  rig.log.stall()
  const full = rig.peer()
  await full.connect({ clientId: 'full', keepAlive: 5 })
  const idle = rig.peer()
  await idle.connect({ clientId: 'idle', keepAlive: 5 })
  const messages = Array.from({ length: 50 }, (_, id) =>
    publish('a', 'x'.repeat(100), { qos: 1, id: id + 1 }),
  )
  full.send(...messages)
  await settle()
  for (let second = 1; second <= 60; second++) {
    if (second % 4 === 0) {
      full.send(PING)
      idle.send(PING)
    }
    await settle(3)
    rig.clock.advance(1_000)
    await settle(3)
    if (second % 5 !== 0) continue
    for (const client of [full, idle]) {
      const answers = client.take().filter(({ type }) => type === TYPE.pingresp)
      assert.ok(answers.length > 0, `no PINGRESP in the ${second - 5}th to ${second}th second`)
    }
  }
  assert.ok(rig.log.records('gw.mqtt').length < 50, 'the window is closed')
  rig.log.resume()
  const acks: number[] = []
  while (acks.length < 50) {
    const packet = await full.next()
    assert.ok(packet, 'still connected')
    if (packet!.type === TYPE.puback) acks.push(packetId(packet!))
  }
  assert.is(rig.front.status().clients, 2)
  await rig.front.close()
})

test('the keep alive follows the monotonic clock, not the wall', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ keepAlive: 10 })
  rig.clock.wall += 86_400_000
  rig.clock.advance(1_000)
  await settle()
  rig.clock.wall -= 2 * 86_400_000
  rig.clock.advance(13_000)
  await settle()
  assert.not.ok(client.stream.destroyed)
  rig.clock.advance(2_000)
  await client.closed
  await rig.front.close()
})

test('packets that aedes never sees count as life', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ keepAlive: 10 })
  for (let round = 0; round < 10; round++) {
    rig.clock.advance(8_000)
    client.send(publish('a', 'x'))
    await settle(3)
  }
  assert.not.ok(client.stream.destroyed)
  await rig.front.close()
})

test('who does not send CONNECT in time is cut off', async () => {
  const rig = await openRig()
  const client = rig.peer()
  client.send(connect().subarray(0, 5))
  await settle()
  rig.clock.advance(9_000)
  await settle()
  assert.not.ok(client.stream.destroyed)
  rig.clock.advance(3_000)
  await client.closed
  await rig.front.close()
})

test('a message behind SUBSCRIBE in one segment reaches the subscription', async () => {
  const rig = await openRig()
  for (const clean of [true, false]) {
    const client = rig.peer()
    await client.connect({ clientId: `c${clean}`, clean })
    client.send(subscribe(1, ['own', 0]), publish('own', 'hello'))
    await client.expect(TYPE.suback)
    assert.is(delivery(await client.expect(TYPE.publish)).payload, 'hello')
  }
  await rig.front.close()
})

test('2,000 connects leave nothing behind', async () => {
  const rig = await openRig()
  for (let i = 0; i < 2_000; i++) {
    const client = rig.peer()
    await client.connect({ clientId: `c${i}` })
    client.stream.destroy()
    if (i % 100 === 0) await settle(2)
  }
  await settle()
  assert.is(rig.front.connectionsCount, 0)
  assert.is(rig.front.status().clients, 0)
  assert.is(rig.front.carriedBudget.used, 0)
  assert.is(rig.front.outboundBudget.used, 0)
  await rig.front.close()
})

test('subscriptions and sessions survive a crash, so that session present is true', async () => {
  const first = await openRig()
  const client = first.peer()
  await client.connect({ clientId: 'dash', clean: false })
  client.send(subscribe(1, ['a/+', 1]))
  await client.expect(TYPE.suback)
  const after = await openRig({ log: first.log.crash() })
  const again = after.peer()
  const connack = await again.connect({ clientId: 'dash', clean: false })
  assert.is(connack.body[0], 1)
  const other = await subscriber(after, 'none', 0, 'other')
  other.send(publish('a/b', 'live', { qos: 1, id: 2 }))
  const packet = await again.expect(TYPE.publish)
  assert.is(delivery(packet).payload, 'live')
  again.send(ack(TYPE.puback, delivery(packet).id))
  await after.front.close()
})

test.run()
