// npm run crash-sim -- [--seed N] [--seeds COUNT] [--steps M]: the log simulation from any seed.

import { parseArgs } from 'node:util'
import { LogSimulation } from './log-simulation.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '300' },
  },
})
const [first, count, steps] = [Number(values.seed), Number(values.seeds), Number(values.steps)]
const totals = new Map<string, number>()
for (let seed = first; seed < first + count; seed++) {
  const simulation = new LogSimulation(seed)
  try {
    await simulation.run(steps)
  } catch (error) {
    console.error(`seed ${seed} failed at step ${simulation.counts.steps}`)
    console.error(`again: npm run crash-sim -- --seed ${seed} --steps ${steps}`)
    console.error(error)
    process.exit(1)
  }
  for (const [name, value] of Object.entries(simulation.counts)) {
    totals.set(name, (totals.get(name) ?? 0) + value)
  }
}
console.log(`${count} seeds passed`, Object.fromEntries(totals))
