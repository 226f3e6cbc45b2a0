// Journal files are released also when the disk does not keep, or not take, what one partition has.

import * as assert from 'uvu/assert'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { type DecodedRecord, decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { checkpointsOf, contents } from '../support/recovered-log.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SickDisk } from '../support/sick-disk.ts'
import type { SimStep } from '../support/sim-file-system.ts'
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

/** Two partitions; a hundred records of the first are in its segment, and not synced. */
async function sealedBeside() {
  const disk = new SickDisk()
  const [sick, well] = (await disk.create(2)) as [PartitionLog, PartitionLog]
  await disk.append(sick, 100)
  void sick.seal()
  await disk.pass(100)
  return { disk, sick, well }
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
  const { disk, sick, well } = await sealedBeside()
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

/** The kernel drops the pages that it could not write. */
function dropEnd(disk: SickDisk, path: string): void {
  const bytes = disk.fs.contents(path)
  for (let at = bytes.length - 600; at < bytes.length; at++) {
    if (bytes[at] !== 0) disk.fs.rot(path, at, bytes[at])
  }
}

/** Everything a reader is given. */
async function recordsOf(partition: PartitionLog): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = []
  for (let offset = 0; offset < partition.highWatermark; ) {
    const read = await partition.read(offset, 2000)
    if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
    records.push(...decodeRecords(read.bytes, codecs))
    offset = read.nextOffset
  }
  return records
}

test('what a failed sync has lost comes back from the journal', async () => {
  for (const damage of ['zeros', 'bad sector'] as const) {
    const { disk, sick, well } = await sealedBeside()
    const expected = await recordsOf(sick!)
    assert.is(expected.length, 100)
    const path = disk.segmentOf(0)
    failSync(disk, path, () => {
      if (damage === 'zeros') dropEnd(disk, path)
      else disk.fs.spoil(path, 3000)
    })
    assert.is(await disk.append(well!, 3000), 3000)
    assert.is(disk.failure, undefined)
    assert.equal(disk.log.health().reasons, [])
    assert.equal(await recordsOf(sick!), expected)
    assert.is(await disk.append(sick!, 50), 50)
    await disk.start()
    const [again] = disk.partitions()
    assert.equal((await recordsOf(again!)).slice(0, 100), expected)
    assert.is(again!.highWatermark, 150)
    assert.is(again!.losses.total, 0)
  }
})

test('what a failed sync has lost and the journal lacks ends the log', async () => {
  const { disk, sick, well } = await sealedBeside()
  const value = (await recordsOf(sick!))[97]!.value!
  const path = disk.segmentOf(0)
  failSync(disk, path, () => {
    dropEnd(disk, path)
    for (const journal of disk.fs.paths().filter((name) => /journal-\d+$/.test(name))) {
      const at = disk.fs.contents(journal).indexOf(value)
      if (at >= 0) disk.fs.rot(journal, at)
    }
  })
  const acked = await disk.append(well!, 3000)
  assert.ok(acked < 3000)
  assert.match(
    String(disk.failure),
    /does not read back.*t-0.*the journal lacks offset.*start again/,
  )
  assert.is(disk.log.health().reasons[0], disk.failure?.message)
  await disk.start()
  const [again, other] = disk.partitions()
  assert.is(again!.highWatermark, 100)
  assert.is((await contents(again!)).length, 100)
  // One frame of the journal.
  assert.is(again!.losses.total, 20)
  assert.is(await disk.append(other!, 3000), 3000)
  assert.is(disk.failure, undefined)
})

test('one partition on bad blocks stops no other, in any process', async () => {
  const disk = new SickDisk()
  const [sick] = await disk.create(2)
  let written = 0
  for (let boot = 0; boot < 5; boot++) {
    if (boot > 0) await disk.start()
    const [again, other] = disk.partitions()
    const synced = boot > 0 ? disk.fs.contents(disk.segmentOf(0)).length : 0
    let isReplaced = false
    disk.refusal = ({ path, operation }) => {
      if (!path.includes('/t-0/') || !path.endsWith('.log')) return false
      // Another file has other blocks.
      if (operation === 'rename') isReplaced = true
      if (operation !== 'sync' || isReplaced) return false
      const { length } = disk.fs.contents(path)
      for (let at = synced + 512; at < length; at += 512) disk.fs.spoil(path, at)
      return true
    }
    written += await disk.append(again!, 100)
    void again!.seal()
    await disk.pass(100)
    assert.is(await disk.append(other!, 3000), 3000, `boot ${boot}`)
    assert.ok(isReplaced, `boot ${boot}`)
    assert.is(disk.failure, undefined)
    assert.equal(disk.log.health().reasons, [])
    assert.is(again!.losses.total, 0)
    disk.refusal = () => false
    assert.is((await recordsOf(again!)).length, written)
  }
  assert.is(written, 500)
  assert.is(sick!.highWatermark, 100)
})

test('a partition that no file takes is tried again, and the log goes on behind it', async () => {
  const { disk, sick, well } = await sealedBeside()
  const expected = await recordsOf(sick!)
  const path = disk.segmentOf(0)
  disk.refusal = (step) => {
    if (step.path === path && step.operation === 'read') return true
    return step.path.startsWith(path) && step.operation === 'sync'
  }
  const acked = await disk.append(well!, 3000)
  assert.ok(acked > 0 && acked < 3000, `${acked} acked`)
  assert.is(disk.failure, undefined)
  assert.match(disk.log.health().reasons.join(), /no checkpoint can be written.*t-0/)
  // What comes next is in another file.
  disk.refusal = (step) => step.path.startsWith(path) && step.operation === 'sync'
  void sick!.seal()
  await disk.append(sick!, 5, 1)
  disk.refusal = () => false
  await disk.pass(5000)
  assert.is(await disk.append(well!, 3000), 3000)
  assert.equal(disk.log.health().reasons, [])
  assert.equal((await recordsOf(sick!)).slice(0, 100), expected)
  assert.is(sick!.losses.total, 0)
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

test('a commit that waits for a journal file gets one when the disk is well again', async () => {
  const disk = new SickDisk()
  const [partition] = await disk.create(1)
  let writes = Number.POSITIVE_INFINITY
  /** Of the writes of a journal: the first, and those from the fifth on. */
  const isRefused = ({ path, isHalfDone }: SimStep) =>
    /journal-\d+$/.test(path) && !isHalfDone && ++writes !== 2 && writes !== 3 && writes !== 4
  disk.refusal = ({ operation, path }) => operation === 'write' && path.endsWith('.log')
  // More than would be journaled once more.
  assert.is(await disk.append(partition!, 400), 400)
  const refuseData = disk.refusal
  // A file whose write fails is kept for what it has; the frame goes to the next one, and the last of
  // them takes no other frame: that of the carried state waits for a file.
  for (let files = 1; files < 8; files++) {
    writes = 0
    const isLast = files === 7
    disk.refusal = (step) =>
      refuseData(step) ||
      (step.operation === 'write' && isRefused(step) && (isLast || writes === 1))
    assert.is(await disk.append(partition!, 3, 5), 3)
  }
  await disk.pass(5000)
  disk.refusal = () => false
  for (let seconds = 0; seconds < 60; seconds++) await disk.pass(1000)
  assert.equal(disk.log.health().reasons, [])
  assert.is(await disk.append(partition!, 100), 100)
})

test.run()
