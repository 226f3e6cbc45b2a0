import * as assert from 'uvu/assert'
import { RateLimit } from '../../agent/replication/rate-limit.ts'
import { ManualClock } from '../kafka/client/manual-clock.ts'
import { suite } from '../support/suite.ts'

const test = suite('replication/rate-limit')

test('without a limit nothing waits', () => {
  const rate = new RateLimit(new ManualClock(), undefined)
  rate.spend(1e12)
  assert.is(rate.waitMs(), 0)
})

test('a second of bytes may go at once, the rest at the rate', () => {
  const clock = new ManualClock()
  const rate = new RateLimit(clock, 1000)
  rate.spend(1000)
  assert.ok(rate.waitMs() > 0)
  clock.advance(rate.waitMs())
  assert.is(rate.waitMs(), 0)
})

test('a request larger than the bucket is paid back before the next', () => {
  const clock = new ManualClock()
  const rate = new RateLimit(clock, 1000)
  rate.spend(5000)
  assert.is(rate.waitMs(), 4001)
  clock.advance(2000)
  assert.is(rate.waitMs(), 2001)
  clock.advance(2001)
  assert.is(rate.waitMs(), 0)
})

test('silence saves up one second and no more', () => {
  const clock = new ManualClock()
  const rate = new RateLimit(clock, 1000)
  clock.advance(3_600_000)
  assert.is(rate.waitMs(), 0)
  rate.spend(2000)
  assert.is(rate.waitMs(), 1001)
})

test.run()
