// Runs many seeds of the log simulation in a process of its own, one line of JSON a seed, and stops
// at the first that finds something.
//
//   node seed-worker --first N --stride N --seeds N --steps N [--totalSteps N] [--salts same]

import { spawn } from 'node:child_process'
import { extname } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export interface SeedOutcome {
  seed: number
  counts: Record<string, number>
  /** What it found; undefined when every promise was kept. */
  found?: string
}

export interface SeedPlan {
  first: number
  /** From one seed to the next: several processes share a range. */
  stride: number
  seeds: number
  steps: number
  /** Stops when all seeds together have made so many. */
  totalSteps?: number
  /** Every journal generation gets the same salt. */
  hasSameSalts?: boolean
}

/** `folder`: where compiled simulations are; by default this one. */
export interface WorkerOptions {
  worker?: string
  limitMs?: number
}

const here = fileURLToPath(import.meta.url)
const WORKER = here.replace(/seed-run(\.\w+)$/, 'seed-worker$1')

/** Calls `report` for each seed; resolves with why the worker ended before its time, if it did. */
export function runSeeds(
  plan: SeedPlan,
  report: (outcome: SeedOutcome) => void,
  options: WorkerOptions = {},
): Promise<string | undefined> {
  const { worker = WORKER, limitMs = 0 } = options
  const loader = extname(worker) === '.ts' ? process.execArgv : ['--enable-source-maps']
  const child = spawn(process.execPath, [...loader, worker, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let isLate = false
  const limit = limitMs > 0 ? setTimeout(() => kill(), limitMs) : undefined
  const kill = () => {
    isLate = true
    child.kill('SIGKILL')
  }
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (said = (said + text).slice(-4000)))
  createInterface({ input: child.stdout }).on('line', (line) => report(JSON.parse(line)))
  return new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(limit)
      if (isLate) resolve(`no end after ${limitMs / 1000} s`)
      else resolve(code === 0 ? undefined : said || `exit ${code}`)
    })
  })
}
