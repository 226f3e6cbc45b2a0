import * as assert from 'uvu/assert'
import { errorName } from '../../../../agent/kafka/protocol/error-codes.ts'
import * as produce from '../../../../agent/kafka/protocol/messages/00-produce.ts'
import * as api from '../../../../agent/kafka/protocol/messages/22-init-producer-id.ts'
import * as epochs from '../../../../agent/kafka/protocol/messages/23-offset-for-leader-epoch.ts'
import * as producers from '../../../../agent/kafka/protocol/messages/61-describe-producers.ts'
import { suite } from '../../../support/suite.ts'
import { producerBatch, START, sequenced, TestBroker } from '../test-broker.ts'

const test = suite('what a replicator asks')

async function endOf(
  broker: TestBroker,
  leaderEpoch: number,
  currentLeaderEpoch = -1,
  version = 4,
  partition = 0,
) {
  const partitions = [{ partition, leaderEpoch, currentLeaderEpoch }]
  const { topics } = await broker.ask(epochs, version, { topics: [{ topic: 't', partitions }] })
  const { errorCode, leaderEpoch: epoch, endOffset } = topics[0]!.partitions[0]!
  return `${errorName(errorCode)} ${epoch} ${endOffset}`
}

test('every version gives a new producer id of epoch 0, durable and never given again', async () => {
  let broker = await TestBroker.open()
  const seen = new Set<bigint>()
  for (let version = 0; version <= 5; version++) {
    const known = { producerId: 5n, producerEpoch: 3 }
    const request = { transactionalId: null, transactionTimeoutMs: 1000, ...known }
    const answer = await broker.ask(api, version, request)
    assert.equal([answer.errorCode, answer.producerEpoch], [0, 0])
    assert.not(seen.has(answer.producerId))
    seen.add(answer.producerId)
    broker = await broker.crash()
  }
  await broker.close()
})

test('transactions are refused', async () => {
  const broker = await TestBroker.open()
  const answer = await broker.ask(api, 5, { transactionalId: 'x', transactionTimeoutMs: 1000 })
  assert.is(errorName(answer.errorCode), 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED')
  assert.is(answer.producerId, -1n)
  await broker.close()
})

test('epoch 0 ends at the durable end, other epochs nowhere', async () => {
  const broker = await TestBroker.open({ log: { commitIntervalMs: 50 } })
  const partition = await broker.topic('t')
  partition.appendBatch(producerBatch(['a', 'b']))
  await broker.committed()
  partition.appendBatch(producerBatch(['not durable']))
  for (let version = 2; version <= 4; version++) {
    assert.is(await endOf(broker, 0, -1, version), 'NONE 0 2')
  }
  assert.is(await endOf(broker, 0, 0), 'NONE 0 2')
  assert.is(await endOf(broker, 1), 'NONE -1 -1')
  assert.is(await endOf(broker, 0, 1), 'UNKNOWN_LEADER_EPOCH -1 -1')
  assert.is(await endOf(broker, 0, -1, 4, 1), 'UNKNOWN_TOPIC_OR_PARTITION -1 -1')
})

test('the producers of a partition are told with their last sequence and time of arrival', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  const records = sequenced(77n, 2 ** 31 - 2, ['a', 'b', 'c'], 0, START - 999_999)
  await broker.ask(produce, 9, {
    acks: -1,
    timeoutMs: 1000,
    topicData: [{ name: 't', partitionData: [{ index: 0, records }] }],
  })
  const { topics } = await broker.ask(producers, 0, {
    topics: [{ name: 't', partitionIndexes: [0, 1] }],
  })
  const [known, unknown] = topics[0]!.partitions
  const { producerId, producerEpoch, lastSequence, lastTimestamp } = known!.activeProducers[0]!
  assert.equal([producerId, producerEpoch, lastSequence], [77n, 0, 0])
  assert.is(lastTimestamp, broker.clock.now())
  assert.is(errorName(unknown!.errorCode), 'UNKNOWN_TOPIC_OR_PARTITION')
  await broker.close()
})

test.run()
