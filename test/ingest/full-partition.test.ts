// One partition is full and the others are not: who publishes to it waits, in order, and nobody else.

import * as assert from 'uvu/assert'
import { openRig, settle } from '../support/ingest-rig.ts'
import { packetId, publish } from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('full partition')

/** Topics a and b, of which a is full. */
async function open() {
  const rig = await openRig({
    routes: ['a', 'b'].map((topic) => ({ mqttTopic: `${topic}/#`, topic })),
  })
  const settings = { partitions: 1, replicated: true }
  const [full] = rig.log.ensureTopic('gw.a', settings).partitions
  rig.log.ensureTopic('gw.b', settings)
  full!.fullSince = rig.clock.monotonic()
  const client = async (clientId: string) => {
    const peer = rig.peer()
    await peer.connect({ clientId })
    return peer
  }
  return { rig, full: full!, client }
}

test('the clients of the others are acknowledged, and it has its own back in order', async () => {
  const { rig, full, client } = await open()
  const [stuck, free] = [await client('stuck'), await client('free')]
  for (let id = 1; id <= 20; id++) {
    stuck.send(publish('a/x', `${id}`, { qos: 1, id }))
    free.send(publish('b/x', `${id}`, { qos: 1, id }))
  }
  await settle()
  assert.is(free.take().length, 20)
  assert.equal(stuck.take(), [])
  full.fullSince = undefined
  rig.log.makeRoom()
  await settle()
  assert.equal(
    stuck.take().map(packetId),
    Array.from({ length: 20 }, (_, index) => index + 1),
  )
  assert.is(rig.log.values('gw.a').length, 20)
  await rig.front.close()
})

test('a client that publishes to both is held back as a whole', async () => {
  const { rig, full, client } = await open()
  const both = await client('both')
  both.send(publish('a/x', 'first', { qos: 1, id: 1 }), publish('b/x', 'second', { qos: 1, id: 2 }))
  await settle()
  assert.equal(both.take(), [])
  assert.equal(rig.log.values('gw.b'), [])
  full.fullSince = undefined
  rig.log.makeRoom()
  await settle()
  assert.equal(both.take().map(packetId), [1, 2])
  await rig.front.close()
})

test('room of the moment wakes nobody who waits for the disk', async () => {
  const { rig, full, client } = await open()
  const stuck = await client('stuck')
  stuck.send(publish('a/x', 'waits', { qos: 1, id: 1 }))
  await settle()
  const { refusals } = full
  for (let round = 0; round < 50; round++) rig.log.makeRoom()
  await settle()
  assert.is(full.refusals, refusals)
  await rig.front.close()
})

test('QoS 0 to it is dropped after a second, to the others never', async () => {
  const { rig, client } = await open()
  const [stuck, free] = [await client('stuck'), await client('free')]
  stuck.send(publish('a/x', 'held'))
  free.send(publish('b/x', 'taken'))
  await settle()
  assert.is(rig.metric('tributary_mqtt_dropped_messages_total'), 0)
  rig.clock.advance(2_000)
  await settle()
  stuck.send(publish('a/x', 'dropped at once'), publish('b/x', 'goes on'))
  await settle()
  assert.is(rig.metric('tributary_mqtt_dropped_messages_total'), 2)
  assert.equal(rig.log.values('gw.b'), ['taken', 'goes on'])
  await rig.front.close()
})

test('a will for it keeps no other will', async () => {
  const { rig, full } = await open()
  for (const topic of ['a/will', 'b/will']) {
    const peer = rig.peer()
    await peer.connect({ clientId: topic, will: { topic, payload: 'gone', qos: 1 } })
    peer.stream.destroy()
    await settle()
  }
  assert.equal(rig.log.values('gw.b'), ['gone'])
  assert.equal(rig.log.values('gw.a'), [])
  full.fullSince = undefined
  rig.log.makeRoom()
  await settle()
  assert.equal(rig.log.values('gw.a'), ['gone'])
  await rig.front.close()
})

test.run()
