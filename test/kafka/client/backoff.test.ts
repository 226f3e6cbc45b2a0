import * as assert from 'uvu/assert'
import { Backoff } from '../../../agent/kafka/client/backoff.ts'
import { suite } from '../../support/suite.ts'

const test = suite('backoff')

test('delays double up to the longest, and a success starts anew', () => {
  const backoff = new Backoff({ firstMs: 100, longestMs: 1000, random: () => 1 })
  assert.equal(
    Array.from({ length: 6 }, () => backoff.next()),
    [100, 200, 400, 800, 1000, 1000],
  )
  backoff.reset()
  assert.is(backoff.next(), 100)
})

test('jitter takes away half at most, however often it failed', () => {
  const backoff = new Backoff({ firstMs: 100, longestMs: 1000, random: () => 0 })
  for (let failure = 0; failure < 2000; failure++) {
    const delay = backoff.next()
    assert.ok(delay >= 50 && delay <= 500)
  }
})

test.run()
