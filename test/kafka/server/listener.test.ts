import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/base/clock.ts'
import { Logger, Metrics, silentLogger } from '../../../agent/base/telemetry.ts'
import { BrokerConnection } from '../../../agent/kafka/client/broker-connection.ts'
import { encodeRequest } from '../../../agent/kafka/protocol/frame.ts'
import * as produce from '../../../agent/kafka/protocol/messages/00-produce.ts'
import * as fetch from '../../../agent/kafka/protocol/messages/01-fetch.ts'
import * as metadata from '../../../agent/kafka/protocol/messages/03-metadata.ts'
import * as apiVersions from '../../../agent/kafka/protocol/messages/18-api-versions.ts'
import { KafkaListener, type KafkaListenerOptions } from '../../../agent/kafka/server/listener.ts'
import { Log } from '../../../agent/log/log.ts'
import { kernel } from '../../support/batches.ts'
import { freePort, waitUntil } from '../../support/ports.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { SimFileSystem } from '../../support/sim-file-system.ts'
import { suite } from '../../support/suite.ts'
import { goldenFrames, titleOf } from '../protocol/golden-frames.ts'
import { producerBatch } from './test-broker.ts'

const test = suite('Kafka listener')

class Served {
  readonly lines: string[] = []
  readonly log: Log
  readonly listener: KafkaListener
  readonly metrics: Metrics

  private constructor(log: Log, listener: KafkaListener, metrics: Metrics, lines: string[]) {
    this.log = log
    this.listener = listener
    this.metrics = metrics
    this.lines = lines
  }

  static async start(options: Partial<KafkaListenerOptions> = {}): Promise<Served> {
    const lines: string[] = []
    const write = (line: string) => lines.push(line)
    const logger = new Logger({ level: 'info', format: 'text', write, now: Date.now })
    const metrics = new Metrics()
    const log = await Log.open({
      directory: 'store',
      fs: new SimFileSystem(1),
      kernel,
      clock: systemClock,
      logger: silentLogger,
      metrics,
      commitIntervalMs: 0,
    })
    const listener = await KafkaListener.listen({
      log,
      clock: systemClock,
      logger,
      metrics,
      clusterId: 'c',
      topicDefaults: () => ({ partitions: 1, replicated: false }),
      listeners: [{ host: '127.0.0.1', port: 0 }],
      ...options,
    })
    return new Served(log, listener, metrics, lines)
  }

  get port(): number {
    return this.listener.addresses[0]!.port
  }

  async connect(): Promise<Socket> {
    const socket = connect({ port: this.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }

  client(): Promise<BrokerConnection> {
    const address = { host: '127.0.0.1', port: this.port }
    return BrokerConnection.open({ ...address, clientId: 'test', clock: systemClock })
  }

  async stop(): Promise<void> {
    await this.listener.close()
    await this.log.close()
  }
}

function frameOf(api: Parameters<typeof encodeRequest>[0], version: number, body: unknown, id = 1) {
  const header = { apiVersion: version, correlationId: id, clientId: 'raw' }
  return Buffer.concat(encodeRequest(api as never, header, body))
}

/** Reads frames without their sizes until there are `count`, or the connection ends. */
async function answersOf(socket: Socket, count: number): Promise<Buffer[]> {
  let bytes = Buffer.alloc(0)
  const frames: Buffer[] = []
  const take = () => {
    while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
      const size = bytes.readInt32BE(0)
      frames.push(bytes.subarray(4, 4 + size))
      bytes = bytes.subarray(4 + size)
    }
  }
  return new Promise((resolve) => {
    const done = () => {
      socket.off('data', onData)
      resolve(frames)
    }
    const onData = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      take()
      if (frames.length >= count) done()
    }
    socket.on('data', onData)
    socket.once('close', done)
  })
}

const versionsRequest = { clientSoftwareName: 'x', clientSoftwareVersion: '1' }

test('ApiVersions tells what the registry serves, with header v0 in every version', async () => {
  const served = await Served.start()
  const socket = await served.connect()
  for (let version = 0; version <= 4; version++) {
    socket.write(frameOf(apiVersions, version, versionsRequest, version))
    const [frame] = await answersOf(socket, 1)
    assert.is(frame!.readInt32BE(0), version)
    assert.is(frame!.readInt16BE(4), 0)
  }
  const client = await served.client()
  const { apiKeys } = await client.send(apiVersions, versionsRequest)
  const shown = apiKeys.map(
    ({ apiKey, minVersion, maxVersion }) => `${apiKey}: ${minVersion}-${maxVersion}`,
  )
  assert.equal(shown, [
    '0: 0-11',
    '1: 4-16',
    '2: 1-8',
    '3: 0-12',
    '18: 0-4',
    '19: 2-7',
    '20: 1-6',
    '22: 0-5',
    '23: 2-4',
    '32: 1-4',
    '37: 0-3',
    '60: 0-1',
    '61: 0-0',
  ])
  client.close()
  await served.stop()
})

