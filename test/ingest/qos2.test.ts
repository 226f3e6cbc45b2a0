// QoS 2: one record per message, over retransmissions, takeovers and crashes of the agent.

import * as assert from 'uvu/assert'
import { HELD_IDS_LIMITS } from '../../agent/ingest/qos2.ts'
import { openRig, settle } from '../support/ingest-rig.ts'
import { ack, packetId, publish, TYPE } from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('qos 2')
const kept = { clientId: 'dev/1 ü', clean: false }
const message = (id: number, dup = false) => publish('a', `m${id}`, { qos: 2, id, dup })

test('a retransmission is acked again and not stored again, with or without DUP', async () => {
  const { front, log, peer } = await openRig()
  const client = peer()
  await client.connect(kept)
  client.send(message(5), message(5, true), message(5))
  for (let i = 0; i < 3; i++) assert.is(packetId(await client.expect(TYPE.pubrec)), 5)
  assert.equal(log.values('gw.mqtt'), ['m5'])
  assert.is(front.status().messagesTotal, 1)
  await front.close()
})

test('a retransmission is not acked before the original is durable', async () => {
  const { front, log, peer } = await openRig()
  log.auto = false
  const client = peer()
  await client.connect(kept)
  client.send(message(5))
  await settle()
  client.send(message(5, true))
  await settle()
  assert.equal(client.take(), [])
  log.commit()
  await settle()
  assert.is(client.take().length, 2)
  await front.close()
})

test('after PUBREL the same id is a new message', async () => {
  const { front, log, peer } = await openRig()
  const client = peer()
  await client.connect(kept)
  for (let round = 0; round < 3; round++) {
    client.send(message(5))
    await client.expect(TYPE.pubrec)
    client.send(ack(TYPE.pubrel, 5))
    await client.expect(TYPE.pubcomp)
  }
  assert.is(log.records('gw.mqtt').length, 3)
  assert.is(front.heldIds.count, 0)
  await front.close()
})

test('PUBCOMP waits until the release is durable, also for a repeated PUBREL', async () => {
  const { front, log, peer } = await openRig()
  const client = peer()
  await client.connect(kept)
  client.send(message(5))
  await client.expect(TYPE.pubrec)
  log.auto = false
  client.send(ack(TYPE.pubrel, 5))
  await settle()
  client.send(ack(TYPE.pubrel, 5))
  await settle()
  assert.equal(client.take(), [])
  log.commit()
  await settle()
  assert.equal(
    client.take().map(({ type }) => type),
    [TYPE.pubcomp, TYPE.pubcomp],
  )
  await front.close()
})

test('PUBREL of an id that is not held is answered at once', async () => {
  const { front, peer } = await openRig()
  const client = peer()
  await client.connect(kept)
  client.send(ack(TYPE.pubrel, 77))
  assert.is(packetId(await client.expect(TYPE.pubcomp)), 77)
  await front.close()
})

test('takeover with a commit pending: the current connection gets the PUBREC', async () => {
  const { front, log, peer } = await openRig()
  const old = peer()
  await old.connect(kept)
  log.stall()
  old.send(message(5))
  await settle()
  const current = peer()
  const connack = await current.connect(kept)
  assert.is(connack.body[0], 1, 'session present')
  current.send(message(5, true))
  await settle()
  assert.equal(current.take(), [])
  log.resume()
  assert.is(packetId(await current.expect(TYPE.pubrec)), 5)
  await old.closed
  assert.equal(old.take(), [])
  assert.equal(log.values('gw.mqtt'), ['m5'])
  await front.close()
})

/** Sends, crashes after `commits` commits, retransmits what a client would, and counts records. */
async function crashAfter(step: 'nothing' | 'publish' | 'pubrec' | 'release'): Promise<string[]> {
  const before = await openRig()
  const client = before.peer()
  await client.connect(kept)
  before.log.auto = false
  let mustPublish = true
  client.send(message(5))
  await settle()
  if (step !== 'nothing') before.log.commit()
  await settle()
  if (step === 'pubrec' || step === 'release') {
    await client.expect(TYPE.pubrec)
    mustPublish = false
    client.send(ack(TYPE.pubrel, 5))
    await settle()
    if (step === 'release') before.log.commit()
  }
  const log = before.log.crash()
  const after = await openRig({ log })
  const again = after.peer()
  const connack = await again.connect(kept)
  assert.is(connack.body[0], step === 'nothing' ? 0 : 1, `session present after ${step}`)
  if (mustPublish) {
    again.send(message(5, true))
    await again.expect(TYPE.pubrec)
  }
  again.send(ack(TYPE.pubrel, 5))
  await again.expect(TYPE.pubcomp)
  assert.is(after.front.heldIds.count, 0)
  // The id is free: the next message under it is another one.
  again.send(publish('a', 'next', { qos: 2, id: 5 }))
  await again.expect(TYPE.pubrec)
  await after.front.close()
  return log.values('gw.mqtt')
}

