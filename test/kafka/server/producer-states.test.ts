import * as assert from 'uvu/assert'
import { addSequence, type SequenceVerdict } from '../../../agent/kafka/server/producer-states.ts'
import type { PartitionLog } from '../../../agent/log/partition-log.ts'
import { readBatchHeader } from '../../../agent/record/record-batch.ts'
import { suite } from '../../support/suite.ts'
import { sequenced, TestBroker } from './test-broker.ts'

const test = suite('producer states')

const DAY_MS = 24 * 3600 * 1000

/** Judges a batch of `count` records and, when it is the next one, appends it. */
function offer(
  broker: TestBroker,
  partition: PartitionLog,
  baseSequence: number,
  { id = 1n, epoch = 0, count = 1 } = {},
): string {
  const values = Array.from({ length: count }, (_, index) => String(index))
  const batch = sequenced(id, baseSequence, values, epoch)
  const header = readBatchHeader(batch)
  const verdict = broker.broker.producers.judge(partition, header)
  if (verdict.kind === 'next') {
    broker.broker.producers.appended(partition, header, partition.appendBatch(batch))
  }
  return show(verdict)
}

function show(verdict: SequenceVerdict): string {
  switch (verdict.kind) {
    case 'duplicate':
      return `duplicate of ${verdict.batch.baseOffset}`
    case 'outOfOrder':
      return `expected ${verdict.expected}`
    case 'fenced':
      return `epoch ${verdict.epoch}`
    default:
      return verdict.kind
  }
}

test('sequences run to 2^31 - 1 and around', () => {
  assert.is(addSequence(5, 3), 8)
  assert.is(addSequence(2 ** 31 - 1, 0), 2 ** 31 - 1)
  assert.is(addSequence(2 ** 31 - 1, 1), 0)
  assert.is(addSequence(2 ** 31 - 2, 3), 1)
})

test('an unknown producer may begin anywhere; afterwards there are no gaps and no overlaps', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  assert.is(offer(broker, partition, 123_456, { count: 3 }), 'next')
  assert.is(offer(broker, partition, 123_458, { count: 3 }), 'expected 123459')
  assert.is(offer(broker, partition, 123_460), 'expected 123459')
  assert.is(offer(broker, partition, 123_456, { count: 2 }), 'expected 123459')
  assert.is(offer(broker, partition, 123_459), 'next')
  await broker.close()
})

test('retries of the last five batches are known with their own offsets, older ones are not', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  for (let n = 0; n < 8; n++) assert.is(offer(broker, partition, n * 2, { count: 2 }), 'next')
  for (let n = 0; n < 3; n++)
    assert.is(offer(broker, partition, n * 2, { count: 2 }), 'expected 16')
  for (let n = 3; n < 8; n++) {
    assert.is(offer(broker, partition, n * 2, { count: 2 }), `duplicate of ${n * 2}`)
  }
  await broker.log.durable(broker.log.openCommit)
  const restarted = await broker.crash()
  const there = restarted.log.topic('t')!.partitions[0]!
  for (let n = 3; n < 8; n++) {
    assert.is(offer(restarted, there, n * 2, { count: 2 }), `duplicate of ${n * 2}`)
  }
  assert.is(offer(restarted, there, 4, { count: 2 }), 'expected 16')
  assert.is(offer(restarted, there, 16), 'next')
  await restarted.close()
})

test('a batch that spans the wrap is known, and the next one begins after it', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  assert.is(offer(broker, partition, 2 ** 31 - 2, { count: 4 }), 'next')
  assert.is(offer(broker, partition, 2 ** 31 - 2, { count: 4 }), 'duplicate of 0')
  assert.is(offer(broker, partition, 1), 'expected 2')
  assert.is(offer(broker, partition, 2), 'next')
  await broker.close()
})

test('a newer epoch begins at 0 and fences the older one', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  assert.is(offer(broker, partition, 7), 'next')
  assert.is(offer(broker, partition, 8, { epoch: 1 }), 'expected 0')
  assert.is(offer(broker, partition, 0, { epoch: 1 }), 'next')
  assert.is(offer(broker, partition, 8), 'epoch 1')
  assert.is(offer(broker, partition, 7), 'epoch 1')
  assert.is(offer(broker, partition, 1, { epoch: 1 }), 'next')
  await broker.close()
})

