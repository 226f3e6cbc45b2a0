import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { noLosses } from '../../agent/log/loss.ts'
import {
  checkServed,
  hollowOffsets,
  opened,
  segmentPath,
  served,
  stoppedStore,
} from '../support/hollow-records.ts'
import type { SimFileSystem } from '../support/sim-file-system.ts'
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('hollow')

/** The batches of segments: where one may begin or end to be hollow. */
async function boundaries(partition: Awaited<ReturnType<typeof opened>>['partition']) {
  const found = [0]
  while (found.at(-1)! < partition.sealedOffset) {
    const read = await partition.readSealed(found.at(-1)!, 1)
    if (read.kind !== 'batches') throw new Error(read.kind)
    found.push(read.nextOffset)
  }
  return found
}

test('whole batches become empty records, in several segments, and stay so', async () => {
  const { fs, original, bases } = await stoppedStore()
  const { log, partition } = await opened(fs)
  const all = await boundaries(partition)
  const from = all[2]!
  const to = all.find((boundary) => boundary > bases[2]!)!
  await partition.hollow(from, to, 'dropped')
  const records = await served(partition)
  checkServed(partition, records, original)
  assert.equal(hollowOffsets(records).length, to - from)
  assert.equal(partition.losses.totals, { ...noLosses(), dropped: to - from })
  assert.equal(log.health(), { ok: true, reasons: [] })
  // Durable when it resolved, whatever happens next.
  const again = await opened(fs.crash())
  const later = await served(again.partition)
  checkServed(again.partition, later, original)
  assert.equal(hollowOffsets(later), hollowOffsets(records))
  assert.equal(again.partition.losses.totals, { ...noLosses(), dropped: to - from })
  assert.is(again.log.state.get(`hollow/${again.partition.logId}`), undefined)
})

test('the segment that is written to can be hollow, and goes on', async () => {
  const { fs, original, bases } = await stoppedStore()
  const { log, partition } = await opened(fs)
  const { logEndOffset } = partition
  await partition.hollow(bases.at(-1)!, logEndOffset, 'dropped')
  const value = Buffer.from('next')
  const appends = [0, 1, 2].map(() => partition.appendRecord({ timestamp: 5, key: null, value }))
  assert.equal(appends, [logEndOffset, logEndOffset + 1, logEndOffset + 2])
  await partition.seal()
  const records = await served(partition)
  assert.is(records.length, logEndOffset + 3)
  checkServed(partition, records.slice(0, logEndOffset), original)
  await log.close()
  const again = await opened(fs)
  assert.equal(await served(again.partition), records)
})

test('appends, syncs and reads beside it see nothing of it but empty records', async () => {
  for (let seed = 0; seed < 10; seed++) {
    const { fs, original } = await stoppedStore(300, seed)
    const { log, partition } = await opened(fs)
    const all = await boundaries(partition)
    const value = Buffer.from('new')
    const work = [
      partition.hollow(all[1]!, all.at(-2)!, 'dropped'),
      served(partition),
      partition.segments.sync(),
      served(partition, 300),
    ]
    for (let order = 0; order < 20; order++)
      partition.appendRecord({ timestamp: 1, key: null, value })
    work.push(partition.seal())
    await Promise.all(work)
    await log.durable(log.openCommit - 1)
    const records = await served(partition)
    checkServed(partition, records.slice(0, original.length), original)
    assert.is(hollowOffsets(records).length, all.at(-2)! - all[1]!)
    assert.is(
      records.filter(({ value }) => value === Buffer.from('new').toString('hex')).length,
      20,
    )
  }
})

test('a power cut at any step leaves offsets dense, and hollow exactly what is counted', async () => {
  let crashes = 0
  for (let step = 1; step < 400; step += 3) {
    const { fs, original } = await stoppedStore(150, step)
    const { partition } = await opened(fs)
    const all = await boundaries(partition)
    let left = step
    let crashed: SimFileSystem | undefined
    fs.faults.onStep = () => {
      if (--left === 0) crashed = step % 2 === 0 ? fs.crash() : fs.kill()
    }
    const done = await partition.hollow(all[1]!, all.at(-1)!, 'dropped').then(
      () => true,
      () => false,
    )
    delete fs.faults.onStep
    if (crashed === undefined) break
    crashes++
    delete crashed.faults.onStep
    const again = await opened(crashed)
    const records = await served(again.partition)
    assert.is(records.length, original.length)
    checkServed(again.partition, records, original)
    if (done) assert.is(hollowOffsets(records).length, all.at(-1)! - all[1]!)
    assert.is(crashed.paths().filter((path) => path.endsWith('.rewrite')).length, 0)
  }
  assert.ok(crashes > 5, `${crashes} crashes`)
})

