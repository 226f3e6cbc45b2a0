import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { Segment } from '../../agent/log/segment.ts'
import {
  BASE,
  bytesOf,
  checkAll,
  contextOf,
  emptyStore,
  endOf,
  filled,
  INDEX,
  LOG,
  made,
  TIME_INDEX,
} from '../support/filled-segment.ts'
import { suite } from '../support/suite.ts'

const test = suite('segment recovery')

test('recovers what is whole, whatever was not synced', async () => {
  for (let seed = 0; seed < 60; seed++) {
    const batches = made(60, seed)
    const synced = batches.slice(0, 30)
    const { fs, segment } = await filled(synced, seed)
    for (const { bytes } of batches.slice(30)) await segment.append(bytes)
    if (seed % 2 === 0) await segment.close()
    const later = fs.crash()
    const again = await Segment.open(contextOf(later), '/p', BASE)
    const recovery = await again.recover(endOf(synced))
    const kept = batches.filter(({ nextOffset }) => nextOffset <= recovery.nextOffset)
    assert.ok(kept.length >= 30, `seed ${seed}`)
    assert.is(again.nextOffset, endOf(kept))
    assert.equal(later.contents(LOG), bytesOf(kept), `seed ${seed}`)
    await checkAll(again, kept)
    for (const { bytes } of batches.slice(kept.length)) await again.append(bytes)
    await again.finish()
    const { fs: twin } = await filled(batches)
    assert.equal(later.contents(LOG), twin.contents(LOG))
    assert.equal(later.contents(INDEX), twin.contents(INDEX), `index of seed ${seed}`)
    await checkAll(again, batches)
    assert.is(await again.maxTimestamp(), batches.at(-1)!.timestamps.at(-1))
  }
})

test('recovers from the start when the recovery point is not there', async () => {
  const batches = made(40)
  const { fs, segment } = await filled(batches)
  await segment.close()
  const file = await fs.open(LOG, 'write')
  await file.truncate(batches[20]!.position + 5)
  const again = await Segment.open(contextOf(fs), '/p', BASE)
  const recovery = await again.recover(batches[30]!.baseOffset)
  assert.is(recovery.outcome.kind, 'torn')
  assert.is(recovery.nextOffset, batches[20]!.baseOffset)
  assert.is(recovery.cutBytes, 5)
  await checkAll(again, batches.slice(0, 20))
})

test('recovers an empty segment', async () => {
  const { context } = await emptyStore()
  await Segment.create(context, '/p', BASE)
  const again = await Segment.open(context, '/p', BASE)
  const recovery = await again.recover(BASE)
  const outcome = { kind: 'end', position: 0 }
  const synced = { position: 0, baseOffset: BASE }
  assert.equal(recovery, { outcome, nextOffset: BASE, size: 0, synced, cutBytes: 0, damages: [] })
  await again.append(made(1)[0]!.bytes)
})

test('what a sync covers survives a crash', async () => {
  for (let seed = 0; seed < 30; seed++) {
    const batches = made(10, seed)
    const { fs, context } = await emptyStore(seed)
    const segment = await Segment.create(context, '/p', BASE)
    await fs.syncDirectory('/p')
    await segment.append(bytesOf(batches.slice(0, 5)))
    const synced = segment.sync()
    const more = segment.append(bytesOf(batches.slice(5)))
    await synced
    await more
    assert.ok(segment.isUnsynced)
    const kept = bytesOf(batches.slice(0, 5))
    const contents = fs.crash().contents(LOG)
    assert.equal(contents.subarray(0, kept.length), kept, `seed ${seed}`)
  }
})

test('a sync that fails writes the segment again, to a fresh file', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const batches = made(20, seed)
    const { fs, segment } = await filled(batches.slice(0, 10), seed)
    await segment.append(bytesOf(batches.slice(10)))
    fs.failNext('sync', { path: '.log' })
    await segment.sync()
    await checkAll(segment, batches)
    const later = fs.crash()
    assert.equal(later.contents(LOG), bytesOf(batches), `seed ${seed}`)
    assert.equal(later.paths(), [INDEX, LOG, TIME_INDEX])
  }
})

