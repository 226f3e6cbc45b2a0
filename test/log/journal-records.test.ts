// Damage above the recovery offset, while the disk does not give the journal that has what was there.

import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { JournalRecords } from '../../agent/log/journal-records.ts'
import { buildBatch, decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { contents } from '../support/recovered-log.ts'
import { SickDisk } from '../support/sick-disk.ts'
import { suite } from '../support/suite.ts'

const test = suite('journal records')

/** A segment that rots, whose records only the journal has still. */
async function rotten() {
  const disk = new SickDisk()
  const [partition] = await disk.create(1)
  await disk.append(partition!, 200)
  await disk.until(partition!.seal())
  disk.fs.rot(disk.segmentOf(0), 3000)
  return { disk, partition: partition! }
}

test('a journal file whose name is gone has nothing, and what rots is mended', async () => {
  const { disk, partition } = await rotten()
  for (const path of disk.fs.paths()) if (/journal-\d+$/.test(path)) disk.fs.lose(path)
  const found = await disk.until(contents(partition))
  const hollow = found.filter((content) => typeof content === 'string').length
  assert.is(found.length, 200)
  assert.ok(hollow > 0)
  assert.is(partition.losses.total, hollow)
  assert.equal(disk.log.health().reasons, [])
})

test('a journal file that cannot be opened may be there later, and nothing changes till then', async () => {
  const { disk, partition } = await rotten()
  disk.refusal = ({ operation, path }) => operation === 'open' && /journal-\d+$/.test(path)
  const error = await disk.until(contents(partition).catch((fault) => fault))
  assert.is(codeOf(error), 'CORRUPT_STORE')
  assert.match(error.message, /journal-0 cannot be opened/)
  disk.refusal = () => false
  await disk.pass(2000)
  assert.is((await disk.until(contents(partition))).length, 200)
  assert.is(partition.losses.total, 0)
})

test('records that lie over a batch in part are there from its end on', () => {
  const record = { timestamp: 5, key: null, value: Buffer.from('v') }
  const batchOf = (baseOffset: number, count: number) =>
    buildBatch(Array(count).fill(record), { codecs, baseOffset })
  const records = new JournalRecords([{ from: 0, to: 20 }])
  const place = { kind: 'records', logId: 1, tailBase: 3, baseTimestamp: 5, firstDelta: 0 } as const
  records.add({ ...place, maxTimestamp: 5, count: 7, bytes: batchOf(3, 7).subarray(61) })
  records.add({ kind: 'batch', logId: 1, baseOffset: 0, bytes: batchOf(0, 5) })
  const batches = records.batches(codecs)
  assert.equal(
    batches.map(({ from, to }) => [from, to]),
    [
      [0, 5],
      [5, 10],
    ],
  )
  const offsets = batches.flatMap(({ bytes }) => [...decodeRecords(bytes, codecs)])
  assert.equal(
    offsets.map(({ offset }) => offset),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  )
})

test.run()
