// How many subscriptions there can be: of one packet, one client, all kept sessions together.

import * as assert from 'uvu/assert'
import { Metrics } from '../../agent/base/telemetry.ts'
import { Persistence } from '../../agent/ingest/persistence.ts'
import { FakeLog } from '../support/fake-log.ts'
import { openRig } from '../support/ingest-rig.ts'
import { type MqttPeer, publish, subscribe, TYPE, unsubscribe } from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('subscriptions')

/** Return codes: the granted QoS, or 128. */
async function subscribed(peer: MqttPeer, id: number, filters: string[]): Promise<number[]> {
  peer.send(subscribe(id, ...filters.map((filter): [string, number] => [filter, 0])))
  return [...(await peer.expect(TYPE.suback)).body.subarray(2)]
}

const filters = (count: number, name: string) =>
  Array.from({ length: count }, (_, index) => `${name}/${index}`)

test('a client has 500 subscriptions at most, and goes on with them', async () => {
  const { front, peer } = await openRig()
  const client = peer()
  await client.connect()
  for (let id = 1; id <= 5; id++) {
    const codes = await subscribed(client, id, filters(100, `f${id}`))
    assert.ok(codes.every((code) => code === 0))
  }
  assert.equal(await subscribed(client, 6, ['one/more']), [128])
  assert.equal(await subscribed(client, 7, ['f1/0']), [0])
  client.send(unsubscribe(8, 'f1/0'))
  await client.expect(TYPE.unsuback)
  assert.equal(await subscribed(client, 9, ['one/more']), [0])
  client.send(publish('one/more', 'x'))
  assert.is((await client.expect(TYPE.publish)).body.toString('latin1', 2), 'one/morex')
  await front.close()
})

test('filters of a client have 60,000 bytes together', async () => {
  const { front, peer } = await openRig()
  const client = peer()
  await client.connect()
  const long = (letter: string) => letter.repeat(25_000)
  assert.equal(await subscribed(client, 1, [long('a')]), [0])
  assert.equal(await subscribed(client, 2, [long('b')]), [0])
  assert.equal(await subscribed(client, 3, [long('c')]), [128])
  await front.close()
})

test('a packet of more than 500 filters ends the connection', async () => {
  const { front, peer, lines } = await openRig()
  const client = peer()
  await client.connect()
  const many = filters(501, 'f').map((filter): [string, number] => [filter, 0])
  client.send(subscribe(1, ...many))
  await client.closed
  assert.match(lines.join('\n'), /more than 500 filters/)
  await front.close()
})

test('filters of all kept sessions are bounded together, for all of them are in every checkpoint', async () => {
  const log = new FakeLog()
  const options = { log, metrics: new Metrics(), changed: () => {}, forget: () => false }
  const persistence = new Persistence(options)
  const add = (id: string) => {
    persistence.beginSession(id)
    return persistence.addSubscriptions({ id }, [{ topic: `${id}/${'x'.repeat(50_000)}`, qos: 1 }])
  }
  let taken = 0
  const refusal = await (async () => {
    for (; taken < 200; taken++) await add(`c${taken}`)
    return 'none'
  })().catch((error: Error) => error.message)
  assert.is(refusal, 'too many subscriptions')
  assert.ok(taken >= 80 && taken <= 84, `${taken} sessions of 50 KB in 4 MiB`)
  const restored = new Persistence({ ...options, metrics: new Metrics() })
  restored.beginSession('late')
  const late = await restored
    .addSubscriptions({ id: 'late' }, [{ topic: 'y'.repeat(50_000), qos: 1 }])
    .then(() => 'taken')
    .catch((error: Error) => error.message)
  assert.is(late, 'too many subscriptions')
  persistence.endSession('c0')
  persistence.endSession('c1')
  await add('again')
})

test.run()
