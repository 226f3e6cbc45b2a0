// The test runner: one process per test file, results counted, never the exit code believed.
//
//   npm test                 everything          npm run test:quick   unit and golden only, offline
//   npm test -- PATTERN      the files whose path contains PATTERN
//
// A file passes when uvu printed Total = Passed > 0 and Skipped = 0 and the process ended by itself
// within its limit. Stages have time budgets; a stage over its budget fails the run.

import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

interface Stage {
  name: string
  /** Seconds for all files of the stage together. */
  budgetS: number
  fileLimitS: number
  concurrency: number
  matches: (path: string) => boolean
}

const inFolder = (folder: string) => (path: string) => path.startsWith(`test/${folder}/`)
const SLOW_FOLDERS = ['sim', 'e2e', 'conformance', 'chaos']

const STAGES: readonly Stage[] = [
  {
    name: 'unit and golden',
    budgetS: 120,
    fileLimitS: 60,
    concurrency: 2,
    matches: (path) => !SLOW_FOLDERS.some((folder) => inFolder(folder)(path)),
  },
  { name: 'simulation', budgetS: 120, fileLimitS: 120, concurrency: 2, matches: inFolder('sim') },
  { name: 'end-to-end', budgetS: 240, fileLimitS: 180, concurrency: 1, matches: inFolder('e2e') },
  { name: 'conformance', budgetS: 240, fileLimitS: 180, concurrency: 1, matches: inFolder('conformance') },
  { name: 'chaos', budgetS: 120, fileLimitS: 120, concurrency: 1, matches: inFolder('chaos') },
]

interface Outcome {
  path: string
  passed: number
  failed: number
  reason: string | undefined
  output: string
}

function runFile(path: string, limitS: number): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--import', 'tsx', path], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' },
      detached: true,
    })
    let output = ''
    let late = false
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    const timer = setTimeout(() => {
      late = true
      killGroup(child.pid)
    }, limitS * 1000)
    child.on('close', (code) => {
      clearTimeout(timer)
      killGroup(child.pid)
      resolve(judge(path, output, code, late ? limitS : undefined))
    })
  })
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Already gone.
  }
}

/** Reads uvu's summary; every way of staying green on failure becomes a reason here. */
export function judge(path: string, output: string, code: number | null, lateS?: number): Outcome {
  const plain = output.replace(/\x1b\[[0-9;]*m/g, '')
  const last = (label: string): number => {
    const all = [...plain.matchAll(new RegExp(`^\\s*${label}:\\s+(\\d+)`, 'gm'))]
    return all.length === 0 ? -1 : Number(all[all.length - 1]![1])
  }
  const [total, passed, skipped] = [last('Total'), last('Passed'), last('Skipped')]
  let reason: string | undefined
  if (lateS !== undefined) reason = `still running after ${lateS} s`
  else if (total < 0) reason = `no summary (exit ${code})`
  else if (total === 0) reason = 'no test ran: is .run() missing?'
  else if (passed !== total) reason = `${total - passed} of ${total} failed`
  else if (skipped !== 0) reason = `${skipped} skipped by uvu: a left-over .only or .skip?`
  else if (code !== 0) reason = `exit ${code}`
  const failed = reason === undefined ? 0 : Math.max(1, total - passed)
  return { path, passed: Math.max(0, passed), failed, reason, output: plain }
}

async function runStage(stage: Stage, paths: string[], report: (o: Outcome) => void): Promise<void> {
  const queue = [...paths]
  const worker = async () => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      report(await runFile(path, stage.fileLimitS))
    }
  }
  await Promise.all(Array.from({ length: stage.concurrency }, worker))
}

function findTests(): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => join('test', path))
    .sort()
}

function announce(): void {
  console.log(
    [
      'Tributary tests: up to 14 minutes; unit, simulation, end-to-end, conformance, chaos.',
      'Real peers: Apache Kafka (Java 17 and Maven; 54 MB of jars, once, to the cache folder',
      '$TRIBUTARY_CACHE or ~/.cache/tributary), kcat, mosquitto. What is missing is said in a line',
      'each; TRIBUTARY_REQUIRE_PEERS=1 makes it a failure. `npm run test:quick` needs none of them.',
    ].join('\n'),
  )
}

async function main(args: string[]): Promise<void> {
  const quick = args.includes('--quick')
  const pattern = args.find((arg) => !arg.startsWith('-'))
  const paths = findTests().filter((path) => pattern === undefined || path.includes(pattern))
  if (!quick && pattern === undefined) announce()
  let [passed, failed] = [0, 0]
  for (const stage of quick ? STAGES.slice(0, 1) : STAGES) {
    const mine = paths.filter(stage.matches)
    if (mine.length === 0) continue
    const start = performance.now()
    await runStage(stage, mine, (outcome) => {
      passed += outcome.passed
      failed += outcome.failed
      console.log(`${outcome.reason ? 'FAIL' : 'ok  '} ${outcome.path} (${outcome.passed})`)
      for (const [line] of outcome.output.matchAll(/^skipped: .*/gm)) console.log(`     ${line}`)
      if (outcome.reason) console.log(`     ${outcome.reason}\n${outcome.output.replace(/^/gm, '     | ')}`)
    })
    const seconds = (performance.now() - start) / 1000
    console.log(`---- ${stage.name}: ${mine.length} files, ${seconds.toFixed(1)} of ${stage.budgetS} s`)
    if (seconds > stage.budgetS) {
      failed++
      console.log(`FAIL ${stage.name} took longer than its budget`)
    }
  }
  if (passed + failed === 0) failed = 1
  console.log(`${passed} passed, ${failed} failed`)
  process.exit(failed === 0 ? 0 : 1)
}

if (import.meta.url === `file://${process.argv[1]}`) await main(process.argv.slice(2))