test('a sync that fails twice, or over rotten pages, makes nothing durable', async () => {
  for (const damage of ['sync', 'rot'] as const) {
    const batches = made(20)
    const { fs, segment } = await filled(batches.slice(0, 10))
    await segment.append(bytesOf(batches.slice(10)))
    fs.failNext('sync', { path: '.log' })
    if (damage === 'sync') fs.failNext('sync', { path: '.rewrite' })
    else fs.rot(LOG, batches[15]!.position + 70)
    const failure = await segment.sync().then(String, codeOf)
    assert.is(failure, damage === 'sync' ? 'EIO' : 'CORRUPT_STORE')
    assert.ok(segment.isUnsynced)
  }
})

test('what rotted after it was synced keeps nothing behind it from the disk', async () => {
  for (const damage of ['rot', 'bad sector'] as const) {
    for (const isReopened of [false, true]) {
      const batches = made(20)
      const first = await filled(batches.slice(0, 10))
      const { fs } = first
      let { segment } = first
      await segment.sync()
      const position = batches[3]!.position + 70
      if (damage === 'rot') fs.rot(LOG, position)
      if (isReopened) {
        segment = await Segment.open(contextOf(fs), '/p', BASE)
        await segment.recover(batches[10]!.baseOffset)
      }
      if (damage === 'bad sector') fs.spoil(LOG, position)
      await segment.append(bytesOf(batches.slice(10)))
      fs.failNext('sync', { path: '.log' })
      await segment.sync()
      const expected = bytesOf(batches)
      const sector = Math.floor(position / 512) * 512
      if (damage === 'rot') expected[position]! ^= 1
      else expected.fill(0, sector, Math.min(sector + 512, batches[10]!.position))
      assert.equal(fs.crash().contents(LOG), expected, `${damage} ${isReopened}`)
    }
  }
})

test('what a failed sync has dropped comes from the journal', async () => {
  for (const damage of ['rot', 'spoil'] as const) {
    const batches = made(20)
    const { fs, segment } = await filled(batches.slice(0, 10))
    await segment.append(bytesOf(batches.slice(10)))
    fs.failNext('sync', { path: '.log' })
    fs[damage](LOG, batches[15]!.position + 70)
    const plan = await segment.plan([])
    await segment.sync(async ({ from, to }) => {
      const wanted = batches.filter(({ baseOffset }) => from <= baseOffset)
      assert.is(to, endOf(batches))
      return wanted.map(({ baseOffset, nextOffset, bytes }) => {
        return { from: baseOffset, to: nextOffset, bytes }
      })
    })
    assert.not(segment.isUnsynced)
    await checkAll(segment, batches)
    // Its positions were those of the file before.
    assert.is(await segment.rewrite(plan), false)
    assert.is(await segment.rewrite(await segment.plan([])), true)
    const later = made(21).slice(20)
    await segment.append(bytesOf(later))
    await segment.sync()
    await checkAll(segment, [...batches, ...later])
    assert.equal(fs.crash().contents(LOG), bytesOf([...batches, ...later]), damage)
  }
})

test('what the journal has only a part of is not durable', async () => {
  const batches = made(20)
  const { fs, segment } = await filled(batches.slice(0, 10))
  await segment.append(bytesOf(batches.slice(10)))
  fs.failNext('sync', { path: '.log' })
  fs.rot(LOG, batches[15]!.position + 70)
  const part = batches.slice(15).filter((_, order) => order !== 2)
  const journaled = part.map(({ baseOffset, nextOffset, bytes }) => {
    return { from: baseOffset, to: nextOffset, bytes }
  })
  const refusal = await segment.sync(async () => journaled).catch((error) => error)
  assert.is(refusal.code, 'CORRUPT_STORE')
  assert.not(refusal.retriable)
  assert.match(refusal.message, `the journal lacks offset ${batches[17]!.baseOffset}`)
  assert.ok(segment.isUnsynced)
})

