import * as assert from 'uvu/assert'
import {
  type DiskLevel,
  fillOf,
  isFull,
  levelOf,
  shortageOf,
  untilNext,
} from '../../agent/log/disk-shares.ts'
import { suite } from '../support/suite.ts'

const test = suite('disk shares')

/** 1000 bytes of space beside 500 that are fixed. */
const figures = (taken: number) => ({ used: 500 + taken, limit: 1500, fixed: 500 })

/** Through all marks and back. */
function levels(...taken: number[]): DiskLevel[] {
  let level: DiskLevel = 'ample'
  return taken.map((bytes) => {
    level = levelOf(figures(bytes), level)
    return level
  })
}

test('all have room, then those below their share, then nobody; and back a little later', () => {
  assert.equal(levels(0, 899, 900, 999, 1000), ['ample', 'ample', 'shares', 'shares', 'all'])
  assert.equal(levels(1000, 980, 979, 880, 879), ['all', 'all', 'shares', 'shares', 'ample'])
  assert.equal(levels(2000, 0), ['all', 'ample'])
})

test('what is fixed fills nothing, unless it leaves no space at all', () => {
  assert.is(fillOf(figures(500)), 0.5)
  assert.is(levelOf({ used: 500, limit: 400, fixed: 500 }, 'ample'), 'all')
})

test('a partition above its share is full before the others, with a little patience both ways', () => {
  const partition = { bytes: 100, share: 100, wasFull: false }
  assert.not(isFull('ample', { ...partition, bytes: 999 }))
  assert.not(isFull('shares', partition))
  assert.ok(isFull('shares', { ...partition, bytes: 101 }))
  assert.ok(isFull('shares', { ...partition, bytes: 96, wasFull: true }))
  assert.not(isFull('shares', { ...partition, bytes: 95, wasFull: true }))
  assert.ok(isFull('all', { ...partition, bytes: 0 }))
})

test('room is made before anybody has to wait: reclaimed first, then dropped', () => {
  const none = { reclaimBytes: 0, dropAboveBytes: 0, dropAnyBytes: 0 }
  assert.equal(shortageOf(figures(849)), none)
  assert.equal(shortageOf(figures(850)), { ...none, reclaimBytes: 50 })
  assert.equal(shortageOf(figures(880)), { ...none, reclaimBytes: 80, dropAboveBytes: 20 })
  assert.equal(shortageOf(figures(960)), {
    reclaimBytes: 160,
    dropAboveBytes: 100,
    dropAnyBytes: 20,
  })
})

test('nothing is dropped where that could not make room', () => {
  const hopeless = shortageOf({ used: 700, limit: 400, fixed: 500 })
  assert.equal(hopeless, { reclaimBytes: 200, dropAboveBytes: 0, dropAnyBytes: 0 })
})

test('says how far the next mark is', () => {
  assert.is(untilNext(figures(0)), 850)
  assert.is(untilNext(figures(850)), 30)
  assert.is(untilNext(figures(900)), 60)
  assert.is(untilNext(figures(1000)), 0)
  assert.is(untilNext(figures(3000)), 0)
})

test.run()
