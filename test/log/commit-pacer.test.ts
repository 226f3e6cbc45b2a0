import { setImmediate as nextTurn } from 'node:timers/promises'
import * as assert from 'uvu/assert'
import { CommitPacer } from '../../agent/log/commit-pacer.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('commit pacer')

async function settle(): Promise<void> {
  for (let turns = 0; turns < 50; turns++) await undefined
}

function add(pacer: CommitPacer, count: number): void {
  for (let order = 0; order < count; order++) pacer.add()
}

/** A commit of what is open; `during` come while it is written. */
function commit(pacer: CommitPacer, clock: SimClock, ms: number, during: number): void {
  pacer.begin()
  add(pacer, during)
  clock.advance(ms)
  pacer.end()
}

/** A pacer on a disk whose writes are known to take this long. */
function pacerAt(ms: number): { pacer: CommitPacer; clock: SimClock } {
  const clock = new SimClock(0)
  const pacer = new CommitPacer(clock, 'auto')
  for (let order = 0; order < 60; order++) {
    clock.advance(1000)
    commit(pacer, clock, ms, 0)
  }
  clock.advance(1000)
  return { pacer, clock }
}

/** Watches whether the wait is over. */
function watch(wait: Promise<void> | undefined): { isOver: boolean } {
  const watched = { isOver: wait === undefined }
  wait?.then(() => {
    watched.isOver = true
  })
  return watched
}

test('a lone message begins a commit at once, on any disk', () => {
  for (const ms of [0, 0.3, 20]) {
    const { pacer, clock } = pacerAt(ms)
    add(pacer, 1)
    assert.is(pacer.wait(), undefined)
    commit(pacer, clock, ms, 0)
    // One publisher with one message out: its next one is the whole echo.
    add(pacer, 1)
    assert.is(pacer.wait(), undefined)
    commit(pacer, clock, ms, 0)
    clock.advance(ms)
    add(pacer, 1)
    assert.is(pacer.wait(), undefined)
  }
})

test('half of the messages wait for the other half, no longer than it takes to come', async () => {
  const { pacer, clock } = pacerAt(10)
  add(pacer, 50)
  commit(pacer, clock, 10, 50)
  const wait = watch(pacer.wait())
  add(pacer, 49)
  await settle()
  assert.not.ok(wait.isOver)
  add(pacer, 1)
  await settle()
  assert.ok(wait.isOver)
  commit(pacer, clock, 10, 0)
  // All of them are in step now: the first of a hundred waits for the others.
  add(pacer, 1)
  const next = watch(pacer.wait())
  assert.not.ok(next.isOver)
  add(pacer, 99)
  await settle()
  assert.ok(next.isOver)
})

test('where no echo comes, a tenth of a write is waited, and then not for a while', async () => {
  const { pacer, clock } = pacerAt(10)
  add(pacer, 50)
  commit(pacer, clock, 10, 50)
  const wait = watch(pacer.wait())
  clock.advance(1)
  await settle()
  assert.ok(wait.isOver)
  let waits = 0
  for (let order = 0; order < 1000; order++) {
    add(pacer, 2)
    commit(pacer, clock, 10, 50)
    const again = pacer.wait()
    if (again === undefined) continue
    waits++
    clock.advance(1)
    await again
  }
  assert.ok(waits > 10 && waits < 30, `${waits} waits in 1,000 commits`)
})

test('an echo that comes fast is waited for longer, never for more than half a write', async () => {
  const { pacer, clock } = pacerAt(10)
  add(pacer, 100)
  commit(pacer, clock, 10, 100)
  const wait = watch(pacer.wait())
  for (let ms = 1; ms <= 4; ms++) {
    add(pacer, 22)
    clock.advance(1)
    await settle()
    assert.not.ok(wait.isOver, `after ${ms} ms`)
  }
  add(pacer, 11)
  clock.advance(1)
  await settle()
  assert.ok(wait.isOver)
})

test('on a fast disk turns of the loop are counted, not timers', async () => {
  const { pacer, clock } = pacerAt(0.4)
  add(pacer, 5)
  commit(pacer, clock, 0.4, 5)
  const wait = watch(pacer.wait())
  await undefined
  assert.not.ok(wait.isOver)
  add(pacer, 5)
  await settle()
  assert.ok(wait.isOver)
})

test('commits on a disk that takes no time never wait, nor where none is wanted', () => {
  const { pacer, clock } = pacerAt(0)
  add(pacer, 5)
  commit(pacer, clock, 0, 5)
  assert.is(pacer.wait(), undefined)
  const never = new CommitPacer(clock, 0)
  add(never, 5)
  commit(never, clock, 10, 5)
  assert.is(never.wait(), undefined)
})

test('a set interval keeps commits apart, even where timers are early', async () => {
  class EarlyClock extends SimClock {
    override after(ms: number, run: () => void) {
      return super.after(ms - 0.5, run)
    }
  }
  const clock = new EarlyClock(0)
  const pacer = new CommitPacer(clock, 5)
  add(pacer, 1)
  assert.is(pacer.wait(), undefined)
  commit(pacer, clock, 1, 3)
  const wait = watch(pacer.wait())
  clock.advance(3.5)
  await settle()
  assert.not.ok(wait.isOver)
  clock.advance(0.5)
  await settle()
  assert.ok(wait.isOver)
  commit(pacer, clock, 1, 0)
  clock.advance(4)
  add(pacer, 1)
  assert.is(pacer.wait(), undefined)
})

test('a log that closes while a commit is held back writes it first, and nothing after', async () => {
  const clock = new SimClock(0)
  const fs = new SimFileSystem(5)
  const passing = async <T>(work: Promise<T>): Promise<T> => {
    let isDone = false
    const done = work.finally(() => {
      isDone = true
    })
    while (!isDone) {
      await nextTurn()
      clock.advance(100)
    }
    return done
  }
  const log = await passing(openSmallLog(fs, { clock, commitIntervalMs: 1000 }))
  log.state.put('a', Buffer.from('1'))
  await passing(log.durable(log.openCommit))
  log.state.put('b', Buffer.from('2'))
  const second = log.durable(log.openCommit)
  const closing = log.close()
  await passing(closing)
  assert.is(await second, undefined)
  const { writes } = fs.counts
  clock.advance(10_000)
  await settle()
  assert.is(fs.counts.writes, writes)
})

test.run()
