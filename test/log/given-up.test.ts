// What was given up or deleted stays so over kill -9 and power cuts, also while the journal still has
// it: what went upstream as an empty record must never be a real one here again.

import * as assert from 'uvu/assert'
import { GapTracker } from '../../agent/log/gap-tracker.ts'
import type { Log } from '../../agent/log/log.ts'
import { recordsOf } from '../../agent/replication/tail-proof.ts'
import { codecs } from '../support/batches.ts'
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

test('what does not hold is hollow for ever, though the journal would have it', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs, LIMITS)
  const topic = await log.createTopic('t', SETTINGS)
  const partition = topic.partitions[0]!
  await appendRecords(log, partition, 300)
  await partition.seal()
  fs.rot('/store/t-0/00000000000000000000.log', 300)
  const before = await lostOffsets(log)
  assert.ok(before.size > 0)
  await appendRecords(log, partition, 3)
  log.requestCommit()
  await log.durable(log.openCommit)
  const again = await openSmallLog(fs.kill(), LIMITS)
  assert.equal(await lostOffsets(again), before)
  assert.is(again.topic('t')!.partitions[0]!.losses.total, before.size)
  await again.close()
})

test.run()
