// Deliveries to local MQTT subscribers: after the commit, all of them, and nobody waits for a
// subscriber that does not read.

import * as assert from 'uvu/assert'
import { FAN_OUT_MESSAGES_MAX } from '../../agent/ingest/fan-out.ts'
import { openRig, type Rig, settle } from '../support/ingest-rig.ts'
import {
  ack,
  connect,
  DISCONNECT,
  delivery,
  type MqttPeer,
  publish,
  subscribe,
  TYPE,
  unsubscribe,
} from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('fan-out')

async function subscriber(
  rig: Rig,
  filter: string,
  qos: number,
  options: { clientId: string; clean?: boolean },
): Promise<ReturnType<typeof MqttPeer.pair>> {
  const client = rig.peer()
  await client.connect(options)
  client.send(subscribe(1, [filter, qos]))
  await client.expect(TYPE.suback)
  return client
}

async function publisher(rig: Rig, clientId = 'pub'): Promise<MqttPeer> {
  const client = rig.peer()
  await client.connect({ clientId })
  return client
}

test('a message reaches its subscribers after its commit, not before', async () => {
  const rig = await openRig()
  const sub = await subscriber(rig, 'a/#', 1, { clientId: 'sub' })
  const pub = await publisher(rig)
  rig.log.auto = false
  pub.send(publish('a/b', 'x', { qos: 1 }))
  await settle()
  assert.equal(sub.take(), [])
  rig.log.commit()
  const packet = await sub.expect(TYPE.publish)
  assert.equal(delivery(packet).payload, 'x')
  assert.is((packet.flags >> 1) & 3, 1)
  await rig.front.close()
})

test('no message overtakes another: 400 of 400 arrive, QoS 0, 1 and 2 mixed', async () => {
  const rig = await openRig()
  const clean = await subscriber(rig, '#', 2, { clientId: 'clean' })
  const kept = await subscriber(rig, '#', 2, { clientId: 'kept', clean: false })
  const pub = await publisher(rig)
  const count = 400
  const messages = Array.from({ length: count }, (_, id) =>
    publish('a', `${id}`, { qos: id % 3, id: id + 1 }),
  )
  for (let at = 0; at < count; at += 25) {
    pub.send(...messages.slice(at, at + 25))
    await settle(2)
  }
  const expected = messages.map((_, id) => `${id}`)
  for (const sub of [clean, kept]) {
    const got: string[] = []
    while (got.length < count) got.push(delivery(await sub.expect(TYPE.publish)).payload)
    assert.equal(new Set(got), new Set(expected))
  }
  await rig.front.close()
})

test('a delivery has the QoS that was granted, also through a wildcard', async () => {
  const rig = await openRig()
  const pub = await publisher(rig)
  for (const [filter, granted] of [
    ['a/b', 1],
    ['a/+', 1],
    ['#', 0],
    ['+/b', 2],
  ] as const) {
    const sub = await subscriber(rig, filter, granted, { clientId: 'sub' })
    pub.send(publish('a/b', 'x', { qos: 2, id: 1 }), ack(TYPE.pubrel, 1))
    const packet = await sub.expect(TYPE.publish)
    assert.is((packet.flags >> 1) & 3, granted, filter)
    sub.send(DISCONNECT)
    await sub.closed
  }
  await rig.front.close()
})

test('a frozen subscriber stalls neither ingest nor the others, and is let go', async () => {
  const rig = await openRig()
  const frozen = await subscriber(rig, '#', 0, { clientId: 'frozen' })
  frozen.serverEnd.isFrozen = true
  const healthy = await subscriber(rig, '#', 0, { clientId: 'healthy' })
  const pub = await publisher(rig)
  const count = 3_000
  let got = 0
  for (let at = 0; at < count; at += 100) {
    const batch = Array.from({ length: 100 }, (_, id) =>
      publish('a', 'x'.repeat(200), { qos: 1, id: at + id + 1 }),
    )
    pub.send(...batch)
    await settle(10)
    got += healthy.take().length
  }
  await settle(50)
  got += healthy.take().length
  assert.is(pub.take().length, count)
  assert.is(got, count)
  assert.is(rig.metric('tributary_mqtt_fan_out_dropped_total'), 0)
  assert.ok(rig.metric('tributary_mqtt_skipped_deliveries_total') > 1_000)
  assert.ok(rig.front.outboundBudget.used < 1_000_000, 'bounded memory')
  for (let second = 0; second < 7; second++) rig.clock.advance(1_000)
  await frozen.closed
  await rig.front.close()
})

