// Peers that send anything at all: the front neither throws nor keeps anything, and others live on.

import * as assert from 'uvu/assert'
import { openRig, type Rig, settle } from '../support/ingest-rig.ts'
import {
  ack,
  connect,
  DISCONNECT,
  frame,
  type MqttPeer,
  PING,
  packetId,
  publish,
  subscribe,
  TYPE,
  unsubscribe,
} from '../support/mqtt-peer.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('hostile peers')

/** Somebody well behaved, whose messages must come through whatever others do. */
async function proveAlive(rig: Rig, id: number): Promise<void> {
  const client = rig.peer()
  await client.connect({ clientId: `good-${id}` })
  client.send(publish('good', `${id}`, { qos: 1, id: 1 }))
  assert.is(packetId(await client.expect(TYPE.puback)), 1)
  client.send(DISCONNECT)
  await client.closed
}

async function end(rig: Rig, peers: MqttPeer[]): Promise<void> {
  for (const peer of peers) peer.stream.destroy()
  await settle()
  assert.is(rig.front.connectionsCount, 0)
  assert.is(rig.front.carriedBudget.used, 0)
  assert.is(rig.front.outboundBudget.used, 0)
  assert.is(rig.front.status().acksPending, 0)
  await rig.front.close()
}

test('random bytes, before and after CONNECT', async () => {
  const rig = await openRig()
  const random = new SeededRandom(11)
  const peers: MqttPeer[] = []
  for (let round = 0; round < 300; round++) {
    const peer = rig.peer()
    peers.push(peer)
    if (round % 2 === 0) peer.send(connect({ clientId: `h${round}` }))
    for (let part = 0; part < 3; part++) peer.send(random.bytes(1 + random.below(300)))
    if (round % 50 === 0) await proveAlive(rig, round)
    await settle(2)
  }
  await end(rig, peers)
})

test('valid packets with bytes changed, cut or doubled', async () => {
  const rig = await openRig()
  const random = new SeededRandom(12)
  const valid = [
    connect({ clientId: 'x', will: { topic: 'w', payload: 'p' }, username: 'u', password: 'p' }),
    publish('a/b', 'x', { qos: 1, id: 3 }),
    publish('a/b', 'x', { qos: 2, id: 4 }),
    publish('a/b', 'x', { retain: true }),
    subscribe(1, ['a/#', 1], ['+/b', 2]),
    unsubscribe(2, 'a/#'),
    ack(TYPE.pubrel, 4),
    ack(TYPE.puback, 1),
    ack(TYPE.pubrec, 1),
    ack(TYPE.pubcomp, 1),
    PING,
    DISCONNECT,
  ]
  const peers: MqttPeer[] = []
  for (let round = 0; round < 600; round++) {
    const peer = rig.peer()
    peers.push(peer)
    const packets = Array.from({ length: 6 }, () => valid[random.below(valid.length)]!)
    const clientId = `m${round % 20}`
    const bytes = Buffer.concat([connect({ clientId, clean: random.chance(0.5) }), ...packets])
    for (let change = random.below(4); change > 0; change--) {
      bytes[random.below(bytes.length)] = random.below(256)
    }
    const cut = random.chance(0.3) ? random.below(bytes.length) : bytes.length
    peer.send(bytes.subarray(0, cut))
    if (random.chance(0.3)) peer.stream.end()
    if (round % 100 === 0) await proveAlive(rig, round)
    await settle(2)
  }
  await end(rig, peers)
})

test('huge lengths are refused before anything is kept', async () => {
  const rig = await openRig()
  const peers: MqttPeer[] = []
  for (const first of [0x10, 0x30, 0x82]) {
    const peer = rig.peer()
    peers.push(peer)
    if (first !== 0x10) await peer.connect({ clientId: `l${first}` })
    peer.send(Buffer.of(first, 0xff, 0xff, 0xff, 0x7f), Buffer.alloc(1_000))
    await peer.closed
  }
  assert.is(rig.front.carriedBudget.used, 0)
  await end(rig, peers)
})

test('who never ends a packet, or never reads, holds a bounded amount', async () => {
  const rig = await openRig()
  const peers: MqttPeer[] = []
  for (let i = 0; i < 20; i++) {
    const peer = rig.peer()
    await peer.connect({ clientId: `s${i}` })
    peer.serverEnd.isFrozen = true
    for (let round = 0; round < 200; round++) peer.send(PING, subscribe(1, ['#', 0]))
    peer.send(frame(0x30, Buffer.alloc(2_000)).subarray(0, 1_000))
    peers.push(peer)
    await settle(3)
  }
  await proveAlive(rig, 1)
  assert.ok(rig.front.carriedBudget.used < 1_000_000)
  await end(rig, peers)
})

test('topics that fill the route cache, and names of all kinds, leave it right', async () => {
  const rig = await openRig({
    routes: [{ mqttTopic: 'd/{n...}', topic: 'd', key: '{n}' }],
    windowBytes: 10_000_000,
  })
  const random = new SeededRandom(13)
  const client = rig.peer()
  await client.connect()
  const count = 5_000
  for (let at = 0; at < count; at += 250) {
    const messages = Array.from({ length: 250 }, () => {
      const name = random.bytes(1 + random.below(30)).toString('hex')
      return publish(`d/${name}`, name)
    })
    client.send(...messages)
    await settle(2)
  }
  await settle()
  const records = rig.log.records('gw.d')
  assert.is(records.length, count)
  assert.ok(records.every(({ key, value }) => key === String(value)))
  await end(rig, [client])
})

test.run()
