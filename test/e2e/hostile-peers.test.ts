// Peers that send what no client sends, on the real ports, while a well-behaved client goes on. The
// agent stays up, stays small, and loses nothing.

import { connect as connectSocket } from 'node:net'
import * as assert from 'uvu/assert'
import { goldenFrames } from '../kafka/protocol/golden-frames.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { connect, frame, publish, subscribe, TYPE, text } from '../support/mqtt-peer.ts'
import { waitUntil } from '../support/ports.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { peerOn, SteadyClient } from '../support/steady-client.ts'
import { suite } from '../support/suite.ts'

const test = suite('hostile peers')
/** Far above what the agent takes, far below what it would take if anything piled up. */
const GROWTH_MAX = 120_000_000

const agent = await AgentProcess.create({
  gateway: 'g',
  topicDefaults: { partitions: 1 },
  mqtt: { maxConnections: 50, maxPacketSize: '64KiB' },
})
test.after(() => agent.remove())

/** Sends bytes on a connection of their own; resolves when the agent has ended it, or after `ms`. */
function throwAt(port: number, bytes: Buffer, ms: number): Promise<'ended' | 'open'> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1')
    const timer = setTimeout(() => end('open'), ms)
    const end = (outcome: 'ended' | 'open') => {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    socket.on('error', () => {})
    socket.on('close', () => end('ended'))
    socket.resume()
    socket.write(bytes)
  })
}

/** Runs `attack` while a client publishes; the agent must be the same afterwards. */
async function beside(attack: () => Promise<void>): Promise<void> {
  const { pid } = agent
  const before = await agent.metric('process_resident_memory_bytes')
  const client = await SteadyClient.connect(agent.mqttPort, { clientId: 'good', topic: 'good' })
  const [from, state] = [await endOffset(), { isOver: false }]
  const publishing = (async () => {
    while (!state.isOver) await client.publish()
  })()
  await attack()
  state.isOver = true
  await publishing
  assert.ok(client.acked.length > 0 && !client.isClosed)
  client.close()
  assert.is(agent.pid, pid, agent.launchLog.slice(-2000))
  assert.ok((await endOffset()) - from >= client.acked.length)
  const grown = (await agent.metric('process_resident_memory_bytes')) - before
  assert.ok(grown < GROWTH_MAX, `${grown} bytes more`)
}

async function endOffset(): Promise<number> {
  const { topics } = await agent.status()
  const topic = topics.find(({ topic }) => topic === 'g.mqtt')
  return topic?.partitions[0]?.highWatermark ?? 0
}

test('malformed MQTT ends its own connection and nothing else', async () => {
  await agent.start()
  const hello = connect({ clientId: 'bad' })
  const random = new SeededRandom(7)
  const packets = [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    Buffer.of(0x10, 0xff, 0xff, 0xff, 0xff, 0x7f),
    Buffer.of(0x10, 0xff, 0xff, 0xff, 0x7f),
    Buffer.of(0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3),
    Buffer.concat([hello, hello]),
    Buffer.concat([hello, Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f)]),
    Buffer.concat([hello, frame(0x32, text('a'), [0, 0])]),
    Buffer.concat([hello, frame(0x36, text('a'), [0, 1])]),
    Buffer.concat([hello, frame(0x30, [0xff, 0xff, 0x61])]),
    Buffer.concat([hello, publish('a/+/b', 'x')]),
    Buffer.concat([hello, publish(Buffer.of(0x61, 0, 0x62), 'x')]),
    Buffer.concat([hello, publish('big', Buffer.alloc(65_536))]),
    Buffer.concat([hello, frame(0x82, [0, 1])]),
    Buffer.concat([hello, subscribe(1, ['a/#/b', 0])]),
  ]
  await beside(async () => {
    for (const bytes of packets) {
      assert.is(await throwAt(agent.mqttPort, bytes, 5_000), 'ended', bytes.toString('hex', 0, 40))
    }
    for (let round = 0; round < 150; round++) {
      const noise = random.bytes(1 + random.below(300))
      await throwAt(agent.mqttPort, round % 2 === 0 ? noise : Buffer.concat([hello, noise]), 3)
    }
  })
})

