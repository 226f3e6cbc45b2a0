// npm run crash-sim -- [--seed N] [--seeds COUNT] [--steps M]: the log simulation from any seeds, on
// all cores, and what happened in it.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { runSeeds, type SeedOutcome } from './seed-run.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1' },
    steps: { type: 'string', default: '300' },
  },
})
const [first, seeds, steps] = [Number(values.seed), Number(values.seeds), Number(values.steps)]
const cores = Math.min(availableParallelism(), seeds)
const totals = new Map<string, number>()
const started = performance.now()
let failed = 0

const FAILURES_MAX = 10

function add({ seed, counts, found }: SeedOutcome): void {
  for (const [name, value] of Object.entries(counts)) {
    totals.set(name, (totals.get(name) ?? 0) + value)
  }
  if (found === undefined) return
  failed++
  console.error(`seed ${seed} failed at step ${counts.steps ?? '?'}`)
  console.error(`again: npm run crash-sim -- --seed ${seed} --steps ${steps}`)
  console.error(found)
}

/** Every `cores`th seed; behind one that fails a new process goes on. */
async function runCore(core: number): Promise<void> {
  let next = first + core
  while (next < first + seeds && failed < FAILURES_MAX) {
    const left = Math.ceil((first + seeds - next) / cores)
    const report = (outcome: SeedOutcome) => {
      next = outcome.seed + cores
      add(outcome)
    }
    const end = await runSeeds({ first: next, stride: cores, seeds: left, steps }, report)
    if (end === undefined) continue
    next += cores
    add({ seed: next - cores, counts: {}, found: end })
  }
}

await Promise.all(Array.from({ length: cores }, (_, core) => runCore(core)))
const seconds = (performance.now() - started) / 1000
const names = [...totals].sort(([a], [b]) => (a < b ? -1 : 1))
for (const [name, value] of names) console.log(`${name.padEnd(24)} ${value.toLocaleString('en')}`)
const perSecond = Math.round((totals.get('steps') ?? 0) / seconds).toLocaleString('en')
console.log(`${failed === 0 ? `${seeds} seeds passed` : `${failed} failed`}, ${perSecond} steps/s`)
process.exitCode = failed === 0 ? 0 : 1
