import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { Logger } from '../../agent/base/telemetry.ts'
import { noLosses } from '../../agent/log/loss.ts'
import { SimClock } from '../sim/sim-clock.ts'
import {
  checkServed,
  DIRECTORY,
  hollowOffsets,
  opened,
  type ServedRecord,
  segmentBases,
  segmentPath,
  served,
  stoppedStore,
} from '../support/hollow-records.ts'
import { checkpointsOf } from '../support/recovered-log.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('mending')

/** Opens, reads everything, and does both again: what is served and counted stays the same. */
async function settled(fs: SimFileSystem, original: readonly ServedRecord[]) {
  const { log, partition } = await opened(fs)
  const records = await served(partition)
  assert.is(records.length, original.length - partition.logStartOffset)
  checkServed(partition, records, original)
  assert.equal(log.health(), { ok: true, reasons: [] })
  const totals = { ...partition.losses.totals }
  await log.durable(log.openCommit - 1)
  const later = fs.crash()
  const again = await opened(later)
  assert.equal(await served(again.partition), records)
  assert.equal(again.partition.losses.totals, totals)
  await again.log.close()
  return { records, totals, hollow: hollowOffsets(records), later }
}

function quarantined(fs: SimFileSystem): string[] {
  return fs.paths().filter((path) => path.startsWith(`${STORE}/quarantine/`))
}

test('a rotten byte costs its batch, and nothing that is read tells of more', async () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = new SeededRandom(seed)
    const { fs, original, bases } = await stoppedStore(300, seed)
    const path = segmentPath(bases[random.below(bases.length)]!)
    const position = random.below(fs.contents(path).length)
    fs.rot(path, position, 1 << random.below(8))
    const { hollow, totals } = await settled(fs, original)
    assert.ok(hollow.length < 60, `seed ${seed}: ${hollow.length} lost`)
    assert.equal(totals, { ...noLosses(), rot: hollow.length })
  }
})

test('damaged bytes are kept as they were', async () => {
  const { fs, original, bases } = await stoppedStore()
  const path = segmentPath(bases[1]!)
  fs.rot(path, 100)
  const damaged = fs.contents(path)
  const { partition, log } = await opened(fs)
  await served(partition)
  const [kept, ...more] = quarantined(fs)
  assert.equal(more, [])
  assert.is(kept, `${STORE}/quarantine/t-0-${bases[1]}-0.bytes`)
  const bytes = fs.contents(kept!)
  assert.equal(bytes, damaged.subarray(0, bytes.length))
  assert.ok(bytes.length > 100)
  assert.ok(original.length > 0)
  await log.close()
})

test('a sector that cannot be read costs the batches in it; reads go on', async () => {
  const { fs, original, bases } = await stoppedStore()
  fs.spoil(segmentPath(bases[2]!), 600)
  fs.spoil(segmentPath(bases[3]!), 0)
  const { totals, hollow } = await settled(fs, original)
  assert.ok(hollow.length > 0 && totals.rot === hollow.length)
})

test('a bad sector below an index that is not finished holds up no checkpoint', async () => {
  const { fs, original } = await stoppedStore()
  const { log, partition } = await opened(fs)
  fs.failNext('sync', { path: 'index' })
  await appendRecords(log, partition, 200)
  const all = [...original, ...(await served(partition)).slice(original.length)]
  await log.close()
  const again = await opened(fs)
  fs.failNext('sync', { path: 'index' })
  await appendRecords(again.log, again.partition, 100)
  for (const base of segmentBases(fs)) fs.spoil(segmentPath(base), 0)
  checkServed(again.partition, (await served(again.partition)).slice(0, all.length), all)
  assert.ok(again.partition.losses.totals.rot > 0)
  await again.log.close()
})

test('offsets of a last segment that is lost twice are never used again', async () => {
  const { fs, original, bases } = await stoppedStore()
  const last = segmentPath(bases.at(-1)!)
  fs.lose(last)
  const { log } = await opened(fs)
  for (let turn = 0; turn < 2000; turn++) await undefined
  await log.durable(log.openCommit - 1)
  const killed = fs.kill()
  killed.lose(last)
  const { log: again, partition } = await opened(killed)
  assert.is(partition.logEndOffset, original.length)
  await again.close()
})

