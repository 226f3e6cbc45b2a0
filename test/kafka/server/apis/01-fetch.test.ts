import * as assert from 'uvu/assert'
import { errorName } from '../../../../agent/kafka/protocol/error-codes.ts'
import * as api from '../../../../agent/kafka/protocol/messages/01-fetch.ts'
import type { PartitionLog } from '../../../../agent/log/partition-log.ts'
import { decodeRecords, readBatchHeader } from '../../../../agent/record/record-batch.ts'
import { codecs } from '../../../support/batches.ts'
import { suite } from '../../../support/suite.ts'
import { producerBatch, settle, TestBroker } from '../test-broker.ts'

const test = suite('Fetch')

interface Wish {
  topic?: string
  topicId?: string
  partition?: number
  fetchOffset?: number
  partitionMaxBytes?: number
  currentLeaderEpoch?: number
}

function requestOf(
  wishes: Wish[],
  options: {
    maxWaitMs?: number
    minBytes?: number
    maxBytes?: number
    sessionId?: number
    sessionEpoch?: number
    isolationLevel?: number
  } = {},
) {
  return {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: 1 << 20,
    ...options,
    topics: wishes.map(({ topic = 't', topicId, ...rest }) => ({
      topic,
      ...(topicId && { topicId }),
      partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20, ...rest }],
    })),
  }
}

async function fetch(
  broker: TestBroker,
  wishes: Wish[],
  options: Parameters<typeof requestOf>[1] & { version?: number } = {},
) {
  const { version = 12, ...rest } = options
  const answer = await broker.ask(api, version, requestOf(wishes, rest))
  return answer.responses.map(({ partitions }) => {
    const partition = partitions[0]!
    return { ...partition, error: errorName(partition.errorCode), size: partition.records?.length }
  })
}

async function filled(broker: TestBroker, name: string, values: string[]): Promise<PartitionLog> {
  const partition = await broker.topic(name)
  for (const value of values) partition.appendBatch(producerBatch([value]))
  await broker.log.durable(broker.log.openCommit)
  return partition
}

function valuesOf(records: Buffer | null): string[] {
  return records === null || records.length === 0
    ? []
    : [...decodeRecords(records, codecs)].map(({ value }) => String(value))
}

/** Of the batches, one after the other. */
function offsetsOf(records: Buffer | null): number[] {
  const offsets: number[] = []
  for (let at = 0; at < (records?.length ?? 0); at += readBatchHeader(records!, at).size) {
    offsets.push(readBatchHeader(records!, at).baseOffset)
  }
  return offsets
}

test('readers of before v10 are told of zstd, and read what is in no other codec', async () => {
  const broker = await TestBroker.open()
  const partition = await filled(broker, 't', ['plain'])
  partition.appendBatch(producerBatch(['packed'.repeat(20)], { codec: 4 }))
  await broker.log.durable(broker.log.openCommit)
  const [early] = await fetch(broker, [{ fetchOffset: 1 }], { version: 9 })
  assert.equal([early!.error, early!.size], ['UNSUPPORTED_COMPRESSION_TYPE', 0])
  const [plain] = await fetch(broker, [{ partitionMaxBytes: 1 }], { version: 9 })
  assert.equal(valuesOf(plain!.records), ['plain'])
  const [packed] = await fetch(broker, [{ fetchOffset: 1 }], { version: 10 })
  assert.equal(valuesOf(packed!.records), ['packed'.repeat(20)])
  await broker.close()
})

test('readers of before v10 get what lies before the first zstd batch, whatever they ask for', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  for (const [value, codec] of [
    ['a', 3],
    ['b', 0],
    ['c', 4],
    ['d', 3],
  ] as const) {
    partition.appendBatch(producerBatch([value.repeat(40)], { codec }))
  }
  await broker.log.durable(broker.log.openCommit)
  const [readable] = await fetch(broker, [{}], { version: 9 })
  assert.is(readable!.error, 'NONE')
  assert.equal(offsetsOf(readable!.records), [0, 1])
  const [packed] = await fetch(broker, [{ fetchOffset: 2 }], { version: 9 })
  assert.equal([packed!.error, packed!.size], ['UNSUPPORTED_COMPRESSION_TYPE', 0])
  const [behind] = await fetch(broker, [{ fetchOffset: 3 }], { version: 9 })
  assert.equal(offsetsOf(behind!.records), [3])
  const [whole] = await fetch(broker, [{}], { version: 10 })
  assert.equal(offsetsOf(whole!.records), [0, 1, 2, 3])
  await broker.close()
})

