import * as assert from 'uvu/assert'
import { errorName } from '../../../../agent/kafka/protocol/error-codes.ts'
import * as create from '../../../../agent/kafka/protocol/messages/19-create-topics.ts'
import * as remove from '../../../../agent/kafka/protocol/messages/20-delete-topics.ts'
import * as configs from '../../../../agent/kafka/protocol/messages/32-describe-configs.ts'
import * as partitions from '../../../../agent/kafka/protocol/messages/37-create-partitions.ts'
import { readBatchHeader } from '../../../../agent/record/record-batch.ts'
import { suite } from '../../../support/suite.ts'
import { sequenced, TestBroker } from '../test-broker.ts'

const test = suite('topics over the Kafka protocol')

interface Wish {
  name: string
  numPartitions?: number
  replicationFactor?: number
  assignments?: { partitionIndex: number; brokerIds: number[] }[]
  configs?: { name: string; value: string | null }[]
}

async function createTopics(broker: TestBroker, wishes: Wish[], validateOnly = false, version = 7) {
  const topics = wishes.map((wish) => ({ numPartitions: 3, replicationFactor: 1, ...wish }))
  const answer = await broker.ask(create, version, { topics, timeoutMs: 1000, validateOnly })
  return answer.topics.map((topic) => ({ ...topic, error: errorName(topic.errorCode) }))
}

/** name → value of what is set for the topic itself, and of everything. */
async function describe(broker: TestBroker, resourceName: string, resourceType = 2) {
  const resources = [{ resourceType, resourceName }]
  const { results } = await broker.ask(configs, 4, { resources, includeSynonyms: true })
  const all = Object.fromEntries(results[0]!.configs.map(({ name, value }) => [name, value]))
  const own = results[0]!.configs.filter(({ configSource }) => configSource === 1)
  return { error: errorName(results[0]!.errorCode), all, own: own.map(({ name }) => name) }
}

test('a topic is durable when its creation is answered, in every version', async () => {
  const broker = await TestBroker.open()
  for (let version = 2; version <= 7; version++) {
    const [made] = await createTopics(broker, [{ name: `t${version}` }], false, version)
    assert.is(made!.error, 'NONE')
    if (version >= 5) assert.equal([made!.numPartitions, made!.replicationFactor], [3, 1])
    if (version >= 7) assert.is(made!.topicId, broker.log.topic('t7')!.id)
  }
  const restarted = await broker.crash()
  assert.is(restarted.log.topic('t2')!.partitions.length, 3)
  assert.is(restarted.log.topic('t7')!.partitions.length, 3)
  await restarted.close()
})

test('counts of -1 take the defaults, assignments their own number', async () => {
  const broker = await TestBroker.open()
  const own = { numPartitions: -1, replicationFactor: -1 }
  const assignments = [0, 1, 2, 3].map((partitionIndex) => ({ partitionIndex, brokerIds: [0] }))
  await createTopics(broker, [
    { name: 'a', ...own },
    { name: 'b', ...own, assignments },
  ])
  assert.is(broker.log.topic('a')!.partitions.length, 2)
  assert.is(broker.log.topic('b')!.partitions.length, 4)
  await broker.close()
})

test('what cannot be is refused by its name, and nothing is made', async () => {
  const broker = await TestBroker.open({ settings: { partitionsMax: 10 } })
  await broker.topic('there')
  const set = (name: string, value: string) => ({ configs: [{ name, value }] })
  const cases: [Wish, string][] = [
    [{ name: 'there' }, 'TOPIC_ALREADY_EXISTS'],
    [{ name: 'a/b' }, 'INVALID_TOPIC_EXCEPTION'],
    [{ name: 'x', numPartitions: 0 }, 'INVALID_PARTITIONS'],
    [{ name: 'x', numPartitions: 10 }, 'INVALID_PARTITIONS'],
    [{ name: 'x', replicationFactor: 3 }, 'INVALID_REPLICATION_FACTOR'],
    [{ name: 'x', assignments: [{ partitionIndex: 0, brokerIds: [0] }] }, 'INVALID_REQUEST'],
    [
      {
        name: 'x',
        numPartitions: -1,
        replicationFactor: -1,
        assignments: [{ partitionIndex: 0, brokerIds: [1] }],
      },
      'INVALID_REPLICA_ASSIGNMENT',
    ],
    [{ name: 'x', ...set('cleanup.policy', 'compact') }, 'INVALID_CONFIG'],
    [{ name: 'x', ...set('compression.type', 'gzip') }, 'INVALID_CONFIG'],
    [{ name: 'x', ...set('retention.ms', 'soon') }, 'INVALID_CONFIG'],
    [{ name: 'x', ...set('max.message.bytes', '999999999') }, 'INVALID_CONFIG'],
    [{ name: 'x', ...set('retention.sm', '5') }, 'INVALID_CONFIG'],
  ]
  for (const [wish, expected] of cases) {
    const [answer] = await createTopics(broker, [wish])
    assert.is(answer!.error, expected, JSON.stringify(wish))
    assert.ok(answer!.errorMessage)
  }
  const twice = await createTopics(broker, [{ name: 'y' }, { name: 'y' }])
  assert.equal(
    twice.map(({ error }) => error),
    ['INVALID_REQUEST', 'INVALID_REQUEST'],
  )
  const [dry] = await createTopics(broker, [{ name: 'z' }], true)
  assert.equal([dry!.error, dry!.numPartitions], ['NONE', 3])
  assert.equal(
    Array.from(broker.log.topics(), ({ name }) => name),
    ['there'],
  )
  await broker.close()
})

