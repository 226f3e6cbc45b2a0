import * as assert from 'uvu/assert'
import { oldestFirst, type RetentionLimits, segmentsToRemove } from '../../agent/log/retention.ts'
import { suite } from '../support/suite.ts'

const test = suite('retention')
const HOUR = 3_600_000

/** Segments of ten offsets and 100 bytes, one an hour, the oldest at hour 0; hour 5 is now. */
const segments = Array.from({ length: 5 }, (_, order) => ({
  baseOffset: order * 10,
  nextOffset: order * 10 + 10,
  bytes: 100,
  lastArrivalMs: order * HOUR,
}))
const removed = (limits: Partial<RetentionLimits>, from = segments) =>
  segmentsToRemove(from, {
    healWindowMs: HOUR,
    replicatedOffset: undefined,
    ackedTime: () => undefined,
    now: 5 * HOUR,
    ...limits,
  })

test('keeps everything when nothing is limited', () => {
  assert.is(removed({}), 0)
  assert.is(removed({ retentionMs: 1 }, []), 0)
})

test('removes what is older than the limit, and not what is exactly as old', () => {
  assert.is(removed({ retentionMs: 3 * HOUR }), 2)
  assert.is(removed({ retentionMs: 3 * HOUR - 1 }), 3)
  assert.is(removed({ retentionMs: 5 * HOUR }), 0)
})

test('never removes the segment that is written to', () => {
  assert.is(removed({ retentionMs: 0 }), 4)
  assert.is(removed({ retentionBytes: 0 }), 4)
  assert.is(removed({ retentionMs: 0 }, segments.slice(0, 1)), 0)
})

test('removes by size as long as the limit is still filled', () => {
  assert.is(removed({ retentionBytes: 500 }), 0)
  assert.is(removed({ retentionBytes: 401 }), 0)
  assert.is(removed({ retentionBytes: 400 }), 1)
  assert.is(removed({ retentionBytes: 250 }), 2)
})

test('either limit is enough', () => {
  assert.is(removed({ retentionBytes: 400, retentionMs: 3 * HOUR }), 2)
  assert.is(removed({ retentionBytes: 200, retentionMs: 4 * HOUR }), 3)
})

test('keeps what the upstream has not acked', () => {
  assert.is(removed({ retentionMs: 0, healWindowMs: 0, replicatedOffset: 0 }), 0)
  assert.is(removed({ retentionMs: 0, healWindowMs: 0, replicatedOffset: 19 }), 1)
  assert.is(removed({ retentionMs: 0, healWindowMs: 0, replicatedOffset: 20 }), 2)
  assert.is(removed({ retentionBytes: 0, healWindowMs: 0, replicatedOffset: 29 }), 2)
})

test('keeps acked data for a heal window from when it was acked, whatever its age', () => {
  // An hour after each arrival the upstream had everything, and the third only just now.
  const acked = { replicatedOffset: 50, ackedTime: (offset: number) => offset * 0.1 * HOUR }
  assert.is(removed({ ...acked, retentionMs: 0, healWindowMs: HOUR }), 4)
  assert.is(removed({ ...acked, retentionMs: 0, healWindowMs: 3 * HOUR }), 2)
  assert.is(removed({ ...acked, retentionBytes: 0, healWindowMs: 3 * HOUR }), 2)
  assert.is(removed({ ...acked, retentionMs: 4 * HOUR, healWindowMs: HOUR }), 1)
  const late = { ...acked, ackedTime: (offset: number) => (offset > 20 ? 5 * HOUR : 0) }
  assert.is(removed({ ...late, retentionMs: 0 }), 2)
  assert.is(removed({ retentionMs: 0, healWindowMs: 99 * HOUR }), 4, 'not replicated')
})

test('what was acked at a time that nobody knows was acked a moment ago', () => {
  const unknown = { replicatedOffset: 50, retentionMs: 0 }
  assert.is(removed({ ...unknown, healWindowMs: 1 }), 0)
  assert.is(removed({ ...unknown, healWindowMs: 0 }), 4)
})

test('a younger segment keeps the older ones behind it', () => {
  const shuffled = segments.map((segment, order) => ({
    ...segment,
    lastArrivalMs: order === 1 ? 5 * HOUR : segment.lastArrivalMs,
  }))
  assert.is(removed({ retentionMs: HOUR }, shuffled), 1)
})

test('arrivals in the future are young', () => {
  const future = segments.map((segment) => ({ ...segment, lastArrivalMs: 99 * HOUR }))
  assert.is(removed({ retentionMs: 1 }, future), 0)
  assert.is(removed({ retentionBytes: 0, replicatedOffset: 50 }, future), 0)
})

test('room is made of the oldest arrivals of all partitions, each from its beginning', () => {
  const later = segments.map((segment, order) => ({
    ...segment,
    lastArrivalMs: (order + 2.5) * HOUR,
  }))
  const prefixes = [
    { partition: 'a', segments },
    { partition: 'b', segments: later },
  ]
  const starts = (bytes: number) => [...oldestFirst(prefixes, bytes)].sort()
  assert.equal(starts(0), [])
  assert.equal(starts(1), [['a', 10]])
  assert.equal(starts(300), [['a', 30]])
  assert.equal(starts(301), [
    ['a', 30],
    ['b', 10],
  ])
  assert.equal(starts(5000), [
    ['a', 50],
    ['b', 50],
  ])
})

test('one behind a younger one waits for it', () => {
  const shuffled = segments.map((segment, order) => ({
    ...segment,
    lastArrivalMs: order === 0 ? 3.5 * HOUR : segment.lastArrivalMs,
  }))
  const prefixes = [
    { partition: 'a', segments: shuffled },
    { partition: 'b', segments },
  ]
  assert.equal([...oldestFirst(prefixes, 400)], [['b', 40]])
  assert.equal(
    [...oldestFirst(prefixes, 500)],
    [
      ['b', 40],
      ['a', 10],
    ],
  )
})

test.run()
