import * as assert from 'uvu/assert'
import { Logger } from '../../agent/base/telemetry.ts'
import type { Log } from '../../agent/log/log.ts'
import { LogTime, RELEASE_TIME } from '../../agent/log/log-time.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const test = suite('log time')

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOON = Date.UTC(2026, 5, 1, 12)

/** Time of a store whose newest frame is from `lastGood`, opened when the wall clock says `wall`. */
function openedAt(wall: number, lastGood?: number) {
  const clock = new VirtualClock()
  clock.wall = wall
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const logger = new Logger({ level: 'info', format: 'text', now: () => 0, write })
  const system: { says: boolean | undefined } = { says: undefined }
  const time = new LogTime({ clock, logger, systemSynchronized: () => system.says })
  if (lastGood !== undefined) time.restored(lastGood)
  time.opened()
  return { clock, time, lines, system }
}

test('a wall clock that goes on from where the store ended is believed', () => {
  for (const off of [0, -59_000, 3 * 7 * DAY, 365 * DAY]) {
    const { time, lines } = openedAt(NOON + off, NOON)
    assert.equal([time.now(), time.isSynchronized, lines], [NOON + off, true, []])
  }
})

test('a new store believes every clock that is not older than the software', () => {
  assert.is(openedAt(RELEASE_TIME).time.isSynchronized, true)
  assert.is(openedAt(Date.UTC(2099, 0, 1)).time.isSynchronized, true)
  const { time, clock, lines } = openedAt(0)
  clock.advance(1500)
  assert.equal([time.now(), time.isSynchronized], [RELEASE_TIME + 1500, false])
  assert.match(lines.join(), 'it says 1970-01-01T00:00:00.000Z, this version is from 2026')
})

test('1970 at boot: time goes on from the store until the clock is stepped right', () => {
  const { time, clock, lines } = openedAt(10_000, NOON)
  clock.advance(90_000)
  assert.equal([time.now(), time.isSynchronized], [NOON + 90_000, false])
  assert.is(lines.length, 1)
  assert.match(
    lines[0]!,
    /warn.*clock unsynced: it says 1970-01-01T00:00:10.000Z, the store goes to/,
  )
  clock.wall = NOON + 21 * DAY
  assert.equal([time.now(), time.isSynchronized], [NOON + 21 * DAY, true])
  assert.match(lines[1]!, /info.*clock ok/)
  assert.is(lines.length, 2)
})

test('a clock more than a year ahead of the store is not believed', () => {
  const { time, clock } = openedAt(NOON + 367 * DAY, NOON)
  clock.advance(1000)
  assert.equal([time.now(), time.isSynchronized], [NOON + 1000, false])
  clock.wall = NOON + 5000
  assert.equal([time.now(), time.isSynchronized], [NOON + 5000, true])
})

test('a jump back goes on from before it, until the wall clock has caught up', () => {
  const { time, clock, lines } = openedAt(NOON, NOON)
  clock.advance(1000)
  time.now()
  clock.wall -= HOUR
  clock.advance(500)
  assert.equal([time.now(), time.isSynchronized], [NOON + 1500, false])
  clock.advance(HOUR - 61_000)
  assert.is(time.isSynchronized, false)
  clock.advance(2000)
  time.now()
  assert.is(time.isSynchronized, true)
  assert.is(lines.length, 2)
})

test('small steps back never add up to more than a minute', () => {
  const { time, clock } = openedAt(NOON, NOON)
  for (let step = 0; step < 3; step++) {
    clock.wall -= 25_000
    assert.ok(time.now() >= NOON - 60_000)
  }
  assert.is(time.isSynchronized, false)
})

test('the store is wrong when the system says so, or the clock runs in step for a day', () => {
  for (const wall of [NOON - 90 * DAY, NOON + 500 * DAY]) {
    const asked = openedAt(wall, NOON)
    asked.system.says = false
    asked.clock.advance(2000)
    asked.time.now()
    assert.is(asked.time.isSynchronized, false)
    asked.system.says = true
    asked.clock.advance(2000)
    assert.equal([asked.time.now(), asked.time.isSynchronized], [wall + 4000, true])

    const { time, clock } = openedAt(wall, NOON)
    clock.advance(DAY - 1000)
    assert.ok(time.now() < NOON + DAY)
    clock.advance(1000)
    assert.equal([time.now(), time.isSynchronized], [wall + DAY, true])
  }
})

