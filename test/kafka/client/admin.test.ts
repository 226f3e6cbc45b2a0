import * as assert from 'uvu/assert'
import { silentLogger } from '../../../agent/base/telemetry.ts'
import { Admin } from '../../../agent/kafka/client/admin.ts'
import { Cluster } from '../../../agent/kafka/client/cluster.ts'
import { errorCode } from '../../../agent/kafka/protocol/error-codes.ts'
import * as createTopics from '../../../agent/kafka/protocol/messages/19-create-topics.ts'
import * as deleteTopics from '../../../agent/kafka/protocol/messages/20-delete-topics.ts'
import * as describeConfigs from '../../../agent/kafka/protocol/messages/32-describe-configs.ts'
import { suite } from '../../support/suite.ts'
import { FakePartition } from './fake-partition.ts'
import { faultOf } from './fault-of.ts'
import { ManualClock, runWith } from './manual-clock.ts'

const test = suite('kafka admin')

async function withAdmin(
  run: (admin: Admin, partition: FakePartition, clock: ManualClock) => Promise<void>,
): Promise<void> {
  const partition = await FakePartition.start()
  const clock = new ManualClock()
  const cluster = new Cluster({
    bootstrapServers: [partition.broker.address],
    clientId: 'test',
    clock,
    logger: silentLogger,
  })
  try {
    await run(new Admin(cluster), partition, clock)
  } finally {
    cluster.close()
    await partition.broker.stop()
  }
}

test('a topic is created with its settings, and the call waits for its leaders', async () => {
  await withAdmin(async (admin, { broker }) => {
    const seen: unknown[] = []
    broker.on(createTopics, ({ topics }) => {
      seen.push(topics[0])
      return { topics: [{ name: 't', errorCode: 0 }] }
    })
    await admin.createTopic('t', {
      partitions: 1,
      replicationFactor: -1,
      configs: { 'compression.type': 'producer' },
    })
    assert.equal(seen, [
      {
        name: 't',
        numPartitions: 1,
        replicationFactor: -1,
        assignments: [],
        configs: [{ name: 'compression.type', value: 'producer' }],
      },
    ])
    assert.is(broker.countOf(3), 2)
  })
})

test('what the cluster refuses is thrown with its name and its words', async () => {
  await withAdmin(async (admin, { broker }) => {
    broker.on(createTopics, () => ({
      topics: [
        { name: 't', errorCode: errorCode('TOPIC_ALREADY_EXISTS'), errorMessage: 'It is there.' },
      ],
    }))
    const fault = await faultOf(admin.createTopic('t', { partitions: 1, replicationFactor: 1 }))
    assert.is(fault.code, 'UPSTREAM_REFUSED')
    assert.is(fault.details.kafkaError, 'TOPIC_ALREADY_EXISTS')
    assert.match(fault.message, 'TOPIC_ALREADY_EXISTS to CreateTopics t: It is there.')
  })
})

test('a controller that moved is asked again', async () => {
  await withAdmin(async (admin, { broker }, clock) => {
    const codes = [errorCode('NOT_CONTROLLER'), 0]
    broker.on(deleteTopics, () => ({ responses: [{ name: 't', errorCode: codes.shift()! }] }))
    await runWith(clock, admin.deleteTopic('t'))
    assert.is(broker.countOf(20), 2)
  })
})

test('deleting a topic that does not exist is an answer, not something to wait for', async () => {
  await withAdmin(async (admin, { broker }) => {
    const code = errorCode('UNKNOWN_TOPIC_OR_PARTITION')
    broker.on(deleteTopics, () => ({ responses: [{ name: 'u', errorCode: code }] }))
    const fault = await faultOf(admin.deleteTopic('u'))
    assert.is(fault.code, 'INPUT_TOPIC')
    assert.is(broker.countOf(20), 1)
    assert.is(await admin.describeTopic('u'), undefined)
  })
})

test('a description has where each partition starts and ends', async () => {
  await withAdmin(async (admin, partition) => {
    partition.logStart = 4
    const description = await admin.describeTopic('t')
    const [first] = description?.partitions ?? []
    assert.equal([first?.startOffset, first?.endOffset, first?.leaderId], [4, 0, 1])
  })
})

test('settings say whether they are the own ones of the topic', async () => {
  await withAdmin(async (admin, { broker }) => {
    const result = { errorCode: 0, resourceType: 2, resourceName: 't' }
    const config = { readOnly: false, isSensitive: false }
    broker.on(describeConfigs, () => ({
      results: [
        {
          ...result,
          configs: [
            { ...config, name: 'retention.ms', value: '7', configSource: 1 },
            { ...config, name: 'segment.bytes', value: '9', configSource: 5 },
          ],
        },
      ],
    }))
    assert.equal(
      [...(await admin.topicSettings('t'))],
      [
        ['retention.ms', { value: '7', isOwn: true }],
        ['segment.bytes', { value: '9', isOwn: false }],
      ],
    )
  })
})

test.run()
