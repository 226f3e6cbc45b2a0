import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { TimeZone, wallClock } from '../../devices/time-zone.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/time-zone')
const berlin = TimeZone.named('Europe/Berlin')!
const HOUR_MS = 3_600_000

test('summer and winter time have their own offsets', () => {
  assert.equal(berlin.moment(Date.UTC(2017, 5, 12)), {
    kind: 'one',
    epochMs: Date.UTC(2017, 5, 11, 22),
  })
  assert.equal(berlin.moment(Date.UTC(2017, 0, 12)), {
    kind: 'one',
    epochMs: Date.UTC(2017, 0, 11, 23),
  })
})

test('the hour that the clocks skip does not exist', () => {
  assert.equal(berlin.moment(Date.UTC(2017, 2, 26, 2, 30)), { kind: 'none' })
  assert.is(berlin.moment(Date.UTC(2017, 2, 26, 1, 59)).kind, 'one')
  assert.is(berlin.moment(Date.UTC(2017, 2, 26, 3)).kind, 'one')
})

test('the hour that the clocks repeat exists twice, an hour apart', () => {
  assert.equal(berlin.moment(Date.UTC(2017, 9, 29, 2, 30)), {
    kind: 'two',
    earlierMs: Date.UTC(2017, 9, 29, 0, 30),
    laterMs: Date.UTC(2017, 9, 29, 1, 30),
  })
  assert.is(berlin.moment(Date.UTC(2017, 9, 29, 3)).kind, 'one')
})

test('a zone with a change of half an hour is right on both sides', () => {
  const island = TimeZone.named('Australia/Lord_Howe')!
  assert.is(island.moment(Date.UTC(2023, 3, 2, 1, 45)).kind, 'two')
  assert.is(island.moment(Date.UTC(2023, 9, 1, 2, 15)).kind, 'none')
})

test('every moment reads back from its own wall clock, in any zone', () => {
  const names = ['Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'Pacific/Apia', 'UTC']
  const zones = names.map((name) => TimeZone.named(name)!)
  const when = fc.integer({ min: Date.UTC(1995, 0), max: Date.UTC(2035, 0) })
  fc.assert(
    fc.property(fc.constantFrom(...zones), when, (zone, epochMs) => {
      const moment = zone.moment(epochMs + zone.offsetAt(epochMs))
      const found =
        moment.kind === 'one'
          ? [moment.epochMs]
          : moment.kind === 'two'
            ? [moment.earlierMs, moment.laterMs]
            : []
      assert.ok(found.includes(epochMs), `${zone.name} ${epochMs}`)
      assert.ok(Math.abs(zone.offsetAt(epochMs)) <= 15 * HOUR_MS)
    }),
    { numRuns: 300 },
  )
})

test('an unknown zone is none', () => {
  assert.is(TimeZone.named('Europe/Berln'), undefined)
})

test('dates that the calendar lacks have no wall clock', () => {
  assert.is(wallClock(2024, 2, 29), Date.UTC(2024, 1, 29))
  assert.is(wallClock(2023, 2, 29), undefined)
  assert.is(wallClock(2023, 13, 1), undefined)
  assert.is(wallClock(2023, 1, 1, 24), undefined)
  assert.is(wallClock(2023, 1, 1, 1, 60), undefined)
})

test.run()
