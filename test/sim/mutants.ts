// npm run mutants -- [PATTERN …] [--steps N] [--seed N]: does the simulation see what it is there to see?
//
// Each mutant is the log with one thing broken on purpose. It runs seed after seed until one finds a
// fault; a mutant that is still alive after 100,000 steps is a hole in the simulation, or code that
// does nothing, and fails the run. What counts as killed:
//
//   - its text stands in one place, the compiler takes it with its types, and makes another program
//   - a promise of the log was broken. Whatever else ends it (a TypeError, a life without an end)
//     says that the mutant is no program: it proves nothing, and fails the run
//   - the same life of the log as it is keeps every promise
//
// Controls must live as long, in the same lives: those in which nothing is broken, one for each kind of
// life that mutants are in, and those whose second guard is left. Each class of REQUIRED has a mutant.

import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { compiledCopy, UNCHANGED } from './compiled-copy.ts'
import type { Mutant } from './mutant.ts'
import { MUTANTS, REQUIRED } from './mutant-list.ts'
import { runSeeds, type SeedOutcome, type SeedPlan } from './seed-run.ts'

const { values, positionals } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    steps: { type: 'string', default: '100000' },
  },
  allowPositionals: true,
})
const SEED_STEPS = 400
const firstSeed = Number(values.seed)
const totalSteps = Number(values.steps)

interface Hunt {
  verdict: 'lives' | 'killed' | 'no mutant'
  steps: number
  /** What was seen of it in the end. */
  said: string
  /** Seeds that found something, and find something in the log as it is too. */
  noise: number
}

/** Of one life after the other: the first in which something was found. */
async function firstFound(
  worker: string,
  plan: SeedPlan,
): Promise<{ steps: number; found: SeedOutcome | string | undefined }> {
  let steps = 0
  let found: SeedOutcome | undefined
  const report = (outcome: SeedOutcome) => {
    steps += outcome.counts.steps ?? 0
    if (outcome.found !== undefined) found = outcome
  }
  const ended = await runSeeds(plan, report, { worker })
  return { steps, found: found ?? ended }
}

async function hunt({ name, changes, plan, isControl }: Mutant, limit: number): Promise<Hunt> {
  const worker = await compiledCopy(folderOf(name, changes.length === 0), changes)
  const lives = { stride: 1, steps: SEED_STEPS, isDamaged: false, ...plan }
  const hunted: Hunt = { verdict: 'lives', steps: 0, said: '', noise: 0 }
  for (let first = firstSeed; hunted.steps < limit; ) {
    const seeds = Number.MAX_SAFE_INTEGER - first
    const { steps, found } = await firstFound(worker, {
      ...lives,
      first,
      seeds,
      totalSteps: limit - hunted.steps,
    })
    hunted.steps += steps
    if (found === undefined) break
    if (typeof found === 'string') return { ...hunted, verdict: 'no mutant', said: found }
    hunted.said = `seed ${found.seed}: ${found.found}`
    if (isControl === true) return { ...hunted, verdict: 'killed' }
    if (found.isPromise !== true) return { ...hunted, verdict: 'no mutant' }
    const control = { ...lives, first: found.seed, seeds: 1 }
    if ((await firstFound(unchanged, control)).found === undefined) {
      return { ...hunted, verdict: 'killed' }
    }
    hunted.noise++
    first = found.seed + 1
  }
  return hunted
}

function folderOf(name: string, isUnchanged: boolean): string {
  return isUnchanged ? `${UNCHANGED}-${name.replaceAll(/\W+/g, '-')}` : name.replaceAll(/\W+/g, '-')
}

interface Judged {
  mutant: Mutant
  isGood: boolean
}

async function judge(mutant: Mutant, limit: number): Promise<Judged> {
  const { verdict, steps, said, noise } = await hunt(mutant, limit).catch(
    (error): Hunt => ({ verdict: 'no mutant', steps: 0, said: String(error), noise: 0 }),
  )
  const isGood = verdict === (mutant.isControl === true ? 'lives' : 'killed')
  const after = steps.toLocaleString('en').padStart(8)
  const line = said.split('\n')[0]!.slice(0, 100)
  const besides = noise === 0 ? '' : ` (${noise} found in the log as it is)`
  console.log(
    `${isGood ? '  ' : '! '}${mutant.name.padEnd(58)} ${verdict.padEnd(9)} ${after}  ${line}${besides}`,
  )
  return { mutant, isGood }
}

/** What is wrong, in a few words each. */
function faultsOf(judged: readonly Judged[], isAll: boolean): string[] {
  const faults: string[] = []
  for (const { mutant, isGood } of judged) if (!isGood) faults.push(mutant.name)
  for (const required of isAll ? REQUIRED : []) {
    const isProved = judged.some(
      ({ mutant, isGood }) =>
        isGood && !mutant.isControl && mutant.name.startsWith(`${required}: `),
    )
    if (!isProved) faults.push(`nothing proves: ${required}`)
  }
  return faults
}

const isAll = positionals.length === 0
const chosen = MUTANTS.filter(
  ({ name }) => isAll || positionals.some((pattern) => name.includes(pattern)),
)
const started = performance.now()
// Every copy is compared with it, and every kill is tried on it.
const unchanged = await compiledCopy(UNCHANGED, [])
const judged: Judged[] = []
const work = async () => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    judged.push(await judge(next, totalSteps))
  }
}
// The longest first.
const queue = [...chosen].sort(
  (a, b) => Number(b.isControl ?? false) - Number(a.isControl ?? false),
)
await Promise.all(Array.from({ length: availableParallelism() }, work))
const faults = faultsOf(judged, isAll)
const good = judged.filter(({ isGood }) => isGood).map(({ mutant }) => mutant)
const controls = good.filter(({ isControl }) => isControl === true).length
const minutes = ((performance.now() - started) / 60_000).toFixed(1)
console.log(`${minutes} minutes`)
console.log(
  faults.length > 0
    ? `${faults.length} wrong: ${faults.join('; ')}`
    : `${good.length - controls} mutants killed, ${controls} controls live`,
)
process.exitCode = faults.length === 0 && chosen.length > 0 ? 0 : 1
