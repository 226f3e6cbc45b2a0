// The built agent (`node dist/agent/main.js run -c FILE`) as a child process in a temporary folder
// on free ports: started, killed, stopped and asked as an operator would.
//
//   const agent = await AgentProcess.create({ upstream: { bootstrapServers: […] } })
//   await agent.start()  …  await agent.kill()  await agent.restart()  …  await agent.remove()
//
// Ports and data stay the same over restarts. Every child dies with the process that started it.

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve as resolvePath } from 'node:path'
import { stringify } from 'yaml'
import { freePorts, waitUntil } from './ports.ts'

/** The file the tests run; `npm run build` makes it. */
export const AGENT_MAIN = resolvePath('dist/agent/main.js')

const START_LIMIT_MS = 20_000
const STOP_LIMIT_MS = 20_000
const LOG_KEPT = 4_000_000

export interface AgentPartition {
  partition: number
  logStartOffset: number
  highWatermark: number
  replicatedOffset: number
  bytes: number
  replication: string
  reason: string | null
}

/** What `GET /status` answers. */
export interface AgentStatus {
  gateway: string | null
  lineage: string
  version: string
  uptimeSeconds: number
  mqtt: { clients: number; messagesTotal: number; acksPending: number; unroutedTotal: number }
  disk: {
    bytes: number
    budgetBytes: number
    writtenBytesTotal: number
    payloadBytesTotal: number
    fsyncsTotal: number
    fsyncsPerMinute: number
    recordsLostTotal: number
  }
  topics: { topic: string; replicated: boolean; partitions: AgentPartition[] }[]
  upstream: { state: string; clusterId: string | null; lagRecords: number; lagSeconds: number }
}

/** Keys of the configuration file; merged one level deep over the ports and folder of the test. */
export type AgentConfig = Record<string, unknown>

export interface AgentOptions {
  environment?: Record<string, string>
  folder?: string
  /** A command that runs the rest of its arguments, such as `setpriv`. */
  launcher?: readonly string[]
  /** Another program than the one of this checkout. */
  main?: string
}

const alive = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})

export class AgentProcess {
  readonly folder: string
  readonly dataDir: string
  readonly configFile: string
  readonly mqttPort: number
  readonly kafkaPort: number
  readonly adminPort: number
  readonly #environment: Record<string, string>
  readonly #launcher: readonly string[]
  readonly #main: string
  #child: ChildProcess | undefined
  #ended: Promise<number | null> = Promise.resolve(null)
  #log = ''
  #launchStart = 0

  private constructor(
    folder: string,
    ports: number[],
    { environment = {}, launcher = [], main = AGENT_MAIN }: AgentOptions,
  ) {
    this.folder = folder
    this.#launcher = launcher
    this.#main = main
    this.dataDir = join(folder, 'data')
    this.configFile = join(folder, 'tributary.yaml')
    this.mqttPort = ports[0]!
    this.kafkaPort = ports[1]!
    this.adminPort = ports[2]!
    this.#environment = environment
  }

  /** An agent that does not run yet. `config` may override any key, the listeners too. */
  static async create(config: AgentConfig = {}, options: AgentOptions = {}): Promise<AgentProcess> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tributary-agent-'))
    const agent = new AgentProcess(folder, await freePorts(3), options)
    agent.configure(config)
    return agent
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Everything all launches have printed (both streams); the last 4 MB. */
  get log(): string {
    return this.#log
  }

  /** What the present or last launch has printed. */
  get launchLog(): string {
    return this.#log.slice(this.#launchStart)
  }

  get kafkaAddress(): string {
    return `127.0.0.1:${this.kafkaPort}`
  }

  /** Writes the configuration file anew; it holds from the next start on. */
  configure(config: AgentConfig): void {
    const merged: AgentConfig = {
      dataDir: this.dataDir,
      mqtt: { listeners: [`mqtt://127.0.0.1:${this.mqttPort}`] },
      kafka: { listeners: [this.kafkaAddress] },
      admin: { listeners: [`127.0.0.1:${this.adminPort}`] },
      logging: { level: 'info', format: 'text' },
    }
    for (const [key, value] of Object.entries(config)) {
      const base = merged[key]
      merged[key] = isMapping(base) && isMapping(value) ? { ...base, ...value } : value
    }
    writeFileSync(this.configFile, stringify(merged))
  }

