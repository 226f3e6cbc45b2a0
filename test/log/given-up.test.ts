// What was given up or deleted stays so over kill -9 and power cuts, also while the journal still has
// it: what went upstream as an empty record must never be a real one here again.

import * as assert from 'uvu/assert'
import { GapTracker } from '../../agent/log/gap-tracker.ts'
import type { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import type { SegmentFacts } from '../../agent/log/retention.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { buildBatch, type DecodedRecord, decodeRecords } from '../../agent/record/record-batch.ts'
import { recordsOf } from '../../agent/replication/tail-proof.ts'
import { codecs, kernel } from '../support/batches.ts'
import { framesOf } from '../support/recovered-log.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('given up')
/** Nothing makes the journal roll: a start replays all of it. */
const LIMITS = { journalBytes: 1024 * 1024, healWindowMs: 0 }
const SETTINGS = { partitions: 1, replicated: true, retentionBytes: 1 } as const

/** Every offset of the partition that is lost, and for what. */
async function lostOffsets(log: Log): Promise<Map<number, string>> {
  const partition = log.topic('t')!.partitions[0]!
  const lost = new Map<number, string>()
  const gaps = new GapTracker()
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const read = await partition.read(offset, 1 << 20)
    if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
    const found = recordsOf(read.bytes, codecs, offset, partition.highWatermark, (record) => {
      const reason = gaps.take(record)
      if (reason !== undefined) lost.set(record.offset, reason)
    })
    assert.not.type(found, 'number')
    offset = read.nextOffset
  }
  return lost
}

for (const end of ['kill', 'crash'] as const) {
  test(`records given up stay empty after a ${end}, and are counted once`, async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const fs = new SimFileSystem(seed)
      const log = await openSmallLog(fs, LIMITS)
      if (seed % 2 === 0) {
        // The journal has another topic of the name, and its end.
        const before = await log.createTopic('t', { ...SETTINGS, partitions: 2 })
        await appendRecords(log, before.partitions[0]!, 50)
        await log.deleteTopic('t')
      }
      const topic = await log.createTopic('t', { ...SETTINGS, whenFull: 'dropOldest' })
      const partition = topic.partitions[0]!
      await appendRecords(log, partition, 300)
      await partition.seal()
      const [first, second, third] = partition.segments.facts()
      partition.replicatedOffset = first!.nextOffset
      await log.retain()
      assert.is(partition.logStartOffset, first!.nextOffset)
      await partition.hollow(second!.baseOffset, second!.nextOffset, 'dropped')
      await partition.hollow(third!.baseOffset, third!.nextOffset, 'dropped')
      await appendRecords(log, partition, 3)
      log.requestCommit()
      await log.durable(log.openCommit)
      const again = await openSmallLog(end === 'kill' ? fs.kill() : fs.crash(), LIMITS)
      const restored = again.topic('t')!.partitions[0]!
      assert.is(restored.highWatermark, 303)
      assert.is(restored.logStartOffset, first!.nextOffset)
      const lost = await lostOffsets(again)
      assert.is(lost.size, third!.nextOffset - second!.baseOffset, `seed ${seed}`)
      assert.is(Math.min(...lost.keys()), second!.baseOffset)
      assert.is(restored.losses.totals.dropped, lost.size)
      await again.close()
    }
  })
}

const SEGMENT = '/store/t-0/00000000000000000000.log'

/** All that is served, record for record. */
async function recordsIn(partition: PartitionLog): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = []
  for (let offset = partition.logStartOffset; offset < partition.highWatermark; ) {
    const read = await partition.read(offset, 1)
    if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
    records.push(...decodeRecords(read.bytes, codecs))
    offset = read.nextOffset
  }
  return records
}

async function sealedStore(seed: number) {
  const fs = new SimFileSystem(seed)
  const log = await openSmallLog(fs, LIMITS)
  const partition = (await log.createTopic('t', SETTINGS)).partitions[0]!
  await appendRecords(log, partition, 40)
  const produced = [1, 2, 3].map((order) => ({
    timestamp: order,
    key: null,
    value: Buffer.of(order),
  }))
  partition.appendBatch(buildBatch(produced, { codecs }))
  await appendRecords(log, partition, 60)
  await partition.seal()
  return { fs, log, partition, records: await recordsIn(partition) }
}

test('what does not hold comes from the journal, where a start would take it from there', async () => {
  const damages = [
    (fs: SimFileSystem) => fs.rot(SEGMENT, 300),
    (fs: SimFileSystem) => {
      for (const position of [300, 3000, 5000]) fs.rot(SEGMENT, position)
    },
    (fs: SimFileSystem) => fs.shorten(SEGMENT, 1000),
    (fs: SimFileSystem) => fs.lose(SEGMENT),
  ]
  for (const [seed, damage] of damages.entries()) {
    const { fs, log, partition, records } = await sealedStore(seed)
    damage(fs)
    assert.equal(await recordsIn(partition), records)
    assert.is(partition.losses.total, 0)
    assert.ok(log.health().ok)
    await appendRecords(log, partition, 10)
    const killed = fs.kill()
    const again = await openSmallLog(killed, LIMITS)
    const restored = again.topic('t')!.partitions[0]!
    assert.equal((await recordsIn(restored)).slice(0, records.length), records)
    assert.is(restored.losses.total, 0)
    await again.close()
    assert.equal((await verifyStore(killed, '/store', { kernel })).findings, [])
  }
})

test('what does not hold in the journal either is hollow for ever', async () => {
  const { fs, log, partition } = await sealedStore(1)
  fs.rot(SEGMENT, 300)
  const journal = '/store/journal-0'
  const frames = framesOf(fs.contents(journal))
  for (const at of frames.slice(1, 6)) fs.rot(journal, at + 20)
  const before = await lostOffsets(log)
  assert.ok(before.size > 0 && before.size < 40)
  await appendRecords(log, partition, 3)
  log.requestCommit()
  await log.durable(log.openCommit)
  const killed = fs.kill()
  for (const at of frames.slice(1, 6)) killed.rot(journal, at + 20)
  const again = await openSmallLog(killed, LIMITS)
  assert.equal(await lostOffsets(again), before)
  assert.is(again.topic('t')!.partitions[0]!.losses.total, before.size)
  await again.close()
})

test('what was given up stays so when its empty records rot, though the journal has the real ones', async () => {
  const { fs, log, partition } = await sealedStore(1)
  const [{ baseOffset, nextOffset }] = partition.segments.facts() as [SegmentFacts]
  await partition.hollow(baseOffset, nextOffset, 'dropped')
  fs.rot(SEGMENT, 70)
  assert.is((await lostOffsets(log)).size, nextOffset - baseOffset)
  assert.is(partition.losses.total, nextOffset - baseOffset)
  const again = await openSmallLog(fs.kill(), LIMITS)
  assert.is((await lostOffsets(again)).size, nextOffset - baseOffset)
  await again.close()
})

test.run()
