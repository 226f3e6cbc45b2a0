// Requests that are well formed and want too much: long names, a million elements, one thing asked
// for ten thousand times. None of them may cost more than a small multiple of its own bytes.

import { once } from 'node:events'
import { connect } from 'node:net'
import * as assert from 'uvu/assert'
import { systemClock } from '../../../agent/base/clock.ts'
import { Logger, Metrics, silentLogger } from '../../../agent/base/telemetry.ts'
import { errorName } from '../../../agent/kafka/protocol/error-codes.ts'
import { encodeRequest } from '../../../agent/kafka/protocol/frame.ts'
import * as produce from '../../../agent/kafka/protocol/messages/00-produce.ts'
import * as metadata from '../../../agent/kafka/protocol/messages/03-metadata.ts'
import * as create from '../../../agent/kafka/protocol/messages/19-create-topics.ts'
import * as remove from '../../../agent/kafka/protocol/messages/20-delete-topics.ts'
import * as configs from '../../../agent/kafka/protocol/messages/32-describe-configs.ts'
import * as partitions from '../../../agent/kafka/protocol/messages/37-create-partitions.ts'
import * as producers from '../../../agent/kafka/protocol/messages/61-describe-producers.ts'
import { KafkaListener } from '../../../agent/kafka/server/listener.ts'
import { Log } from '../../../agent/log/log.ts'
import { kernel } from '../../support/batches.ts'
import { SimFileSystem } from '../../support/sim-file-system.ts'
import { suite } from '../../support/suite.ts'
import { sequenced, TestBroker } from './test-broker.ts'

const test = suite('greedy Kafka requests')

/** The longest a string can be on the wire. */
const LONG = 'x'.repeat(32_767)

test('a name as long as a string can be is named in an answer that still fits', async () => {
  const broker = await TestBroker.open()
  const removed = await broker.ask(remove, 6, {
    topics: [{ name: LONG, topicId: '00000000-0000-0000-0000-000000000000' }],
    timeoutMs: 1,
  })
  const grown = await broker.ask(partitions, 3, {
    topics: [{ name: LONG, count: 2, assignments: null }],
    timeoutMs: 1,
    validateOnly: false,
  })
  const described = await broker.ask(configs, 4, {
    resources: [{ resourceType: 2, resourceName: LONG }],
  })
  const wish = { name: LONG, numPartitions: 1, replicationFactor: 1 }
  const setting = { ...wish, name: 'a', configs: [{ name: LONG, value: LONG }] }
  const topics = [wish, wish, setting]
  const made = await broker.ask(create, 7, { topics, timeoutMs: 1, validateOnly: false })
  const messages = [
    removed.responses[0]!.errorMessage,
    grown.results[0]!.errorMessage,
    described.results[0]!.errorMessage,
    ...made.topics.map(({ errorMessage }) => errorMessage),
  ]
  assert.is(messages.length, 6)
  for (const message of messages) {
    assert.ok(message!.length > 10 && message!.length <= 1000, String(message?.length))
  }
  await broker.close()
})

test('a topic that is asked for ten thousand times is described once', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t', 100)
  const topics = Array.from({ length: 10_000 }, () => ({ name: 't' }))
  const answer = await broker.answerTo(metadata, 9, { topics, allowAutoTopicCreation: false })
  if (answer.kind !== 'now') throw new Error(answer.kind)
  const size = answer.response.reduce((sum, { length }) => sum + length, 0)
  assert.ok(size < 10_000, `${size} bytes`)
  await broker.close()
})

test("a partition's producers are told once, however often it is asked for", async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  const topicData = [{ name: 't', partitionData: [{ index: 0, records: sequenced(1n, 0, ['a']) }] }]
  const produced = broker.ask(produce, 9, { acks: -1, timeoutMs: 1000, topicData })
  await broker.committed()
  await produced
  const asked = { name: 't', partitionIndexes: [0, 0, 0] }
  const { topics } = await broker.ask(producers, 0, { topics: [asked, asked] })
  const found = topics.flatMap((topic) => topic.partitions)
  assert.equal(
    found.map(({ errorCode, activeProducers }) => [errorName(errorCode), activeProducers.length]),
    [['NONE', 1], ...Array.from({ length: 5 }, () => ['INVALID_REQUEST', 0])],
  )
  await broker.close()
})

test('a request of more elements than any client needs ends its connection', async () => {
  const lines: string[] = []
  const write = (line: string) => lines.push(line)
  const log = await Log.open({
    directory: 'store',
    fs: new SimFileSystem(1),
    kernel,
    clock: systemClock,
    logger: silentLogger,
    metrics: new Metrics(),
  })
  const listener = await KafkaListener.listen({
    log,
    clock: systemClock,
    logger: new Logger({ level: 'info', format: 'text', write, now: Date.now }),
    metrics: new Metrics(),
    clusterId: 'c',
    topicDefaults: () => ({ partitions: 1, replicated: false }),
    listeners: [{ host: '127.0.0.1', port: 0 }],
  })
  const partitionData = Array.from({ length: 30_000 }, (_, index) => ({ index, records: null }))
  const frame = encodeRequest(
    produce,
    { apiVersion: 9, correlationId: 1, clientId: 'greedy' },
    { acks: -1, timeoutMs: 1000, topicData: [{ name: 't', partitionData }] },
  )
  for (let turn = 0; turn < 40; turn++) {
    const socket = connect(listener.addresses[0]!.port, '127.0.0.1')
    socket.on('error', () => {}).on('data', () => assert.unreachable('an answer'))
    socket.write(Buffer.concat(frame))
    await once(socket, 'close')
  }
  const told = lines.filter((line) => line.includes('elements'))
  assert.is(told.length, 20, 'a peer that comes back for ever must not fill the log')
  await listener.close()
  await log.close()
})

test.run()
