import * as assert from 'uvu/assert'
import { ReadAhead } from '../../agent/log/read-ahead.ts'
import { SegmentFile } from '../../agent/log/segment-file.ts'
import { contextOf } from '../support/filled-segment.ts'
import { opened, served, stoppedStore } from '../support/hollow-records.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('read-ahead')

async function setUp(bytes = 10_000) {
  const fs = new SimFileSystem(1)
  await fs.makeDirectory('/p')
  const file = new SegmentFile(contextOf(fs), '/p', 0)
  await file.create()
  const content = Buffer.from(Array.from({ length: bytes }, (_, at) => at % 251))
  await file.append(content)
  return { fs, file, content, ahead: new ReadAhead() }
}

test('what was read ahead is had once, up to the count that is asked for', async () => {
  const { file, content, ahead } = await setUp()
  ahead.start(file, 1000, 500)
  assert.is(await ahead.take(file, 1001, 500), undefined)
  assert.equal(await ahead.take(file, 1000, 300), content.subarray(1000, 1300))
  assert.is(await ahead.take(file, 1000, 300), undefined)
  ahead.start(file, 9900, 500)
  assert.equal(await ahead.take(file, 9900, 500), content.subarray(9900))
})

test('nothing is read behind the end, nor in large pieces, nor twice', async () => {
  const { fs, file, ahead } = await setUp()
  let reads = 0
  fs.faults.onStep = ({ operation }) => operation === 'read' && reads++
  ahead.start(file, 10_000, 500)
  ahead.start(file, 0, 2 * 1024 * 1024)
  ahead.start(file, 5, 100)
  ahead.start(file, 5, 100)
  assert.ok(await ahead.take(file, 5, 100))
  assert.is(reads, 1)
})

test('a few pieces are kept, the newest', async () => {
  const { file, ahead } = await setUp()
  for (const position of [1, 2, 3, 4, 5]) ahead.start(file, position, 10)
  assert.is(await ahead.take(file, 1, 10), undefined)
  for (const position of [2, 3, 4, 5]) assert.ok(await ahead.take(file, position, 10))
})

test('a read that fails, or a file that was replaced, gives nothing', async () => {
  const { fs, file, ahead } = await setUp()
  fs.failNext('read')
  ahead.start(file, 0, 10)
  assert.is(await ahead.take(file, 0, 10), undefined)
  ahead.start(file, 0, 10)
  await file.replace([{ kind: 'keep', from: 100, to: 200 }], 0)
  assert.is(await ahead.take(file, 0, 10), undefined)
})

test('a sequential reader finds everything, across segments, with one read for each piece', async () => {
  const { fs, original } = await stoppedStore()
  const { partition } = await opened(fs)
  await served(partition)
  let reads = 0
  let pieces = 0
  fs.faults.onStep = ({ operation, path }) => {
    if (operation === 'read' && path.endsWith('.log')) reads++
  }
  for (let offset = 0; offset < original.length; pieces++) {
    const read = await partition.read(offset, 4000)
    if (read.kind !== 'batches') throw new Error(read.kind)
    offset = read.nextOffset
  }
  assert.ok(pieces > 5)
  assert.ok(reads <= pieces + 3, `${reads} reads for ${pieces} pieces`)
})

test.run()