test('every version gives the bytes of the log, by name and from v13 on by id', async () => {
  const broker = await TestBroker.open()
  const partition = await filled(broker, 't', ['a', 'b'])
  // A read ends where the segments end: what is sealed meanwhile would make it shorter.
  await partition.seal()
  const read = await partition.read(0, 1 << 20)
  if (read.kind !== 'batches') throw new Error(read.kind)
  for (let version = 4; version <= 16; version++) {
    const topicId = partition.topic.id
    const [answer] = await fetch(broker, [{ topicId }], { version })
    assert.is(answer!.error, 'NONE', `version ${version}`)
    assert.equal(answer!.records, read.bytes)
    assert.equal(
      [answer!.error, answer!.highWatermark, answer!.lastStableOffset, answer!.logStartOffset],
      ['NONE', 2, 2, version >= 5 ? 0 : -1],
    )
  }
  await broker.close()
})

test('nothing that is not durable is given', async () => {
  const broker = await TestBroker.open({ log: { commitIntervalMs: 50 } })
  const partition = await broker.topic('t')
  partition.appendBatch(producerBatch(['a']))
  await broker.committed()
  partition.appendBatch(producerBatch(['b']))
  const [answer] = await fetch(broker, [{ fetchOffset: 1 }])
  assert.equal([answer!.error, answer!.highWatermark, answer!.size], ['NONE', 1, 0])
  const [beyond] = await fetch(broker, [{ fetchOffset: 2 }])
  assert.equal([beyond!.error, beyond!.highWatermark], ['OFFSET_OUT_OF_RANGE', -1])
  assert.is(partition.highWatermark, 1)
  await broker.committed()
  assert.equal(valuesOf((await fetch(broker, [{ fetchOffset: 1 }]))[0]!.records), ['b'])
})

