// When the budget looks: every second far from the next mark, sooner near it, because a fast disk
// writes more in a second than may be left; and what it finds.

import * as assert from 'uvu/assert'
import { DiskBudget, type DiskLook, reserveBytesOf } from '../../agent/log/disk-budget.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('disk budget')
const MIB = 1024 * 1024

/** A budget over a store whose size the test sets; how often it looked, and what it found. */
async function open(
  limits: { budgetBytes?: number; budgetShare?: number; keepFreeBytes?: number },
  free = 100_000 * MIB,
) {
  const fs = new SimFileSystem(1)
  const disk = { used: 0, missing: 0, free, written: 0, looks: 0, isBroken: false }
  fs.freeBytes = async () => {
    disk.looks++
    if (disk.isBroken) throw Object.assign(new Error('the disk is gone'), { code: 'EIO' })
    return { free: disk.free, total: 200_000 * MIB }
  }
  const clock = new SimClock(0)
  const found: DiskLook[] = []
  const failures: unknown[] = []
  const budget = new DiskBudget({
    fs,
    directory: 'store',
    limits: { budgetBytes: undefined, budgetShare: undefined, keepFreeBytes: 0, ...limits },
    clock,
    used: async () => ({ bytes: disk.used, missingBytes: disk.missing }),
    looked: async (look) => {
      found.push(look)
      const leftBytes = Math.max(0, look.limit - look.used)
      return { leftBytes, isAwaited: leftBytes === 0 }
    },
    failed: (error) => failures.push(error),
  })
  await budget.start(() => disk.written)
  const pass = async (ms: number) => {
    for (let at = 0; at < ms; at += 10) {
      clock.advance(10)
      for (let turn = 0; turn < 20; turn++) await undefined
    }
  }
  return { budget, disk, found, failures, pass, last: () => found.at(-1)! }
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
  const { disk, pass, last } = await open({ budgetBytes: 64 * MIB })
  for (let step = 0; last().used < last().limit && step < 100; step++) {
    disk.used += 2 * MIB
    disk.written++
    await pass(10)
  }
  assert.ok(disk.used <= 70 * MIB, `${disk.used / MIB} MiB used`)
  assert.match(last().reason, /^\d+ of storage\.diskBudget 67108864 bytes used$/)
  const looks = disk.looks
  await pass(1_000)
  assert.ok(disk.looks > looks, 'a full disk is looked at although nothing is written')
})

test('what must stay free limits it as well, and the stricter of the two wins', async () => {
  const { disk, pass, last } = await open({ keepFreeBytes: 500 * MIB, budgetShare: 0.5 }, 600 * MIB)
  assert.is(last().limit, 100 * MIB)
  assert.is(last().reason, `${600 * MIB} bytes free, storage.keepFree is ${500 * MIB}`)
  disk.used = 30 * MIB
  disk.written++
  await pass(1_000)
  assert.is(last().limit, 130 * MIB, 'what we hold is no loss')
  disk.free = 400_000 * MIB
  disk.written++
  await pass(1_000)
  assert.is(last().limit, 100_000 * MIB)
})

test('what the reserve lacks is not there for others', async () => {
  const { disk, pass, last } = await open({ keepFreeBytes: 0 }, 10 * MIB)
  disk.used = 30 * MIB
  disk.missing = 4 * MIB
  disk.free = 4 * MIB
  disk.written++
  await pass(1_000)
  assert.is(last().limit, last().used)
})

test('a disk that cannot be looked at is tried again', async () => {
  const { disk, found, failures, pass } = await open({})
  disk.isBroken = true
  disk.written++
  await pass(3_000)
  assert.ok(failures.length >= 2)
  const before = found.length
  disk.isBroken = false
  await pass(1_000)
  assert.ok(found.length > before)
})

test('one who asks while it looks waits for that look, and nothing goes on after the end', async () => {
  const { budget, disk, pass } = await open({ budgetBytes: 64 * MIB })
  const looks = disk.looks
  await Promise.all([budget.look(), budget.look()])
  assert.is(disk.looks, looks + 1)
  await budget.close()
  disk.written++
  await pass(5_000)
  assert.is(disk.looks, looks + 1)
})

test('a small budget has a small reserve', () => {
  const limits = { budgetShare: undefined, keepFreeBytes: 0, reserveBytes: 4 * MIB }
  assert.is(reserveBytesOf({ ...limits, budgetBytes: undefined }), 4 * MIB)
  assert.is(reserveBytesOf({ ...limits, budgetBytes: 1000 * MIB }), 4 * MIB)
  assert.is(reserveBytesOf({ ...limits, budgetBytes: 64 * MIB }), 2 * MIB)
  assert.is(reserveBytesOf({ budgetBytes: 64 * MIB, budgetShare: undefined, keepFreeBytes: 0 }), 0)
})

test.run()
