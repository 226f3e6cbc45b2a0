// Batches made ready for the wire: sequences and their wrap, cut at the mirror's end, read ahead.

import * as assert from 'uvu/assert'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { CODEC_ZSTD } from '../../agent/record/compression.ts'
import { buildBatch, decodeRecords, readBatchHeader } from '../../agent/record/record-batch.ts'
import { Outgoing } from '../../agent/replication/outgoing.ts'
import { codecs, kernel } from '../support/batches.ts'
import { suite } from '../support/suite.ts'

const test = suite('replication/outgoing')

function batchAt(baseOffset: number, count: number): Buffer {
  const records = Array.from({ length: count }, (_, order) => ({
    timestamp: 5000 + order,
    key: null,
    value: Buffer.from(`${baseOffset + order}`),
  }))
  return buildBatch(records, { codecs, baseOffset })
}

/** A log of which only `readSealed` is used. */
function logOf(batches: readonly Buffer[]): PartitionLog {
  const log = {
    name: 't-0',
    topic: { codec: CODEC_ZSTD },
    readSealed: async (offset: number) => {
      const at = batches.findIndex((batch) => {
        const { baseOffset, lastOffsetDelta } = readBatchHeader(batch)
        return offset >= baseOffset && offset <= baseOffset + lastOffsetDelta
      })
      if (at < 0) return { kind: 'empty' }
      const batch = Buffer.from(batches[at]!)
      const { baseOffset, lastOffsetDelta } = readBatchHeader(batch)
      return {
        kind: 'batches',
        bytes: batch,
        baseOffset,
        nextOffset: baseOffset + lastOffsetDelta + 1,
      }
    },
  }
  return log as unknown as PartitionLog
}

async function readyOf(batches: readonly Buffer[], start: number): Promise<Outgoing> {
  const outgoing = new Outgoing(logOf(batches), { kernel, codecs, producerId: 9n }, start)
  while (await outgoing.fill());
  return outgoing
}

test('the sequence is the offset, and wraps at 2^31', async () => {
  const base = 2 ** 31 - 6
  const outgoing = await readyOf(
    [batchAt(base, 3), batchAt(base + 3, 5), batchAt(base + 8, 2)],
    base,
  )
  const sequences: number[] = []
  for (let batch = outgoing.take(); batch !== undefined; batch = outgoing.take()) {
    const header = readBatchHeader(batch.bytes)
    sequences.push(header.baseSequence)
    assert.is(header.baseOffset, 0)
    assert.is(header.leaderEpoch, -1)
    assert.is(header.producerId, 9n)
    assert.is(header.producerEpoch, 0)
    assert.is(codecs.crc32c(batch.bytes.subarray(21)), header.crc)
  }
  assert.equal(sequences, [2 ** 31 - 6, 2 ** 31 - 3, 2])
})

test('the first batch is cut where the mirror ends', async () => {
  const outgoing = await readyOf([batchAt(100, 10), batchAt(110, 2)], 104)
  const first = outgoing.take()!
  assert.is(first.baseOffset, 104)
  assert.is(first.nextOffset, 110)
  const header = readBatchHeader(first.bytes)
  assert.is(header.baseSequence, 104)
  assert.is(header.codec, CODEC_ZSTD, 'that of the topic')
  assert.is(header.count, 6)
  assert.is(codecs.crc32c(first.bytes.subarray(21)), header.crc)
  const values = [...decodeRecords(first.bytes, codecs)].map(({ value, timestamp }) => [
    String(value),
    timestamp,
  ])
  assert.equal(values[0], ['104', 5004])
  assert.equal(values.at(-1), ['109', 5009])
  assert.is(outgoing.take()?.baseOffset, 110)
})

test('an offset that the log has lost is a fault', async () => {
  const log = {
    name: 't-0',
    readSealed: async () => ({ kind: 'outOfRange', logStartOffset: 50, highWatermark: 70 }),
  } as unknown as PartitionLog
  const outgoing = new Outgoing(log, { kernel, codecs, producerId: 9n }, 10)
  let message = ''
  await outgoing.fill().catch((error) => (message = error.message))
  assert.is(message, 't-0: offset 10 is not in the log (50 to 70)')
})

test.run()
