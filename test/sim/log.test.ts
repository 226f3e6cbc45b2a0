// Seeds of the log simulation that run on every change; `npm run crash-sim` runs any others.

import { suite } from '../support/suite.ts'
import { LogSimulation } from './log-simulation.ts'

const test = suite('log simulation')

/**
 * Seeds that once found something, with what it was. A change of the simulation makes a seed another
 * life: whoever makes one keeps what it found as a mutant in mutant-list.ts.
 */
const KNOWN: readonly (readonly [seed: number, steps: number, found: string])[] = [
  [20_222, 300, 'one refused read of a checkpoint made an older one count'],
  [20_160, 300, 'what fills a gap was read from the old file'],
  [20_052, 300, 'what a start had cut off came back'],
  [151, 400, 'a topic made anew was taken for one whose files are lost'],
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
