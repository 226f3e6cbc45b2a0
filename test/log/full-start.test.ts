// A start on a disk without a byte left, while what was acked is in the journal only: it must come up,
// for nobody makes room on a gateway that does not run.

import * as assert from 'uvu/assert'
import type { Log } from '../../agent/log/log.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('full start')
const random = new SeededRandom(5)
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
  const opening = openSmallLog(fs, { kernel: new Kernel(), clock, disk: LIMITS, ...sizes })
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

test.run()
