import * as assert from 'uvu/assert'
import { errorName } from '../../../../agent/kafka/protocol/error-codes.ts'
import * as api from '../../../../agent/kafka/protocol/messages/00-produce.ts'
import { decodeRecords, readBatchHeader } from '../../../../agent/record/record-batch.ts'
import { codecs } from '../../../support/batches.ts'
import { suite } from '../../../support/suite.ts'
import { producerBatch, START, sequenced, settle, TestBroker } from '../test-broker.ts'

const test = suite('Produce')

function requestOf(
  records: Buffer | null,
  options: { acks?: number; index?: number; name?: string; timeoutMs?: number } = {},
) {
  const { acks = -1, index = 0, name = 't', timeoutMs = 1000 } = options
  return { acks, timeoutMs, topicData: [{ name, partitionData: [{ index, records }] }] }
}

async function produce(
  broker: TestBroker,
  records: Buffer | null,
  options: { acks?: number; index?: number; name?: string; version?: number } = {},
) {
  const { version = 9, ...rest } = options
  const { responses } = await broker.ask(api, version, requestOf(records, rest))
  const answer = responses[0]!.partitionResponses[0]!
  return { ...answer, error: errorName(answer.errorCode) }
}

async function valuesOf(broker: TestBroker, name = 't'): Promise<string[]> {
  const partition = broker.log.topic(name)!.partitions[0]!
  const values: string[] = []
  let offset = partition.logStartOffset
  while (offset < partition.highWatermark) {
    const read = await partition.read(offset, 1 << 20)
    if (read.kind !== 'batches') throw new Error(read.kind)
    let position = 0
    while (position < read.bytes.length) {
      const batch = read.bytes.subarray(position)
      for (const record of decodeRecords(batch, codecs)) values.push(String(record.value))
      position += readBatchHeader(batch).size
    }
    offset = read.nextOffset
  }
  return values
}

test('records of every version get consecutive offsets and are durable when answered', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  for (let version = 3; version <= 11; version++) {
    const { error, baseOffset, logAppendTimeMs } = await produce(
      broker,
      producerBatch([`${version}a`, `${version}b`]),
      { version, acks: version % 2 === 0 ? 1 : -1 },
    )
    assert.is(error, 'NONE')
    assert.is(baseOffset, (version - 3) * 2)
    assert.is(logAppendTimeMs, -1)
    assert.is(partition.highWatermark, baseOffset + 2)
  }
  const restarted = await broker.crash()
  const expected = Array.from({ length: 9 }, (_, i) => [`${i + 3}a`, `${i + 3}b`]).flat()
  assert.equal(await valuesOf(restarted), expected)
  await restarted.close()
})

test('the answer waits for the commit; the next request need not', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  const first = await broker.answerTo(api, 9, requestOf(producerBatch(['a'])))
  const second = await broker.answerTo(api, 9, requestOf(producerBatch(['b'])))
  assert.is(first.kind, 'later')
  assert.is(second.kind, 'later')
  assert.is(partition.highWatermark, 0)
  if (second.kind === 'later') await second.response
  assert.is(partition.highWatermark, 2)
  await broker.close()
})

test('acks 0 gets no answer, and with a refused batch no connection', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  const good = await broker.answerTo(api, 9, requestOf(producerBatch(['a']), { acks: 0 }))
  assert.is(good.kind, 'none')
  await produce(broker, producerBatch(['b']))
  const bad = await broker.answerTo(api, 9, requestOf(producerBatch(['a']), { acks: 0, index: 9 }))
  assert.is(bad.kind, 'close')
  assert.equal(await valuesOf(broker), ['a', 'b'])
  await broker.close()
})

test('small batches share a tail, timestamps and headers kept; large ones stay as they came', async () => {
  const broker = await TestBroker.open()
  const partition = await broker.topic('t')
  const headers = [['h', Buffer.from('1')]] as const
  await produce(broker, producerBatch(['a'], { timestamp: 5, codec: 3, record: { headers } }))
  await produce(
    broker,
    producerBatch(['b'], { timestamp: 9, codec: 1, record: { key: Buffer.from('k') } }),
  )
  const large = producerBatch(['x'.repeat(20_000)])
  await produce(broker, large)
  const read = await partition.read(0, 1 << 20)
  if (read.kind !== 'batches') throw new Error(read.kind)
  const header = readBatchHeader(read.bytes)
  const [a, b] = [...decodeRecords(read.bytes, codecs)]
  assert.is(header.count, 2)
  assert.equal([a!.timestamp, b!.timestamp], [5, 9])
  assert.equal([String(a!.headers[0]), String(b!.key)], ['h,1', 'k'])
  const kept = read.bytes.subarray(header.size)
  assert.is(readBatchHeader(kept).baseOffset, 2)
  assert.equal(kept.subarray(16), large.subarray(16))
  await broker.close()
})

