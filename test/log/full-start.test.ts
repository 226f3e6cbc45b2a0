// A start on a disk without a byte left, while what was acked is in the journal only: it must come up,
// for nobody makes room on a gateway that does not run.

import * as assert from 'uvu/assert'
import { sleep } from '../../agent/base/clock.ts'
import { AgentError } from '../../agent/base/errors.ts'
import type { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('full start')
const random = new SeededRandom(5)
/** Processes are not asked for, which would take real time: each holder of a lock is gone. */
const lock = { startOf: async () => String(random.below(2 ** 32)) }
const LIMITS = { budgetBytes: undefined, budgetShare: undefined, keepFreeBytes: 0 }

/** Lets time pass until it is done; a start that waits for room waits for ever. */
async function driven<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let isDone = false
  const end = () => (isDone = true)
  work.then(end, end)
  for (let round = 0; !isDone && round < 500; round++) {
    clock.advance(20)
    for (let turn = 0; turn < 100; turn++) await undefined
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok(isDone, 'it hangs')
  return work
}

function open(fs: SimFileSystem, clock: SimClock): Promise<Log> {
  const sizes = {
    journalBytes: 16 * 1024 * 1024,
    batchBytes: 256 * 1024,
    segmentBytes: 1024 * 1024,
  }
  const opening = openSmallLog(fs, { kernel: new Kernel(), clock, disk: LIMITS, lock, ...sizes })
  return driven(clock, opening)
}

/** No segment takes anything from now on. */
function refuseSegments(fs: SimFileSystem, code: string): void {
  for (let count = 0; count < 2000; count++) fs.failNext('write', { code, path: '.log' })
}

/** Records of some size that were acked, and of which no segment took any. */
async function fillJournal(fs: SimFileSystem, count: number, bytes: number): Promise<number> {
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  const log = await open(fs, clock)
  const topic = await driven(clock, log.createTopic('t', { partitions: 1, replicated: false }))
  const partition = topic.partitions[0]!
  refuseSegments(fs, 'EIO')
  let taken = 0
  for (; taken < count; taken++) {
    const record = { timestamp: 1, key: null, value: random.bytes(bytes) }
    if (partition.appendRecord(record) < 0) break
    if ((taken + 1) % Math.ceil(500_000 / bytes) === 0)
      await driven(clock, log.durable(log.openCommit - 1))
  }
  await driven(clock, log.durable(log.openCommit - 1))
  return taken
}

for (const [what, count, bytes] of [
  ['large records', 70, 100_000],
  ['small records', 6000, 2000],
] as const) {
  test(`${what} that only the journal has are no reason to wait for room`, async () => {
    const fs = new SimFileSystem(3)
    const taken = await fillJournal(fs, count, bytes)
    assert.ok(taken * bytes > 5 * 1024 * 1024, `${taken} records`)
    const next = fs.kill()
    refuseSegments(next, 'ENOSPC')
    const clock = new SimClock(Date.UTC(2026, 0, 1))
    const log = await open(next, clock)
    const partition = log.topic('t')!.partitions[0]!
    assert.is(partition.highWatermark, taken)
    const read = await driven(clock, partition.read(taken - 1, 1))
    assert.is(read.kind, 'batches')
    // There is room: what waited in memory goes to segments without being asked.
    next.failNoMore()
    await driven(clock, partition.sealed(partition.tails.at(-1)!.baseOffset))
    await driven(clock, log.close())
  })
}

const CAPACITY = 600 * 1024
const TIGHT = { ...LIMITS, reserveBytes: 16 * 1024 }

function openTight(
  fs: SimFileSystem,
  clock: SimClock,
  options: Partial<LogOptions> = {},
): Promise<Log> {
  const kernel = new Kernel()
  return driven(clock, openSmallLog(fs, { kernel, clock, disk: TIGHT, lock, ...options }))
}

/** Others take everything that is left. */
async function occupy(fs: SimFileSystem): Promise<void> {
  const file = await fs.open('/others', 'create')
  const { free } = await fs.freeBytes('/')
  await file.write([Buffer.alloc(free)], await file.size())
  await file.close()
}

/** Both journal files are needed, and there is no room for anything else; then so many commits, at most. */
async function fillBothJournals(fs: SimFileSystem, most: number) {
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  const first = await openTight(fs, clock)
  await driven(clock, first.createTopic('t', { partitions: 1, replicated: false }))
  const append = (log: Log) => {
    const partition = log.topic('t')!.partitions[0]!
    const record = { timestamp: 1, key: null, value: random.bytes(900) }
    assert.ok(partition.appendRecord(record) >= 0)
    return driven(clock, log.durable(log.openCommit - 1))
  }
  for (let count = 0; count < 20; count++) await append(first)
  await driven(clock, first.close())
  const log = await openTight(fs, clock)
  refuseSegments(fs, 'ENOSPC')
  let records = 20
  for (; !fs.paths().includes(`${STORE}/journal-1`); records++) await append(log)
  await occupy(fs)
  for (let commits = 0; commits < most; commits++) {
    log.state.put('key', Buffer.from(String(commits)))
    const committed = driven(clock, log.durable(log.openCommit))
    const isCommitted = await committed.then(
      () => true,
      () => false,
    )
    if (!isCommitted) return { records, commits }
  }
  return { records, commits: most }
}

for (const spare of [0, 1, 2, 3]) {
  for (const isDamaged of [false, true]) {
    const what = isDamaged ? ', though something must be mended' : ''
    test(`room for ${spare} commits in the journal is enough for a start${what}`, async () => {
      const make = () => new SimFileSystem(7, { capacityBytes: CAPACITY })
      const { commits: most } = await fillBothJournals(make(), Number.POSITIVE_INFINITY)
      assert.ok(most > 20, `${most} commits`)
      const fs = make()
      const { records, commits } = await fillBothJournals(fs, most - spare)
      const next = fs.kill()
      if (isDamaged) next.lose(`${STORE}/t-0/00000000000000000000.log`)
      await occupy(next)
      refuseSegments(next, 'ENOSPC')
      const clock = new SimClock(Date.UTC(2026, 0, 1))
      const log = await openTight(next, clock)
      const partition = log.topic('t')!.partitions[0]!
      assert.is(partition.highWatermark, records)
      assert.is(log.state.get('key')?.toString(), String(commits - 1))
      await driven(clock, partition.read(records - 1, 1))
      assert.not(log.health().ok)
      // There is room: it goes on by itself.
      await next.remove('/others')
      next.failNoMore()
      log.requestCommit()
      await driven(clock, log.durable(log.openCommit))
      // What could not be mended is not tried again at once.
      await driven(clock, sleep(clock, 1000))
      assert.is((await driven(clock, partition.read(0, 1))).kind, 'batches')
      for (let rounds = 0; !log.health().ok && rounds < 500; rounds++) {
        await driven(clock, sleep(clock, 100))
      }
      assert.equal(log.health().reasons, [])
      const record = { timestamp: 1, key: null, value: random.bytes(900) }
      assert.is(partition.appendRecord(record), records)
      await driven(clock, log.durable(log.openCommit - 1))
      await driven(clock, log.close())
    })
  }
}

for (const spare of [0, 1, 2]) {
  test(`who repairs a store with room for ${spare} commits is not kept waiting`, async () => {
    const make = () => new SimFileSystem(7, { capacityBytes: CAPACITY })
    const { commits: most } = await fillBothJournals(make(), Number.POSITIVE_INFINITY)
    const fs = make()
    await fillBothJournals(fs, most - spare)
    const next = fs.kill()
    next.lose(`${STORE}/t-0/00000000000000000000.log`)
    await occupy(next)
    refuseSegments(next, 'ENOSPC')
    const clock = new SimClock(Date.UTC(2026, 0, 1))
    const log = await openTight(next, clock, { retains: false }).catch((error: AgentError) => error)
    if (log instanceof AgentError) {
      assert.match(log.message, /journal-2 needs 65536 bytes, its disk has \d+; make room on it/)
      return
    }
    const [partition] = log.topic('t')!.partitions
    const told = await driven(clock, partition!.read(0, 1)).then(() => 'fine', String)
    assert.match(told, /t-0: damage cannot be mended/)
    await driven(clock, log.close())
  })
}

for (const isFull of [false, true]) {
  const last = isFull ? 'the last one full' : 'the last one ending in half a commit'
  test(`a store that has used up its journal files starts, ${last}`, async () => {
    const fs = new SimFileSystem(7)
    const clock = new SimClock(Date.UTC(2026, 0, 1))
    const log = await openTight(fs, clock, { frameBytesMax: 2000 })
    for (let count = 0; count < 2000; count++) {
      fs.failNext('write', { code: 'EIO', path: 'checkpoint' })
    }
    let commits = 0
    const commit = async (...keys: string[]) => {
      for (const key of keys) log.state.put(key, random.bytes(1500))
      log.state.put('commits', Buffer.from(String(commits + 1)))
      const committed = driven(clock, log.durable(log.openCommit))
      const isCommitted = await committed.then(
        () => true,
        () => false,
      )
      if (isCommitted) commits++
      return isCommitted
    }
    // One that fails is kept for what it has, and no checkpoint releases it.
    while (!fs.paths().includes(`${STORE}/journal-7`)) {
      fs.failNext('write', { code: 'EIO', path: 'journal' })
      assert.ok(await commit('key'))
    }
    if (isFull) while (await commit());
    else {
      fs.failNext('write', { code: 'EIO', path: 'journal', passes: 1 })
      assert.not(await commit('key', 'other'))
    }
    const next = fs.kill()
    next.failNoMore()
    const again = await openTight(next, clock)
    assert.is(again.state.get('commits')?.toString(), String(commits))
    again.state.put('key', Buffer.from('value'))
    await driven(clock, again.durable(again.openCommit))
    assert.equal(again.health().reasons, [])
    await driven(clock, again.close())
  })
}

test.run()
