// Seeds of the log simulation that run on every change; `npm run crash-sim` runs any others.

import { suite } from '../support/suite.ts'
import { LogSimulation } from './log-simulation.ts'

const test = suite('log simulation')

/** Seeds that once found something, with what it was. */
const KNOWN: readonly (readonly [seed: number, steps: number, found: string])[] = [
  [3, 400, 'splits of one tail overlapped'],
  [12, 400, 'frames of an unfinished commit were taken for rot'],
  [23, 400, 'an index whose sync had failed was believed'],
  [41, 400, 'a topic was made anew before a deletion was replayed'],
  [62, 300, 'frames of a failed sync were built upon'],
  [129, 400, 'a commit went on in another file'],
  [1001, 400, 'a segment was rolled while it was synced'],
  [1125, 400, 'close waited for a seal that nobody tried'],
  [2101, 400, 'a checkpoint left out a topic whose deletion was not durable'],
]
const FRESH_SEEDS = 300
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