  /** Resolves when `/readyz` says 200; throws with the log when the process ends before. */
  async start(limitMs = START_LIMIT_MS): Promise<void> {
    this.spawn()
    const child = this.#child
    try {
      await waitUntil(`the agent is ready (${this.folder})`, limitMs, async () => {
        if (this.#child !== child) throw new Error('the agent ended before it was ready')
        return this.isReady()
      })
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.launchLog}`)
    }
  }

  /** Starts the process; resolves when it serves, ready or not. Throws with the log when it ends. */
  async launch(limitMs = START_LIMIT_MS): Promise<void> {
    this.spawn()
    const child = this.#child
    const what = `the agent serves (${this.folder})`
    try {
      await waitUntil(what, limitMs, () => {
        if (this.#child !== child) throw new Error('the agent ended before it served')
        return /^tributary \S+ ready as /m.test(this.launchLog)
      })
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.launchLog}`)
    }
  }

  /** What `/readyz` says: the status, and one reason a line. */
  async readiness(): Promise<{ status: number; body: string }> {
    return (await this.#get('/readyz')) ?? { status: 0, body: 'no answer' }
  }

  async isReady(): Promise<boolean> {
    return (await this.readiness()).status === 200
  }

  /** Starts the process and waits for nothing. */
  spawn(): void {
    if (this.#child !== undefined) throw new Error('the agent runs already')
    if (!existsSync(this.#main)) throw new Error(`${this.#main} is missing: npm run build`)
    this.#launchStart = this.#log.length
    const words = [...this.#launcher, process.execPath, this.#main, 'run', '-c', this.configFile]
    const child = spawn(words[0]!, words.slice(1), {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: this.folder,
      env: { ...process.env, ...this.#environment },
    })
    this.#child = child
    alive.add(child)
    const collect = (text: string) => {
      this.#log += text
      if (this.#log.length > LOG_KEPT) {
        const cut = this.#log.length - LOG_KEPT / 2
        this.#log = this.#log.slice(cut)
        this.#launchStart = Math.max(0, this.#launchStart - cut)
      }
    }
    child.stdout?.setEncoding('utf8').on('data', collect)
    child.stderr?.setEncoding('utf8').on('data', collect)
    this.#ended = new Promise((resolve) => {
      child.on('close', (code) => {
        alive.delete(child)
        if (this.#child === child) this.#child = undefined
        resolve(code)
      })
    })
  }

  /** SIGTERM; resolves with the exit code, null when it had to be killed after a limit. */
  async stop(limitMs = STOP_LIMIT_MS): Promise<number | null> {
    const child = this.#child
    child?.kill('SIGTERM')
    const timer = setTimeout(() => child?.kill('SIGKILL'), limitMs)
    const code = await this.#ended
    clearTimeout(timer)
    return code
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Resolves with the exit code when the process has ended by itself. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** Ends the process at once and deletes its folder. */
  async remove(): Promise<void> {
    await this.kill()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async status(): Promise<AgentStatus> {
    const answer = await this.#get('/status')
    if (answer?.status !== 200) throw new Error(`GET /status: ${answer?.status ?? 'no answer'}`)
    return JSON.parse(answer.body) as AgentStatus
  }

  async metrics(): Promise<string> {
    const answer = await this.#get('/metrics')
    if (answer?.status !== 200) throw new Error(`GET /metrics: ${answer?.status ?? 'no answer'}`)
    return answer.body
  }

  /** The sum of a metric's samples, over all its labels. */
  async metric(name: string): Promise<number> {
    const samples = (await this.metrics()).matchAll(
      new RegExp(`^${name}(?:\\{.*\\})? (\\S+)$`, 'gm'),
    )
    return [...samples].reduce((sum, [, value]) => sum + Number(value), 0)
  }

  /** Resolves when every replicated partition's records are acked by the upstream. */
  async replicated(limitMs: number): Promise<AgentStatus> {
    let status: AgentStatus | undefined
    await waitUntil(`everything is replicated (${this.folder})`, limitMs, async () => {
      status = await this.status()
      const partitions = status.topics
        .filter((topic) => topic.replicated)
        .flatMap((t) => t.partitions)
      const stuck = partitions.find((p) => p.replication === 'frozen' || p.replication === 'parked')
      if (stuck !== undefined) throw new Error(`partition ${stuck.partition}: ${stuck.reason}`)
      return partitions.every((p) => p.replicatedOffset >= p.highWatermark)
    })
    return status!
  }

  /** Runs another command of the built program, such as `['verify', agent.dataDir]`. */
  command(
    args: string[],
    input = '',
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const words = [...this.#launcher, process.execPath, this.#main, ...args]
    const child = spawn(words[0]!, words.slice(1), {
      stdio: ['pipe', 'pipe', 'pipe'],
      cwd: this.folder,
    })
    alive.add(child)
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    return new Promise((resolve) => {
      child.on('close', (code) => {
        alive.delete(child)
        resolve({ code, stdout, stderr })
      })
    })
  }

  async #get(path: string): Promise<{ status: number; body: string } | undefined> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(5000),
      })
      return { status: response.status, body: await response.text() }
    } catch {
      return undefined
    }
  }
}

function isMapping(value: unknown): value is AgentConfig {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
