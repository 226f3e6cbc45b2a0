// Everything that aedes lets through although MQTT 3.1.1 forbids it, and the few answers that a
// refused client gets.

import * as assert from 'uvu/assert'
import { openRig, settle } from '../support/ingest-rig.ts'
import {
  ack,
  type ConnectFields,
  connect,
  frame,
  publish,
  subscribe,
  TYPE,
  text,
  unsubscribe,
} from '../support/mqtt-peer.ts'
import { suite } from '../support/suite.ts'

const test = suite('refusals')

const NUL = Buffer.from('a\0b')
const SURROGATE = Buffer.of(0x61, 0xed, 0xa0, 0x80)
const CONTROL = Buffer.from('a\x01b')

/** What a CONNECT is answered with: a CONNACK's return code, or 'closed'. */
async function answerTo(...packets: Buffer[]): Promise<number | 'closed'> {
  const { front, peer } = await openRig()
  const client = peer()
  client.send(...packets)
  const packet = await client.next()
  if (packet !== undefined && packet.body[1] !== 0) await client.closed
  await front.close()
  return packet === undefined ? 'closed' : packet.body[1]!
}

/** Connects, sends the packets and says whether the connection was closed without an answer. */
async function isClosedBy(...packets: Buffer[]): Promise<{ closed: boolean; stored: number }> {
  const { front, log, peer } = await openRig()
  const client = peer()
  await client.connect()
  client.send(...packets)
  await settle()
  const closed = client.stream.destroyed && client.take().length === 0
  const stored = log.records('gw.mqtt').length
  await front.close()
  return { closed, stored }
}

test('an empty client id is for clean sessions only', async () => {
  assert.is(await answerTo(connect({ clientId: '', clean: false })), 2)
  assert.is(await answerTo(connect({ clientId: '', clean: true })), 0)
})

test('a client id is at most 256 bytes, in MQTT 3.1 at most 23 characters', async () => {
  const old = { protocol: 'MQIsdp', level: 3 }
  assert.is(await answerTo(connect({ clientId: 'x'.repeat(256) })), 0)
  assert.is(await answerTo(connect({ clientId: 'x'.repeat(257) })), 2)
  assert.is(await answerTo(connect({ ...old, clientId: 'x'.repeat(23) })), 0)
  assert.is(await answerTo(connect({ ...old, clientId: 'x'.repeat(24) })), 2)
})

test('protocol name and level have to fit', async () => {
  assert.is(await answerTo(connect({ protocol: 'MQIsdp', level: 4 })), 1)
  assert.is(await answerTo(connect({ level: 3 })), 1)
  assert.is(await answerTo(connect({ level: 6 })), 1)
  assert.is(await answerTo(connect({ protocol: 'MQTX' })), 'closed')
  assert.is(await answerTo(connect({ level: 0x84 })), 0, 'a mosquitto bridge')
})

test('MQTT 5 gets CONNACK 1, and one line per client', async () => {
  const { front, peer, lines } = await openRig()
  const five = (id: string) =>
    frame(0x10, text('MQTT'), [5, 2, 0, 0], [5, 0x11, 0, 0, 0, 10], text(id))
  for (const id of ['z2m', 'z2m', 'other']) {
    const client = peer()
    client.send(five(id))
    assert.is((await client.expect(TYPE.connack)).body[1], 1)
    await client.closed
  }
  const said = lines.filter((line) => line.includes('MQTT 5'))
  assert.is(said.length, 2)
  assert.match(
    said[0]!,
    'client z2m speaks MQTT 5; this version takes 3.1.1 (mosquitto_pub -V mqttv311)',
  )
  await front.close()
})

test('texts of CONNECT hold no NUL, surrogate or control character', async () => {
  for (const bad of [NUL, SURROGATE, CONTROL]) {
    const wrong: ConnectFields[] = [
      { clientId: bad },
      { username: bad },
      { will: { topic: bad, payload: '' } },
    ]
    for (const fields of wrong) {
      assert.is(await answerTo(connect(fields)), 'closed', Object.keys(fields)[0])
    }
  }
})

