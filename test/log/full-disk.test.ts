// A log on a disk that fills: who has to wait, what goes, and what still works without a byte left.

import * as assert from 'uvu/assert'
import type { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import { isHollow } from '../../agent/log/made-batch.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import type { TopicSettings } from '../../agent/log/topic.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('full disk')
const KIB = 1024
const random = new SeededRandom(1)
/** Hollow segments cost something, too: what is dropped should be more than that. */
const LARGE = { segmentBytes: 32 * KIB, batchBytes: 8 * KIB }

interface Store {
  fs: SimFileSystem
  clock: SimClock
  log: Log
}

async function open(
  fs: SimFileSystem,
  disk: Partial<LogOptions['disk'] & object>,
  options: Partial<LogOptions> = {},
): Promise<Store> {
  const clock = new SimClock(Date.UTC(2026, 0, 1))
  const limits = { budgetBytes: undefined, budgetShare: undefined, keepFreeBytes: 0, ...disk }
  // Processes are not asked for: that would take real time.
  const lock = { startOf: async () => 'start' }
  const opening = openSmallLog(fs, { kernel: new Kernel(), clock, disk: limits, lock, ...options })
  return { fs, clock, log: await driven(clock, opening) }
}

/** Lets time pass until something is there. */
async function driven<T>(clock: SimClock, work: Promise<T>): Promise<T> {
  let isDone = false
  work.then(
    () => (isDone = true),
    () => (isDone = true),
  )
  for (let round = 0; !isDone && round < 2_000; round++) {
    await pass(clock)
  }
  assert.ok(isDone, 'it hangs')
  return work
}

/** A little time, and everything that happens in it. */
async function pass(clock: SimClock, ms = 20): Promise<void> {
  clock.advance(ms)
  for (let turn = 0; turn < 40; turn++) await undefined
}

async function calm(clock: SimClock): Promise<void> {
  for (let round = 0; round < 100; round++) await pass(clock)
}

/** One record that does not compress; false when it is refused. */
function append(partition: PartitionLog, bytes: number): boolean {
  const record = { timestamp: 1, key: null, value: random.bytes(bytes) }
  return partition.appendRecord(record) >= 0
}

/** Durable records of about 1000 bytes that do not compress, until one is refused. */
async function fill(
  { log, clock }: Store,
  partition: PartitionLog,
  count: number,
): Promise<number> {
  for (let order = 0; order < count; order++) {
    for (let tries = 0; ; tries++) {
      if (append(partition, 950)) break
      if (tries > 200) return order
      await pass(clock)
    }
    if (order % 4 === 3) await driven(clock, log.durable(log.openCommit - 1))
  }
  await calm(clock)
  return count
}

async function topic({ log, clock }: Store, name: string, settings: Partial<TopicSettings> = {}) {
  const all = { partitions: 1, replicated: true, compression: 'none', ...settings } as TopicSettings
  return (await driven(clock, log.createTopic(name, all))).partitions
}

/** Offsets of hollow records; asserts that all offsets are there. */
async function hollowOffsets(log: Log, partition: PartitionLog): Promise<number[]> {
  const hollow: number[] = []
  let offset = partition.logStartOffset
  while (offset < partition.highWatermark) {
    const read = await partition.read(offset, 1)
    assert.is(read.kind, 'batches')
    if (read.kind !== 'batches') break
    assert.is(read.baseOffset <= offset, true)
    if (isHollow(read.bytes, log.codecs)) {
      for (let at = offset; at < read.nextOffset; at++) hollow.push(at)
    }
    offset = read.nextOffset
  }
  return hollow
}

/** Others take everything that is left. */
async function occupy(fs: SimFileSystem): Promise<void> {
  const file = await fs.open('/others', 'create')
  const { free } = await fs.freeBytes('/')
  await file.write([Buffer.alloc(free)], await file.size()).catch((error) => {
    assert.is(error.code, 'ENOSPC')
  })
  await file.close()
}

test(
  'one of twelve partitions that nobody drains is full; the others go on, with room for ever',
  async () => {
    const budgetBytes = 4096 * KIB
    const store = await open(new SimFileSystem(1), { budgetBytes }, LARGE)
    const { log, clock } = store
    const [frozen, ...drained] = await topic(store, 't', { partitions: 12 })
    let taken = 0
    for (let round = 0; round < 400; round++) {
      if (append(frozen!, 12 * KIB)) taken++
      for (const partition of drained) {
        assert.is(partition.fullSince, undefined, `${partition.name} in round ${round}`)
        while (!append(partition, 3 * KIB)) await pass(clock)
      }
      await driven(clock, log.durable(log.openCommit - 1))
      for (const partition of drained) partition.replicatedOffset = partition.highWatermark
      await pass(clock)
      assert.ok(log.diskBytes < budgetBytes, `${log.diskBytes} bytes`)
    }
    assert.ok(frozen!.fullSince !== undefined)
    assert.is(frozen!.logStartOffset, 0)
    assert.is(frozen!.highWatermark, taken)
    assert.ok(drained.every(({ logStartOffset }) => logStartOffset > 0))
    const { reasons } = log.health()
    assert.match(reasons.join(), /^disk full: t-0 is above a share of \d+ bytes; raise it, /)
    let isTold = false
    log.onRoom(() => (isTold = true))
    frozen!.replicatedOffset = frozen!.highWatermark
    // Many files go, one after the other.
    for (let round = 0; round < 6; round++) await calm(clock)
    assert.ok(isTold)
    assert.ok(append(frozen!, 12 * KIB))
    await driven(clock, log.close())
  },
  { timeoutMs: 90_000 },
)

test('what is not upstream blocks the log, which goes on by itself when it is', async () => {
  const store = await open(new SimFileSystem(2), { budgetBytes: 400 * KIB })
  const { log, clock } = store
  const [partition] = await topic(store, 't')
  const taken = await fill(store, partition!, 1000)
  assert.ok(taken > 50 && taken < 300, `${taken} records`)
  assert.match(
    log.health().reasons.join(),
    /^disk full: \d+ of storage\.diskBudget 409600 bytes used; /,
  )
  assert.ok(log.diskBytes < 440 * KIB, `${log.diskBytes} bytes`)
  assert.is(partition!.logStartOffset, 0)
  partition!.replicatedOffset = taken / 2
  await pass(clock, 1000)
  await calm(clock)
  assert.ok(log.health().ok, log.health().reasons.join())
  assert.ok(partition!.logStartOffset > 0 && partition!.logStartOffset <= taken / 2)
  assert.ok((await fill(store, partition!, 20)) === 20)
  await driven(clock, log.close())
})

test('dropOldest makes hollow what is oldest and above the pin, and counts exactly that', async () => {
  const store = await open(new SimFileSystem(3), { budgetBytes: 600 * KIB }, LARGE)
  const { log, clock } = store
  const [partition] = await topic(store, 't', { whenFull: 'dropOldest' })
  await fill(store, partition!, 20)
  partition!.pinnedOffset = 15
  assert.is(await fill(store, partition!, 600), 600)
  assert.ok(log.diskBytes < 620 * KIB, `${log.diskBytes} bytes`)
  const hollow = await hollowOffsets(log, partition!)
  assert.ok(hollow.length > 200, `${hollow.length} hollow`)
  assert.ok(hollow[0]! >= 15, `offset ${hollow[0]}`)
  assert.ok(hollow[0]! < 50, `offset ${hollow[0]}`)
  assert.equal(
    hollow,
    hollow.map((_, index) => hollow[0]! + index),
    'the oldest go, without a hole',
  )
  assert.is(partition!.losses.totals.dropped, hollow.length)
  assert.is(partition!.logStartOffset, 0)
  await driven(clock, log.close())
  const again = await open(store.fs, { budgetBytes: 600 * KIB }, LARGE)
  const [found] = again.log.topic('t')!.partitions
  assert.equal(await hollowOffsets(again.log, found!), hollow)
  assert.is(found!.losses.totals.dropped, hollow.length)
  await driven(again.clock, again.log.close())
})

test('what may be upstream is never made hollow; then a dropping topic blocks, too', async () => {
  const store = await open(new SimFileSystem(4), { budgetBytes: 600 * KIB }, LARGE)
  const { log, clock } = store
  const [partition] = await topic(store, 't', { whenFull: 'dropOldest' })
  partition!.pinnedOffset = Number.POSITIVE_INFINITY
  const taken = await fill(store, partition!, 1000)
  assert.ok(taken < 500, `${taken} records`)
  assert.is(partition!.losses.total, 0)
  partition!.pinnedOffset = 0
  await pass(clock, 1000)
  await calm(clock)
  assert.is(await fill(store, partition!, 50), 50)
  await driven(clock, log.close())
})

test('a topic that stays here loses its oldest segments, and its readers are told', async () => {
  const store = await open(new SimFileSystem(5), { budgetBytes: 600 * KIB }, LARGE)
  const { log, clock } = store
  const [partition] = await topic(store, 't', { replicated: false, whenFull: 'dropOldest' })
  assert.is(await fill(store, partition!, 600), 600)
  const { logStartOffset } = partition!
  assert.ok(logStartOffset > 200, `starts at ${logStartOffset}`)
  assert.is(partition!.losses.totals.dropped, logStartOffset)
  assert.is((await partition!.read(0, 1)).kind, 'outOfRange')
  assert.equal(await hollowOffsets(log, partition!), [])
  await driven(clock, log.close())
})

test('topics that may drop give room to those that may not', async () => {
  const store = await open(new SimFileSystem(6), { budgetBytes: 800 * KIB }, LARGE)
  const { log, clock } = store
  const [dropping] = await topic(store, 'drop', { whenFull: 'dropOldest' })
  const [blocking] = await topic(store, 'block', { replicated: false })
  await fill(store, dropping!, 600)
  const taken = await fill(store, blocking!, 250)
  assert.is(taken, 250)
  assert.is(blocking!.losses.total, 0)
  assert.is(blocking!.logStartOffset, 0)
  assert.ok(dropping!.losses.totals.dropped > 0)
  await driven(clock, log.close())
})

test('what the upstream has goes before anything is dropped, whatever retention says', async () => {
  const store = await open(new SimFileSystem(7), { budgetBytes: 600 * KIB }, LARGE)
  const { log, clock } = store
  const [partition] = await topic(store, 't', { whenFull: 'dropOldest', retentionMs: 1e12 })
  for (let round = 0; round < 30; round++) {
    await fill(store, partition!, 20)
    partition!.replicatedOffset = partition!.highWatermark
  }
  assert.ok(partition!.logStartOffset > 200)
  assert.is(partition!.losses.total, 0)
  await driven(clock, log.close())
})

for (const reserveBytes of [64 * KIB, 0]) {
  const name = reserveBytes === 0 ? 'without' : 'with'
  test(`at 0 bytes left, ${name} a reserve: commits end, it stops, starts and serves`, async () => {
    const fs = new SimFileSystem(8, { capacityBytes: 600 * KIB })
    const store = await open(fs, { reserveBytes })
    const [partition] = await topic(store, 't')
    const before = await fill(store, partition!, 60)
    assert.is(before, 60)
    // Appended, in no commit yet; from here on there is not a byte.
    for (let more = 0; more < 3; more++) assert.ok(append(partition!, 950))
    await occupy(fs)
    await driven(store.clock, store.log.durable(store.log.openCommit - 1))
    await pass(store.clock, 1000)
    assert.is(await fill(store, partition!, 1), 0)
    assert.match(store.log.health().reasons.join(), /disk full: \d+ bytes free/)
    await occupy(fs)
    await driven(store.clock, store.log.close())
    assert.is((await fs.list(STORE)).includes('lock'), false)
    if (reserveBytes === 0) return
    await occupy(fs)
    const again = await open(fs, { reserveBytes })
    const [found] = again.log.topic('t')!.partitions
    assert.is(found!.highWatermark, 63)
    assert.equal(await hollowOffsets(again.log, found!), [])
    assert.is(await fill(again, found!, 1), 0)
    found!.replicatedOffset = 63
    for (let second = 0; second < 3; second++) await pass(again.clock, 1000)
    await calm(again.clock)
    assert.is(await fill(again, found!, 3), 3, again.log.health().reasons.join())
    assert.ok(found!.logStartOffset > 0)
    await driven(again.clock, again.log.close())
  })
}

test('at 0 bytes left what may be dropped is dropped', async () => {
  const fs = new SimFileSystem(9, { capacityBytes: 600 * KIB })
  const store = await open(fs, { reserveBytes: 64 * KIB })
  const [partition] = await topic(store, 't', { whenFull: 'dropOldest' })
  await fill(store, partition!, 100)
  await occupy(fs)
  for (let second = 0; second < 3; second++) await pass(store.clock, 1000)
  assert.is(await fill(store, partition!, 30), 30, store.log.health().reasons.join())
  assert.is(partition!.losses.totals.dropped, (await hollowOffsets(store.log, partition!)).length)
  assert.ok(partition!.losses.totals.dropped > 0)
  await driven(store.clock, store.log.close())
})

test('indexes that find no room hold up no checkpoint', async () => {
  const store = await open(new SimFileSystem(11), {})
  const [partition] = await topic(store, 't')
  for (let count = 0; count < 10_000; count++) {
    store.fs.failNext('write', { code: 'ENOSPC', path: 'index' })
  }
  await fill(store, partition!, 200)
  assert.equal(store.log.health().reasons, [])
  store.fs.failNoMore()
  assert.equal(await hollowOffsets(store.log, partition!), [])
  await driven(store.clock, store.log.close())
})

test('a first start without room for a journal is one sentence', async () => {
  const fs = new SimFileSystem(10, { capacityBytes: 60 * KIB })
  const fault = await open(fs, {}).catch((error) => error)
  assert.is(fault.code, 'STORAGE_FULL')
  assert.match(fault.message, /journal-0 needs 65536 bytes, its disk has \d+; make room on it$/)
  assert.not(fs.paths().includes(`${STORE}/lock`))
})

test.run()
