import * as assert from 'uvu/assert'
import { createSensors, DEVICE_KINDS } from '../../firmware-sim/physics.ts'
import { Random } from '../../firmware-sim/prng.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/physics')
const START_MS = Date.UTC(2026, 0, 1)
const DAY_MINUTES = 1_440

function day(kind: (typeof DEVICE_KINDS)[number], seed: number): Map<string, (number | boolean)[]> {
  const sensors = createSensors(kind, new Random(seed))
  const series = new Map<string, (number | boolean)[]>(sensors.map(({ name }) => [name, []]))
  for (let minute = 0; minute < DAY_MINUTES; minute++) {
    for (const sensor of sensors)
      series.get(sensor.name)!.push(sensor.sample(START_MS + minute * 6e4))
  }
  return series
}

test('every kind of device reads the same for the same seed, and finite numbers all day', () => {
  for (const kind of DEVICE_KINDS) {
    const series = day(kind, 3)
    assert.equal([...series], [...day(kind, 3)])
    for (const values of series.values()) {
      for (const value of values) assert.ok(typeof value === 'boolean' || Number.isFinite(value))
    }
  }
})

test('temperatures follow the day and do not jump', () => {
  const values = day('climate', 5).get('temperature') as number[]
  const mean = (from: number) => values.slice(from, from + 120).reduce((a, b) => a + b) / 120
  assert.ok(mean(14 * 60) > mean(2 * 60) + 4)
  for (let at = 1; at < values.length; at++) assert.ok(Math.abs(values[at]! - values[at - 1]!) < 1)
})

test('an energy counter never runs back', () => {
  const values = day('power', 5).get('energy') as number[]
  for (let at = 1; at < values.length; at++) assert.ok(values[at]! >= values[at - 1]!)
  assert.ok(values[DAY_MINUTES - 1]! > values[0]!)
})

test('a tank is filled before it is empty and stops before it runs over', () => {
  const levels = day('tank', 5).get('level') as number[]
  assert.ok(Math.min(...levels) > 15 && Math.max(...levels) <= 100)
  assert.ok(new Set(day('tank', 5).get('pump')).size === 2)
})

test.run()