test('producers are apart, and so are partitions', async () => {
  const broker = await TestBroker.open()
  const [a, b] = [await broker.topic('a'), await broker.topic('b')]
  assert.is(offer(broker, a, 0), 'next')
  assert.is(offer(broker, a, 0, { id: 2n ** 62n + 7n }), 'next')
  assert.is(offer(broker, b, 40), 'next')
  assert.is(offer(broker, a, 0), 'duplicate of 0')
  assert.is(offer(broker, a, 0, { id: 2n ** 62n + 7n }), 'duplicate of 1')
  await broker.close()
})

test('a producer is forgotten a day after it was last heard, however old its records are', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  offer(broker, partition, 0, { id: 1n })
  broker.clock.advance(DAY_MS / 2)
  offer(broker, partition, 0, { id: 2n })
  broker.clock.advance(DAY_MS / 2 - 1)
  assert.is(broker.broker.producers.size, 2)
  broker.clock.advance(600_000)
  assert.is(broker.broker.producers.size, 1)
  assert.is(offer(broker, partition, 99, { id: 1n }), 'next')
  assert.is(offer(broker, partition, 0, { id: 2n }), 'duplicate of 1')
  await broker.close()
})

test('a wall clock that jumps makes nobody forget', async () => {
  for (const jump of [-50 * 365 * DAY_MS, 50 * 365 * DAY_MS]) {
    const broker = await TestBroker.open()
    const partition = await broker.topic('t')
    offer(broker, partition, 0)
    await broker.log.durable(broker.log.openCommit)
    const restarted = await broker.crash(jump)
    restarted.clock.advance(600_000)
    const there = restarted.log.topic('t')!.partitions[0]!
    assert.is(offer(restarted, there, 0), 'duplicate of 0')
    await restarted.close()
  }
})

test('of too many producers the longest silent is forgotten, in its partition and over all', async () => {
  const settings = { producersPerPartitionMax: 3, producersMax: 4 }
  const broker = await TestBroker.open({ settings })
  const [a, b] = [await broker.topic('a'), await broker.topic('b')]
  for (const id of [1n, 2n, 3n]) {
    offer(broker, a, 0, { id })
    broker.clock.advance(1)
  }
  offer(broker, a, 1, { id: 1n })
  broker.clock.advance(1)
  offer(broker, a, 0, { id: 4n })
  const idsOf = (partition: PartitionLog) =>
    Array.from(broker.broker.producers.of(partition), ({ producerId }) => producerId)
  assert.equal(idsOf(a), [3n, 1n, 4n])
  offer(broker, b, 0, { id: 5n })
  broker.clock.advance(1)
  offer(broker, b, 0, { id: 6n })
  assert.equal(
    [idsOf(a), idsOf(b)],
    [
      [1n, 4n],
      [5n, 6n],
    ],
  )
  await broker.log.durable(broker.log.openCommit)
  const restarted = await broker.crash()
  assert.is(restarted.broker.producers.size, 4)
  await restarted.close()
})

test('what is remembered of a deleted partition goes with it', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  offer(broker, partition, 0)
  broker.broker.producers.forget(partition)
  await broker.log.deleteTopic('t')
  assert.is(broker.broker.producers.size, 0)
  assert.equal([...broker.log.state.entries('pid/')], [])
  const again = await broker.topic('t')
  assert.is(offer(broker, again, 5), 'next')
  await broker.close()
})

test('producer ids are never given twice, whatever crashes', async () => {
  let broker = await TestBroker.open()
  const seen = new Set<bigint>()
  for (let boot = 0; boot < 4; boot++) {
    for (let n = 0; n < 1100; n++) {
      const id = await broker.broker.producers.newProducerId()
      assert.not(seen.has(id))
      assert.ok(id >= 0n)
      seen.add(id)
    }
    broker = await broker.crash()
  }
  await broker.close()
})

test.run()
