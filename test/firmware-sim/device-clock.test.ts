import * as assert from 'uvu/assert'
import { DeviceClock } from '../../firmware-sim/device-clock.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/device-clock')
const START_MS = Date.UTC(2026, 0, 1)

test('drifts by its parts per million until it is set', () => {
  let now = START_MS
  const clock = new DeviceClock(() => now, 100)
  now += 1_000_000
  assert.is(clock.now(), now + 100)
  clock.synchronise()
  assert.is(clock.now(), now)
  now += 1_000_000
  assert.is(clock.now(), now + 100)
})

test('starts at 1970 after a reboot and runs on from there', () => {
  let now = START_MS
  const clock = new DeviceClock(() => now, 0)
  clock.loseTime()
  assert.is(clock.now(), 0)
  now += 5_000
  assert.is(clock.now(), 5_000)
  clock.synchronise()
  assert.is(clock.now(), now)
})

test.run()
