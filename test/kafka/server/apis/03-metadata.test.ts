import * as assert from 'uvu/assert'
import { errorName } from '../../../../agent/kafka/protocol/error-codes.ts'
import * as api from '../../../../agent/kafka/protocol/messages/03-metadata.ts'
import * as cluster from '../../../../agent/kafka/protocol/messages/60-describe-cluster.ts'
import type { Decoded } from '../../../../agent/kafka/protocol/schema.ts'
import { ZERO_UUID } from '../../../../agent/kafka/protocol/wire.ts'
import { suite } from '../../../support/suite.ts'
import { TestBroker } from '../test-broker.ts'

const test = suite('Metadata and DescribeCluster')

function shown({ topics }: Decoded<typeof api.response>): string[] {
  return topics.map(
    ({ name, errorCode, partitions }) =>
      `${name} ${errorName(errorCode)} ${partitions.map(({ partitionIndex }) => partitionIndex)}`,
  )
}

test('every version tells one broker that leads every partition', async () => {
  const broker = await TestBroker.open()
  const { topic } = await broker.topic('t', 2)
  for (let version = 0; version <= 12; version++) {
    const answer = await broker.ask(api, version, { topics: [{ name: 't' }] })
    assert.equal(answer.brokers, [{ nodeId: 0, host: '10.0.0.7', port: 9092, rack: null }])
    assert.is(answer.clusterId, version >= 2 ? 'cluster-1' : null)
    assert.is(answer.controllerId, version >= 1 ? 0 : -1)
    assert.equal(shown(answer), ['t NONE 0,1'])
    assert.is(answer.topics[0]!.topicId, version >= 10 ? topic.id : ZERO_UUID)
    const { leaderId, replicaNodes, isrNodes } = answer.topics[0]!.partitions[1]!
    assert.equal([leaderId, replicaNodes, isrNodes], [0, [0], [0]])
  }
  await broker.close()
})

test('all topics are asked for with an empty list in v0, with null later', async () => {
  const broker = await TestBroker.open()
  await broker.topic('a')
  await broker.topic('b')
  assert.equal(shown(await broker.ask(api, 0, { topics: [] })), ['a NONE 0', 'b NONE 0'])
  assert.equal(shown(await broker.ask(api, 1, { topics: [] })), [])
  assert.equal(shown(await broker.ask(api, 1, { topics: null })), ['a NONE 0', 'b NONE 0'])
  await broker.close()
})

test('a topic is asked for by id from v10 on', async () => {
  const broker = await TestBroker.open()
  const { topic } = await broker.topic('t')
  const other = '00000000-0000-4000-8000-000000000001'
  const topics = [
    { topicId: topic.id, name: null },
    { topicId: other, name: null },
  ]
  const answer = await broker.ask(api, 12, { topics })
  assert.equal(shown(answer), ['t NONE 0', 'null UNKNOWN_TOPIC_ID '])
  assert.is(answer.topics[1]!.topicId, other)
  await broker.close()
})

test('a missing topic is made only where both sides want it, and is durable when told', async () => {
  const closed = await TestBroker.open()
  const unknown = ['new UNKNOWN_TOPIC_OR_PARTITION ']
  assert.equal(shown(await closed.ask(api, 12, { topics: [{ name: 'new' }] })), unknown)
  await closed.close()

  const broker = await TestBroker.open({ settings: { autoCreateTopics: true, topicsMax: 2 } })
  const silent = { topics: [{ name: 'new' }], allowAutoTopicCreation: false }
  assert.equal(shown(await broker.ask(api, 12, silent)), unknown)
  const made = await broker.ask(api, 12, { topics: [{ name: 'new' }, { name: '..' }] })
  assert.equal(shown(made), ['new NONE 0,1', '.. INVALID_TOPIC_EXCEPTION '])
  const many = await broker.ask(api, 3, { topics: [{ name: 'b' }, { name: 'c' }] })
  assert.equal(shown(many), ['b NONE 0,1', 'c POLICY_VIOLATION '])
  const restarted = await broker.crash()
  assert.ok(restarted.log.topic('new'))
  assert.ok(restarted.log.topic('b'))
  await restarted.close()
})

test('an advertised address is told instead of the one that was reached', async () => {
  const advertised = { host: 'gw.example.com', port: 19092 }
  const broker = await TestBroker.open({ settings: { advertised } })
  const { brokers } = await broker.ask(api, 12, { topics: [] })
  assert.equal([brokers[0]!.host, brokers[0]!.port], ['gw.example.com', 19092])
  const described = await broker.ask(cluster, 1, {})
  assert.is(described.clusterId, 'cluster-1')
  assert.equal(described.brokers, [{ brokerId: 0, ...advertised, rack: null, isFenced: false }])
  const controllers = await broker.ask(cluster, 1, { endpointType: 2 })
  assert.is(errorName(controllers.errorCode), 'UNSUPPORTED_ENDPOINT_TYPE')
  await broker.close()
})

test('authorized operations are told only when asked for', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  const plain = await broker.ask(api, 8, { topics: null })
  assert.is(plain.topics[0]!.topicAuthorizedOperations, api.NO_OPERATIONS)
  const full = await broker.ask(api, 8, {
    topics: null,
    includeTopicAuthorizedOperations: true,
    includeClusterAuthorizedOperations: true,
  })
  assert.ok(full.topics[0]!.topicAuthorizedOperations > 0)
  assert.ok(full.clusterAuthorizedOperations > 0)
  await broker.close()
})

test.run()