test('an ApiVersions of the future is answered in v0 with its own range, and may ask again', async () => {
  const served = await Served.start()
  const socket = await served.connect()
  const frame = frameOf(apiVersions, 4, versionsRequest, 9)
  frame.writeInt16BE(5, 6)
  frame.fill(0xff, 18)
  socket.write(frame)
  const [answer] = await answersOf(socket, 1)
  assert.is(answer!.toString('hex'), '00000009' + '0023' + '00000001' + '0012' + '0000' + '0004')
  socket.write(frameOf(apiVersions, 3, versionsRequest, 10))
  assert.is((await answersOf(socket, 1))[0]!.readInt16BE(4), 0)
  socket.destroy()
  await served.stop()
})

test('pipelined requests are answered in their order', async () => {
  const served = await Served.start({ inFlightMax: 4 })
  await served.log.createTopic('t', { partitions: 1, replicated: false })
  const socket = await served.connect()
  const frames: Buffer[] = []
  for (let id = 0; id < 60; id += 2) {
    const records = producerBatch([String(id)])
    const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
    frames.push(frameOf(produce, 9, { acks: -1, timeoutMs: 1000, topicData }, id))
    frames.push(frameOf(metadata, 12, { topics: null }, id + 1))
  }
  const stream = Buffer.concat(frames)
  const answers = answersOf(socket, 60)
  for (let at = 0; at < stream.length; at += 777) socket.write(stream.subarray(at, at + 777))
  const ids = (await answers).map((frame) => frame.readInt32BE(0))
  assert.equal(
    ids,
    Array.from({ length: 60 }, (_, id) => id),
  )
  assert.is(served.log.topic('t')!.partitions[0]!.highWatermark, 30)
  socket.destroy()
  await served.stop()
})

test('a client that ends its side at once still gets its records in and its answers out', async () => {
  const served = await Served.start()
  await served.log.createTopic('t', { partitions: 1, replicated: false })
  const socket = await served.connect()
  for (let id = 0; id < 10; id++) {
    const partitionData = [{ index: 0, records: producerBatch([String(id)]) }]
    const topicData = [{ name: 't', partitionData }]
    socket.write(frameOf(produce, 9, { acks: id < 9 ? 0 : 1, timeoutMs: 1000, topicData }, id))
  }
  const answers = answersOf(socket, 1)
  socket.end()
  assert.equal(
    (await answers).map((frame) => frame.readInt32BE(0)),
    [9],
  )
  await once(socket, 'close')
  assert.is(served.log.topic('t')!.partitions[0]!.highWatermark, 10)
  await served.stop()
})

test('whatever is no request ends that connection with one line, and nothing else', async () => {
  const served = await Served.start({ requestBytesMax: 10_000 })
  const good = await served.client()
  const sized = (size: number, body = '') => {
    const frame = Buffer.alloc(4 + body.length / 2)
    frame.writeInt32BE(size)
    frame.write(body, 4, 'hex')
    return frame
  }
  const cases: [string, Buffer, string][] = [
    ['negative size', sized(-5), 'a frame of -5 bytes'],
    ['huge size', sized(2 ** 31 - 1), 'a frame of 2147483647 bytes'],
    ['too large', sized(10_001), 'a frame of 10001 bytes'],
    ['empty', sized(0), 'malformed Kafka frame'],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'a frame of'],
    ['unknown API', sized(10, '03e70000000000010000'), 'API 999 is not served'],
    ['old version', sized(10, '00010003000000010000'), 'Fetch v3 is not served'],
    ['new version', sized(10, '00030063000000010000'), 'Metadata v99 is not served'],
    ['negative count', sized(18, '0003000100000001000178ffffff9c000000'), 'malformed Kafka frame'],
    ['huge count', sized(15, '00030001000000010001787fffffff'), 'malformed Kafka frame'],
  ]
  for (const [title, bytes, reason] of cases) {
    served.lines.length = 0
    const socket = await served.connect()
    socket.write(bytes)
    await once(socket, 'close')
    assert.is(served.lines.length, 1, title)
    assert.match(served.lines[0]!, reason)
  }
  assert.is((await good.send(metadata, { topics: null })).topics.length, 0)
  good.close()
  await served.stop()
})

test('random and damaged frames neither stop the listener nor are acked', async () => {
  const served = await Served.start({ autoCreateTopics: true })
  const random = new SeededRandom(7)
  const requests = goldenFrames.filter(({ kind }) => kind === 'request')
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(requests[random.below(requests.length)]!.frame)
    for (let flips = 1 + random.below(4); flips > 0; flips--) {
      bytes[4 + random.below(bytes.length - 4)] = random.below(256)
    }
    const size = Buffer.alloc(4)
    size.writeInt32BE(random.chance(0.8) ? bytes.length : random.below(bytes.length * 2))
    const socket = await served.connect()
    socket.write(Buffer.concat([size, bytes.subarray(0, 1 + random.below(bytes.length))]))
    socket.end()
    socket.resume()
    if (round % 50 === 49) await once(socket, 'close')
  }
  await waitUntil('every connection has ended', 15_000, () => served.listener.connections === 0)
  const client = await served.client()
  assert.ok((await client.send(metadata, { topics: null })).brokers.length === 1)
  client.close()
  await served.stop()
})

