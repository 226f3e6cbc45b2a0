import * as assert from 'uvu/assert'
import { FLAG_MORE, FRAME_HEADER_BYTES, Journal } from '../../agent/log/journal.ts'
import { STORE_FORMAT } from '../../agent/log/store-format.ts'
import { surveyStore } from '../../agent/log/store-survey.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { SCRATCH } from '../../wasm/assembly/limits.ts'
import { codecs, kernel } from '../support/batches.ts'
import {
  append,
  checkHealthy,
  checkpointsOf,
  contents,
  filesOf,
  framesOf,
  journalsOf,
  NAME,
  newStore,
  open,
  own,
  partitionOf,
  settle,
  TOPIC,
  upTo,
} from '../support/recovered-log.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('recovery')

test('a store of a newer format is refused, and not a byte of it is touched', async () => {
  for (const kind of ['checkpoint', 'journal'] as const) {
    const { fs } = await newStore(1)
    const killed = fs.kill()
    const path =
      kind === 'journal' ? journalsOf(killed).at(-1)!.path : checkpointsOf(killed).at(-1)!.path
    const bytes = killed.contents(path)
    bytes.writeUInt16BE(STORE_FORMAT + 1, 4)
    if (kind === 'journal') bytes.writeUInt32BE(codecs.crc32c(bytes.subarray(0, 20)), 20)
    else bytes.writeUInt32BE(codecs.crc32c(bytes.subarray(0, -4)), bytes.length - 4)
    await (await killed.open(path, 'write')).write([bytes], 0)
    await killed.remove(`${STORE}/lock`)
    const before = filesOf(killed)
    const refused = await open(killed).catch((error) => error)
    assert.is(refused.code, 'STORE_MISMATCH', kind)
    assert.is(refused.message, 'store format 3, this version reads 2; nothing touched')
    assert.equal(filesOf(killed), before)
  }
})

test('a journal whose header is lost is read by its frames', async () => {
  for (const damage of ['rot', 'spoil'] as const) {
    const { fs } = await newStore(2)
    const killed = fs.kill()
    const { path } = journalsOf(killed).at(-1)!
    killed[damage](path, 16)
    const { log, lines } = await open(killed)
    assert.match(
      lines.join('\n'),
      /journal-\d: its header is damaged; \d+ frames were read from it/,
    )
    assert.is(lines.length, 1)
    assert.equal(await contents(partitionOf(log)), upTo(100))
    assert.ok(killed.paths().some((name) => name.includes('/quarantine/journal-')))
    await append(log, partitionOf(log), 7)
    await checkHealthy(killed, upTo(107))
  }
})

test('the torn header of a file that was being begun costs nothing and is not told', async () => {
  const { fs } = await newStore(3, 900)
  const killed = fs.kill()
  const needed = checkpointsOf(killed).at(-1)!.generation
  const free = journalsOf(killed).find(({ generation }) => generation < needed)
  killed.rot(free!.path, 17, 0x55)
  const { log, lines } = await open(killed)
  assert.equal(lines, [])
  assert.equal(await contents(partitionOf(log)), upTo(900))
})

test('frames of an earlier use are no rot, though every generation has the same salt', async () => {
  const { fs } = await newStore(4, 900)
  const killed = fs.kill()
  const { path } = journalsOf(killed).at(-1)!
  const bytes = killed.contents(path)
  const sequences = framesOf(bytes).map((at) => Number(bytes.readBigInt64BE(at + 16)))
  const last = sequences.indexOf(Math.max(...sequences))
  assert.ok(last < sequences.length - 1, 'frames of an earlier use stand behind the last one')
  killed.rot(path, framesOf(bytes)[last]! + 60)
  const { log, lines } = await open(killed)
  assert.equal(lines, [])
  const { highWatermark } = partitionOf(log)
  assert.ok(highWatermark < 900 && highWatermark >= 880)
  assert.equal(await contents(partitionOf(log)), upTo(highWatermark))
})

