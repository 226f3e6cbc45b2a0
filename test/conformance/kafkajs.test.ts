// kafkajs: its admin client and its producer. Its consumer knows only groups, so records are read past
// the protocol here.

import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { ServedLog } from './served-log.ts'

const test = suite('kafkajs')

async function withKafka(run: (kafka: Kafka, served: ServedLog) => Promise<void>): Promise<void> {
  const served = await ServedLog.start()
  const kafka = new Kafka({ clientId: 'k', brokers: [served.address], logLevel: logLevel.NOTHING })
  try {
    await run(kafka, served)
  } finally {
    await served.stop()
  }
}

test('the admin client makes, describes, grows and deletes topics, and asks for offsets', async () => {
  await withKafka(async (kafka, served) => {
    const admin = kafka.admin()
    await admin.connect()
    const configEntries = [{ name: 'retention.ms', value: '60000' }]
    assert.is(
      await admin.createTopics({ topics: [{ topic: 'a', numPartitions: 2, configEntries }] }),
      true,
    )
    assert.equal(await admin.listTopics(), ['a'])
    await admin.createPartitions({ topicPartitions: [{ topic: 'a', count: 3 }] })
    const { topics } = await admin.fetchTopicMetadata({ topics: ['a'] })
    assert.equal(topics[0]!.partitions.map(({ partitionId }) => partitionId).sort(), [0, 1, 2])
    const { resources } = await admin.describeConfigs({
      resources: [{ type: 2, name: 'a', configNames: ['retention.ms'] }],
      includeSynonyms: false,
    })
    assert.is(resources[0]!.configEntries[0]!.configValue, '60000')
    const offsets = await admin.fetchTopicOffsets('a')
    assert.equal(
      offsets.map(({ low, high }) => `${low} ${high}`),
      ['0 0', '0 0', '0 0'],
    )
    const cluster = await admin.describeCluster()
    assert.is(cluster.clusterId, served.log.lineage)
    assert.equal(
      cluster.brokers.map(({ nodeId }) => nodeId),
      [0],
    )
    await admin.deleteTopics({ topics: ['a'] })
    assert.equal(await admin.listTopics(), [])
    await admin.disconnect()
  })
})

test('the producer gets the offsets that its records have', async () => {
  await withKafka(async (kafka, served) => {
    await served.createTopic('t', 2)
    const producer = kafka.producer()
    await producer.connect()
    const messages = [
      { partition: 1, key: 'a', value: '1', headers: { h: 'x' } },
      { partition: 1, key: 'b', value: null },
    ]
    const [first] = await producer.send({ topic: 't', acks: -1, messages })
    assert.equal([first!.errorCode, first!.baseOffset], [0, '0'])
    const again = { topic: 't', acks: 1, messages, compression: CompressionTypes.GZIP }
    assert.is((await producer.send(again))[0]!.baseOffset, '2')
    const stored = await served.records('t', 1)
    assert.equal(
      stored.map(({ offset, key, value, headers }) => `${offset} ${key} ${value} ${headers}`),
      ['0 a 1 h=x', '1 b null ', '2 a 1 h=x', '3 b null '],
    )
    await producer.disconnect()
  })
})

test('the idempotent producer goes on without a gap', async () => {
  await withKafka(async (kafka, served) => {
    await served.createTopic('t', 1)
    const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    for (let n = 0; n < 20; n++) {
      const messages = [{ value: `${n}a` }, { value: `${n}b` }]
      const [answer] = await producer.send({ topic: 't', messages })
      assert.is(answer!.baseOffset, String(n * 2))
    }
    assert.is((await served.records('t')).length, 40)
    await producer.disconnect()
  })
})

test('a topic that is not there is refused', async () => {
  await withKafka(async (kafka) => {
    const producer = kafka.producer({ retry: { retries: 0 } })
    await producer.connect()
    try {
      await producer.send({ topic: 'nowhere', messages: [{ value: 'x' }] })
      assert.unreachable()
    } catch (error) {
      assert.match(String(error), 'This server does not host this topic-partition')
    }
    await producer.disconnect()
  })
})

test.run()
