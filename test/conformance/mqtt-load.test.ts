// The load generator against servers that are right and servers that are wrong: a bench is worth
// nothing when bad acks go unseen.

import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:net'
import * as assert from 'uvu/assert'
import { type LoadReport, runLoad } from '../support/mqtt-load.ts'
import { PACKET, shortPackets } from '../support/mqtt-packets.ts'
import { suite } from '../support/suite.ts'

const test = suite('mqtt load')
const servers: Server[] = []
test.after(() => {
  for (const server of servers) server.close()
})

type Answer = (packetId: number) => Buffer

/** Reads packets of its own, one PUBLISH shape only, and answers as told. */
async function serve(onPublish: Answer, onPubrel?: Answer): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => {
    let rest: Buffer = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      rest = Buffer.concat([rest, chunk])
      for (;;) {
        const isLong = rest.length >= 3 && rest[1]! > 127
        const size = isLong ? (rest[1]! & 127) + rest[2]! * 128 : (rest[1] ?? 0)
        const body = isLong ? 3 : 2
        if (rest.length < 2 || rest.length < body + size) return
        const first = rest[0]!
        if (first === 0x10) socket.write(Buffer.from([PACKET.connack, 2, 0, 0]))
        else if (first === PACKET.pingreq) socket.write(Buffer.from([PACKET.pingresp, 0]))
        else if (first === PACKET.pubrel) socket.write(onPubrel!(rest.readUInt16BE(body)))
        else if (first & 6) {
          socket.write(onPublish(rest.readUInt16BE(body + 2 + rest.readUInt16BE(body))))
        }
        rest = rest.subarray(body + size)
      }
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

function load(port: number, qos: 0 | 1 | 2): Promise<LoadReport> {
  const shape = { connections: 2, window: 5, seconds: 0.5, messages: 200, settleMs: 300 }
  return runLoad({ port, qos, ...shape })
}

const faultsOf = ({ badAcks, missingAcks, failedConnections }: LoadReport) => [
  badAcks,
  missingAcks,
  failedConnections,
]

const puback: Answer = (id) => shortPackets(PACKET.puback, [id])
const pubrec: Answer = (id) => shortPackets(PACKET.pubrec, [id])
const pubcomp: Answer = (id) => shortPackets(PACKET.pubcomp, [id])

test('a right server gets every message acked at each QoS', async () => {
  for (const [qos, port] of [
    [0, await serve(puback)],
    [1, await serve(puback)],
    [2, await serve(pubrec, pubcomp)],
  ] as const) {
    const report = await load(port, qos)
    assert.equal(faultsOf(report), [0, 0, 0], `QoS ${qos}`)
    assert.is(report.messages, 200, `QoS ${qos}`)
  }
})

test('an ack for another packet id is a bad ack', async () => {
  const report = await load(await serve((id) => puback(id === 3 ? 4 : id)), 1)
  assert.ok(report.badAcks > 0)
  assert.ok(report.missingAcks > 0)
})

test('an ack of another kind is a bad ack', async () => {
  assert.ok((await load(await serve(puback), 2)).badAcks > 0)
  assert.ok((await load(await serve(pubcomp, pubcomp), 2)).badAcks > 0)
})

test('an ack that comes twice is a bad ack', async () => {
  const report = await load(
    await serve((id) => shortPackets(PACKET.puback, id === 2 ? [id, id] : [id])),
    1,
  )
  assert.ok(report.badAcks > 0)
})

test('an ack that never comes is missing', async () => {
  const report = await load(await serve((id) => (id === 1 ? Buffer.alloc(0) : puback(id))), 1)
  assert.is(report.missingAcks, 2)
  assert.is(report.badAcks, 0)
})

test.run()
