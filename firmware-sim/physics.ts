// What the sensors of one device read: slow daily curves, correlated noise, counters that only grow.
//
// The readings compress and drift as real ones do, which white noise does not.

import type { Random } from './prng.ts'

export type Reading = number | boolean

export interface Sensor {
  readonly name: string
  /** The reading at that moment; calls come in time order. */
  sample(epochMs: number): Reading
}

export const DEVICE_KINDS = ['climate', 'power', 'tank'] as const
export type DeviceKind = (typeof DEVICE_KINDS)[number]

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

export function createSensors(kind: DeviceKind, random: Random): Sensor[] {
  switch (kind) {
    case 'climate':
      return climate(random)
    case 'power':
      return power(random)
    case 'tank':
      return tank(random)
  }
}

function climate(random: Random): Sensor[] {
  const noise = [0.05, 0.3, 0.1].map((step) => createWalk(random, step))
  const mean = random.between(12, 24)
  const warmth = (epochMs: number) => daily(epochMs, 15) * 4
  return [
    { name: 'temperature', sample: (at) => round(mean + warmth(at) + noise[0]!()) },
    {
      name: 'humidity',
      sample: (at) => round(clamp(55 - warmth(at) * 3 + noise[1]!(), 5, 100), 1),
    },
    { name: 'pressure', sample: () => round(1013 + noise[2]!() * 4, 1) },
  ]
}

function power(random: Random): Sensor[] {
  const [load, grid] = [createWalk(random, 20), createWalk(random, 0.4)]
  const base = random.between(80, 900)
  let [energyWh, lastMs, watts] = [random.between(0, 5e6), 0, base]
  return [
    {
      name: 'power',
      sample(at) {
        watts = Math.max(0, base * (1 + daily(at, 19) * 0.6) + load())
        return round(watts, 1)
      },
    },
    { name: 'voltage', sample: () => round(230 + grid(), 1) },
    {
      name: 'energy',
      sample(at) {
        if (lastMs > 0) energyWh += (watts * Math.max(0, at - lastMs)) / HOUR_MS
        lastMs = at
        return round(energyWh, 1)
      },
    },
  ]
}

function tank(random: Random): Sensor[] {
  const warmth = createWalk(random, 0.1)
  let [level, isFilling] = [random.between(30, 90), false]
  return [
    {
      name: 'level',
      sample() {
        if (level < 25) isFilling = true
        if (level > 95) isFilling = false
        level = clamp(level + (isFilling ? 0.4 : -0.1) + random.normal() * 0.05, 0, 100)
        return round(level)
      },
    },
    { name: 'temperature', sample: (at) => round(58 + daily(at, 14) * 12 + warmth(), 1) },
    { name: 'pump', sample: () => isFilling },
  ]
}

/** −1 … 1 over the day, highest at `peakHour` UTC. */
function daily(epochMs: number, peakHour: number): number {
  return Math.cos((2 * Math.PI * (epochMs - peakHour * HOUR_MS)) / DAY_MS)
}

/** A random walk that is pulled back to zero, so that it never leaves the plausible. */
function createWalk(random: Random, step: number): () => number {
  let value = 0
  return () => (value = value * 0.98 + random.normal() * step)
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value))
}

function round(value: number, digits = 2): number {
  const scale = 10 ** digits
  return Math.round(value * scale) / scale
}
