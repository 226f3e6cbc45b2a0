// What clients see of a log whose beginning went, and of a topic that was made again.

import * as assert from 'uvu/assert'
import { errorName } from '../../../agent/kafka/protocol/error-codes.ts'
import * as fetchApi from '../../../agent/kafka/protocol/messages/01-fetch.ts'
import * as offsetsApi from '../../../agent/kafka/protocol/messages/02-list-offsets.ts'
import { suite } from '../../support/suite.ts'
import { producerBatch, TestBroker } from './test-broker.ts'

const test = suite('retention for clients')
const HOUR = 3_600_000

async function fetch(broker: TestBroker, fetchOffset: number, topicId?: string) {
  const version = topicId === undefined ? 12 : 13
  const wish = { partition: 0, fetchOffset, partitionMaxBytes: 1 << 20 }
  const { responses } = await broker.ask(fetchApi, version, {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 1 << 20,
    topics: [{ topic: 't', ...(topicId && { topicId }), partitions: [wish] }],
  })
  const { errorCode, logStartOffset, records } = responses[0]!.partitions[0]!
  return { error: errorName(errorCode), logStartOffset, bytes: records?.length ?? 0 }
}

async function earliest(broker: TestBroker): Promise<number> {
  const wish = {
    partitionIndex: 0,
    currentLeaderEpoch: -1,
    timestamp: offsetsApi.EARLIEST_TIMESTAMP,
  }
  const topics = [{ name: 't', partitions: [wish] }]
  const answer = await broker.ask(offsetsApi, 8, { topics })
  return answer.topics[0]!.partitions[0]!.offset
}

/** Batches of 3000 bytes in segments that hold one each, an hour apart. */
async function open(settings: { replicated: boolean; retentionMs: number }) {
  const broker = await TestBroker.open({ log: { segmentBytes: 4096, healWindowMs: 2 * HOUR } })
  const { log, clock } = broker
  const topic = log.ensureTopic('t', { partitions: 1, compression: 'none', ...settings })
  const partition = topic.partitions[0]!
  for (let hour = 0; hour < 10; hour++) {
    partition.appendBatch(producerBatch([Buffer.alloc(3000, hour).toString('latin1')]))
    await broker.committed()
    await partition.seal()
    clock.advance(HOUR)
  }
  return { broker, partition }
}

test('a reader in a deleted segment is out of range, and the log start says where to go on', async () => {
  const { broker, partition } = await open({ replicated: false, retentionMs: 4.5 * HOUR })
  await broker.log.retain()
  const start = partition.logStartOffset
  assert.ok(start >= 5 && start <= 6, `starts at ${start}`)
  for (const offset of [0, start - 1]) {
    assert.is((await fetch(broker, offset)).error, 'OFFSET_OUT_OF_RANGE')
  }
  const found = await fetch(broker, start)
  assert.equal([found.error, found.logStartOffset, found.bytes > 3000], ['NONE', start, true])
  assert.is(await earliest(broker), start)
  const again = await broker.crash()
  assert.is(await earliest(again), start)
  assert.is((await fetch(again, start - 1)).error, 'OFFSET_OUT_OF_RANGE')
  await again.close()
})

test('what is not upstream stays, and what is for a heal window from then on', async () => {
  const { broker, partition } = await open({ replicated: true, retentionMs: 1 })
  const startAfter = async (hours: number) => {
    broker.clock.advance(hours * HOUR)
    await broker.log.retain()
    return earliest(broker)
  }
  assert.is(await startAfter(100), 0)
  partition.replicatedOffset = 5
  assert.is(await startAfter(0), 0)
  assert.is(await startAfter(1.9), 0)
  assert.is(await startAfter(0.2), 5)
  assert.is(await startAfter(100), 5)
  await broker.close()
})

test('when it was acked is known after a restart', async () => {
  const { broker, partition } = await open({ replicated: true, retentionMs: 1 })
  partition.replicatedOffset = 5
  broker.log.state.put(`repl/${partition.logId}`, Buffer.from('{"acked":5}'))
  await broker.log.retain()
  await broker.committed()
  const again = await broker.crash(2.1 * HOUR)
  await again.log.retain()
  assert.is(await earliest(again), 5)
  await again.close()
})

test('a topic that is deleted and made again is another one', async () => {
  const { broker, partition } = await open({ replicated: true, retentionMs: HOUR })
  partition.replicatedOffset = 5
  await broker.log.retain()
  const before = partition.topic.id
  assert.is((await fetch(broker, 7, before)).error, 'NONE')
  let isDeleted = false
  broker.log.deleteTopic('t').then(() => (isDeleted = true))
  while (!isDeleted) await broker.committed()
  const settings = { partitions: 1, replicated: true }
  const fresh = broker.log.ensureTopic('t', settings).partitions[0]!
  await broker.committed()
  assert.is.not(fresh.topic.id, before)
  assert.is.not(fresh.logId, partition.logId)
  assert.equal([fresh.logStartOffset, fresh.highWatermark, fresh.replicatedOffset], [0, 0, 0])
  assert.is((await fetch(broker, 0, before)).error, 'UNKNOWN_TOPIC_ID')
  assert.is((await fetch(broker, 7)).error, 'OFFSET_OUT_OF_RANGE')
  assert.is(await earliest(broker), 0)
  const left = [...broker.log.state.entries('')].map(([key]) => key)
  assert.equal(
    left.filter((key) => key.endsWith(`/${partition.logId}`)),
    [],
  )
  await broker.close()
})

test.run()
