import * as assert from 'uvu/assert'
import { errorName } from '../../../../agent/kafka/protocol/error-codes.ts'
import * as api from '../../../../agent/kafka/protocol/messages/02-list-offsets.ts'
import { suite } from '../../../support/suite.ts'
import { producerBatch, TestBroker } from '../test-broker.ts'

const test = suite('ListOffsets')

async function ask(
  broker: TestBroker,
  timestamp: number,
  { version = 8, name = 't', partitionIndex = 0, currentLeaderEpoch = -1 } = {},
): Promise<string> {
  const partitions = [{ partitionIndex, currentLeaderEpoch, timestamp }]
  const answer = await broker.ask(api, version, { topics: [{ name, partitions }] })
  const { errorCode, offset, timestamp: time, leaderEpoch } = answer.topics[0]!.partitions[0]!
  return `${errorName(errorCode)} ${offset} at ${time} epoch ${leaderEpoch}`
}

async function withRecords(run: (broker: TestBroker) => Promise<void>): Promise<void> {
  const broker = await TestBroker.open({ log: { commitIntervalMs: 50 } })
  const partition = await broker.topic('t')
  // Times 100 101 102 | 5000 5001 | 300 301: not in order, as event times are.
  partition.appendBatch(producerBatch(['a', 'b', 'c'], { timestamp: 100 }))
  partition.appendBatch(producerBatch(['d', 'e'], { timestamp: 5000 }))
  partition.appendBatch(producerBatch(['f', 'g'], { timestamp: 300 }))
  await broker.committed()
  partition.appendBatch(producerBatch(['not durable yet']))
  await run(broker)
}

test('latest is the durable end, earliest the log start, in every version', async () => {
  await withRecords(async (broker) => {
    for (let version = 1; version <= 8; version++) {
      const epoch = version >= 4 ? 0 : -1
      assert.is(await ask(broker, api.LATEST_TIMESTAMP, { version }), `NONE 7 at -1 epoch ${epoch}`)
      assert.is(
        await ask(broker, api.EARLIEST_TIMESTAMP, { version }),
        `NONE 0 at -1 epoch ${epoch}`,
      )
    }
  })
})

test('a timestamp finds the first record at or after it', async () => {
  await withRecords(async (broker) => {
    assert.is(await ask(broker, 0), 'NONE 0 at 100 epoch 0')
    assert.is(await ask(broker, 101), 'NONE 1 at 101 epoch 0')
    assert.is(await ask(broker, 103), 'NONE 3 at 5000 epoch 0')
    assert.is(await ask(broker, 5002), 'NONE -1 at -1 epoch -1')
  })
})

test('the greatest timestamp is found wherever it is', async () => {
  await withRecords(async (broker) => {
    assert.is(await ask(broker, api.MAX_TIMESTAMP), 'NONE 4 at 5001 epoch 0')
  })
  for (const timestamp of [0, 1, 7, 2 ** 40, Date.UTC(2026, 1, 3)]) {
    const broker = await TestBroker.open()
    const partition = await broker.topic('t')
    assert.is(await ask(broker, api.MAX_TIMESTAMP), 'NONE -1 at -1 epoch -1')
    partition.appendBatch(producerBatch(['a'], { timestamp }))
    await broker.log.durable(broker.log.openCommit)
    assert.is(await ask(broker, api.MAX_TIMESTAMP), `NONE 0 at ${timestamp} epoch 0`)
    await broker.close()
  }
})

test('special times are refused in versions that do not know them', async () => {
  await withRecords(async (broker) => {
    const refused = 'UNSUPPORTED_VERSION -1 at -1 epoch -1'
    assert.is(await ask(broker, api.MAX_TIMESTAMP, { version: 6 }), refused)
    assert.is(await ask(broker, api.EARLIEST_LOCAL_TIMESTAMP, { version: 7 }), refused)
    assert.is(await ask(broker, api.EARLIEST_LOCAL_TIMESTAMP), 'NONE 0 at -1 epoch 0')
    assert.is(await ask(broker, -5), refused)
  })
})

test('unknown partitions and epochs are refused', async () => {
  await withRecords(async (broker) => {
    const unknown = 'UNKNOWN_TOPIC_OR_PARTITION -1 at -1 epoch -1'
    assert.is(await ask(broker, -1, { name: 'x' }), unknown)
    assert.is(await ask(broker, -1, { partitionIndex: 3 }), unknown)
    const wrong = 'UNKNOWN_LEADER_EPOCH -1 at -1 epoch -1'
    assert.is(await ask(broker, -1, { currentLeaderEpoch: 2 }), wrong)
  })
})

test.run()
