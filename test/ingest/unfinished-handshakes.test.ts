// Sockets that are no MQTT connections yet: in a TLS handshake, before a WebSocket upgrade. They count,
// too, or nobody would have to send a CONNECT to use up the agent's descriptors.

import { connect, type Socket } from 'node:net'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { MqttListener } from '../../agent/ingest/mqtt-listener.ts'
import { FakeLog } from '../support/fake-log.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'

const test = suite('unfinished handshakes')

test('sockets before their upgrade are bounded', async () => {
  const listener = await MqttListener.open({
    log: new FakeLog(),
    clock: systemClock,
    metrics: new Metrics(),
    logger: silentLogger,
    gateway: 'gw',
    topicPrefix: '{gateway}.',
    routes: [],
    profiles: new Map(),
    deadLetter: 'dead-letter',
    unrouted: undefined,
    maxTopics: 100,
    topicSettings: () => ({ partitions: 1, replicated: true }),
    allowAnonymous: undefined,
    maxPacketSize: 524_288,
    listeners: [{ scheme: 'ws', host: '127.0.0.1', port: 0 }],
    usersFile: undefined,
    tls: {},
    maxConnections: 10,
  })
  const port = Number(listener.addresses[0]!.split(':').pop())
  let closed = 0
  const sockets: Socket[] = []
  for (let count = 0; count < 200; count++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {}).on('close', () => closed++)
    socket.resume()
    sockets.push(socket)
  }
  await waitUntil('most are refused', 5_000, () => closed >= 200 - 10 - 64)
  assert.is(closed, 200 - 10 - 64)
  for (const socket of sockets) socket.destroy()
  await listener.close()
})

test.run()
