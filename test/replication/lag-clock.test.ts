import * as assert from 'uvu/assert'
import { LagClock } from '../../agent/replication/lag-clock.ts'
import { ManualClock } from '../kafka/client/manual-clock.ts'
import { suite } from '../support/suite.ts'

const test = suite('replication/lag-clock')

test('the age is that of the first record that is not acked', () => {
  const clock = new ManualClock()
  const lag = new LagClock(clock)
  for (let second = 0; second <= 10; second++) {
    lag.sample(second * 100, 0)
    clock.advance(1000)
  }
  assert.is(lag.seconds(0), 11)
  assert.is(lag.seconds(500), 6)
  assert.is(lag.seconds(550), 6)
  assert.is(lag.seconds(1000), 1)
})

test('while nothing new comes the last sample stays fresh', () => {
  const clock = new ManualClock()
  const lag = new LagClock(clock)
  lag.sample(5, 5)
  clock.advance(60_000)
  lag.sample(5, 5)
  lag.sample(6, 5)
  clock.advance(2000)
  assert.is(lag.seconds(5), 2)
})

test('days are told to within half an hour, and seconds to the second afterwards', () => {
  const clock = new ManualClock()
  const lag = new LagClock(clock)
  const backlog = 2 * 86_400
  for (let second = 0; second < backlog; second += 10) {
    lag.sample(second, 0)
    clock.advance(10_000)
  }
  for (const acked of [43_200, 86_400, 150_000]) {
    const [told, truth] = [lag.seconds(acked), backlog - acked]
    assert.ok(told >= truth && told < truth + 3000, `${told} s, truly ${truth}`)
  }
  for (let second = 0; second < 100; second++) {
    lag.sample(backlog + second, backlog + second)
    clock.advance(1000)
  }
  lag.sample(backlog + 100, backlog + 99)
  assert.ok(lag.seconds(backlog + 99) <= 1)
})

test.run()
