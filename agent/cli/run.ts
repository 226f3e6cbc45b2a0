// tributary run: the agent, from its configuration to a clean end.
//
// - One ready line on stdout with every address; log lines go to stderr.
// - SIGTERM or SIGINT: stop taking, commit, flush, checkpoint, exit 0. A second Ctrl-C: 130 at once.
// - SIGHUP is ignored.
// - A log that only a restart helps ends it, too: exit 1.

import { Logger, Metrics } from '../base/telemetry.ts'
import { isLoopback, parseMqttAddress } from '../config/listen-address.ts'
import type { Config } from '../config/schema.ts'
import { parseArguments } from './arguments.ts'
import { type Command, EXIT, type ExitCode, printLine, type Terminal } from './command.ts'
import { loadedConfig } from './loaded-config.ts'
import { VERSION } from './version.ts'

/** What this command needs of a running agent. */
export interface RunningAgent {
  /** URLs of MQTT listeners and host:port of Kafka listeners. */
  readonly addresses: readonly string[]
  readonly admin: string | undefined
  /** Resolves when only a restart helps. */
  readonly failed: Promise<Error>
  close(): Promise<void>
}

export type StartAgent = (
  config: Config,
  deps: { logger: Logger; metrics: Metrics; clock: Terminal['clock'] },
) => Promise<RunningAgent>

export const command: Command = {
  help: `tributary run [-c FILE]

Runs the agent in the foreground until SIGTERM or Ctrl-C.

  -c, --config FILE   default: $TRIBUTARY_CONFIG, ./tributary.yaml, /etc/tributary/tributary.yaml`,

  async run(args, terminal) {
    const { values } = parseArguments(args, {
      options: { config: { type: 'string', short: 'c' } },
      positionals: [],
    })
    const { config } = await loadedConfig(terminal, { file: values.config, required: true })
    const { startAgent } = await import('../agent.ts')
    return serve(startAgent, config, terminal)
  },
}

/** Starts the agent and waits until it is asked to end. */
export async function serve(
  startAgent: StartAgent,
  config: Config,
  terminal: Terminal,
): Promise<ExitCode> {
  const logger = new Logger({
    level: config.logging.level,
    format: logFormat(config, terminal),
    now: terminal.clock.now,
    write: (line) => terminal.stderr.write(line),
  })
  let interrupt = () => {}
  const interrupted = new Promise<void>((resolve) => {
    interrupt = resolve
  })
  // From the first moment on: a signal during the start ends in a clean close, too.
  const release = terminal.onInterrupt(interrupt)
  try {
    const agent = await startAgent(config, {
      logger,
      metrics: new Metrics(),
      clock: terminal.clock,
    })
    try {
      await printLine(terminal.stdout, readyLine(config, agent))
      const failure = await Promise.race([interrupted, agent.failed])
      // Whoever started us starts us again.
      if (failure !== undefined) throw failure
      logger.info('stopping: what was taken is committed and flushed first')
    } finally {
      await agent.close()
    }
    logger.info('stopped')
    return EXIT.good
  } finally {
    release()
  }
}

/** Text where a person reads: on a terminal, and in the journal, which adds its own fields. */
function logFormat(config: Config, { stderr, environment }: Terminal): 'json' | 'text' {
  const { format } = config.logging
  if (format !== 'auto') return format
  return stderr.isTTY || environment.JOURNAL_STREAM !== undefined ? 'text' : 'json'
}

/** Every address on one line, and the way to open MQTT when only this machine reaches it. */
export function readyLine(
  config: Config,
  agent: Pick<RunningAgent, 'addresses' | 'admin'>,
): string {
  const named = agent.addresses.map((each) => (each.includes('://') ? each : `kafka ${each}`))
  if (agent.admin !== undefined) named.push(`admin http://${agent.admin}`)
  const name = config.gateway === undefined ? '' : ` as ${config.gateway}`
  const line = `tributary ${VERSION} ready${name}: ${named.join('  ')}`
  const hosts = config.mqtt.listeners.map((listener) => parseMqttAddress(listener)!.host)
  if (hosts.length === 0 || !hosts.every(isLoopback)) return line
  return `${line}  (MQTT only from this machine; to open it: mqtt.listeners: ["mqtt://0.0.0.0:1883"] and mqtt.usersFile)`
}
