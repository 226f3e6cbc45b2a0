// The test runner: one process per test file, results counted, never the exit code believed.
//
//   npm test                 everything          npm run test:quick   unit and golden only, offline
//   npm test -- PATTERN      the files whose path contains PATTERN
//
// All TypeScript is compiled once (under two seconds, unchecked: `npm run check` does that) into a
// cache folder and run from there: a process a file is affordable then.
//
// A file passes when uvu printed Total = Passed > 0 and Skipped = 0 and the process ended by itself
// within its limit. Stages have time budgets; a stage over its budget fails the run. What is built
// is built first, once, when it is missing or older than its sources. The last line stands alone:
// `N passed, N failed`.

import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { cacheFolder, isComplete, kafkaFolder } from './support/kafka-jars.ts'

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
    concurrency: Math.max(2, availableParallelism()),
    matches: (path) => !SLOW_FOLDERS.some((folder) => inFolder(folder)(path)),
  },
  { name: 'simulation', budgetS: 120, fileLimitS: 120, concurrency: 2, matches: inFolder('sim') },
  { name: 'end-to-end', budgetS: 240, fileLimitS: 180, concurrency: 1, matches: inFolder('e2e') },
  {
    name: 'conformance',
    budgetS: 240,
    fileLimitS: 180,
    concurrency: 1,
    matches: inFolder('conformance'),
  },
  { name: 'chaos', budgetS: 120, fileLimitS: 120, concurrency: 1, matches: inFolder('chaos') },
]

/** Where the compiled tests are; beneath the repository, so that they find its packages. */
const COMPILED = 'node_modules/.cache/tributary-tests'

/** A file that prints without end must not take the runner's memory with it. */
const OUTPUT_KEPT = 200_000

export interface Outcome {
  path: string
  passed: number
  failed: number
  /** Why the file failed; undefined when it passed. */
  reason: string | undefined
  output: string
}

const running = new Set<number>()

/** Runs one test file in a process group of its own and judges what it printed. */
export function runFile(path: string, limitS: number): Promise<Outcome> {
  const compiled = join(COMPILED, path.replace(/\.ts$/, '.js'))
  const program = existsSync(compiled) ? [compiled] : ['--import', 'tsx', path]
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--enable-source-maps', ...program], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' },
      detached: true,
    })
    const pid = child.pid
    if (pid !== undefined) running.add(pid)
    let output = ''
    let late = false
    const collect = (text: string) => {
      output += text
      if (output.length > OUTPUT_KEPT) output = `…${output.slice(-OUTPUT_KEPT / 2)}`
    }
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    const timer = setTimeout(() => {
      late = true
      killGroup(pid)
    }, limitS * 1000)
    // 'exit' first: a grandchild that keeps the pipes open must not hold the runner up.
    child.on('exit', () => killGroup(pid))
    child.on('close', (code) => {
      clearTimeout(timer)
      if (pid !== undefined) running.delete(pid)
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
  if (lateS !== undefined) reason = `still running after ${Math.round(lateS)} s`
  else if (total < 0) reason = `no summary (exit ${code})`
  else if (total === 0) reason = 'no test ran: is .run() missing?'
  else if (passed !== total) reason = `${total - passed} of ${total} failed`
  else if (skipped !== 0) reason = `${skipped} skipped by uvu: a left-over .only or .skip?`
  else if (code !== 0) reason = `exit ${code}`
  const failed = reason === undefined ? 0 : Math.max(1, total - passed)
  return { path, passed: Math.max(0, passed), failed, reason, output: plain }
}

/** Runs the files of a stage; those that its budget has no time left for fail without a start. */
async function runStage(
  stage: Stage,
  paths: string[],
  report: (o: Outcome) => void,
): Promise<void> {
  const queue = [...paths]
  const end = performance.now() + stage.budgetS * 1000
  const worker = async () => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
      const leftS = (end - performance.now()) / 1000
      if (leftS > 0) report(await runFile(path, Math.min(stage.fileLimitS, leftS)))
      else report(notStarted(path, stage))
    }
  }
  await Promise.all(Array.from({ length: stage.concurrency }, worker))
}

function notStarted(path: string, stage: Stage): Outcome {
  const reason = `not started: ${stage.name} has used up its ${stage.budgetS} s`
  return { path, passed: 0, failed: 1, reason, output: '' }
}

