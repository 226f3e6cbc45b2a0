import * as assert from 'uvu/assert'
import { silentLogger } from '../../../agent/base/telemetry.ts'
import { Cluster } from '../../../agent/kafka/client/cluster.ts'
import { Producer } from '../../../agent/kafka/client/producer.ts'
import { errorCode } from '../../../agent/kafka/protocol/error-codes.ts'
import { decodeRecords, readBatchHeader } from '../../../agent/record/record-batch.ts'
import { Codecs } from '../../../wasm/codecs.ts'
import { Kernel } from '../../../wasm/kernel.ts'
import { suite } from '../../support/suite.ts'
import { FakePartition } from './fake-partition.ts'
import { faultOf } from './fault-of.ts'
import { ManualClock, runWith } from './manual-clock.ts'

const test = suite('kafka producer')
const codecs = new Codecs(new Kernel())

async function withProducer(
  run: (producer: Producer, partition: FakePartition, clock: ManualClock) => Promise<void>,
  options: { batchBytes?: number } = {},
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
    await run(await Producer.open({ cluster, codecs, clock, ...options }), partition, clock)
  } finally {
    cluster.close()
    await partition.broker.stop()
  }
}

function records(...values: string[]): { key: null; value: Buffer }[] {
  return values.map((value) => ({ key: null, value: Buffer.from(value) }))
}

function stored(partition: FakePartition): string[] {
  return partition.batches.flatMap((batch) =>
    [...decodeRecords(batch, codecs)].map(({ value }) => String(value)),
  )
}

test('records arrive in order, as batches of one producer with running sequences', async () => {
  await withProducer(async (producer, partition) => {
    const sent = [producer.send('t', records('a', 'b')), producer.send('t', records('c'))]
    assert.equal(await Promise.all(sent), [
      [{ partition: 0, baseOffset: 0, count: 2 }],
      [{ partition: 0, baseOffset: 2, count: 1 }],
    ])
    assert.equal(stored(partition), ['a', 'b', 'c'])
    const headers = partition.batches.map((batch) => readBatchHeader(batch))
    assert.equal(
      headers.map(({ producerId, producerEpoch, baseSequence }) => [
        producerId,
        producerEpoch,
        baseSequence,
      ]),
      [
        [77n, 0, 0],
        [77n, 0, 2],
      ],
    )
  })
})

test('a long run is cut at the batch size, and a large record stands alone', async () => {
  await withProducer(
    async (producer, partition) => {
      await producer.send('t', records('x'.repeat(60), 'y'.repeat(60), 'z'.repeat(500), 'end'))
      assert.equal(
        partition.batches.map((batch) => readBatchHeader(batch).count),
        [2, 1, 1],
      )
    },
    { batchBytes: 200 },
  )
})

test('a lost answer is asked for again with the same bytes, and nothing is stored twice', async () => {
  await withProducer(async (producer, partition, clock) => {
    partition.lostAnswers = 2
    const sent = await runWith(clock, producer.send('t', records('once')))
    assert.equal(sent, [{ partition: 0, baseOffset: 0, count: 1 }])
    await producer.send('t', records('twice'))
    assert.equal(stored(partition), ['once', 'twice'])
    assert.equal(partition.sequences, [0, 0, 0, 1])
  })
})

test('an error that may pass is waited out', async () => {
  await withProducer(async (producer, partition, clock) => {
    partition.produceErrors.push(errorCode('NOT_LEADER_OR_FOLLOWER'))
    partition.produceErrors.push(errorCode('NOT_ENOUGH_REPLICAS'))
    await runWith(clock, producer.send('t', records('late')))
    assert.equal(stored(partition), ['late'])
    assert.is(partition.broker.countOf(3), 2, 'the leader was asked for anew')
  })
})

test('a partition that failed stays failed, so that nothing overtakes', async () => {
  await withProducer(async (producer, partition) => {
    partition.produceErrors.push(errorCode('MESSAGE_TOO_LARGE'))
    const fault = await faultOf(producer.send('t', records('big')))
    assert.is(fault.code, 'UPSTREAM_REFUSED')
    assert.match(fault.message, 'MESSAGE_TOO_LARGE to Produce to t-0')
    assert.is(await faultOf(producer.send('t', records('next'))), fault)
    assert.equal(stored(partition), [])
  })
})

test('delivery gives up when its time is over', async () => {
  await withProducer(async (producer, partition, clock) => {
    for (let index = 0; index < 500; index++) {
      partition.produceErrors.push(errorCode('NOT_ENOUGH_REPLICAS'))
    }
    const fault = await runWith(clock, faultOf(producer.send('t', records('never'))))
    assert.is(fault.code, 'UPSTREAM_RETRY')
    assert.ok(clock.monotonic() <= 125_000)
  })
})

test.run()