test('one refused read after a failed sync is no loss', async () => {
  const batches = made(20)
  for (let passes = 0; passes < 4; passes++) {
    const { fs, segment } = await filled(batches.slice(0, 10))
    await segment.append(bytesOf(batches.slice(10)))
    fs.failNext('sync', { path: '.log' })
    fs.failNext('read', { path: '.log', passes })
    // Between the look and the copy it is refused once, and may be asked again.
    const refusal = await segment.sync().then(
      () => undefined,
      (error) => error,
    )
    if (refusal !== undefined) {
      assert.is(refusal.code, 'CORRUPT_STORE')
      assert.ok(refusal.retriable)
      await segment.sync()
    }
    assert.not(segment.isUnsynced)
    assert.equal(fs.crash().contents(LOG), bytesOf(batches))
  }
})

test('a fault of writing after a failed sync is no damage', async () => {
  const batches = made(20)
  const { fs, segment } = await filled(batches.slice(0, 10))
  await segment.append(bytesOf(batches.slice(10)))
  fs.failNext('sync', { path: '.log' })
  fs.failNext('write', { path: '.log' })
  assert.is(await segment.sync().then(String, codeOf), 'EIO')
})

test('what is recovered is durable after a sync, also when a sync failed before', async () => {
  for (let seed = 0; seed < 20; seed++) {
    const batches = made(20, seed)
    const { fs, segment } = await filled(batches.slice(0, 10), seed)
    await segment.append(bytesOf(batches.slice(10)))
    fs.failNext('sync', { path: '.log' })
    fs.failNext('sync', { path: '.rewrite' })
    assert.is(await segment.sync().then(String, codeOf), 'EIO')
    const again = await Segment.open(contextOf(fs), '/p', BASE)
    await again.recover(batches[10]!.baseOffset)
    await again.sync()
    assert.equal(fs.crash().contents(LOG), bytesOf(batches), `seed ${seed}`)
  }
})

test('is as it was after a write that failed', async () => {
  const batches = made(3)
  for (const code of ['ENOSPC', 'EIO']) {
    const { fs, segment } = await filled(batches.slice(0, 1))
    fs.failNext('write', { code, path: '.log' })
    const failure = await segment.append(batches[1]!.bytes).then(String, codeOf)
    assert.is(failure, code)
    assert.is(segment.nextOffset, batches[0]!.nextOffset)
    assert.is(await fs.size(LOG), batches[0]!.bytes.length)
    await segment.append(bytesOf(batches.slice(1)))
    await checkAll(segment, batches)
  }
})

test('can be removed under a reader', async () => {
  const batches = made(100)
  const { fs, segment } = await filled(batches)
  const reads = batches.map(({ baseOffset }) => segment.readBatchesAt(baseOffset, 500))
  await segment.remove()
  for (const { kind } of await Promise.all(reads)) assert.match(kind, /batches|empty/)
  assert.equal(fs.paths(), [])
  assert.is(fs.counts.openFiles, 0)
  assert.equal(await segment.readBatchesAt(BASE, 500), { kind: 'empty' })
})

test('what a start has cut does not come back when the power goes', async () => {
  const batches = made(20)
  const kept = batches.slice(0, 12)
  for (let seed = 0; seed < 20; seed++) {
    const { fs, segment } = await filled(batches, seed)
    await segment.close()
    fs.rot(LOG, batches[12]!.position + 70)
    const again = await Segment.open(contextOf(fs), '/p', BASE)
    const recovery = await again.recover(batches[10]!.baseOffset)
    assert.is(recovery.nextOffset, endOf(kept))
    assert.equal(fs.crash().contents(LOG), bytesOf(kept), `seed ${seed}`)
  }
})

test.run()