test('rot in the middle of a journal costs what no segment has, and nothing else', async () => {
  for (const damage of ['rot', 'spoil'] as const) {
    const { fs } = await newStore(5, 75)
    const killed = fs.kill()
    const { path } = journalsOf(killed).at(-1)!
    const frames = framesOf(killed.contents(path))
    killed[damage](path, frames.at(-2)! + 60)
    const { log, lines } = await open(killed)
    assert.match(lines[0]!, /journal-\d is damaged at byte \d+: frames \d+ to \d+ are lost/)
    const found = await contents(partitionOf(log))
    assert.is(found.length, 75)
    assert.ok(own(found) >= 70, `${own(found)}`)
    assert.ok(found.includes('journal'))
    assert.equal(log.state.get('session/c')?.toString(), '[]')
    await checkHealthy(killed, found)
  }
})

/** A store in which no checkpoint was written since its first: several generations are needed. */
async function twoGenerations(seed: number): Promise<SimFileSystem> {
  const { fs, log } = await newStore(seed, 10)
  for (let tries = 0; tries < 1000; tries++) fs.failNext('write', { path: 'checkpoint' })
  await append(log, partitionOf(log), 450)
  const killed = fs.kill()
  killed.failNoMore()
  return killed
}

test('a journal that is lost in the middle costs what it had alone', async () => {
  const killed = await twoGenerations(6)
  const clean = killed.clone(1)
  const whole = await open(clean)
  const end = partitionOf(whole.log).highWatermark
  assert.equal(whole.lines, [])
  assert.equal(await contents(partitionOf(whole.log)), upTo(end))
  const journals = journalsOf(killed)
  assert.is(journals.length, 2)
  killed.lose(journals[0]!.path)
  const { log, lines } = await open(killed)
  assert.match(lines.join('\n'), /journal frames \d+ to \d+ are gone: a file of it is missing/)
  const found = await contents(partitionOf(log))
  assert.is(found.length, end)
  assert.ok(own(found) > 0)
  assert.equal(
    found.filter((content, offset) => content !== offset && content !== 'journal'),
    [],
  )
  await checkHealthy(killed, found)
})

test('a journal that the checkpoint needs and that is gone is told, and the log goes on', async () => {
  const { fs } = await newStore(7, 300)
  const killed = fs.kill()
  const needed = checkpointsOf(killed).at(-1)!.generation
  for (const { path, generation } of journalsOf(killed)) {
    if (generation >= needed) killed.lose(path)
  }
  const { log, lines } = await open(killed)
  const said = lines.join('\n')
  assert.match(said, /journal generation \d+, which the checkpoint needs, is gone/)
  assert.match(said, `${NAME} ends at offset ${partitionOf(log).highWatermark}`)
  // It may come back, when it was only not readable for once: its number is not used again.
  assert.ok(journalsOf(killed).every(({ generation }) => generation > needed))
  const found = await contents(partitionOf(log))
  assert.equal(found, upTo(found.length))
  await append(log, partitionOf(log), 5)
  await checkHealthy(killed, upTo(found.length + 5))
})

const GONE = /no journal file is left from the clean stop at 2026-/

test('after a clean stop no journal is needed; that none is left is a warning', async () => {
  const { fs, log } = await newStore(8)
  await log.close()
  for (const { path } of journalsOf(fs)) fs.lose(path)
  const { ok, findings } = await verifyStore(fs, STORE, { kernel })
  assert.ok(ok)
  assert.match(findings[0]!.what, GONE)
  assert.ok(findings[0]!.repairable, 'the next stop leaves one')
  const again = await open(fs)
  assert.is(again.lines.length, 1)
  assert.match(again.lines[0]!, GONE)
  assert.match(again.lines[0]!, /^warn/)
  assert.equal(await contents(partitionOf(again.log)), upTo(100))
  await append(again.log, partitionOf(again.log), 5)
  await checkHealthy(fs, upTo(105))
})

