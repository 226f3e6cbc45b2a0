// When the budget looks: every second far from the limit, sooner near it, because a fast disk writes
// more in a second than may be left.

import * as assert from 'uvu/assert'
import { DiskBudget } from '../../agent/log/disk-budget.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('disk budget')
const MIB = 1024 * 1024

/** A budget over a store whose size the test sets; how often it looked, and what it said. */
async function open(
  limits: { budgetBytes?: number; keepFreeBytes?: number },
  free = 100_000 * MIB,
) {
  const fs = new SimFileSystem(1)
  const disk = { used: 0, free, written: 0, looks: 0 }
  fs.freeBytes = async () => {
    disk.looks++
    return { free: disk.free, total: 200_000 * MIB }
  }
  const clock = new SimClock(0)
  const changes: boolean[] = []
  const budget = new DiskBudget({
    fs,
    directory: 'store',
    limits: { budgetBytes: undefined, budgetShare: undefined, keepFreeBytes: 0, ...limits },
    clock,
    usedBytes: () => disk.used,
    changed: (isFull) => changes.push(isFull),
  })
  await budget.start(() => disk.written)
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 10) {
      clock.advance(10)
      for (let turn = 0; turn < 10; turn++) await undefined
    }
  }
  return { budget, disk, changes, pass }
}

test('far from its limit it looks once a second, and only when something is written', async () => {
  const { disk, pass } = await open({ budgetBytes: 10_000 * MIB })
  await pass(3_000)
  const idle = disk.looks
  for (let second = 0; second < 5; second++) {
    disk.written++
    await pass(1_000)
  }
  assert.ok(idle <= 2, `${idle} looks`)
  assert.ok(disk.looks - idle <= 5, `${disk.looks - idle} looks`)
})

test('near its limit it looks often enough for a disk of 200 MB/s', async () => {
  const { budget, disk, pass, changes } = await open({ budgetBytes: 64 * MIB })
  for (let step = 0; !budget.isFull && step < 100; step++) {
    disk.used += 2 * MIB
    disk.written++
    await pass(10)
  }
  assert.ok(disk.used <= 70 * MIB, `${disk.used / MIB} MiB used`)
  assert.match(budget.reason!, /^disk full: \d+ of storage\.diskBudget 67108864 bytes used$/)
  disk.used = 10 * MIB
  await pass(1_000)
  assert.equal(changes, [true, false])
})

test('what others leave free counts the same', async () => {
  const { budget, disk, pass } = await open({ keepFreeBytes: 500 * MIB }, 600 * MIB)
  for (; !budget.isFull && disk.free > 0; disk.free -= 2 * MIB) {
    disk.written++
    await pass(10)
  }
  assert.ok(disk.free >= 490 * MIB, `${disk.free / MIB} MiB free`)
})

test.run()