test('a kept session that read too slowly gets what it missed when it connects again', async () => {
  const rig = await openRig()
  const slow = await subscriber(rig, '#', 1, { clientId: 'slow', clean: false })
  slow.serverEnd.isFrozen = true
  const pub = await publisher(rig)
  const count = 600
  for (let id = 1; id <= count; id++) {
    pub.send(publish('a', `${id} ${'x'.repeat(1_000)}`, { qos: 1, id }))
    if (id % 20 === 0) await settle(5)
  }
  await settle()
  slow.serverEnd.thaw()
  await settle(50)
  const seen = new Set<string>()
  const note = (packets: ReturnType<MqttPeer['take']>) => {
    for (const packet of packets) seen.add(delivery(packet).payload.split(' ', 1)[0]!)
  }
  note(slow.take())
  assert.ok(seen.size < count, 'some were skipped')
  rig.clock.advance(1_000)
  await slow.closed
  const again = rig.peer()
  again.send(connect({ clientId: 'slow', clean: false }))
  assert.is((await again.expect(TYPE.connack)).body[0], 1)
  for (let round = 0; round < 200 && seen.size < count; round++) {
    await settle(20)
    note(again.take())
  }
  assert.is(seen.size, count)
  await rig.front.close()
})

test('what nobody subscribes to costs no delivery, and a subscription changes that at once', async () => {
  const rig = await openRig()
  const pub = await publisher(rig)
  const { fanOut } = rig.front
  pub.send(publish('a', '1', { qos: 1 }))
  await pub.expect(TYPE.puback)
  const { generation } = fanOut
  const sub = await subscriber(rig, 'a', 1, { clientId: 'sub' })
  pub.send(publish('a', '2', { qos: 1 }))
  assert.is(delivery(await sub.expect(TYPE.publish)).payload, '2')
  assert.ok(fanOut.generation > generation)
  sub.send(unsubscribe(2, 'a'))
  await sub.expect(TYPE.unsuback)
  pub.send(publish('a', '3', { qos: 1 }))
  await settle()
  assert.equal(sub.take(), [])
  await rig.front.close()
})

test('a clean CONNECT without filters does not make everybody look again', async () => {
  const rig = await openRig()
  await subscriber(rig, 'a', 0, { clientId: 'sub' })
  const { generation } = rig.front.fanOut
  for (let i = 0; i < 10; i++) {
    const client = await publisher(rig, `c${i}`)
    client.send(DISCONNECT)
    await client.closed
  }
  assert.is(rig.front.fanOut.generation, generation)
  await rig.front.close()
})

test('a kept session gets what came while it was away, once', async () => {
  const rig = await openRig()
  const sub = await subscriber(rig, 'a/+', 1, { clientId: 'sub', clean: false })
  sub.send(DISCONNECT)
  await sub.closed
  const pub = await publisher(rig)
  for (let id = 1; id <= 100; id++) pub.send(publish(`a/${id}`, `${id}`, { qos: 2, id }))
  await settle()
  const again = rig.peer()
  await again.connect({ clientId: 'sub', clean: false })
  for (let id = 1; id <= 100; id++) {
    const packet = await again.expect(TYPE.publish)
    assert.is((packet.flags >> 1) & 3, 1, 'at the QoS of the subscription')
    assert.is(delivery(packet).payload, `${id}`)
    again.send(ack(TYPE.puback, delivery(packet).id))
  }
  again.send(DISCONNECT)
  await again.closed
  const third = rig.peer()
  await third.connect({ clientId: 'sub', clean: false })
  await settle()
  assert.equal(third.take(), [])
  await rig.front.close()
})

test('a retained message reaches later subscribers, with retain set, until it is cleared', async () => {
  const rig = await openRig()
  const pub = await publisher(rig)
  pub.send(publish('a/b', 'kept', { qos: 1, id: 1, retain: true }))
  await pub.expect(TYPE.puback)
  assert.is(rig.log.records('gw.mqtt')[0]!.headers['mqtt.retain'], 'true')
  const first = await subscriber(rig, 'a/+', 0, { clientId: 's1' })
  const packet = await first.expect(TYPE.publish)
  assert.equal([delivery(packet).payload, packet.flags & 1], ['kept', 1])
  pub.send(publish('a/b', '', { qos: 1, id: 2, retain: true }))
  await pub.expect(TYPE.puback)
  const second = await subscriber(rig, 'a/+', 0, { clientId: 's2' })
  await settle()
  assert.equal(second.take(), [])
  await rig.front.close()
})

test('when too many wait for a commit the rest is dropped and counted; ingest goes on', async () => {
  const rig = await openRig({ windowBytes: 100_000_000 })
  const sub = await subscriber(rig, 'a', 0, { clientId: 'sub' })
  const pub = await publisher(rig)
  rig.log.auto = false
  const count = FAN_OUT_MESSAGES_MAX
  for (let at = 0; at < count; at += 500) {
    pub.send(...Array.from({ length: 500 }, () => publish('a', 'x')))
    await settle(3)
  }
  const dropped = rig.metric('tributary_mqtt_fan_out_dropped_total')
  assert.is(dropped, count / 4)
  rig.log.commit()
  let got = 0
  for (let round = 0; round < 500 && got < count - dropped; round++) {
    await settle(10)
    got += sub.take().length
  }
  assert.is(got, count - dropped)
  assert.is(rig.log.records('gw.mqtt').length, count)
  await rig.front.close()
})

test.run()
