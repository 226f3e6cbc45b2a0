// The process behind seed-run.ts: simulations one after the other, a line of JSON for each.

import { AgentError } from '../../agent/base/errors.ts'
import { BrokenPromise } from '../support/broken-promise.ts'
import { LogSimulation } from './log-simulation.ts'
import type { SeedOutcome, SeedPlan } from './seed-run.ts'

const plan = JSON.parse(process.argv[2] ?? '{}') as SeedPlan
let left = plan.totalSteps ?? Number.POSITIVE_INFINITY
let running: SeedOutcome | undefined

/** The log did not do what it said, refused what it should do, or found so itself. */
function isBrokenPromise(error: unknown): boolean {
  if (error instanceof BrokenPromise || error instanceof AgentError) return true
  return error instanceof Error && error.message.startsWith('broken invariant: ')
}

function tell(outcome: SeedOutcome, error: unknown): void {
  outcome.found = error instanceof Error ? (error.stack ?? error.message) : String(error)
  outcome.isPromise = isBrokenPromise(error)
}

// A bug that nobody waited for: the agent would end.
process.on('uncaughtException', (error) => {
  if (running === undefined) throw error
  tell(running, error)
  process.stdout.write(`${JSON.stringify(running)}\n`)
  process.exit(0)
})

for (let order = 0; order < plan.seeds && left > 0; order++) {
  const seed = plan.first + order * plan.stride
  const simulation = new LogSimulation(seed, plan)
  const outcome: SeedOutcome = { seed, counts: simulation.counts }
  running = outcome
  try {
    await simulation.run(plan.steps)
  } catch (error) {
    tell(outcome, error)
    outcome.found += `\n${simulation.story.join('\n')}`
  }
  running = undefined
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
  if (outcome.found !== undefined) break
  left -= simulation.counts.steps ?? 0
}