test('every golden request of a served version is answered in its own shape', async () => {
  const served = await Served.start({ autoCreateTopics: true })
  await served.log.createTopic('kcat', { partitions: 3, replicated: false })
  const client = await served.client()
  const { apiKeys } = await client.send(apiVersions, versionsRequest)
  client.close()
  let answered = 0
  for (const golden of goldenFrames) {
    const range = apiKeys.find(({ apiKey }) => apiKey === golden.apiKey)
    const { version, kind, frame } = golden
    if (kind !== 'request' || range === undefined) continue
    if (version < range.minVersion || version > range.maxVersion) continue
    const socket = await served.connect()
    const size = Buffer.alloc(4)
    size.writeInt32BE(frame.length)
    socket.write(Buffer.concat([size, frame]))
    const [answer] = await answersOf(socket, 1)
    assert.ok(answer, titleOf(golden))
    assert.is(answer!.readInt32BE(0), frame.readInt32BE(4), titleOf(golden))
    socket.destroy()
    answered++
  }
  assert.ok(answered > 60, `${answered} requests`)
  await served.stop()
})

test('above the limit of connections further ones are refused, and said once', async () => {
  const served = await Served.start({ connectionsMax: 2 })
  const [first, second] = [await served.connect(), await served.connect()]
  for (let i = 0; i < 3; i++) {
    const refused = await served.connect()
    await once(refused, 'close')
  }
  assert.is(served.lines.length, 1)
  assert.match(served.lines[0]!, '2 Kafka clients are connected')
  first.destroy()
  await waitUntil('the place is free', 5000, () => served.listener.connections === 1)
  const client = await served.client()
  client.close()
  second.destroy()
  await served.stop()
})

test('a client that does not read is not answered beyond a bound', async () => {
  const served = await Served.start({ unsentBytesMax: 100_000, fetchBytesMax: 200_000 })
  const topic = await served.log.createTopic('t', { partitions: 1, replicated: false })
  topic.partitions[0]!.appendBatch(producerBatch(['x'.repeat(150_000)]))
  await served.log.durable(served.log.openCommit)
  let reads = 0
  const partition = topic.partitions[0]!
  const read = partition.read.bind(partition)
  partition.read = (...args) => {
    reads++
    return read(...args)
  }
  const socket = await served.connect()
  socket.pause()
  const topics = [
    { topic: 't', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20 }] },
  ]
  const request = { maxWaitMs: 0, minBytes: 1, maxBytes: 1 << 20, topics }
  const frames = Array.from({ length: 400 }, (_, id) => frameOf(fetch, 12, request, id))
  socket.write(Buffer.concat(frames))
  let before = -1
  await waitUntil(
    'the server holds still',
    10_000,
    () => {
      const isStill = reads > 0 && reads === before
      before = reads
      return isStill
    },
    200,
  )
  assert.ok(reads < 200, `${reads} answers for a client that reads none`)
  const answers = await answersOf(socket.resume(), 400)
  assert.equal(
    answers.map((frame) => frame.readInt32BE(0)),
    frames.map((_, id) => id),
  )
  socket.destroy()
  await served.stop()
})

test('closing answers what is at work, ends long polls, and lets nobody in', async () => {
  const served = await Served.start()
  const topic = await served.log.createTopic('t', { partitions: 1, replicated: false })
  const socket = await served.connect()
  const topics = [
    { topic: 't', partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }] },
  ]
  const poll = { maxWaitMs: 60_000, minBytes: 1, maxBytes: 1000, topics }
  const answers = answersOf(socket, 1)
  socket.write(frameOf(fetch, 12, poll, 5))
  const idle = await served.connect()
  await waitUntil('both are connected', 5000, () => served.listener.connections === 2)
  await waitUntil('the poll waits', 5000, () =>
    served.metrics.text().includes('requests_total{api="Fetch"} 1'),
  )
  const { port } = served
  await served.listener.close()
  assert.equal(
    (await answers).map((frame) => frame.readInt32BE(0)),
    [5],
  )
  assert.is(served.listener.connections, 0)
  const late = connect({ port, host: '127.0.0.1' })
  const [error] = await once(late, 'error')
  assert.is(error.code, 'ECONNREFUSED')
  idle.destroy()
  assert.is(topic.partitions[0]!.logEndOffset, 0)
  await served.log.close()
})

test('a busy port is one sentence, and leaves nothing listening', async () => {
  const taken = createServer()
  taken.listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  const port = typeof address === 'object' ? address!.port : 0
  const free = await freePort()
  const listeners = [free, port].map((number) => ({ host: '127.0.0.1', port: number }))
  try {
    await Served.start({ listeners })
    assert.unreachable()
  } catch (fault) {
    assert.is((fault as Error).message, `${port} is in use: set kafka.listeners`)
  }
  const probe = connect({ port: free, host: '127.0.0.1' })
  const [error] = await once(probe, 'error')
  assert.is(error.code, 'ECONNREFUSED')
  taken.close()
})

test.run()
