import * as assert from 'uvu/assert'
import { type RetentionLimits, segmentsToRemove } from '../../agent/log/retention.ts'
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

test('keeps acked data a heal window longer', () => {
  const acked = { replicatedOffset: 50 }
  assert.is(removed({ ...acked, retentionMs: 3 * HOUR }), 1)
  assert.is(removed({ ...acked, retentionBytes: 0, healWindowMs: 3 * HOUR }), 3)
  assert.is(removed({ retentionMs: 3 * HOUR }), 2)
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

test.run()