test('when the disk refuses nothing has changed, and it may be tried again', async () => {
  for (const [operation, code] of [
    ['write', 'ENOSPC'],
    ['sync', 'EIO'],
    ['rename', 'EIO'],
    ['open', 'EIO'],
    ['truncate', 'EIO'],
  ] as const) {
    const { fs, original } = await stoppedStore()
    const { log, partition } = await opened(fs)
    const all = await boundaries(partition)
    const path = operation === 'rename' ? '.log' : '.rewrite'
    fs.failNext(operation, { code, path, passes: 1 })
    fs.failNext(operation, { code, path, passes: 1 })
    const [from, to] = [all[1]!, all.at(-1)!]
    const failure = await partition.hollow(from, to, 'dropped').then(String, codeOf)
    assert.is(failure, code, operation)
    const records = await served(partition)
    checkServed(partition, records, original)
    assert.ok(hollowOffsets(records).length < to - from, operation)
    fs.failNoMore()
    const first = hollowOffsets(records).length
    await log.durable(log.openCommit - 1)
    await partition.hollow(
      first === 0 ? from : all.find((at) => at > from + first - 1)!,
      to,
      'dropped',
    )
    const later = await served(partition)
    checkServed(partition, later, original)
    assert.is(hollowOffsets(later).length, to - from, operation)
  }
})

test('a name that cannot be made durable is made so before anything else becomes hollow', async () => {
  const { fs, original } = await stoppedStore()
  const { partition } = await opened(fs)
  const all = await boundaries(partition)
  fs.failNext('syncDirectory', { path: 't-0' })
  assert.is(await partition.hollow(all[0]!, all[1]!, 'dropped').then(String, codeOf), 'EIO')
  await partition.hollow(all[2]!, all[3]!, 'dropped')
  const again = await opened(fs.crash())
  const records = await served(again.partition)
  checkServed(again.partition, records, original)
  assert.is(hollowOffsets(records).length, all[1]! + all[3]! - all[2]!)
})

test('what is hollow already is not counted again', async () => {
  const { fs } = await stoppedStore()
  const { log, partition } = await opened(fs)
  const [first, second] = partition.segments.facts()
  await partition.hollow(first!.baseOffset, first!.nextOffset, 'dropped')
  await partition.hollow(first!.baseOffset, second!.nextOffset, 'dropped')
  assert.is(partition.losses.total, second!.nextOffset)
  await partition.hollow(first!.baseOffset, second!.nextOffset, 'dropped')
  assert.is(partition.losses.total, second!.nextOffset)
  assert.is(hollowOffsets(await served(partition)).length, second!.nextOffset)
  await log.close()
})

test('times are still found', async () => {
  const { fs, original, bases } = await stoppedStore()
  const { partition } = await opened(fs)
  const [from, to] = [bases[1]!, bases[3]!]
  await partition.hollow(from, to, 'dropped')
  for (const { offset, timestamp } of original) {
    const found = await partition.offsetForTime(timestamp)
    if (offset < from || offset >= to) assert.equal(found, { offset, timestamp })
    else assert.ok(found !== null && found.offset >= from && found.offset <= to)
  }
})

test('a deleted topic takes what was said of its losses along', async () => {
  const { fs } = await stoppedStore()
  const { log, partition } = await opened(fs)
  const all = await boundaries(partition)
  await partition.hollow(all[1]!, all[2]!, 'dropped')
  assert.ok(log.state.get(`lost/${partition.logId}`))
  await log.deleteTopic('t')
  assert.equal([...log.state.entries('lost/'), ...log.state.entries('hollow/')], [])
})

test('what a rewrite left behind is removed at the next start', async () => {
  const { fs, original, bases } = await stoppedStore()
  await (await fs.open(`${segmentPath(bases[1]!)}.rewrite`, 'create')).close()
  const { partition } = await opened(fs)
  checkServed(partition, await served(partition), original)
  assert.equal(
    fs.paths().filter((path) => path.startsWith(STORE) && path.endsWith('.rewrite')),
    [],
  )
})

test.run()
