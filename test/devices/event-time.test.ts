import * as assert from 'uvu/assert'
import { readEventTime } from '../../devices/event-time.ts'
import { TimeZone } from '../../devices/time-zone.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/event-time')
const NOON = Date.UTC(2026, 0, 31, 12)

test('auto tells seconds, milliseconds and microseconds apart', () => {
  assert.is(readEventTime(NOON / 1_000, 'auto', undefined), NOON)
  assert.is(readEventTime(NOON, 'auto', undefined), NOON)
  assert.is(readEventTime(NOON * 1_000, 'auto', undefined), NOON)
  assert.is(readEventTime(String(NOON), 'auto', undefined), NOON)
  assert.is(readEventTime(BigInt(NOON), 'auto', undefined), NOON)
})

test('fractions of seconds keep their milliseconds', () => {
  assert.is(readEventTime(1631266595.44, 's', undefined), 1631266595440)
  assert.is(readEventTime('2026-01-31T12:00:00.123456Z', 'iso', undefined), NOON + 123)
  assert.is(readEventTime('2026-01-31 12:00:00,5+00:00', 'auto', undefined), NOON + 500)
})

test('ISO text keeps its offset', () => {
  assert.is(readEventTime('2026-01-31T13:00:00+01:00', 'iso', undefined), NOON)
  assert.is(readEventTime('2026-01-31T06:30:00-0530', 'iso', undefined), NOON)
})

test('ISO text without a zone is read in the zone of the profile, and never guessed', () => {
  const berlin = TimeZone.named('Europe/Berlin')
  assert.is(readEventTime('2026-01-31T13:00:00', 'iso', berlin), NOON)
  assert.match(readEventTime('2026-01-31T13:00:00', 'iso', undefined) as string, 'time.zone')
  assert.match(readEventTime('2026-03-29T02:30:00', 'iso', berlin) as string, 'Europe/Berlin')
})

test('what is no time says what was expected', () => {
  assert.match(readEventTime('yesterday', 'auto', undefined) as string, 'ISO 8601')
  assert.match(readEventTime('2026-02-30T00:00:00Z', 'iso', undefined) as string, 'exists')
  assert.match(readEventTime(-1, 'ms', undefined) as string, 'milliseconds since 1970')
  assert.match(readEventTime(1e30, 'auto', undefined) as string, 'since 1970')
  assert.match(readEventTime(1e15, 'ms', undefined) as string, 'milliseconds')
  assert.match(readEventTime(Number.NaN, 's', undefined) as string, 'seconds')
  assert.match(readEventTime({}, 'us', undefined) as string, 'microseconds')
  assert.match(readEventTime(new Date(Number.NaN), 'auto', undefined) as string, 'valid date')
  assert.match(readEventTime(12, 'iso', undefined) as string, 'ISO 8601')
})

test.run()
