// tributary status: how the running agent is, from its admin listener.

import type { Status } from '../admin/status.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import { parseHostPort } from '../config/listen-address.ts'
import { parseDuration } from '../config/setting.ts'
import { parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, type ExitCode, print, printLine, type Terminal } from './command.ts'
import { reachable } from './kafka-session.ts'
import { loadedConfig } from './loaded-config.ts'
import { statusText } from './status-text.ts'
import { formatAge, formatCount } from './table.ts'

const WATCH_MS = 2_000
const ANSWER_LIMIT_MS = 5_000
const CLEAR_SCREEN = '\x1b[H\x1b[2J'

export const command: Command = {
  help: `tributary status [--json] [--watch] [--check] [--max-lag 10m]

  --json             the whole status as JSON
  --watch            again every two seconds, until Ctrl-C
  --check            says what is not good and exits 1: frozen or parked partitions, lost records, lag
  --max-lag TIME     for --check (default: 10m)
  --admin HOST:PORT  the agent's admin listener (default: the configuration's)
  -c, --config FILE  the configuration`,

  async run(args, terminal) {
    const { values } = parseArguments(args, {
      options: {
        json: { type: 'boolean' },
        watch: { type: 'boolean' },
        check: { type: 'boolean' },
        'max-lag': { type: 'string' },
        admin: { type: 'string' },
        config: { type: 'string', short: 'c' },
      },
      positionals: [],
    })
    const maxLagMs = parseDuration(values['max-lag'] ?? '10m')
    if (maxLagMs === undefined) {
      throw usageError(`--max-lag "${values['max-lag']}" is no duration such as 30s or 10m`)
    }
    if (values.check && values.watch) throw usageError('--check and --watch exclude each other')
    const address = values.admin ?? (await adminAddress(values.config, terminal))
    if (parseHostPort(address) === undefined)
      throw usageError(`--admin "${address}" is no host:port`)
    const show = async (status: Status) =>
      print(terminal.stdout, `${values.json ? JSON.stringify(status) : statusText(status)}\n`)
    if (values.watch) return watch(address, show, terminal, values.json === true)
    const status = await fetchStatus(address)
    if (!values.check) {
      await show(status)
      return EXIT.good
    }
    const faults = findFaults(status, maxLagMs)
    if (values.json) await show(status)
    else await printLine(terminal.stdout, faults.length === 0 ? 'OK' : faults.join('\n'))
    return faults.length === 0 ? EXIT.good : EXIT.notGood
  },
}

export async function adminAddress(file: string | undefined, terminal: Terminal): Promise<string> {
  const { config } = await loadedConfig(terminal, { file, required: false })
  const [listener] = config.admin.listeners
  if (listener === undefined) {
    throw usageError('admin.listeners is empty, so the agent tells nothing; set it or use --admin')
  }
  return reachable(listener)
}

/** What the agent's admin listener answers. */
export async function fetchStatus(address: string): Promise<Status> {
  // Loaded here: it takes longer to load than most commands to run.
  const { request } = await import('undici')
  try {
    const { statusCode, body } = await request(`http://${address}/status`, {
      headersTimeout: ANSWER_LIMIT_MS,
      bodyTimeout: ANSWER_LIMIT_MS,
    })
    const text = await body.text()
    if (statusCode !== 200) throw notTributary(address)
    return readStatus(text, address)
  } catch (error) {
    if (error instanceof AgentError) throw error
    if (codeOf(error) === 'ECONNREFUSED') {
      const text = `no agent answers on ${address}: start it with tributary run, or name its admin listener with --admin`
      throw new AgentError('UPSTREAM_UNREACHABLE', text, { cause: error })
    }
    const why = codeOf(error) || String(error)
    throw new AgentError('UPSTREAM_UNREACHABLE', `${address} does not answer (${why})`, {
      cause: error,
    })
  }
}

function readStatus(text: string, address: string): Status {
  try {
    const status = JSON.parse(text)
    if (Array.isArray(status.topics) && typeof status.version === 'string') return status
  } catch {
    // Said below.
  }
  throw notTributary(address)
}

function notTributary(address: string): AgentError {
  return new AgentError('UPSTREAM_UNREACHABLE', `${address} answers, but is no Tributary agent`)
}

/** What `--check` finds; empty when all is well. */
function findFaults(status: Status, maxLagMs: number): string[] {
  const faults: string[] = []
  for (const { topic, partitions } of status.topics) {
    for (const { partition, replication, reason } of partitions) {
      if (replication !== 'frozen' && replication !== 'parked') continue
      faults.push(`${topic}-${partition} ${replication}${reason === null ? '' : `: ${reason}`}`)
    }
  }
  const { recordsLostTotal } = status.disk
  if (recordsLostTotal > 0) faults.push(`${formatCount(recordsLostTotal)} records lost`)
  const { lagSeconds, lagRecords, state } = status.upstream
  if (state !== 'off' && lagSeconds * 1000 > maxLagMs) {
    faults.push(
      `upstream lags ${formatCount(lagRecords)} records / ${formatAge(lagSeconds)} (${state})`,
    )
  }
  const said = ['frozen', 'parked', 'records lost']
  const others = status.degraded.filter((phrase) => !said.some((word) => phrase.endsWith(word)))
  return [...faults, ...others]
}

/** Until Ctrl-C; an agent that is away for a while is waited for. */
async function watch(
  address: string,
  show: (status: Status) => Promise<void>,
  terminal: Terminal,
  json: boolean,
): Promise<ExitCode> {
  let stop = () => {}
  const stopped = new Promise<'stop'>((resolve) => {
    stop = () => resolve('stop')
  })
  const release = terminal.onInterrupt(stop)
  try {
    for (;;) {
      const outcome = await Promise.race([stopped, fetchStatus(address).catch((error) => error)])
      if (outcome === 'stop') return EXIT.good
      if (terminal.stdout.isTTY && !json) await print(terminal.stdout, CLEAR_SCREEN)
      if (outcome instanceof AgentError) await printLine(terminal.stderr, outcome.message)
      else if (outcome instanceof Error) throw outcome
      else await show(outcome as Status)
      const pause = new Promise<'go'>((resolve) => {
        terminal.clock.after(WATCH_MS, () => resolve('go'))
      })
      if ((await Promise.race([stopped, pause])) === 'stop') return EXIT.good
    }
  } finally {
    release()
  }
}