test('a crash at any step of the exchange leaves the message exactly once', async () => {
  for (const step of ['nothing', 'publish', 'pubrec', 'release'] as const) {
    assert.equal(await crashAfter(step), ['m5', 'next'], `crash after ${step}`)
  }
})

test('a clean session forgets the ids of the one before, durably and before its CONNACK', async () => {
  const { front, log, peer } = await openRig()
  const first = peer()
  await first.connect(kept)
  first.send(message(5))
  await first.expect(TYPE.pubrec)
  first.stream.destroy()
  await settle()
  log.auto = false
  const second = peer()
  second.send((await import('../support/mqtt-peer.ts')).connect({ ...kept, clean: true }))
  await settle()
  assert.equal(second.take(), [])
  log.commit()
  assert.is((await second.expect(TYPE.connack)).body[0], 0)
  assert.equal([...log.state.durable.keys()], [])
  log.auto = true
  second.send(publish('a', 'new', { qos: 2, id: 5 }))
  await second.expect(TYPE.pubrec)
  assert.equal(log.values('gw.mqtt'), ['m5', 'new'])
  await front.close()
})

test('ids of a clean session are not journaled and end with the connection', async () => {
  const { front, log, peer } = await openRig()
  const client = peer()
  await client.connect({ clientId: 'c', clean: true })
  client.send(message(5), message(5, true))
  await client.expect(TYPE.pubrec)
  assert.is(log.state.live.size, 0)
  assert.is(front.heldIds.count, 1)
  client.stream.destroy()
  await settle()
  assert.is(front.heldIds.count, 0)
  await front.close()
})

test('a connection that was taken over cannot hold ids in the new clean session', async () => {
  const { front, log, peer } = await openRig()
  const old = peer()
  await old.connect(kept)
  old.send(message(5))
  await old.expect(TYPE.pubrec)
  const current = peer()
  await current.connect({ ...kept, clean: true })
  await old.closed
  assert.is(front.heldIds.count, 0)
  assert.equal(
    [...log.state.live.keys()].filter((key) => key.startsWith('qos2/')),
    [],
  )
  await front.close()
})

test('a client that withholds PUBREL is cut off at the limit', async () => {
  const { front, log, peer } = await openRig({
    heldIdsLimits: { ...HELD_IDS_LIMITS, perClient: 3 },
  })
  const client = peer()
  await client.connect(kept)
  client.send(message(1), message(2), message(3), message(4))
  await client.closed
  assert.is(log.records('gw.mqtt').length, 3)
  await front.close()
})

test('ids of a client that stays away expire, but not in the first hour of the process', async () => {
  const first = await openRig()
  const client = first.peer()
  await client.connect(kept)
  client.send(message(5))
  await client.expect(TYPE.pubrec)
  const { clock } = first
  const { front } = await openRig({ log: first.log.crash(), clock })
  clock.wall += 400 * 86_400_000
  front.heldIds.expire()
  assert.is(front.heldIds.count, 1)
  clock.advance(3_600_001)
  front.heldIds.expire()
  assert.is(front.heldIds.count, 0)
  await front.close()
})

test('a QoS 2 message without a route is acked, and acked again', async () => {
  const routes = [{ mqttTopic: 'b', topic: 'b' }]
  for (const clean of [true, false]) {
    const { front, log, peer } = await openRig({ routes })
    const client = peer()
    await client.connect({ clientId: 'c', clean })
    client.send(message(5), message(5, true))
    await client.expect(TYPE.pubrec)
    await client.expect(TYPE.pubrec)
    assert.is(front.status().unroutedTotal, 1)
    assert.is(log.records('gw.mqtt').length, 0)
    await front.close()
  }
})

test.run()
