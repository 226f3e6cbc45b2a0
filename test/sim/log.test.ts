// Seeds of the log simulation that run on every change; `npm run crash-sim` runs any others.

import { suite } from '../support/suite.ts'
import { LogSimulation } from './log-simulation.ts'

const test = suite('log simulation')

/** Seeds that once found something, with what it was. */
const KNOWN: readonly (readonly [seed: number, steps: number, found: string])[] = [
  [1, 300, 'a tail was split while it was being sealed'],
  [6, 300, 'a segment whose predecessor lost its name was believed'],
  [62, 300, 'frames of a failed sync were built upon'],
  [112, 300, 'seal waited for a log that had failed'],
  [209, 300, 'names made before a restart were never synced'],
  [22561, 400, 'a journal file was used whose name was never synced'],
  [20806, 400, 'a sync was believed after one had failed'],
]
const FRESH_SEEDS = 600
const FRESH_STEPS = 300

test('seeds that found something once find nothing', async () => {
  for (const [seed, steps] of KNOWN) await runSeed(seed, steps)
})

test(
  `${FRESH_SEEDS} seeds of ${FRESH_STEPS} steps keep every promise`,
  async () => {
    for (let seed = 10_000; seed < 10_000 + FRESH_SEEDS; seed++) await runSeed(seed, FRESH_STEPS)
  },
  { timeoutMs: 100_000 },
)

async function runSeed(seed: number, steps: number): Promise<void> {
  try {
    await new LogSimulation(seed).run(steps)
  } catch (error) {
    throw new Error(`npm run crash-sim -- --seed ${seed} --steps ${steps}`, { cause: error })
  }
}

test.run()