test('a clock that is stepped about is not in step, and 1970 never becomes right', () => {
  const { time, clock } = openedAt(NOON - 90 * DAY, NOON)
  for (let hour = 0; hour < 30; hour++) {
    clock.advance(HOUR)
    clock.wall -= 2 * 60_000
    time.now()
  }
  assert.is(time.isSynchronized, false)
  const old = openedAt(0, NOON)
  old.system.says = true
  old.clock.advance(2 * DAY)
  assert.equal([old.time.now(), old.time.isSynchronized], [NOON + 2 * DAY, false])
})

test('ages grow at most twice as fast as time passes when the clock jumps ahead', () => {
  const { time, clock } = openedAt(NOON, NOON)
  assert.is(time.steadyNow(), NOON)
  clock.wall += 30 * DAY
  assert.is(time.now(), NOON + 30 * DAY)
  assert.is(time.steadyNow(), NOON)
  clock.advance(HOUR)
  assert.is(time.steadyNow(), NOON + 2 * HOUR)
  clock.wall = NOON + HOUR + 30_000
  assert.ok(time.steadyNow() <= NOON + 2 * HOUR)
})

// ---- in a log

const RETAINED = { partitions: 1, replicated: false, retentionMs: 7 * DAY }
const random = new SeededRandom(4)

/** Some finished segments of records that are just coming in. */
async function fill(log: Log): Promise<PartitionLog> {
  const topic = log.topic('t') ?? (await log.createTopic('t', RETAINED))
  const [partition] = topic.partitions
  for (let order = 0; order < 120; order++) {
    partition!.appendRecord({ timestamp: log.time.now(), key: null, value: random.bytes(400) })
    await log.durable(log.openCommit)
  }
  await partition!.seal()
  return partition!
}

/** A store with six segments from `NOON`, and its clock. */
async function filledStore(): Promise<{ fs: SimFileSystem; clock: VirtualClock }> {
  const fs = new SimFileSystem(3)
  const clock = new VirtualClock()
  clock.wall = NOON
  const log = await openSmallLog(fs, { clock })
  await fill(log)
  await log.close()
  return { fs, clock }
}

test('after three weeks off, retention goes by the clock as before', async () => {
  const { fs, clock } = await filledStore()
  clock.wall = NOON + 21 * DAY
  const log = await openSmallLog(fs, { clock })
  await log.retain()
  assert.is(log.time.isSynchronized, true)
  assert.ok(log.topic('t')!.partitions[0]!.logStartOffset > 0)
  await log.close()
})

test('nothing is deleted for its age while the clock is wrong, and what came then is as young as it is', async () => {
  const { fs, clock } = await filledStore()
  clock.wall = 0
  const log = await openSmallLog(fs, { clock })
  const partition = await fill(log)
  const before = partition.logEndOffset
  clock.advance(30 * DAY)
  await log.retain()
  assert.equal([log.time.isSynchronized, partition.logStartOffset], [false, 0])
  await fill(log)
  clock.wall = NOON + 33 * DAY
  await log.retain()
  assert.ok(partition.logStartOffset > before * 0.9, 'old segments go when the clock is right')
  assert.ok(partition.logStartOffset <= before, 'what came in just now stays')
  await log.close()
})

test('times go on over restarts and crashes, whatever the wall clock says at each', async () => {
  let { fs, clock } = await filledStore()
  let last = NOON
  for (const wall of [0, 5_000_000, Date.UTC(2099, 0, 1), NOON - 40 * DAY]) {
    clock = new VirtualClock()
    clock.wall = wall
    const log = await openSmallLog(fs, { clock })
    const partition = await fill(log)
    assert.is(log.time.isSynchronized, false)
    assert.ok(log.time.now() >= last && log.time.now() < NOON + DAY)
    assert.ok(partition.segments.facts().at(-1)!.lastArrivalMs >= last)
    clock.advance(1000)
    await fill(log)
    last = log.time.now()
    fs = fs.kill()
  }
})

test('a jump ahead while running deletes nothing', async () => {
  const { fs, clock } = await filledStore()
  const log = await openSmallLog(fs, { clock })
  await log.retain()
  clock.wall += 60 * DAY
  await log.retain()
  clock.advance(DAY)
  await log.retain()
  assert.is(log.topic('t')!.partitions[0]!.logStartOffset, 0)
  assert.is(log.time.isSynchronized, true)
  await log.close()
})

test.run()