test('unknown names, ids, epochs and sessions are told apart', async () => {
  const broker = await TestBroker.open()
  const { topic } = await filled(broker, 't', ['a'])
  const errorOf = async (wish: Wish, version = 12) =>
    (await fetch(broker, [wish], { version }))[0]!.error
  assert.is(await errorOf({ topic: 'x' }), 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is(await errorOf({ partition: 1 }), 'UNKNOWN_TOPIC_OR_PARTITION')
  const id = '00000000-0000-4000-8000-000000000001'
  assert.is(await errorOf({ topicId: id }, 13), 'UNKNOWN_TOPIC_ID')
  assert.is(await errorOf({ topicId: topic.id, partition: 1 }, 13), 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is(await errorOf({ currentLeaderEpoch: 0 }), 'NONE')
  assert.is(await errorOf({ currentLeaderEpoch: 1 }), 'UNKNOWN_LEADER_EPOCH')
  assert.is(await errorOf({ fetchOffset: -1 }), 'OFFSET_OUT_OF_RANGE')
  const known = await broker.ask(api, 12, requestOf([{}], { sessionId: 0, sessionEpoch: 0 }))
  assert.equal([known.errorCode, known.sessionId, known.responses.length], [0, 0, 1])
  const unknown = await broker.ask(api, 12, requestOf([{}], { sessionId: 5, sessionEpoch: 1 }))
  assert.is(errorName(unknown.errorCode), 'FETCH_SESSION_ID_NOT_FOUND')
  await broker.close()
})

test('the first partition gives a batch whatever the limits say, the others what still fits', async () => {
  const broker = await TestBroker.open({ settings: { fetchBytesMax: 3000 } })
  for (const name of ['a', 'b', 'c']) await filled(broker, name, [name.repeat(2000), 'x'])
  const wishes = [{ topic: 'a' }, { topic: 'b' }, { topic: 'c' }]
  const sizes = (await fetch(broker, wishes)).map(({ size }) => size!)
  assert.ok(sizes[0]! > 2000)
  assert.equal(sizes.slice(1), [0, 0])
  const [tiny] = await fetch(broker, [{ topic: 'a', partitionMaxBytes: 1 }])
  assert.ok(tiny!.size! > 2000)
  const second = await fetch(broker, [
    { topic: 'a', fetchOffset: 2 },
    { topic: 'b', partitionMaxBytes: 1 },
  ])
  assert.ok(second[1]!.size! > 2000, 'an empty partition does not take the place of the first')
  await broker.close()
})

test('a long poll ends at the commit that brings something, not before', async () => {
  const broker = await TestBroker.open()
  const partition = await filled(broker, 't', ['a'])
  const other = await filled(broker, 'other', ['o'])
  const poll = fetch(broker, [{ fetchOffset: 1 }], { maxWaitMs: 500 })
  await settle()
  assert.is(broker.broker.commits.size, 1)
  other.appendBatch(producerBatch(['x']))
  await broker.log.durable(broker.log.openCommit)
  await settle()
  assert.is(broker.broker.commits.size, 1, 'a commit of others does not wake it')
  partition.appendBatch(producerBatch(['b']))
  const [answer] = await poll
  assert.equal(valuesOf(answer!.records), ['b'])
  assert.is(broker.broker.commits.size, 0)
  await broker.close()
})

test('a long poll ends when its time is up, when the client leaves, and when the broker closes', async () => {
  for (const end of [
    (broker: TestBroker) => broker.clock.advance(500),
    (broker: TestBroker) => broker.client.leave(),
    (broker: TestBroker) => broker.broker.commits.close(),
  ]) {
    const broker = await TestBroker.open()
    await filled(broker, 't', ['a'])
    let answered = false
    const poll = fetch(broker, [{ fetchOffset: 1 }], { maxWaitMs: 500 })
    poll.then(() => {
      answered = true
    })
    await settle()
    broker.clock.advance(499)
    await settle()
    assert.is(answered, false)
    end(broker)
    const [answer] = await poll
    assert.equal([answer!.error, answer!.size], ['NONE', 0])
    assert.is(broker.broker.commits.size, 0)
    await broker.close()
  }
})

test('an error is told at once, and a topic that goes wakes who waits for it', async () => {
  const broker = await TestBroker.open()
  const partition = await filled(broker, 't', ['a'])
  const [, bad] = await fetch(broker, [{ fetchOffset: 1 }, { topic: 'x' }], { maxWaitMs: 60_000 })
  assert.is(bad!.error, 'UNKNOWN_TOPIC_OR_PARTITION')
  const poll = fetch(broker, [{ fetchOffset: 1 }], { maxWaitMs: 60_000 })
  await settle()
  partition.appendBatch(producerBatch(['b']))
  await broker.log.deleteTopic('t')
  assert.is((await poll)[0]!.error, 'UNKNOWN_TOPIC_OR_PARTITION')
  await broker.close()
})

test('a poll for many bytes reads again a few times at most, however often the log commits', async () => {
  const broker = await TestBroker.open()
  const partition = await filled(broker, 't', ['a'])
  let reads = 0
  const read = partition.read.bind(partition)
  partition.read = (...args) => {
    reads++
    return read(...args)
  }
  const poll = fetch(broker, [{}], { maxWaitMs: 800, minBytes: 1 << 19 })
  for (let step = 0; step < 80; step++) {
    partition.appendBatch(producerBatch(['x']))
    await broker.log.durable(broker.log.openCommit)
    await settle()
    broker.clock.advance(10)
    await settle()
  }
  const [answer] = await poll
  assert.ok(answer!.size! > 0)
  assert.ok(reads <= 9, `${reads} reads`)
  await broker.close()
})

test('a disk that fails is an error of that partition only', async () => {
  const broker = await TestBroker.open()
  const bad = await filled(broker, 'bad', ['a'])
  await filled(broker, 'good', ['b'])
  bad.read = async () => {
    throw Object.assign(new Error('i/o'), { code: 'EIO' })
  }
  const [first, second] = await fetch(broker, [{ topic: 'bad' }, { topic: 'good' }])
  assert.is(first!.error, 'KAFKA_STORAGE_ERROR')
  assert.equal(valuesOf(second!.records), ['b'])
  await broker.close()
})

test.run()
