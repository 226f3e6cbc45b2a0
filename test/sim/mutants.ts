// npm run mutants -- [PATTERN] [--steps N] [--seed N]: does the simulation see what it is there to see?
//
// Each mutant is the log with one thing broken on purpose. It runs seed after seed until one finds a
// fault; a mutant that is still alive after 100,000 steps is a hole in the simulation, or code that
// does nothing, and fails the run. Controls are not broken, or have their second guard left, and must
// live: otherwise a simulation that always fails would kill everything.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { compiledCopy } from './compiled-copy.ts'
import { MUTANTS, type Mutant } from './mutant-list.ts'
import { runSeeds } from './seed-run.ts'

const { values, positionals } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '100000' },
  },
  allowPositionals: true,
})
const SEED_STEPS = 400
const totalSteps = Number(values.steps)

/** How long it lived, and what was seen of it in the end; undefined: it lives. */
async function hunt(
  mutant: Mutant,
  totalSteps: number,
): Promise<{ steps: number; found: string | undefined }> {
  const worker = compiledCopy(mutant.name.replaceAll(/\W+/g, '-'), mutant.changes)
  const plan = {
    first: Number(values.seed),
    stride: 1,
    seeds: Number.MAX_SAFE_INTEGER,
    steps: SEED_STEPS,
    totalSteps,
    ...mutant.plan,
  }
  let steps = 0
  let found: string | undefined
  const ended = await runSeeds(
    plan,
    (outcome) => {
      steps += outcome.counts.steps ?? 0
      if (outcome.found !== undefined) found = `seed ${outcome.seed}: ${outcome.found}`
    },
    { worker },
  )
  return { steps, found: found ?? ended }
}

/** True when it went as it should. */
async function judge(mutant: Mutant, totalSteps: number): Promise<boolean> {
  const { steps, found } = await hunt(mutant, totalSteps).catch((error) => ({
    steps: 0,
    found: error as Error,
  }))
  const isRotten = found instanceof Error
  const said = String(isRotten ? found.message : (found ?? '')).split('\n')[0]!
  const isGood = !isRotten && (found === undefined) === (mutant.isControl === true)
  const verdict = isRotten ? 'no mutant' : found === undefined ? 'lives' : 'killed'
  const mark = isGood ? '  ' : '! '
  const after = steps.toLocaleString('en').padStart(8)
  console.log(
    `${mark}${mutant.name.padEnd(50)} ${verdict.padEnd(9)} ${after}  ${said.slice(0, 90)}`,
  )
  return isGood
}

const [pattern = ''] = positionals
const chosen = MUTANTS.filter(({ name }) => name.includes(pattern))
let wrong = 0
console.log(`  ${''.padEnd(50)} ${''.padEnd(9)} ${'steps'.padStart(8)}`)
// A machine on which nothing works would kill every mutant.
if (!(await judge({ name: 'control: nothing', changes: [], isControl: true }, 2000))) wrong++
const queue = wrong > 0 ? [] : [...chosen]
const work = async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    if (!(await judge(next, totalSteps))) wrong++
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work))
console.log(wrong === 0 ? `${chosen.length} as they should be` : `${wrong} not as they should be`)
process.exitCode = wrong === 0 && chosen.length > 0 ? 0 : 1
