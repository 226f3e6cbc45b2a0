// The process behind seed-run.ts: simulations one after the other, a line of JSON for each.

import { LogSimulation } from './log-simulation.ts'
import type { SeedOutcome, SeedPlan } from './seed-run.ts'

const plan = JSON.parse(process.argv[2] ?? '{}') as SeedPlan
let left = plan.totalSteps ?? Number.POSITIVE_INFINITY
for (let order = 0; order < plan.seeds && left > 0; order++) {
  const seed = plan.first + order * plan.stride
  const simulation = new LogSimulation(seed, plan)
  const outcome: SeedOutcome = { seed, counts: simulation.counts }
  try {
    await simulation.run(plan.steps)
  } catch (error) {
    const found = error instanceof Error ? (error.stack ?? error.message) : String(error)
    outcome.found = `${found}\n${simulation.story.join('\n')}`
  }
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
  if (outcome.found !== undefined) break
  left -= simulation.counts.steps ?? 0
}
