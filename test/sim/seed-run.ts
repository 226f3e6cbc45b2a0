// Runs many seeds of the log simulation in a process of its own, one line of JSON a seed, and stops
// at the first that finds something.
//
//   node seed-worker '{"first": 1, "stride": 1, "seeds": 10, "steps": 400}'

import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface SeedOutcome {
  seed: number
  counts: Record<string, number>
  /** What it found; undefined when every promise was kept. */
  found?: string
  /** What it found is a promise of the log that was broken, and no fault of whatever ran. */
  isPromise?: boolean
}

export interface SeedPlan {
  first: number
  /** From one seed to the next: several processes share a range. */
  stride: number
  seeds: number
  steps: number
  /** Stops when all seeds together have made so many. */
  totalSteps?: number
  /** Bytes rot and files get lost while it is stopped; by default in every fourth life. */
  isDamaged?: boolean
  /** Each begins with appends to one partition and nothing else; by default some do. */
  isNarrow?: boolean
}

export interface WorkerOptions {
  /** A compiled one; by default that of this folder. */
  worker?: string
}

/** A seed takes a second or two; one that never ends does so without a step. */
const SILENCE_MS = 120_000

const here = fileURLToPath(import.meta.url)
const WORKER = here.replace(/seed-run(\.\w+)$/, 'seed-worker$1')

/** Calls `report` for each seed; resolves with why the worker ended before its time, if it did. */
export function runSeeds(
  plan: SeedPlan,
  report: (outcome: SeedOutcome) => void,
  options: WorkerOptions = {},
): Promise<string | undefined> {
  const { worker = WORKER } = options
  const loader = extname(worker) === '.ts' ? process.execArgv : ['--enable-source-maps']
  const child = spawn(process.execPath, [...loader, worker, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let isSilent = false
  let next = plan.first
  const silence = setTimeout(() => {
    isSilent = true
    child.kill('SIGKILL')
  }, SILENCE_MS)
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (said = (said + text).slice(-4000)))
  createInterface({ input: child.stdout }).on('line', (line) => {
    silence.refresh()
    const outcome = JSON.parse(line) as SeedOutcome
    next = outcome.seed + plan.stride
    report(outcome)
  })
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      clearTimeout(silence)
      if (isSilent) resolve(`seed ${next} does not end`)
      else resolve(code === 0 ? undefined : `seed ${next}: ${said || `exit ${code ?? signal}`}`)
    })
  })
}
