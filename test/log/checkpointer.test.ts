// Journal files are released also when the disk does not keep, or not take, what one partition has.

import * as assert from 'uvu/assert'
import { checkpointsOf, contents } from '../support/recovered-log.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SickDisk } from '../support/sick-disk.ts'
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('checkpointer')

/** Syncs of a file fail once; what `lose` does to it happens just then. */
function failSync(disk: SickDisk, path: string, lose = () => {}): void {
  let isDone = false
  disk.refusal = (step) => {
    if (isDone || step.operation !== 'sync' || step.path !== path) return false
    isDone = true
    lose()
    return true
  }
}

for (const damage of ['rot', 'spoil'] as const)
  test(`${damage} of what was synced long ago and one failed sync stop nobody`, async () => {
    const disk = new SickDisk()
    const [sick, well] = await disk.create(2)
    const end = await disk.append(sick!, 300)
    void sick!.seal()
    await disk.append(well!, 1500)
    await disk.append(sick!, 100)
    void sick!.seal()
    const path = disk.segmentOf(0)
    await disk.pass(100)
    disk.fs[damage](path, 3000)
    failSync(disk, path)
    assert.is(await disk.append(well!, 3000), 3000)
    assert.is(disk.failure, undefined)
    const found = contents(sick!)
    for (let turns = 0; turns < 50; turns++) await disk.pass(100)
    const rotten = (await found).filter((content) => content === 'rot').length
    assert.ok(rotten > 0 && rotten < 40, `${rotten} records`)
    assert.is((await found).length, end + 100)
    assert.equal(disk.log.health().reasons, [])
  })

test('one refused read after a failed sync stops nobody', async () => {
  const disk = new SickDisk()
  const [sick, well] = await disk.create(2)
  await disk.append(sick!, 100)
  void sick!.seal()
  await disk.pass(100)
  const path = disk.segmentOf(0)
  const refused: string[] = []
  disk.refusal = (step) => {
    const wanted = ['sync', 'read'][refused.length]
    return step.path === path && step.operation === wanted && refused.push(wanted) > 0
  }
  assert.is(await disk.append(well!, 3000), 3000)
  assert.equal(refused, ['sync', 'read'])
  assert.is(disk.failure, undefined)
  assert.is((await contents(sick!)).filter((content) => content !== 'rot').length, 100)
  assert.equal(disk.log.health().reasons, [])
})

test('what a failed sync has lost ends the log, and the next start has it', async () => {
  const disk = new SickDisk()
  const [sick, well] = await disk.create(2)
  await disk.append(sick!, 100)
  void sick!.seal()
  await disk.pass(100)
  const path = disk.segmentOf(0)
  // The kernel drops the pages that it could not write.
  failSync(disk, path, () => {
    const bytes = disk.fs.contents(path)
    for (let at = bytes.length - 600; at < bytes.length; at++) {
      if (bytes[at] !== 0) disk.fs.rot(path, at, bytes[at])
    }
  })
  const acked = await disk.append(well!, 3000)
  assert.ok(acked < 3000)
  assert.match(String(disk.failure), /does not read back.*t-0.*the journal has it: start again/)
  assert.is(disk.log.health().reasons[0], disk.failure?.message)
  await disk.start()
  const [again, other] = disk.partitions()
  assert.is(again!.highWatermark, 100)
  assert.ok(other!.highWatermark >= acked)
  assert.is(again!.losses.total, 0)
  assert.is((await contents(again!)).length, 100)
  assert.is(await disk.append(other!, 3000), 3000)
  assert.equal(disk.log.health().reasons, [])
})

test('a partition whose segments take nothing holds up no other', async () => {
  const disk = new SickDisk()
  const [sick, well] = await disk.create(2)
  await disk.append(sick!, 100)
  disk.refusal = ({ operation, path }) =>
    ['open', 'write'].includes(operation) && path.includes('/t-0/') && path.endsWith('.log')
  assert.is(await disk.append(sick!, 60), 60)
  assert.is(await disk.append(well!, 10_000, 300), 10_000)
  assert.match(disk.log.health().reasons.join(), /segment of t-0 cannot be written/)
  const journals = () => disk.fs.paths().filter((path) => /journal-\d+$/.test(path)).length
  assert.ok(journals() <= 4, `${journals()} files`)
  assert.is(await disk.append(sick!, 60), 60)
  disk.refusal = () => false
  await disk.start()
  assert.equal(
    disk.partitions().map(({ highWatermark }) => highWatermark),
    [220, 10_000],
  )
  assert.is((await contents(disk.partitions()[0]!)).length, 220)
  assert.is(await disk.append(disk.partitions()[1]!, 3000), 3000)
  assert.equal(disk.log.health().reasons, [])
})

test('a directory that is removed while the log runs is made again', async () => {
  const disk = new SickDisk()
  const [bare, well] = await disk.create(2)
  await disk.append(bare!, 300)
  await disk.append(well!, 3000)
  disk.fs.lose(`${STORE}/t-0`)
  // Its open file is full at some time, and the next one has nowhere to be.
  assert.is(await disk.append(bare!, 300), 300)
  await bare!.segments.roll()
  assert.is(await disk.append(bare!, 300), 300)
  assert.is(await disk.append(well!, 3000), 3000)
  assert.is(disk.failure, undefined)
  assert.ok(disk.segmentOf(0))
  await disk.start()
  const [again, other] = disk.partitions()
  assert.is(again!.highWatermark, 900)
  assert.is(other!.highWatermark, 6000)
  assert.is((await contents(again!)).length, 900)
})

test('a checkpoint waits for the first commit of its generation', async () => {
  const disk = new SickDisk()
  await disk.create(1)
  let writes = 0
  disk.refusal = ({ operation, path, isHalfDone }) => {
    if (operation !== 'write' || !/journal-[1-7]$/.test(path) || isHalfDone) return false
    // The file is made and gets its header; no frame, and no other file, gets through.
    return !path.endsWith('-1') || ++writes > 2
  }
  const random = new SeededRandom(3)
  let acked = 0
  for (let order = 1; order <= 200; order++) {
    disk.log.state.put('order', Buffer.from(String(order)))
    disk.log.state.put('large', random.bytes(900))
    const commit = disk.log.openCommit
    await disk.pass(100)
    if (disk.log.durableCommit >= commit) acked = order
  }
  assert.ok(acked > 10 && acked < 200, `${acked} of 200`)
  assert.ok(writes > 2)
  // Nothing else would be small enough to go into that commit, and be nowhere else.
  const later = checkpointsOf(disk.fs).filter(({ generation }) => generation > 1)
  assert.equal(later, [])
  disk.refusal = () => false
  await disk.start()
  assert.ok(Number(disk.log.state.get('order')) >= acked)
})

test.run()
