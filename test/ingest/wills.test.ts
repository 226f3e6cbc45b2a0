// Wills: logged and delivered like any message, never for a client that lives, never when the agent
// closes.

import * as assert from 'uvu/assert'
import { openRig, settle } from '../support/ingest-rig.ts'
import { DISCONNECT, delivery, publish, subscribe, TYPE } from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('wills')
const will = { topic: 'status/dev', payload: 'gone', qos: 1, retain: true }

test('the will of a client that vanishes is logged under its route, delivered and retained', async () => {
  const rig = await openRig({
    routes: [{ mqttTopic: 'status/{id}', topic: 'status', key: '{clientId}/{username}' }],
  })
  const sub = rig.peer()
  await sub.connect({ clientId: 'sub' })
  sub.send(subscribe(1, ['#', 1]))
  await sub.expect(TYPE.suback)
  const client = rig.peer()
  await client.connect({ clientId: 'dev', username: 'u', will })
  client.stream.destroy()
  assert.is(delivery(await sub.expect(TYPE.publish)).payload, 'gone')
  const [record] = rig.log.records('gw.status')
  assert.is(record!.key, 'dev/u')
  assert.equal(record!.headers, { 'mqtt.topic': 'status/dev', 'mqtt.retain': 'true' })
  const late = rig.peer()
  await late.connect({ clientId: 'late' })
  late.send(subscribe(1, ['status/+', 0]))
  await late.expect(TYPE.suback)
  assert.is((await late.expect(TYPE.publish)).flags & 1, 1)
  await rig.front.close()
})

test('DISCONNECT discards the will', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ will })
  client.send(DISCONNECT)
  await client.closed
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 0)
  await rig.front.close()
})

test('a protocol error and a missed keep alive publish the will', async () => {
  const rig = await openRig()
  const wrong = rig.peer()
  await wrong.connect({ clientId: 'a', will })
  wrong.send(publish('a', 'x', { qos: 1, id: 0 }))
  await wrong.closed
  const silent = rig.peer()
  await silent.connect({ clientId: 'b', will, keepAlive: 2 })
  rig.clock.advance(4_000)
  await silent.closed
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 2)
  await rig.front.close()
})

test("aedes' sweep for dead brokers finds no wills, whatever the wall clock says", async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ will })
  let found = 0
  for await (const _ of rig.front.broker.persistence.streamWill()) found++
  assert.is(found, 0)
  await rig.front.close()
})

test('closing the agent publishes no wills', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ will })
  await rig.front.close()
  await client.closed
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 0)
})

test('a will to $SYS goes nowhere', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ will: { ...will, topic: '$SYS/broker' } })
  client.stream.destroy()
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 0)
  await rig.front.close()
})

test('a will waits for room in the log', async () => {
  const rig = await openRig()
  const client = rig.peer()
  await client.connect({ will })
  rig.log.full = true
  client.stream.destroy()
  await settle()
  assert.is(rig.log.records('gw.mqtt').length, 0)
  rig.log.makeRoom()
  assert.equal(rig.log.values('gw.mqtt'), ['gone'])
  await rig.front.close()
})

test.run()
