// Publishing: acks wait for their commit, keep their order, and leave together.

import * as assert from 'uvu/assert'
import { openRig, settle } from '../support/ingest-rig.ts'
import { ack, PING, packetId, publish, TYPE } from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('publish')

test('a PUBACK leaves only after the commit that holds the record', async () => {
  const { log, front, peer } = await openRig()
  log.auto = false
  const client = peer()
  await client.connect()
  client.send(publish('a/b', 'one', { qos: 1, id: 7 }))
  await settle()
  assert.equal(log.values('gw.mqtt'), ['one'])
  assert.equal(client.take(), [])
  assert.is(front.status().acksPending, 1)
  log.commit()
  const packet = await client.expect(TYPE.puback)
  assert.is(packetId(packet), 7)
  assert.is(front.status().acksPending, 0)
  await front.close()
})

test('all acks of a commit leave in one write, in the order of their packets', async () => {
  const { log, front, peer } = await openRig()
  log.auto = false
  const client = peer()
  await client.connect()
  const writes: Buffer[] = []
  const write = client.serverEnd._write.bind(client.serverEnd)
  client.serverEnd._write = (chunk, encoding, done) => {
    writes.push(chunk)
    write(chunk, encoding, done)
  }
  client.send(
    publish('a', '1', { qos: 1, id: 3 }),
    publish('a', '2', { qos: 2, id: 4 }),
    publish('a', '3', { qos: 1, id: 5 }),
    publish('a', '4', { qos: 0 }),
  )
  await settle()
  log.commit()
  await settle()
  assert.is(writes.length, 1)
  const got = client.take().map((packet) => [packet.type, packetId(packet)])
  assert.equal(got, [
    [TYPE.puback, 3],
    [TYPE.pubrec, 4],
    [TYPE.puback, 5],
  ])
  await front.close()
})

test('the full QoS 2 exchange makes one record and ends with PUBCOMP', async () => {
  const { log, front, peer } = await openRig()
  const client = peer()
  await client.connect({ clean: false })
  client.send(publish('a', 'x', { qos: 2, id: 9 }))
  await client.expect(TYPE.pubrec)
  client.send(ack(TYPE.pubrel, 9))
  await client.expect(TYPE.pubcomp)
  assert.equal(log.values('gw.mqtt'), ['x'])
  assert.is(front.heldIds.count, 0)
  await front.close()
})

test('a PINGREQ is answered', async () => {
  const { front, peer } = await openRig()
  const client = peer()
  await client.connect()
  client.send(PING)
  await client.expect(TYPE.pingresp)
  await front.close()
})

test.run()