test('flags of CONNECT have to fit its payload', async () => {
  const wrong: Record<string, Buffer> = {
    'will QoS 3': connect({ will: { topic: 'w', payload: '', qos: 3 } }),
    'will QoS without a will': connect({ flags: 0x0a }),
    'will retain without a will': connect({ flags: 0x22 }),
    'reserved flag': connect({ flags: 0x03 }),
    'a user name that is not there': connect({ flags: 0x82 }),
    'a password without a user name': connect({ flags: 0x42, password: 'x' }),
    'a user name that no flag announces': connect({ flags: 0x02, username: 'x' }),
    'bytes behind the payload': connect({ trailing: Buffer.of(1) }),
    'a wildcard in the will topic': connect({ will: { topic: 'a/+', payload: '' } }),
    'a body cut short': frame(0x10, text('MQTT'), [4]),
  }
  for (const [what, packet] of Object.entries(wrong)) {
    assert.is(await answerTo(packet), 'closed', what)
  }
})

test('a wrong packet ends the connection, is not answered and stores nothing', async () => {
  const wrong: Record<string, Buffer> = {
    'packet id 0 on QoS 1': publish('a', 'x', { qos: 1, id: 0 }),
    'packet id 0 on QoS 2': publish('a', 'x', { qos: 2, id: 0 }),
    'NUL in a topic': publish(NUL, 'x', { qos: 1 }),
    'a surrogate in a topic': publish(SURROGATE, 'x', { qos: 1 }),
    'a control character in a topic': publish(CONTROL, 'x', { qos: 1 }),
    'a wildcard in a topic': publish('a/#', 'x', { qos: 1 }),
    'an empty topic': publish('', 'x', { qos: 1 }),
    'DUP on QoS 0': publish('a', 'x', { dup: true }),
    'a PUBLISH cut short': frame(0x32, [0, 9, 0x61]),
    'a PUBLISH without a topic length': frame(0x30, [0]),
    'PINGREQ with a body': frame(0xc0, [0]),
    'an invalid filter': subscribe(1, ['ab/+e', 0]),
    'NUL in a filter': subscribe(1, [NUL, 0]),
    'a requested QoS of 3': subscribe(1, ['a', 3]),
    'SUBSCRIBE of nothing': frame(0x82, [0, 1]),
    'SUBSCRIBE with packet id 0': subscribe(0, ['a', 0]),
    'UNSUBSCRIBE of nothing': frame(0xa2, [0, 1]),
    'UNSUBSCRIBE of an invalid filter': unsubscribe(1, 'a+'),
    'PUBREL with packet id 0': ack(TYPE.pubrel, 0),
    'PUBACK with packet id 0': ack(TYPE.puback, 0),
    'PUBREL with wrong flags': frame(0x60, [0, 1]),
    'a CONNACK from a client': frame(0x20, [0, 0]),
    'a second CONNECT': connect(),
  }
  for (const [what, packet] of Object.entries(wrong)) {
    assert.equal(await isClosedBy(packet), { closed: true, stored: 0 }, what)
  }
})

test('messages before a wrong packet are kept', async () => {
  const { stored } = await isClosedBy(publish('a', 'good'), publish('a', 'x', { qos: 1, id: 0 }))
  assert.is(stored, 1)
})

test('PUBREC for a QoS 1 delivery and PUBACK for a QoS 2 one end the connection', async () => {
  for (const [qos, wrong] of [
    [1, TYPE.pubrec],
    [2, TYPE.puback],
  ] as const) {
    const { front, peer } = await openRig()
    const client = peer()
    await client.connect()
    client.send(subscribe(1, ['a', 2]))
    await client.expect(TYPE.suback)
    client.send(publish('a', 'x', { qos, id: 5 }))
    let packet = await client.next()
    while (packet !== undefined && packet.type !== TYPE.publish) packet = await client.next()
    const id = packet!.body.readUInt16BE(3)
    client.send(ack(wrong, id))
    await settle()
    assert.ok(client.stream.destroyed, `QoS ${qos}`)
    assert.not.ok(client.take().some(({ type }) => type === TYPE.pubrel))
    await front.close()
  }
})

test('a refused peer is named in the log, and a flood of them is not', async () => {
  const { front, peer, lines, metric } = await openRig()
  for (let i = 0; i < 50; i++) {
    const client = peer()
    client.send(Buffer.from('GET / HTTP/1.1\r\n'))
    await client.closed
  }
  assert.is(lines.length, 20)
  assert.match(lines[0]!, 'a first packet that is not CONNECT')
  assert.is(metric('tributary_mqtt_refused_connections_total'), 50)
  await front.close()
})

test.run()
