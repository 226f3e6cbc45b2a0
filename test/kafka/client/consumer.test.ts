import * as assert from 'uvu/assert'
import { silentLogger } from '../../../agent/base/telemetry.ts'
import { Cluster } from '../../../agent/kafka/client/cluster.ts'
import { type ConsumeOptions, consume } from '../../../agent/kafka/client/consumer.ts'
import { errorCode } from '../../../agent/kafka/protocol/error-codes.ts'
import { CODEC_LZ4, CODEC_NONE } from '../../../agent/record/compression.ts'
import { BATCH, buildBatch, CONTROL } from '../../../agent/record/record-batch.ts'
import { Codecs } from '../../../wasm/codecs.ts'
import { Kernel } from '../../../wasm/kernel.ts'
import { suite } from '../../support/suite.ts'
import { FakePartition } from './fake-partition.ts'
import { faultOf } from './fault-of.ts'
import { ManualClock, runWith } from './manual-clock.ts'

const test = suite('kafka consumer')
const codecs = new Codecs(new Kernel())

/** Offsets 0-11 in batches of three, every second one compressed. */
function fill(partition: FakePartition): void {
  for (let baseOffset = 0; baseOffset < 12; baseOffset += 3) {
    const records = [0, 1, 2].map((delta) => ({
      timestamp: 1000 + baseOffset + delta,
      key: Buffer.from(`k${delta}`),
      value: Buffer.from(`v${baseOffset + delta}`),
      headers: [['h', Buffer.from('x')]] as const,
    }))
    const codec = baseOffset % 2 === 0 ? CODEC_NONE : CODEC_LZ4
    partition.batches.push(buildBatch(records, { codecs, codec, baseOffset }))
  }
}

async function withPartition(
  run: (
    partition: FakePartition,
    read: (options?: Partial<ConsumeOptions>) => Promise<number[]>,
    clock: ManualClock,
  ) => Promise<void>,
): Promise<void> {
  const partition = await FakePartition.start()
  fill(partition)
  const clock = new ManualClock()
  const cluster = new Cluster({
    bootstrapServers: [partition.broker.address],
    clientId: 'test',
    clock,
    logger: silentLogger,
  })
  const read = async (options: Partial<ConsumeOptions> = {}) => {
    const offsets: number[] = []
    const all = { cluster, codecs, clock, logger: silentLogger, topic: 't', untilEnd: true }
    const from = { kind: 'beginning' } as const
    for await (const { offset } of consume({ ...all, from, ...options })) offsets.push(offset)
    return offsets
  }
  try {
    await run(partition, read, clock)
  } finally {
    cluster.close()
    await partition.broker.stop()
  }
}

const range = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => from + index)

test('every record comes once, in order, from where reading was to begin', async () => {
  await withPartition(async (_, read) => {
    assert.equal(await read(), range(0, 12))
    assert.equal(await read({ from: { kind: 'offset', offset: 4 } }), range(4, 12))
    assert.equal(await read({ from: { kind: 'last', count: 2 } }), range(10, 12))
    assert.equal(await read({ from: { kind: 'last', count: 100 } }), range(0, 12))
    assert.equal(await read({ from: { kind: 'end' } }), [])
  })
})

test('records carry their timestamp, key, value and headers', async () => {
  await withPartition(async (partition) => {
    const clock = new ManualClock()
    const cluster = new Cluster({
      bootstrapServers: [partition.broker.address],
      clientId: 'test',
      clock,
      logger: silentLogger,
    })
    const from = { kind: 'offset', offset: 4 } as const
    for await (const record of consume({
      cluster,
      codecs,
      clock,
      logger: silentLogger,
      topic: 't',
      from,
    })) {
      const { topic, partition: index, offset, timestamp, key, value, headers } = record
      assert.equal([topic, index, offset, timestamp], ['t', 0, 4, 1004])
      assert.equal([String(key), String(value), String(headers)], ['k1', 'v4', 'h,x'])
      break
    }
    cluster.close()
  })
})

test('errors that may pass are waited out', async () => {
  await withPartition(async (partition, read, clock) => {
    partition.fetchErrors.push(errorCode('NOT_LEADER_OR_FOLLOWER'))
    partition.fetchErrors.push(errorCode('KAFKA_STORAGE_ERROR'))
    assert.equal(await runWith(clock, read()), range(0, 12))
  })
})

test('an error that does not pass is thrown', async () => {
  await withPartition(async (partition, read) => {
    partition.fetchErrors.push(errorCode('TOPIC_AUTHORIZATION_FAILED'))
    const fault = await faultOf(read())
    assert.is(fault.code, 'UPSTREAM_REFUSED')
    assert.match(fault.message, 'TOPIC_AUTHORIZATION_FAILED to Fetch of t-0')
  })
})

test('reading goes on at the start of the log when records were deleted meanwhile', async () => {
  await withPartition(async (partition, read) => {
    partition.batches.splice(0, 2)
    partition.logStart = 6
    assert.equal(await read({ from: { kind: 'offset', offset: 1 } }), range(6, 12))
    const fault = await faultOf(read({ from: { kind: 'offset', offset: 50 }, untilEnd: false }))
    assert.match(fault.message, 'offset 50 of t-0 is beyond its end')
  })
})

test('a batch that does not match its checksum is an error, not data', async () => {
  await withPartition(async (partition, read) => {
    const batch = partition.batches[1]!
    batch[batch.length - 1]! ^= 1
    const fault = await faultOf(read())
    assert.is(fault.code, 'CORRUPT_BATCH')
    assert.match(fault.message, 't-0 at 3')
  })
})

test('transaction markers move the position and are not handed out', async () => {
  await withPartition(async (partition, read) => {
    const batch = partition.batches[1]!
    batch.writeInt16BE(batch.readInt16BE(BATCH.attributes) | CONTROL, BATCH.attributes)
    batch.writeUInt32BE(codecs.crc32c(batch.subarray(BATCH.attributes)), BATCH.crc)
    assert.equal(await read(), [...range(0, 3), ...range(6, 12)])
  })
})

test('a topic that does not exist is named', async () => {
  await withPartition(async (partition, read) => {
    const fault = await faultOf(read({ topic: 'u' }))
    assert.is(fault.code, 'INPUT_TOPIC')
    assert.match(fault.message, 'topic u does not exist')
    assert.is(partition.broker.countOf(1), 0)
  })
})

test.run()