test('a journal that is lost behind a clean stop is missed, though no checkpoint tells of it', async () => {
  const { fs, log } = await newStore(8)
  await log.close()
  const next = await open(fs)
  for (let tries = 0; tries < 1000; tries++) fs.failNext('write', { path: 'checkpoint' })
  await append(next.log, partitionOf(next.log), 20)
  const killed = fs.kill()
  killed.failNoMore()
  for (const { path } of journalsOf(killed)) killed.lose(path)
  const { lines } = await open(killed)
  assert.is(lines.length, 1)
  assert.match(lines[0]!, GONE)
})

test('one journal file of a clean stop is enough to say that nothing is missed', async () => {
  const { fs, log } = await newStore(8, 900)
  await log.close()
  const [older] = journalsOf(fs)
  fs.lose(older!.path)
  assert.equal((await open(fs)).lines, [])
})

test('one bad copy of the checkpoint costs nothing, whichever it is', async () => {
  for (const damage of ['rot', 'spoil', 'lose'] as const) {
    for (const order of [0, 1]) {
      const { fs } = await newStore(9, 900)
      const killed = fs.kill()
      const { path } = checkpointsOf(killed)[order]!
      if (damage === 'lose') killed.lose(path)
      else killed[damage](path, 60)
      const { log, lines } = await open(killed)
      const found = await contents(partitionOf(log))
      assert.equal(found, upTo(900), `${damage} of copy ${order}: ${lines.join('\n')}`)
      assert.is(log.state.get('session/c')?.toString(), '[]')
      await checkHealthy(killed, found)
    }
  }
})

test('either copy of the checkpoint may rot, when the journal before it is in use again', async () => {
  for (const which of [0, 1]) {
    const { fs, log: before } = await newStore(10, 900)
    await append(before, partitionOf(before), 300)
    await settle()
    const killed = fs.kill()
    killed.rot(checkpointsOf(killed)[which]!.path, 60)
    const { log, lines } = await open(killed)
    assert.equal(lines.length, 1, lines.join('\n'))
    assert.match(lines[0]!, /checkpoint-\d does not hold; the other copy/)
    assert.is(log.state.get('session/c')?.toString(), '[]')
    assert.equal(await contents(partitionOf(log)), upTo(1200))
    await checkHealthy(killed, upTo(1200))
  }
})

test('an older copy is enough when the journal that it names is in use again', async () => {
  const { fs, log: before } = await newStore(10, 900)
  const [, old] = checkpointsOf(fs)
  const bytes = fs.contents(old!.path)
  while (journalsOf(fs)[0]!.generation <= old!.generation) {
    await append(before, partitionOf(before), 10)
  }
  await settle()
  const end = partitionOf(before).highWatermark
  const killed = fs.kill()
  const [twin, newest] = checkpointsOf(killed)
  // As when the second copy could not be written for long.
  const file = await killed.open(twin!.path, 'write')
  await file.write([bytes], 0)
  await file.truncate(bytes.length)
  await file.close()
  killed.rot(newest!.path, 60)
  const { log, lines } = await open(killed)
  assert.match(lines.join('\n'), /journal frames \d+ to \d+ are gone/)
  assert.match(lines.join('\n'), /may be older than they were/)
  assert.equal(await contents(partitionOf(log)), upTo(end))
  await checkHealthy(killed, upTo(end))
})

test('damage on a disk that is full does not keep the log from starting', async () => {
  const { fs } = await newStore(18, 60)
  const killed = fs.kill()
  const { path } = journalsOf(killed).at(-1)!
  killed.rot(path, framesOf(killed.contents(path))[3]! + 60)
  killed.faults.capacityBytes = killed.usedBytes + 70_000
  const { log } = await open(killed)
  assert.is(partitionOf(log).highWatermark, 60)
})

