import * as assert from 'uvu/assert'
import { type Repaired, repairStore } from '../../agent/log/repair.ts'
import { lockStore } from '../../agent/log/store-lock.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { kernel } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('repair')
const FIRST = `${STORE}/plant.sensors-0/${'0'.repeat(20)}`
const LIMITS = { journalBytes: 64 * 1024, batchBytes: 2048, segmentBytes: 8192 }

const repair = (fs: SimFileSystem): Promise<Repaired> => {
  const clock = new SimClock(Date.UTC(2026, 0, 2))
  return repairStore({ fs, directory: STORE, clock, kernel, log: LIMITS })
}

/** Closed, with several segments; what its first partition serves. */
async function closedStore(): Promise<SimFileSystem> {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('plant.sensors', { partitions: 2, replicated: true })
  await appendRecords(log, topic.partitions[0]!, 400)
  await log.close()
  return fs
}

const ofSegments = (fs: SimFileSystem, suffix: string) =>
  fs.paths().filter((path) => path.startsWith(`${STORE}/plant`) && path.endsWith(suffix))

const contents = (fs: SimFileSystem, paths = ofSegments(fs, '.log')) =>
  paths.map((path) => fs.contents(path).toString('latin1'))

async function expectClean(fs: SimFileSystem, { after }: Repaired): Promise<void> {
  assert.equal([after.ok, after.findings], [true, []])
  const again = await verifyStore(fs, STORE, { kernel })
  assert.equal([again.findings, again.losses], [[], after.losses])
}

test('a good store is left as it is', async () => {
  const fs = await closedStore()
  const operations = new Set<string>()
  fs.faults.onStep = ({ operation, path }) => {
    if (!path.endsWith('/lock')) operations.add(operation)
  }
  const { done, after } = await repair(fs)
  assert.equal([done, after.findings], [[], []])
  assert.not.ok(operations.has('write') || operations.has('rename') || operations.has('truncate'))
})

test('indexes are made again, byte for byte', async () => {
  for (const suffix of ['.index', '.timeindex']) {
    for (const damage of ['rot', 'cut', 'remove', 'longer'] as const) {
      const fs = await closedStore()
      const before = contents(fs, ofSegments(fs, suffix))
      const path = FIRST + suffix
      if (damage === 'rot') fs.rot(path, 3)
      if (damage === 'remove') await fs.remove(path)
      const file = damage === 'remove' ? undefined : await fs.open(path, 'write')
      if (damage === 'cut') await file?.truncate(0)
      if (damage === 'longer') await file?.write([Buffer.alloc(12, 0x7f)], await file.size())
      await file?.close()
      const repaired = await repair(fs)
      assert.is(repaired.done.length, 1, `${damage} ${suffix}`)
      assert.match(repaired.done[0]!, new RegExp(`^${path}.*: made again from its segment$`))
      await expectClean(fs, repaired)
      assert.equal(contents(fs, ofSegments(fs, suffix)), before)
    }
  }
})

test('a byte of a segment costs its batch, which is told and kept in quarantine', async () => {
  const fs = await closedStore()
  fs.rot(`${FIRST}.log`, 200)
  const { before } = await repairNothing(fs)
  assert.is(before.ok, false)
  const repaired = await repair(fs)
  await expectClean(fs, repaired)
  const [loss] = repaired.after.losses
  assert.is(repaired.after.losses.length, 1)
  assert.equal(
    [loss!.topic, loss!.partition, loss!.from, loss!.reason],
    ['plant.sensors', 0, 0, 'rot'],
  )
  const { records, hollowRecords, quarantineFiles, quarantineBytes } = repaired.after.totals
  assert.equal([records, hollowRecords, quarantineFiles], [400, loss!.to + 1, 1])
  assert.ok(quarantineBytes > 100)
  const [fixed, lost, ...rest] = repaired.done
  assert.match(fixed!, /0\.log \(corrupt: CRC .* \(offsets 0 to \d+\)\): written again without/)
  assert.match(lost!, /^plant\.sensors-0: offsets 0 to \d+ \(rot\) are lost: empty records/)
  assert.equal(rest, [])
})

async function repairNothing(fs: SimFileSystem) {
  return { before: await verifyStore(fs, STORE, { kernel }) }
}

test('a lost segment becomes a hollow one, its neighbours stay what they are', async () => {
  for (const [order, at] of [0, 2, -1].entries()) {
    const fs = await closedStore()
    const paths = ofSegments(fs, '.log')
    const path = paths.at(at)!
    await fs.remove(path)
    const others = paths.filter((other) => other !== path)
    const before = contents(fs, others)
    const repaired = await repair(fs)
    await expectClean(fs, repaired)
    assert.is(repaired.after.totals.records, 400, `segment ${order}`)
    assert.equal(
      repaired.after.losses.map(({ from, reason }) => [from, reason]),
      [[Number(path.slice(-24, -4)), 'file']],
    )
    assert.equal(contents(fs, others), before)
  }
})

test('a checkpoint copy is written again, and both of them', async () => {
  for (const copies of [[0], [1], [0, 1]]) {
    const fs = await closedStore()
    for (const copy of copies) fs.rot(`${STORE}/checkpoint-${copy}`, 20)
    const repaired = await repair(fs)
    await expectClean(fs, repaired)
    assert.is(repaired.after.totals.records, 400)
    assert.equal(repaired.after.losses, [])
    assert.equal(
      repaired.done.filter((line) => /checkpoint-\d .*: written again/.test(line)).length,
      copies.length,
    )
  }
})

test('rot in a journal that is needed leaves dense offsets and says what is gone', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
  await appendRecords(log, topic.partitions[0]!, 50)
  const later = fs.kill()
  const used = (path: string) => later.contents(path).toString('latin1', 512, 516) === 'TRJF'
  const journal = later.paths().find((path) => path.includes('/journal-') && used(path))!
  later.rot(journal, 2048 + 100)
  const repaired = await repair(later)
  await expectClean(later, repaired)
  assert.is(repaired.after.totals.records, 50)
  assert.ok(repaired.after.losses.every(({ reason }) => reason === 'journal'))
  assert.is(repaired.after.losses.length, 1)
})

test('what no checksum covers is set right in its place', async () => {
  const fs = await closedStore()
  const before = contents(fs)
  fs.rot(`${FIRST}.log`, 14, 0x40)
  const found = await verifyStore(fs, STORE, { kernel })
  assert.equal(
    found.findings.map(({ kind, position, fatal }) => [kind, position, fatal]),
    [['epoch', 12, false]],
  )
  await expectClean(fs, await repair(fs))
  assert.equal(contents(fs), before)
})

test('what is not ours stays, and a store in use is refused', async () => {
  const fs = await closedStore()
  await (await fs.open(`${STORE}/notes.txt`, 'create')).close()
  fs.rot(`${FIRST}.index`, 3)
  const { after } = await repair(fs)
  assert.equal(
    after.findings.map(({ path }) => path),
    [`${STORE}/notes.txt`],
  )
  const lock = await lockStore(fs, STORE)
  const outcome = await repair(fs).catch((error) => error.message)
  assert.is(outcome, `store in use by pid ${process.pid}`)
  await lock.release()
})

test.run()
