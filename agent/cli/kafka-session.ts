// The cluster that topics, produce and consume talk to: the local listener, any Kafka, or the upstream.

import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import { Logger } from '../base/telemetry.ts'
import { formatHostPort, parseHostPort } from '../config/listen-address.ts'
import type { Config } from '../config/schema.ts'
import { upstreamConnection } from '../config/upstream-connection.ts'
import { Cluster, type ClusterOptions } from '../kafka/client/cluster.ts'
import { usageError } from './arguments.ts'
import type { Terminal } from './command.ts'
import { loadedConfig } from './loaded-config.ts'

export const KAFKA_OPTIONS = {
  'bootstrap-server': { type: 'string', short: 'b' },
  upstream: { type: 'boolean' },
  config: { type: 'string', short: 'c' },
} as const

export const KAFKA_HELP = `  -b, --bootstrap-server HOST:PORT   any Kafka (default: the local listener)
  --upstream                         the upstream of the configuration, with its secrets
  -c, --config FILE                  the configuration`

export interface KafkaValues {
  readonly 'bootstrap-server'?: string | undefined
  readonly upstream?: boolean | undefined
  readonly config?: string | undefined
}

/** A person waits: a cluster that does not answer at once is said to be away. */
const CONNECT_LIMIT_MS = 5_000
const RETRY_LIMIT_MS = 15_000

export interface KafkaSession {
  readonly cluster: Cluster
  readonly codecs: Codecs
  readonly logger: Logger
  close(): void
}

/** Connected to one broker; UPSTREAM_UNREACHABLE after one try when there is none. */
export async function openSession(values: KafkaValues, terminal: Terminal): Promise<KafkaSession> {
  const { clock, stderr } = terminal
  const logger = new Logger({
    level: 'warn',
    format: 'text',
    now: clock.now,
    write: (line) => stderr.write(line),
  })
  const target = await clusterTarget(values, terminal)
  const cluster = new Cluster({
    ...target,
    clock,
    logger,
    connectTimeoutMs: CONNECT_LIMIT_MS,
    retryTimeoutMs: RETRY_LIMIT_MS,
  })
  await cluster.anyConnection()
  return { cluster, codecs: new Codecs(new Kernel()), logger, close: () => cluster.close() }
}

type Target = Pick<ClusterOptions, 'bootstrapServers' | 'clientId' | 'tls' | 'sasl'>

async function clusterTarget(values: KafkaValues, terminal: Terminal): Promise<Target> {
  const named = values['bootstrap-server']
  if (named !== undefined) {
    if (values.upstream) throw usageError('-b and --upstream name two clusters; give one')
    const servers = named.split(',').map((server) => server.trim())
    const wrong = servers.find((server) => parseHostPort(server) === undefined)
    if (wrong !== undefined) throw usageError(`"${wrong}" is no host:port`)
    return { bootstrapServers: servers, clientId: 'tributary-cli' }
  }
  const options = { file: values.config, required: values.upstream === true }
  const { config } = await loadedConfig(terminal, options)
  if (values.upstream) {
    if (config.upstream === undefined) {
      throw new AgentError('INPUT_CONFIG', 'the configuration has no upstream')
    }
    return { ...(await upstreamConnection(config.upstream)) }
  }
  return { bootstrapServers: [localListener(config)], clientId: 'tributary-cli' }
}

function localListener(config: Config): string {
  const [listener] = config.kafka.listeners
  if (listener === undefined) {
    throw usageError('kafka.listeners is empty, so there is no local listener; use -b HOST:PORT')
  }
  return reachable(listener)
}

/** An address to listen on as one to connect to: 0.0.0.0 is everywhere, and so also here. */
export function reachable(listener: string): string {
  const { host, port } = parseHostPort(listener)!
  if (host === '0.0.0.0') return formatHostPort({ host: '127.0.0.1', port })
  return formatHostPort({ host: host === '::' ? '::1' : host, port })
}
