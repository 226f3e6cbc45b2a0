// One agent as a real process: `tributary run -c FILE`, started, killed and asked for its status.
//
// No child outlives the demo. A clean end sends SIGTERM; an exit of any kind sends SIGKILL; and when
// the demo itself is killed, the child's stdin ends, which a few words loaded ahead of the agent turn
// into its end. Children lead process groups of their own: a Ctrl-C reaches the demo alone.

import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { Status } from '../../admin/status.ts'
import { AgentError } from '../../base/errors.ts'
import { fetchStatus } from '../status.ts'

const START_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 15_000
const TETHER = `process.stdin.on('close', () => process.kill(process.pid, 'SIGKILL')).resume()`
const LAST_WORDS_BYTES = 2_000

const alive = new Set<ChildProcess>()

/** For the end of the demo's process, when there is no time to ask. */
export function killChildren(): void {
  for (const child of alive) child.kill('SIGKILL')
}

export interface ChildPorts {
  readonly mqtt: number | undefined
  readonly kafka: number
  readonly admin: number
}

export class AgentChild {
  readonly name: string
  readonly ports: ChildPorts
  readonly #folder: string
  readonly #configFile: string
  readonly #onLost: (fault: AgentError) => void
  #child: ChildProcess | undefined
  #ended: Promise<void> = Promise.resolve()
  #isExpected = false
  #lastWords = ''

  /** Writes its configuration to the folder; `onLost` hears of an end that nobody asked for. */
  constructor(
    name: string,
    folder: string,
    ports: ChildPorts,
    config: Readonly<Record<string, unknown>>,
    onLost: (fault: AgentError) => void,
  ) {
    this.name = name
    this.ports = ports
    this.#folder = folder
    this.#configFile = join(folder, `${name}.yaml`)
    this.#onLost = onLost
    writeFileSync(this.#configFile, stringify(config))
  }

  get kafkaAddress(): string {
    return `127.0.0.1:${this.ports.kafka}`
  }

  get adminAddress(): string {
    return `127.0.0.1:${this.ports.admin}`
  }

  /** Resolves when the agent has said that it is ready. */
  async start(): Promise<void> {
    const child = this.#spawn()
    const log = createWriteStream(join(this.#folder, `${this.name}.log`), { flags: 'a' })
    child.stderr!.on('data', (chunk: Buffer) => {
      log.write(chunk)
      this.#lastWords = (this.#lastWords + chunk).slice(-LAST_WORDS_BYTES)
    })
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        const late = `${this.name} was not ready within ${START_LIMIT_MS / 1000} s`
        timer = setTimeout(() => reject(new AgentError('TIMEOUT', late)), START_LIMIT_MS)
        child.stdout!.on('data', (chunk: Buffer) => {
          log.write(chunk)
          if (chunk.includes(' ready')) resolve()
        })
        child.once('error', reject)
        child.once('close', () => reject(this.#fault()))
      })
    } finally {
      clearTimeout(timer)
    }
  }

  /** kill -9; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#isExpected = true
    this.#child?.kill('SIGKILL')
    await this.#ended
  }

  /** SIGTERM, and SIGKILL when that takes too long. */
  async stop(): Promise<void> {
    this.#isExpected = true
    const child = this.#child
    child?.kill('SIGTERM')
    const timer = setTimeout(() => child?.kill('SIGKILL'), STOP_LIMIT_MS)
    await this.#ended
    clearTimeout(timer)
  }

  status(): Promise<Status> {
    return fetchStatus(this.adminAddress)
  }

  #spawn(): ChildProcess {
    this.#isExpected = false
    this.#lastWords = ''
    // The same file type as this one: the built command runs built agents, the sources run sources.
    const main = fileURLToPath(new URL(`../../main${extname(import.meta.url)}`, import.meta.url))
    const tether = `data:text/javascript,${encodeURIComponent(TETHER)}`
    const child = spawn(
      process.execPath,
      [...process.execArgv, '--import', tether, main, 'run', '-c', this.#configFile],
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        cwd: this.#folder,
        env: withoutSettings(),
        detached: true,
      },
    )
    this.#child = child
    alive.add(child)
    child.stdin!.on('error', () => {})
    this.#ended = new Promise((resolve) => {
      const end = () => {
        alive.delete(child)
        this.#child = undefined
        if (!this.#isExpected) this.#onLost(this.#fault())
        resolve()
      }
      child.once('error', end)
      child.once('close', end)
    })
    return child
  }

  #fault(): AgentError {
    const last = this.#lastWords.trimEnd().split('\n').at(-1)!
    const said = last === '' ? '' : `: ${last}`
    return new AgentError('CLOSED', `the ${this.name} ended by itself${said}`)
  }
}

/** The visitor's TRIBUTARY_* settings are for the visitor's own gateway. */
function withoutSettings(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('TRIBUTARY_'))
  return Object.fromEntries(own)
}