test('one refused read costs nothing', async () => {
  const { fs, original, bases } = await stoppedStore()
  const { partition } = await opened(fs)
  const path = segmentPath(bases[1]!)
  for (let passes = 0; passes < 6; passes++) {
    fs.failNext('read', { path, passes })
    checkServed(partition, await served(partition, 500), original)
    fs.failNoMore()
  }
  assert.is(partition.losses.total, 0)
})

test('a file cut short costs what is missing of it', async () => {
  for (const keep of [0, 1, 700, 3000]) {
    const { fs, original, bases } = await stoppedStore()
    const file = await fs.open(segmentPath(bases[1]!), 'write')
    await file.truncate(keep)
    await file.sync()
    await file.close()
    const { hollow, totals } = await settled(fs, original)
    assert.is(hollow.at(-1), bases[2]! - 1)
    assert.equal(totals, { ...noLosses(), rot: hollow.length })
  }
})

async function removed(fs: SimFileSystem, bases: readonly number[]): Promise<void> {
  for (const base of bases) {
    await fs.remove(segmentPath(base))
    await fs.remove(segmentPath(base, 'index'))
    await fs.remove(segmentPath(base, 'timeindex'))
  }
  await fs.syncDirectory(`${STORE}/t-0`)
}

test('missing segment files are hollow: the first, some between, the last, all', async () => {
  for (const [first, last] of [
    [0, 1],
    [1, 2],
    [2, 4],
    [-1, undefined],
    [-3, undefined],
    [0, undefined],
  ] as const) {
    const { fs, original, bases } = await stoppedStore()
    const gone = bases.slice(first, last)
    const end = last === undefined ? original.length : bases[last]!
    await removed(fs, gone)
    const { hollow, totals } = await settled(fs, original)
    const expected = Array.from({ length: end - gone[0]! }, (_, order) => gone[0]! + order)
    assert.equal(hollow, expected)
    assert.equal(totals, { ...noLosses(), file: expected.length })
  }
})

test('a segment file that goes while the agent runs is hollow', async () => {
  const { fs, original, bases } = await stoppedStore()
  const { partition, log } = await opened(fs, { openFilesMax: 1 })
  await removed(fs, bases.slice(1, 2))
  const records = await served(partition)
  checkServed(partition, records, original)
  assert.equal(partition.losses.totals, { ...noLosses(), file: bases[2]! - bases[1]! })
  await log.close()
})

test('what a failed write left behind the end of a segment costs nothing', async () => {
  const { fs, original, bases } = await stoppedStore()
  const path = segmentPath(bases[1]!)
  const size = fs.contents(path).length
  const file = await fs.open(path, 'write')
  await file.write([Buffer.alloc(600, 7)], size)
  await file.sync()
  await file.close()
  fs.spoil(path, size + 599)
  const { totals } = await settled(fs, original)
  assert.equal(totals, noLosses())
})

test('what retention took is not missed', async () => {
  const { fs, original, bases } = await stoppedStore()
  const { log, partition } = await opened(fs)
  partition.logStartOffset = bases[3]!
  log.state.put(`start/${partition.logId}`, Buffer.from(String(bases[3])))
  await log.durable(log.openCommit)
  await partition.segments.removeBelow(bases[3]!)
  // The power may also take only the later ones of the removed names.
  const { totals } = await settled(fs.crash(), original)
  assert.equal(totals, noLosses())
})

test('damage below the recovery offset of the last segment is mended, not cut', async () => {
  const { fs, original } = await stoppedStore()
  const path = segmentPath(segmentBases(fs).at(-1)!)
  const size = fs.contents(path).length
  fs.rot(path, 40)
  await fs.remove(path.replace('.log', '.index'))
  assert.ok(size > 100)
  const { hollow, totals } = await settled(fs, original)
  assert.ok(hollow.length > 0)
  assert.equal(totals, { ...noLosses(), rot: hollow.length })
})