test('the settings of a mirror topic are taken and told', async () => {
  const broker = await TestBroker.open()
  const longMax = '9223372036854775807'
  const wished = {
    'compression.type': 'producer',
    'message.timestamp.type': 'CreateTime',
    'message.timestamp.before.max.ms': longMax,
    'message.timestamp.after.max.ms': longMax,
    'cleanup.policy': 'delete',
    'unclean.leader.election.enable': 'false',
    'min.insync.replicas': '2',
    'max.message.bytes': '1048576',
    'retention.ms': '86400000',
    'retention.bytes': '-1',
  }
  const list = Object.entries(wished).map(([name, value]) => ({ name, value }))
  const [made] = await createTopics(broker, [{ name: 'm', configs: list }])
  assert.is(made!.error, 'NONE')
  assert.is(broker.log.topic('m')!.settings.retentionMs, 86_400_000)
  const { error, all, own } = await describe(broker, 'm')
  assert.is(error, 'NONE')
  assert.equal(own, ['retention.ms'])
  for (const name of Object.keys(wished)) assert.ok(name in all, name)
  assert.is(all['message.timestamp.after.max.ms'], longMax)
  assert.is(all['compression.type'], 'producer')
  await broker.close()
})

test('a topic is told to have the codec that it was made with', async () => {
  const broker = await TestBroker.open()
  for (const [value, stored] of [
    ['zstd', 'zstd'],
    ['lz4', 'lz4'],
    ['uncompressed', 'none'],
    ['producer', undefined],
  ] as const) {
    const list = [{ name: 'compression.type', value }]
    const [made] = await createTopics(broker, [{ name: value, configs: list }])
    assert.is(made!.error, 'NONE', value)
    assert.is(broker.log.topic(value)!.settings.compression, stored)
    assert.is((await describe(broker, value)).all['compression.type'], value)
  }
  await broker.close()
})

test('configurations are told by name where names are asked for, and only of what exists', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  for (let version = 1; version <= 4; version++) {
    const resources = [{ resourceType: 2, resourceName: 't', configurationKeys: ['retention.ms'] }]
    const { results } = await broker.ask(configs, version, { resources })
    assert.equal(
      results[0]!.configs.map(({ name, value }) => [name, value]),
      [['retention.ms', '-1']],
    )
  }
  assert.is((await describe(broker, 'x')).error, 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is((await describe(broker, '1', 4)).error, 'INVALID_REQUEST')
  assert.is((await describe(broker, 'x', 8)).error, 'INVALID_REQUEST')
  const ours = await describe(broker, '0', 4)
  assert.is(ours.all['producer.id.expiration.ms'], '86400000')
  await broker.close()
})

test('partitions are added, never taken away', async () => {
  const broker = await TestBroker.open({ settings: { partitionsMax: 6 } })
  await broker.topic('t', 2)
  const grow = async (name: string, count: number, more = {}) => {
    const topics = [{ name, count, ...more }]
    const answer = await broker.ask(partitions, 3, { topics, timeoutMs: 1000, ...more })
    return errorName(answer.results[0]!.errorCode)
  }
  assert.is(await grow('x', 3), 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is(await grow('t', 2), 'INVALID_PARTITIONS')
  assert.is(await grow('t', 1), 'INVALID_PARTITIONS')
  assert.is(await grow('t', 7), 'INVALID_PARTITIONS')
  assert.is(await grow('t', 3, { assignments: [{ brokerIds: [4] }] }), 'INVALID_REPLICA_ASSIGNMENT')
  assert.is(await grow('t', 4, { validateOnly: true }), 'NONE')
  assert.is(broker.log.topic('t')!.partitions.length, 2)
  assert.is(await grow('t', 5), 'NONE')
  const restarted = await broker.crash()
  assert.is(restarted.log.topic('t')!.partitions.length, 5)
  await restarted.close()
})

test('a deleted topic is gone, by name or by id, with what was known of its producers', async () => {
  const broker = await TestBroker.open()
  const a = await broker.topic('a')
  const b = await broker.topic('b')
  const batch = sequenced(3n, 0, ['x'])
  broker.broker.producers.appended(a, readBatchHeader(batch), a.appendBatch(batch))
  const byName = await broker.ask(remove, 5, { topicNames: ['a', 'x'], timeoutMs: 1000 })
  assert.equal(
    byName.responses.map(({ name, errorCode }) => [name, errorName(errorCode)]),
    [
      ['a', 'NONE'],
      ['x', 'UNKNOWN_TOPIC_OR_PARTITION'],
    ],
  )
  const other = '00000000-0000-4000-8000-000000000001'
  const topics = [
    { name: null, topicId: b.topic.id },
    { name: null, topicId: other },
  ]
  const byId = await broker.ask(remove, 6, { topics, timeoutMs: 1000 })
  assert.equal(
    byId.responses.map(({ name, errorCode }) => [name, errorName(errorCode)]),
    [
      ['b', 'NONE'],
      [null, 'UNKNOWN_TOPIC_ID'],
    ],
  )
  assert.is(broker.broker.producers.size, 0)
  const restarted = await broker.crash()
  assert.equal([...restarted.log.topics()], [])
  await restarted.close()
})

test.run()