/** A store of nothing but a journal, whose first generation has begun. */
async function begunJournal(seed: number): Promise<{ fs: SimFileSystem; journal: Journal }> {
  const fs = new SimFileSystem(seed)
  await fs.makeDirectory(STORE)
  const limits = { fileBytes: 65_536, frameBytesMax: 1000 }
  const options = { fs, directory: STORE, kernel, ...limits, randomSalt: () => 1 }
  const journal = await Journal.open(options, [], { generation: 0, sequence: 0 }, undefined)
  await journal.roll(1, true)
  return { fs, journal }
}

test('the number of a generation that only holds the beginning of a commit is not used again', async () => {
  const { fs, journal } = await begunJournal(20)
  await journal.append(SCRATCH, 0, 1, true)
  await journal.close()
  const { lines } = await open(fs)
  assert.equal(lines, [])
  assert.equal(
    journalsOf(fs).map(({ generation }) => generation),
    [2],
  )
})

test('an entry that nobody here knows ends the start, and verify says so', async () => {
  const { fs, journal } = await begunJournal(21)
  kernel.u8[SCRATCH] = 99
  await journal.append(SCRATCH, 1, 1, false)
  await journal.close()
  const what = /unknown journal entry: another program wrote it/
  const { findings } = await verifyStore(fs, STORE, { kernel })
  assert.match(findings[0]!.what, what)
  const error = await open(fs).catch((fault) => fault)
  assert.is(error.code, 'CORRUPT_STORE')
  assert.match(error.message, what)
})

const SMALL_FRAMES = {
  ...{ frameBytesMax: 1024, journalBytes: 1 << 20 },
  ...{ batchBytes: 1 << 16, segmentBytes: 1 << 20, carryTailBytes: 1 << 16 },
}

/** The power went before the last frame of a commit was written; the next process has acked records since. */
async function unfinishedCommit(seed: number): Promise<SimFileSystem> {
  const fs = new SimFileSystem(seed)
  const { log } = await open(fs, { ...SMALL_FRAMES, randomSalt: () => 1 })
  const { partitions } = await log.createTopic(TOPIC, { partitions: 4, replicated: true })
  await append(log, partitions[0]!, 10)
  await settle()
  const value = new SeededRandom(seed).bytes(700)
  for (const partition of partitions) partition.appendRecord({ timestamp: 1, key: null, value })
  await log.durable(log.openCommit)
  const killed = fs.kill()
  const { path } = journalsOf(killed).at(-1)!
  const bytes = killed.contents(path)
  const frames = framesOf(bytes)
  const flags = frames.slice(-4).map((at) => bytes[at + 40]! & FLAG_MORE)
  assert.equal(flags, [FLAG_MORE, FLAG_MORE, FLAG_MORE, 0])
  await (await killed.open(path, 'write')).write([Buffer.alloc(FRAME_HEADER_BYTES)], frames.at(-1)!)
  const second = await open(killed, { ...SMALL_FRAMES, randomSalt: () => 2 })
  assert.equal(second.lines, [])
  assert.is(partitionOf(second.log).highWatermark, 10)
  await append(second.log, partitionOf(second.log), 40)
  const found = killed.kill()
  const sequences = journalsOf(found).map(({ path, generation }) => {
    const bytes = found.contents(path)
    return [generation, ...framesOf(bytes).map((at) => Number(bytes.readBigInt64BE(at + 16)))]
  })
  const [[, ...dead], [, fresh]] = sequences as [number[], [number, number]]
  assert.is(fresh, dead.at(-3), 'numbers are used again')
  return found
}

test('an unfinished commit hides no damage of the frames that have its numbers now', async () => {
  for (const rotten of [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]) {
    const killed = await unfinishedCommit(rotten.length)
    const { path } = journalsOf(killed).at(-1)!
    const frames = framesOf(killed.contents(path))
    const first = Number(killed.contents(path).readBigInt64BE(frames[0]! + 16))
    for (const order of rotten) killed.rot(path, frames[order]! + 20)
    const { findings } = await verifyStore(killed.clone(1), STORE, { kernel })
    const lost = `frames ${first} to ${first + rotten.length - 1}`
    const rot = findings.find(({ fatal, kind }) => fatal && kind === 'journal')
    assert.is(rot?.what, `rot: ${lost} do not hold`)
    const { log, lines } = await open(killed, SMALL_FRAMES)
    assert.match(lines[0]!, `is damaged at byte ${frames[0]}: ${lost} are lost`)
    const found = await contents(partitionOf(log))
    assert.is(found.length, 50)
    assert.is(own(found) + found.filter((content) => typeof content === 'string').length, 50)
    await checkHealthy(killed, found)
  }
})