test('damage at the end of the last segment is mended, and the log goes on behind it', async () => {
  const { fs, original } = await stoppedStore()
  const path = segmentPath(segmentBases(fs).at(-1)!)
  const file = await fs.open(path, 'write')
  await file.truncate((await file.size()) - 10)
  await file.sync()
  const { hollow, later } = await settled(fs, original)
  assert.is(hollow.at(-1), original.length - 1)
  const { log, partition } = await opened(later)
  const offset = partition.appendRecord({ timestamp: 1, key: null, value: Buffer.from('x') })
  assert.is(offset, original.length)
  await log.close()
})

test('when damage cannot be mended the read fails, readiness says so, and it is tried again', async () => {
  const { fs, original, bases } = await stoppedStore()
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  const lines: string[] = []
  const write = (line: string) => lines.push(line)
  const logger = new Logger({ level: 'error', format: 'text', write, now: () => 0 })
  const { log, partition } = await opened(fs, { clock, logger })
  fs.rot(segmentPath(bases[1]!), 100)
  fs.faults.capacityBytes = fs.usedBytes
  assert.is(await partition.read(bases[1]!, 1000).then(String, codeOf), 'CORRUPT_STORE')
  assert.match(log.health().reasons.join(), 'cannot be mended')
  assert.is(partition.losses.total, 0)
  assert.is((await partition.read(0, 1000)).kind, 'batches')
  delete fs.faults.capacityBytes
  // Not at once: each try reads the whole segment.
  assert.is(await partition.read(bases[1]!, 1000).then(String, codeOf), 'CORRUPT_STORE')
  clock.advance(1001)
  const records = await served(partition)
  checkServed(partition, records, original)
  assert.ok(partition.losses.total > 0)
  assert.ok(log.health().ok)
  assert.match(lines.join(''), /t-0: offsets? \d+ .*lost \(bytes on the disk/)
  await log.close()
})

test('a topic that is deleted while it is mended leaves nothing in the state', async () => {
  for (let turns = 0; turns < 200; turns += 5) {
    const fs = new SimFileSystem(turns)
    const log = await openSmallLog(fs, { journalBytes: 1 << 20 })
    const topic = await log.createTopic('t', { partitions: 1, replicated: true })
    const partition = topic.partitions[0]!
    await appendRecords(log, partition, 50)
    await partition.seal()
    fs.rot(`${STORE}/t-0/00000000000000000000.log`, 300)
    const reading = partition.read(0, 1 << 20).catch(() => {})
    for (let turn = 0; turn < turns; turn++) await undefined
    await log.deleteTopic('t')
    await reading
    assert.equal([...log.state.entries('lost/')], [], `after ${turns} turns`)
    await log.close()
  }
})

test('damage in many places, and lost files, at once', async () => {
  for (let seed = 0; seed < 25; seed++) {
    const random = new SeededRandom(seed)
    const { fs, original, bases } = await stoppedStore(400, seed)
    if (random.chance(0.5)) await removed(fs, [bases[random.below(bases.length)]!])
    for (let left = 1 + random.below(8); left > 0; left--) {
      const present = segmentBases(fs)
      const path = segmentPath(present[random.below(present.length)]!)
      const position = random.below(fs.contents(path).length)
      if (random.chance(0.3)) fs.spoil(path, position)
      else fs.rot(path, position, 0xff)
    }
    await settled(fs, original)
  }
})

test('a journal with a gap is remembered once, however often it is read', async () => {
  const { fs } = await stoppedStore(50)
  const { log, partition } = await opened(fs)
  const before = partition.logEndOffset
  await appendRecords(log, partition, 30)
  const [path] = fs.paths().filter((path) => /journal-\d$/.test(path))
  assert.ok(path)
  const killed = fs.kill()
  const bytes = killed.contents(path)
  // The first records of this run: 512 bytes of header, a frame of one sector, then this one of three.
  for (let at = 512 * 3; at < 512 * 4; at++) killed.rot(path, at, bytes[at] === 0 ? 1 : 0xff)
  const first = await opened(killed)
  const lost = first.partition.losses.totals.journal
  const hollow = hollowOffsets(await served(first.partition))
  assert.ok(lost > 0)
  assert.is(hollow.length, lost)
  assert.ok(first.partition.logEndOffset >= before)
  await first.log.durable(first.log.openCommit - 1)
  const second = await opened(killed.kill())
  assert.is(second.partition.losses.totals.journal, lost)
  assert.equal(hollowOffsets(await served(second.partition)), hollow)
  await second.log.close()
})

/** Each time it is asked, as a bad place on the disk does. */
function refuse(fs: SimFileSystem, operation: 'list' | 'open', path: string, code = 'EIO'): void {
  for (let times = 0; times < 5; times++) fs.failNext(operation, { path, code })
}

test('a directory that cannot be listed, or is a file, costs its segments and no start', async () => {
  for (const damage of ['EIO', 'EUCLEAN', 'file'] as const) {
    const fs = new SimFileSystem(1)
    const log = await openSmallLog(fs)
    const topic = await log.createTopic('t', { partitions: 2, replicated: false })
    await appendRecords(log, topic.partitions[1]!, 200)
    await appendRecords(log, topic.partitions[0]!, 1000)
    const original = await served(topic.partitions[0]!)
    const killed = fs.kill()
    const { recoveryOffset } = checkpointsOf(killed)
      .at(-1)!
      .partitions.find(({ logId }) => logId === topic.partitions[0]!.logId)!
    assert.ok(recoveryOffset > 0 && recoveryOffset < 1000)
    if (damage === 'file') {
      await killed.rename(DIRECTORY, `${STORE}/moved`)
      await (await killed.open(DIRECTORY, 'create')).close()
    } else refuse(killed, 'list', DIRECTORY, damage)
    const lock = { pid: 1, startOf: async () => damage }
    const { log: again, partition } = await opened(killed, { lock })
    const records = await served(partition)
    checkServed(partition, records, original)
    // What the journal has is there.
    assert.equal(
      hollowOffsets(records),
      Array.from({ length: recoveryOffset }, (_, at) => at),
    )
    assert.is(partition.losses.totals.file, recoveryOffset)
    const other = await served(again.topic('t')!.partitions[1]!)
    assert.equal([other.length, hollowOffsets(other)], [200, []])
    await appendRecords(again, partition, 50)
    assert.equal(again.health(), { ok: true, reasons: [] })
    await again.close()
    const names = await killed.list(STORE)
    assert.ok(names.includes('t-0') && names.includes('t-0.unreadable'), names.join())
    if (damage !== 'file')
      assert.ok((await killed.list(`${DIRECTORY}.unreadable`)).some((name) => /\.log$/.test(name)))
  }
})

test('a refusal that does not last costs nothing, whatever it refuses', async () => {
  for (const operation of ['list', 'open'] as const) {
    const { fs, original, bases } = await stoppedStore()
    fs.failNext(operation, { path: operation === 'list' ? DIRECTORY : segmentPath(bases.at(-1)!) })
    const { hollow } = await settled(fs, original)
    assert.equal(hollow, [])
  }
})

test('a segment that cannot be opened is set aside', async () => {
  const { fs, original, bases } = await stoppedStore()
  const last = bases.at(-1)!
  refuse(fs, 'open', segmentPath(last))
  const { hollow, totals, later } = await settled(fs, original)
  assert.equal([hollow[0], hollow.length], [last, original.length - last])
  assert.is(totals.file, hollow.length)
  assert.ok(later.contents(`${segmentPath(last)}.unreadable`).length > 0)
})

test('a directory that this user may not list ends the start with its name and a way out', async () => {
  const { fs } = await stoppedStore()
  fs.failNext('list', { path: DIRECTORY, code: 'EACCES' })
  const error = await opened(fs).catch((fault) => fault)
  assert.is(codeOf(error), 'STORAGE_IO')
  assert.match(String(error), `${DIRECTORY} cannot be listed (EACCES): give it back to the user`)
  const { log } = await opened(fs, { lock: { pid: 1, startOf: async () => 'again' } })
  await log.close()
})

test('a topic whose directory cannot be listed can be deleted', async () => {
  const { fs } = await stoppedStore()
  const clock = new SimClock(0)
  const { log } = await opened(fs, { clock })
  refuse(fs, 'list', DIRECTORY)
  await clock.until(log.deleteTopic('t'))
  await log.close()
  const names = await fs.list(STORE)
  assert.ok(!names.includes('t-0') && names.includes('t-0.unreadable'), names.join())
})

test.run()
