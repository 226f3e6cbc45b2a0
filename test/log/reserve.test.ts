// A disk without a byte left, and what the reserve makes possible on it.

import * as assert from 'uvu/assert'
import { isNoSpace, Reserve, withReserveOf } from '../../agent/log/reserve.ts'
import { lockStore } from '../../agent/log/store-lock.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('reserve')
const KIB = 1024
const BYTES = 256 * KIB

async function open(capacityBytes = 1024 * KIB, bytes = BYTES) {
  const disk = new SimFileSystem(1, { capacityBytes })
  await disk.makeDirectory('/store')
  const clock = new SimClock(0)
  const seen = { spent: 0 }
  const reserve = new Reserve({
    fs: disk,
    directory: '/store',
    bytes,
    clock,
    spent: () => seen.spent++,
  })
  const refill = async () => reserve.refill((await disk.freeBytes('/store')).free)
  /** Others take all that is left. */
  const occupy = async () => {
    const file = await disk.open('/others', 'create')
    const { free } = await disk.freeBytes('/')
    await file.write([Buffer.alloc(free)], await file.size())
    await file.close()
  }
  return { disk, clock, reserve, seen, refill, occupy }
}

async function write(reserve: Reserve, path: string, bytes: number): Promise<void> {
  const file = await reserve.open(path, 'create')
  try {
    await file.write([Buffer.alloc(bytes, 7)], 0)
  } finally {
    await file.close()
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'fine',
    (error) => error.code,
  )
}

test('a write that finds no space gets some of it, and all of its bytes are there', async () => {
  const { disk, reserve, seen, refill, occupy } = await open()
  await refill()
  assert.is(reserve.heldBytes, BYTES)
  await occupy()
  await write(reserve, '/store/checkpoint-0', 100 * KIB)
  assert.equal(disk.contents('/store/checkpoint-0'), Buffer.alloc(100 * KIB, 7))
  assert.is(reserve.heldBytes, BYTES / 2)
  assert.is(seen.spent, 1)
})

test('segments leave a quarter of it; the rest of the store takes that, too, to the last byte', async () => {
  const { reserve, refill, occupy } = await open()
  await refill()
  await occupy()
  assert.is(await codeOf(write(reserve, '/store/a-0/0.log', 1)), 'ENOENT')
  assert.is(await codeOf(write(reserve, '/store/00.log', BYTES)), 'ENOSPC')
  assert.is(reserve.heldBytes, BYTES / 4)
  await write(reserve, '/store/lock', BYTES / 4)
  assert.is(reserve.heldBytes, 0)
  assert.is(await codeOf(write(reserve, '/store/more', 1)), 'ENOSPC')
})

test('the last piece is enough for some locks, whoever takes what their ends give back', async () => {
  const { disk, reserve, refill, occupy } = await open(1024 * KIB, 16 * KIB)
  await refill()
  await occupy()
  assert.is(await codeOf(write(reserve, '/store/checkpoint-0', 1)), 'ENOSPC')
  for (let pid = 1; pid <= 2; pid++) {
    // The one before was killed: its lock is replaced under a lock of its own.
    const device = {}
    await lockStore(reserve, '/store', { pid, device, startOf: async (of) => `${of === pid}` })
    await occupy()
  }
  assert.is(disk.contents('/store/lock').toString(), '2 true\n')
})

test('it is made again when there is room for it twice, and not at once', async () => {
  const { disk, clock, reserve, refill, occupy } = await open()
  await refill()
  await occupy()
  await write(reserve, '/store/checkpoint-0', 200 * KIB)
  const missing = BYTES - reserve.heldBytes
  await disk.remove('/others')
  await refill()
  assert.is(reserve.heldBytes, BYTES - missing, 'too soon')
  clock.advance(2000)
  await reserve.refill(2 * missing - 1)
  assert.is(reserve.heldBytes, BYTES - missing, 'too little room')
  await refill()
  assert.is(reserve.heldBytes, BYTES)
  assert.is(await disk.size('/store/reserve'), BYTES)
})

test('one that does not last is made less and less often', async () => {
  const { disk, clock, reserve } = await open()
  await reserve.refill(2 * BYTES)
  const pauses: number[] = []
  for (let round = 0; round < 5; round++) {
    disk.failNext('write', { code: 'ENOSPC', path: 'lock' })
    await write(reserve, '/store/lock', 1)
    assert.is(reserve.heldBytes, BYTES / 2)
    let seconds = 0
    for (; reserve.heldBytes < BYTES; seconds++) {
      clock.advance(1000)
      await reserve.refill(2 * BYTES)
    }
    pauses.push(seconds)
  }
  assert.equal(pauses, [2, 4, 8, 16, 32])
})

test('it can be given up by a process that has not made it', async () => {
  const { disk, clock, refill, occupy } = await open()
  await refill()
  await occupy()
  const options = { fs: disk, directory: '/store', bytes: BYTES, clock, spent: () => {} }
  await write(new Reserve(options), '/store/lock', 10)
  assert.is(await disk.size('/store/reserve'), BYTES / 2)
})

test('another fault, and one without a reserve, come out as they are', async () => {
  const { disk, reserve, refill } = await open()
  disk.failNext('write', { code: 'ENOSPC' })
  assert.is(await codeOf(write(reserve, '/store/lock', 1)), 'ENOSPC')
  await refill()
  disk.failNext('write', { code: 'EIO' })
  assert.is(await codeOf(write(reserve, '/store/lock', 1)), 'EIO')
  assert.is(reserve.heldBytes, BYTES)
})

test('it knows no space behind other words', () => {
  const full = Object.assign(new Error('full'), { code: 'EDQUOT' })
  assert.ok(isNoSpace(new Error('segment', { cause: new Error('batch', { cause: full }) })))
  assert.not(isNoSpace(new Error('segment', { cause: new Error('batch') })))
  assert.not(isNoSpace(undefined))
})

test('a verification that keeps no reserve takes its lock from the one an agent has left', async () => {
  const { disk, clock, refill, occupy } = await open()
  await refill()
  await occupy()
  assert.is(await codeOf(lockStore(disk, '/store')), 'ENOSPC')
  const lock = await lockStore(withReserveOf('/store', disk, clock), '/store')
  assert.ok(disk.contents('/store/lock').length > 0)
  await lock.release()
})

test.run()