test('what the log must not take is refused in the words of Kafka, and nothing is written', async () => {
  const broker = await TestBroker.open({ settings: { messageBytesMax: 2000 } })
  const partition = await broker.topic('t')
  const damaged = producerBatch(['abc'])
  damaged[damaged.length - 1]! ^= 1
  const two = Buffer.concat([producerBatch(['a']), producerBatch(['b'])])
  const shifted = producerBatch(['a'])
  shifted.writeBigInt64BE(5n, 0)
  const unknown = producerBatch(['a'])
  unknown.writeInt16BE(5, 21)
  unknown.writeUInt32BE(codecs.crc32c(unknown.subarray(21)), 17)
  const cases: [string, Buffer | null, string][] = [
    ['no batch', null, 'INVALID_RECORD'],
    ['an empty one', Buffer.alloc(0), 'INVALID_RECORD'],
    ['a wrong CRC', damaged, 'CORRUPT_MESSAGE'],
    ['two batches', two, 'INVALID_RECORD'],
    ['a base offset', shifted, 'INVALID_RECORD'],
    ['a codec nobody knows', unknown, 'UNSUPPORTED_COMPRESSION_TYPE'],
    ['too many bytes', producerBatch(['x'.repeat(3000)]), 'MESSAGE_TOO_LARGE'],
  ]
  for (const [title, records, expected] of cases) {
    const { error, baseOffset, errorMessage } = await produce(broker, records)
    assert.is(error, expected, title)
    assert.is(baseOffset, -1)
    assert.ok(errorMessage, title)
  }
  assert.is(partition.logEndOffset, 0)
  await broker.close()
})

test('unknown names, acks, transactions and old formats are refused for each partition', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  const batch = producerBatch(['a'])
  assert.is((await produce(broker, batch, { name: 'other' })).error, 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is((await produce(broker, batch, { index: 1 })).error, 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is((await produce(broker, batch, { index: -1 })).error, 'UNKNOWN_TOPIC_OR_PARTITION')
  assert.is((await produce(broker, batch, { acks: 2 })).error, 'INVALID_REQUIRED_ACKS')
  assert.is((await produce(broker, batch, { version: 2 })).error, 'UNSUPPORTED_VERSION')
  const transactional = { ...requestOf(batch), transactionalId: 'x' }
  const { responses } = await broker.ask(api, 9, transactional)
  const { errorCode } = responses[0]!.partitionResponses[0]!
  assert.is(errorName(errorCode), 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED')
  await broker.close()
})

test('a topic is made on the way where that is allowed, and lives through a crash', async () => {
  const broker = await TestBroker.open({ settings: { autoCreateTopics: true } })
  assert.is((await produce(broker, producerBatch(['a']), { name: 'new' })).error, 'NONE')
  const refused = await produce(broker, producerBatch(['a']), { name: 'no/slash' })
  assert.is(refused.error, 'INVALID_TOPIC_EXCEPTION')
  const restarted = await broker.crash()
  assert.equal(await valuesOf(restarted, 'new'), ['a'])
  await restarted.close()
})

test('partitions of one request are answered one by one', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t', 2)
  await broker.topic('u')
  const topicData = [
    {
      name: 't',
      partitionData: [
        { index: 1, records: producerBatch(['a']) },
        { index: 5, records: producerBatch(['b']) },
        { index: 0, records: producerBatch(['c', 'd']) },
      ],
    },
    { name: 'u', partitionData: [{ index: 0, records: producerBatch(['e']) }] },
  ]
  const { responses } = await broker.ask(api, 9, { acks: -1, timeoutMs: 1000, topicData })
  const shown = responses.map(({ name, partitionResponses }) => [
    name,
    partitionResponses.map(({ index, errorCode }) => `${index} ${errorName(errorCode)}`),
  ])
  assert.equal(shown, [
    ['t', ['1 NONE', '5 UNKNOWN_TOPIC_OR_PARTITION', '0 NONE']],
    ['u', ['0 NONE']],
  ])
  await broker.close()
})

test('a retry is answered with the first offset, once its commit is durable, also after a crash', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  const batch = sequenced(9n, 0, ['a', 'b'], 0, START - 5000)
  const first = await broker.answerTo(api, 9, requestOf(batch))
  const retry = await broker.answerTo(api, 9, requestOf(batch))
  assert.is(first.kind, 'later')
  assert.is(retry.kind, 'later', 'an answer before the commit would be a lie')
  if (retry.kind === 'later') await retry.response
  const again = await produce(broker, batch)
  assert.equal([again.error, again.baseOffset], ['NONE', 0])
  assert.is(again.logAppendTimeMs, START - 4999, 'the greatest timestamp of the batch')
  const restarted = await broker.crash()
  assert.is((await produce(restarted, batch)).baseOffset, 0)
  assert.equal(await valuesOf(restarted), ['a', 'b'])
  await restarted.close()
})