function findTests(): string[] {
  return readdirSync('test', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts') && !path.includes('node_modules'))
    .map((path) => join('test', path))
    .sort()
}

/** Newest change of any file under these paths, in ms since the epoch. */
function newestChange(paths: readonly string[], ending: string): number {
  // A folder that has no file yet is not in a clone.
  const files = paths
    .filter(existsSync)
    .flatMap((path) =>
      statSync(path).isDirectory()
        ? readdirSync(path, { recursive: true, encoding: 'utf8' }).map((name) => join(path, name))
        : [path],
    )
  return Math.max(...files.filter((f) => f.endsWith(ending)).map((f) => statSync(f).mtimeMs))
}

function isStale(product: string, sources: readonly string[], ending: string): boolean {
  return !existsSync(product) || statSync(product).mtimeMs < newestChange(sources, ending)
}

/** The npm script that has to run before the tests, if any. */
function missingBuild(quick: boolean): 'build' | 'build:wasm' | undefined {
  const wasmStale = isStale('wasm/kernel.wasm', ['wasm/assembly'], '.ts')
  if (quick) return wasmStale ? 'build:wasm' : undefined
  const program = ['agent', 'wasm/assembly', 'cloud-bridge', 'devices', 'firmware-sim']
  // The copy of the kernel is the last thing a build makes.
  return wasmStale || isStale('dist/wasm/kernel.wasm', program, '.ts') ? 'build' : undefined
}

/** Builds what is missing; false after showing why it could not. */
function build(quick: boolean): boolean {
  const script = missingBuild(quick)
  if (script === undefined) return true
  console.log(`building (npm run ${script}) …`)
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', script], {
    encoding: 'utf8',
  })
  if (status !== 0) console.log(`FAIL npm run ${script}\n${stdout}${stderr}`)
  return status === 0
}

/** Compiles everything, and puts what is read beside the code beside the compiled code. */
function compile(): boolean {
  rmSync(COMPILED, { recursive: true, force: true })
  const tsc = join('node_modules', 'typescript', 'bin', 'tsc')
  const args = [tsc, '-p', 'tsconfig.test.json']
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) console.log(`FAIL tsc -p tsconfig.test.json\n${stdout}`)
  cpSync('package.json', join(COMPILED, 'package.json'))
  cpSync('wasm/kernel.wasm', join(COMPILED, 'wasm/kernel.wasm'))
  cpSync('test/golden', join(COMPILED, 'test/golden'), {
    recursive: true,
    filter: (path) => !path.endsWith('.ts'),
  })
  return status === 0
}

function announce(): void {
  const kafka = isComplete(kafkaFolder()) ? 'is in' : 'goes once, 54 MB of jars, to'
  console.log(
    [
      'Tributary tests: unit and golden, simulation, end-to-end, conformance, chaos; at most 14 minutes.',
      `Apache Kafka ${kafka} ${cacheFolder()} (TRIBUTARY_CACHE);`,
      'it wants Java 17 and, for the download, Maven. Other peers: kcat, mosquitto and its clients, lz4, zstd.',
      'A missing peer is said in one line; TRIBUTARY_REQUIRE_PEERS=1 makes it a failure.',
      '`npm run test:quick` needs none of them and no network.',
    ].join('\n'),
  )
}

class Tally {
  passed = 0
  failed = 0
  readonly skipped = new Set<string>()
  readonly failures: string[] = []

  add(outcome: Outcome): void {
    this.passed += outcome.passed
    this.failed += outcome.failed
    console.log(`${outcome.reason ? 'FAIL' : 'ok  '} ${outcome.path} (${outcome.passed})`)
    for (const [line] of outcome.output.matchAll(/^skipped: .*/gm)) {
      console.log(`     ${line}`)
      this.skipped.add(line)
    }
    if (outcome.reason === undefined) return
    this.failures.push(`${outcome.path}: ${outcome.reason}`)
    console.log(`     ${outcome.reason}\n${outcome.output.replace(/^/gm, '     | ')}`)
  }

  fail(reason: string): void {
    this.failed++
    this.failures.push(reason)
    console.log(`FAIL ${reason}`)
  }

  /** What is worth reading without scrolling up, and the last line. */
  summary(): string[] {
    const counts = `${this.passed} passed, ${this.failed} failed`
    return [...this.skipped, ...this.failures.map((line) => `FAIL ${line}`), '', counts]
  }
}

async function runStages(stages: readonly Stage[], paths: string[], tally: Tally): Promise<void> {
  for (const stage of stages) {
    const mine = paths.filter(stage.matches)
    if (mine.length === 0) continue
    const start = performance.now()
    await runStage(stage, mine, (outcome) => tally.add(outcome))
    const seconds = (performance.now() - start) / 1000
    console.log(
      `---- ${stage.name}: ${mine.length} files, ${seconds.toFixed(1)} of ${stage.budgetS} s`,
    )
    if (seconds > stage.budgetS) tally.fail(`${stage.name} took longer than its budget`)
  }
}

async function main(args: string[]): Promise<void> {
  const quick = args.includes('--quick')
  const pattern = args.find((arg) => !arg.startsWith('-'))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      for (const pid of running) killGroup(pid)
      process.exit(130)
    })
  }
  const tally = new Tally()
  const paths = findTests().filter((path) => pattern === undefined || path.includes(pattern))
  if (!quick && pattern === undefined) announce()
  if (paths.length === 0) tally.fail(`no test file has ${pattern} in its path`)
  else if (!build(quick) || !compile()) tally.fail('the build')
  else await runStages(quick ? STAGES.slice(0, 1) : STAGES, paths, tally)
  console.log(tally.summary().join('\n'))
  process.exitCode = tally.failed === 0 && tally.passed > 0 ? 0 : 1
}

if (import.meta.url === `file://${process.argv[1]}`) await main(process.argv.slice(2))
