// Seeds of the log simulation that run on every change; `npm run crash-sim` runs any others.

import { suite } from '../support/suite.ts'
import { LogSimulation } from './log-simulation.ts'

const test = suite('log simulation')

/**
 * Seeds that once found something, with what it was. A change of the simulation makes a seed another
 * life: whoever makes one keeps what it found as a mutant in mutant-list.ts.
 */
const KNOWN: readonly (readonly [seed: number, steps: number, found: string])[] = [
  [28, 1500, 'room was made of a log that was not whole yet'],
  [33, 400, 'files were deleted below a log start that was not durable'],
]
const FRESH_SEEDS = 200
const FRESH_STEPS = 300

test('seeds that found something once find nothing', async () => {
  for (const [seed, steps] of KNOWN) await runSeed(seed, steps)
})

test(
  `${FRESH_SEEDS} seeds of ${FRESH_STEPS} steps keep every promise`,
  async () => {
    for (let seed = 10_000; seed < 10_000 + FRESH_SEEDS; seed++) await runSeed(seed, FRESH_STEPS)
  },
  { timeoutMs: 110_000 },
)

async function runSeed(seed: number, steps: number): Promise<void> {
  try {
    await new LogSimulation(seed).run(steps)
  } catch (error) {
    throw new Error(`npm run crash-sim -- --seed ${seed} --steps ${steps}`, { cause: error })
  }
}

test.run()