test('a gap is out of order, and the producer may go on where it was', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  await produce(broker, sequenced(9n, 0, ['a']))
  const gap = await produce(broker, sequenced(9n, 2, ['c']))
  assert.is(gap.error, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
  assert.match(gap.errorMessage!, 'sequence 2, expected 1')
  assert.is((await produce(broker, sequenced(9n, 1, ['b']))).baseOffset, 1)
  const old = await produce(broker, sequenced(9n, 0, ['x'], 1))
  assert.is(old.error, 'NONE')
  assert.is((await produce(broker, sequenced(9n, 2, ['y']))).error, 'INVALID_PRODUCER_EPOCH')
  assert.equal(await valuesOf(broker), ['a', 'b', 'x'])
  await broker.close()
})

test('records and the memory of their producer are durable together at every crash', async () => {
  for (let stop = 1; stop <= 40; stop++) {
    let broker = await TestBroker.open()
    await broker.topic('t')
    const batches = [0, 1, 2, 3].map((n) => sequenced(4n, n * 2, [`${n}a`, `${n}b`]))
    let steps = 0
    let next: Promise<TestBroker> | undefined
    const old = broker
    old.fs.faults.onStep = () => {
      if (++steps === stop) next = old.crash()
    }
    for (const batch of batches) {
      if (next !== undefined) break
      const answer = await broker.answerTo(api, 9, requestOf(batch))
      if (answer.kind === 'later') answer.response.catch(() => {})
      for (let turn = 0; turn < stop % 7; turn++) await undefined
    }
    delete old.fs.faults.onStep
    broker = await (next ?? old.crash())
    for (const batch of batches) assert.is((await produce(broker, batch)).error, 'NONE')
    const expected = ['0a', '0b', '1a', '1b', '2a', '2b', '3a', '3b']
    assert.equal(await valuesOf(broker), expected, `crash at step ${stop}`)
    await broker.close()
  }
})

test('without room a batch waits, later ones behind it, and all go in when there is some', async () => {
  const broker = await TestBroker.open({ log: { commitIntervalMs: 50 } })
  await broker.topic('t')
  const filler = producerBatch(['x'.repeat(1_000_000)])
  await broker.answerTo(api, 9, requestOf(filler, { acks: 0 }))
  const waiting = broker.answerTo(api, 9, {
    acks: -1,
    timeoutMs: 10_000,
    topicData: [
      {
        name: 't',
        partitionData: [
          { index: 0, records: producerBatch(['y'.repeat(900_000)]) },
          { index: 0, records: producerBatch(['z']) },
        ],
      },
    ],
  })
  let isDone = false
  waiting.then(() => {
    isDone = true
  })
  await settle()
  assert.is(isDone, false)
  assert.is(broker.broker.room.size, 1)
  for (let turn = 0; !isDone && turn < 20; turn++) {
    broker.clock.advance(50)
    await settle()
  }
  assert.is((await waiting).kind, 'later')
  broker.clock.advance(50)
  await settle()
  const [x, y, z] = await valuesOf(broker)
  assert.equal([x![0], y![0], z], ['x', 'y', 'z'])
})

test('when there is no room in time the answer is retriable and nothing was appended', async () => {
  const broker = await TestBroker.open({
    log: { disk: { budgetBytes: 1, budgetShare: undefined, keepFreeBytes: 0 } },
  })
  broker.log.ensureTopic('t', { partitions: 1, replicated: false })
  const waiting = produce(broker, sequenced(3n, 0, ['a']))
  await settle()
  broker.clock.advance(750)
  const { error, baseOffset } = await waiting
  assert.equal([error, baseOffset], ['NOT_ENOUGH_REPLICAS', -1])
  assert.is(broker.log.topic('t')!.partitions[0]!.logEndOffset, 0)
  assert.is(broker.broker.producers.size, 0)
})

test('a journal that cannot be written holds answers back until the disk is well', async () => {
  const broker = await TestBroker.open()
  await broker.topic('t')
  for (let i = 0; i < 3; i++) broker.fs.failNext('write', { code: 'EIO', path: 'journal' })
  let error: string | undefined
  const answered = produce(broker, producerBatch(['a'])).then((answer) => (error = answer.error))
  await settle()
  assert.is(error, undefined)
  for (let turn = 0; error === undefined && turn < 100; turn++) {
    broker.clock.advance(1000)
    await settle()
  }
  await answered
  assert.is(error, 'NONE')
})

test.run()