test('an unfinished commit hides no journal file without a header', async () => {
  const killed = await unfinishedCommit(9)
  const { path } = journalsOf(killed).at(-1)!
  // What was acked since has no more numbers than the dead frames.
  const frames = framesOf(killed.contents(path))
  const end = frames[3]!
  const file = await killed.open(path, 'write')
  await file.write([Buffer.alloc(killed.contents(path).length - end)], end)
  const { log: control } = await open(killed.clone(2), SMALL_FRAMES)
  const { highWatermark } = partitionOf(control)
  assert.ok(highWatermark > 10)
  killed.rot(path, 16)
  const { log } = await open(killed, SMALL_FRAMES)
  assert.equal(await contents(partitionOf(log)), upTo(highWatermark))
})

test('a commit that goes on in a fresh file has no hole', async () => {
  for (const isWrittenTwice of [false, true]) {
    const { fs, journal } = await begunJournal(21)
    for (const more of [false, true, true]) await journal.append(SCRATCH, 0, 1, more)
    fs.failNext('write', { path: 'journal-0' })
    await journal.append(SCRATCH, 0, 1, true)
    await journal.append(SCRATCH, 0, 1, false)
    await journal.close()
    if (isWrittenTwice) {
      // The write that failed has reached the disk all the same.
      const { fs: again, journal: twin } = await begunJournal(22)
      for (const more of [false, true, true, true]) await twin.append(SCRATCH, 0, 1, more)
      await twin.close()
      const whole = again.contents(`${STORE}/journal-0`)
      await (await fs.open(`${STORE}/journal-0`, 'write')).write([whole], 0)
    }
    const { holes, lastSequence } = await surveyStore({ fs, directory: STORE, kernel, codecs })
    assert.equal(holes, [])
    assert.is(lastSequence, 5)
  }
})

test('a checkpoint that fails after damage, wherever it does, costs nothing that is acked later', async () => {
  const faults = [
    ['write', 'checkpoint-0', 0],
    ['sync', 'checkpoint-0', 0],
    ['write', 'checkpoint-1', 0],
    ['sync', 'checkpoint-1', 1],
    ['syncDirectory', STORE, 1],
    ['syncDirectory', STORE, 2],
    ['syncDirectory', STORE, 3],
    ['syncDirectory', STORE, 4],
  ] as const
  for (const [seed, [operation, path, passes]] of faults.entries()) {
    const { fs } = await newStore(30 + seed, 900)
    const killed = fs.kill()
    for (const copy of checkpointsOf(killed)) killed.rot(copy.path, 60)
    // One slip of a disk costs nothing: it is tried again.
    killed.failNext(operation, { path, passes })
    for (let tries = 0; tries < 5; tries++) killed.failNext(operation, { path })
    const first = await open(killed).catch(() => undefined)
    killed.failNoMore()
    const { log } = first ?? (await open(killed.kill()))
    const disk = first === undefined ? undefined : killed
    assert.equal(await contents(partitionOf(log)), upTo(900))
    if (disk === undefined) continue
    await append(log, partitionOf(log), 20)
    const again = await open(disk.crash())
    assert.equal(
      await contents(partitionOf(again.log)),
      upTo(920),
      `${operation} ${path} ${passes}`,
    )
  }
})

test('no file of a new store is taken for damage', async () => {
  const fs = new SimFileSystem(19)
  assert.equal((await open(fs)).lines, [])
  await settle()
  assert.equal((await open(fs.kill())).lines, [])
})

test.run()