test('malformed Kafka frames end their own connection and nothing else', async () => {
  const random = new SeededRandom(8)
  const requests = goldenFrames.filter(({ kind }) => kind === 'request').map(({ frame }) => frame)
  assert.ok(requests.length > 20)
  const size = (value: number) => {
    const bytes = Buffer.alloc(12)
    bytes.writeInt32BE(value)
    return bytes
  }
  await beside(async () => {
    for (const bytes of [size(-1), size(0x7fffffff), size(-0x80000000), size(0), size(9e6)]) {
      assert.is(await throwAt(agent.kafkaPort, bytes, 5_000), 'ended')
    }
    assert.is(await throwAt(agent.kafkaPort, Buffer.from('GET / HTTP/1.1\r\n\r\n'), 5_000), 'ended')
    for (let round = 0; round < 400; round++) {
      const body = Buffer.from(requests[random.below(requests.length)]!)
      const changes = random.below(4)
      for (let change = 0; change < changes; change++) {
        body[8 + random.below(body.length - 8)] = random.below(256)
      }
      const cut = random.below(4) === 0 ? body.subarray(0, random.below(body.length)) : body
      const head = Buffer.alloc(4)
      head.writeInt32BE(random.below(8) === 0 ? random.below(1_000_000) : cut.length)
      await throwAt(agent.kafkaPort, Buffer.concat([head, cut]), 3)
    }
  })
})

test('half a frame on many connections takes no memory worth speaking of', async () => {
  await beside(async () => {
    const head = Buffer.alloc(8)
    head.writeInt32BE(8_000_000)
    const mqtt = Buffer.concat([Buffer.of(0x10, 0xf0, 0xff, 3), Buffer.alloc(40_000)])
    const attempts = Array.from({ length: 40 }, () => [
      throwAt(agent.kafkaPort, Buffer.concat([head, Buffer.alloc(100_000)]), 1_000),
      throwAt(agent.mqttPort, mqtt, 1_000),
    ])
    await Promise.all(attempts.flat())
  })
})

test('a client of MQTT 5 gets CONNACK 1, and the log says what to do', async () => {
  const peer = peerOn(agent.mqttPort)
  peer.send(frame(0x10, text('MQTT'), [5, 2, 0, 0, 0], text('z2m')))
  const connack = await peer.expect(TYPE.connack)
  assert.equal([...connack.body], [0, 1])
  await peer.closed
  const sentence = 'client z2m speaks MQTT 5; this version takes 3.1.1 (mosquitto_pub -V mqttv311)'
  await waitUntil('the log says it', 2_000, () => agent.launchLog.includes(sentence))
})

test('one connection more than allowed is refused, and again welcome when one has gone', async () => {
  const peers = Array.from({ length: 50 }, () => peerOn(agent.mqttPort))
  await Promise.all(peers.map((peer, index) => peer.connect({ clientId: `c${index}` })))
  const late = peerOn(agent.mqttPort)
  await late.closed
  const sentence = 'refused an MQTT connection: mqtt.maxConnections 50 is reached'
  await waitUntil('the log says it', 2_000, () => agent.launchLog.includes(sentence))
  peers[0]!.stream.destroy()
  await waitUntil('there is room', 2_000, async () => (await agent.status()).mqtt.clients === 49)
  const next = peerOn(agent.mqttPort)
  await next.connect({ clientId: 'next' })
  for (const peer of [...peers, next]) peer.stream.destroy()
})

test('what was stored meanwhile is whole, and no stack was printed', async () => {
  assert.is(await agent.stop(), 0)
  assert.not.match(agent.launchLog, /\n\s+at |broken invariant|Error:/)
  const { code, stdout, stderr } = await agent.command(['verify', agent.dataDir])
  assert.is(code, 0, stdout + stderr)
})

test.run()
