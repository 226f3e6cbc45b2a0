// The Kafka listener: sockets in, a broker of one node behind them.
//
// Serves what registry.ts lists to any Kafka client. Closing: no new connections, the requests at work
// are answered, then the connections end; what does not end in time is cut.

import { createServer, type Server, type Socket } from 'node:net'
import type { Clock, Timer } from '../../base/clock.ts'
import { AgentError, codeOf } from '../../base/errors.ts'
import type { Counter, Logger, Metrics } from '../../base/telemetry.ts'
import type { Log } from '../../log/log.ts'
import type { TopicSettings } from '../../log/topic.ts'
import { type Address, type Broker, createBroker } from './broker.ts'
import { Connection, type ConnectionOptions } from './connection.ts'
import { ADVERTISED, API_NAMES } from './registry.ts'
import { RequestMemory } from './request-memory.ts'

export interface KafkaListenerOptions {
  log: Log
  clock: Clock
  logger: Logger
  metrics: Metrics
  /** The store's lineage. */
  clusterId: string
  /** Settings of a topic that a client creates without saying more, by its name. */
  topicDefaults: (name: string) => TopicSettings
  listeners?: readonly Address[]
  advertised?: Address | 'auto'
  autoCreateTopics?: boolean
  topicsMax?: number
  partitionsMax?: number
  messageBytesMax?: number
  fetchBytesMax?: number
  roomWaitMsMax?: number
  connectionsMax?: number
  requestBytesMax?: number
  /** Large requests of all connections together. */
  requestMemoryBytes?: number
  inFlightMax?: number
  unsentBytesMax?: number
  idleMs?: number
  stallMs?: number
  producersPerPartitionMax?: number
  producersMax?: number
  producerExpirationMs?: number
}

export const KAFKA_LISTENER_DEFAULTS = {
  listeners: [{ host: '127.0.0.1', port: 9092 }],
  advertised: 'auto',
  autoCreateTopics: false,
  topicsMax: 100,
  partitionsMax: 1000,
  // Kafka's own: 1 MiB and the part of a batch that its length does not count.
  messageBytesMax: 1024 * 1024 + 12,
  fetchBytesMax: 1024 * 1024,
  roomWaitMsMax: 10_000,
  connectionsMax: 256,
  requestBytesMax: 8 * 1024 * 1024,
  requestMemoryBytes: 16 * 1024 * 1024,
  inFlightMax: 32,
  unsentBytesMax: 256 * 1024,
  idleMs: 600_000,
  stallMs: 120_000,
  producersPerPartitionMax: 1000,
  producersMax: 10_000,
  producerExpirationMs: 24 * 3600 * 1000,
} as const

const PROGRESS_EVERY_MS = 10_000
const CLOSE_LIMIT_MS = 5000
/** Lines about refused clients in a minute. */
const REFUSED_LINES_MAX = 20

type Complete = Required<KafkaListenerOptions>

export class KafkaListener {
  readonly #options: Complete
  readonly #broker: Broker
  readonly #connectionOptions: ConnectionOptions
  readonly #servers: Server[] = []
  readonly #connections = new Set<Connection>()
  #progress: Timer | undefined
  readonly #refusals: Counter
  #isRefusing = false
  #refusedLines = 0
  #refusedLinesAt = 0
  #closing: Promise<void> | undefined
  #allEnded: (() => void) | undefined

  private constructor(options: Complete) {
    this.#options = options
    this.#broker = createBroker(options, ADVERTISED)
    const { metrics } = options
    const requests = API_NAMES.map((api) => {
      const help = 'Requests of Kafka clients.'
      return [api, metrics.counter('tributary_kafka_requests_total', help, { api })] as const
    })
    const memory = new RequestMemory(options.requestMemoryBytes)
    this.#connectionOptions = {
      ...options,
      broker: this.#broker,
      refused: (client, reason) => this.#refused(client, reason),
      memory,
      requests: new Map(requests),
    }
    this.#refusals = metrics.counter(
      'tributary_kafka_refused_connections_total',
      'Connections ended because of what the client sent.',
    )
    const count = () => this.#connections.size
    metrics.observed('gauge', 'tributary_kafka_connections', 'Kafka clients connected.', count)
  }

  /** Listens on every address when it resolves. Fault: LISTENER_IN_USE, INPUT_CONFIG. */
  static async listen(options: KafkaListenerOptions): Promise<KafkaListener> {
    const listener = new KafkaListener({ ...KAFKA_LISTENER_DEFAULTS, ...options })
    try {
      for (const address of listener.#options.listeners) await listener.#listen(address)
    } catch (fault) {
      await listener.close()
      throw fault
    }
    listener.#scheduleProgress()
    return listener
  }

  /** Where it listens: the real ports, where the options said 0. */
  get addresses(): Address[] {
    return this.#servers.map((server) => {
      const address = server.address()
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host: '', port: 0 }
    })
  }

  /** How many listeners let nobody in any more. */
  get deafCount(): number {
    return this.#servers.filter(({ listening }) => !listening).length
  }

  get connections(): number {
    return this.#connections.size
  }

  /** Resolves when every request at work is answered, or cut after a while, and all is closed. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #listen({ host, port }: Address): Promise<void> {
    // Half-open: a client that has sent its last request and says so still gets its answers.
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenFault(error, host, port)))
      server.listen({ host, port }, () => resolve())
    })
    // An accept that fails (no descriptors left) concerns one client, who will try again.
    server.on('error', (error) => {
      this.#options.logger.warn('a Kafka connection was not accepted', { error: error.message })
    })
    this.#servers.push(server)
  }

  #accept(socket: Socket): void {
    const { connectionsMax, logger } = this.#options
    if (this.#connections.size >= connectionsMax || this.#closing !== undefined) {
      // Said once for each time that the limit is reached, not for each client.
      if (!this.#isRefusing) {
        logger.warn(`${connectionsMax} Kafka clients are connected: further ones are refused`)
      }
      this.#isRefusing = true
      socket.destroy()
      return
    }
    const connection = new Connection(socket, this.#connectionOptions)
    this.#connections.add(connection)
    connection.onOver(() => {
      this.#connections.delete(connection)
      this.#isRefusing = false
      if (this.#connections.size === 0) this.#allEnded?.()
    })
  }

  /** A client that comes back with the same nonsense for ever must not fill the log. */
  #refused(client: string, reason: string): void {
    this.#refusals.add()
    const { clock, logger } = this.#options
    const now = clock.monotonic()
    if (now - this.#refusedLinesAt > 60_000) {
      this.#refusedLinesAt = now
      this.#refusedLines = 0
    }
    if (this.#refusedLines++ < REFUSED_LINES_MAX) {
      logger.warn('Kafka client disconnected', { client, reason })
    }
  }

  #scheduleProgress(): void {
    const { clock } = this.#options
    this.#progress = clock.after(PROGRESS_EVERY_MS, () => {
      const now = clock.monotonic()
      for (const connection of [...this.#connections]) connection.checkProgress(now)
      this.#scheduleProgress()
    })
  }

  async #close(): Promise<void> {
    this.#progress?.cancel()
    const closed = this.#servers.map((server) => new Promise((done) => server.close(done)))
    this.#broker.commits.close()
    this.#broker.room.close()
    const allEnded = new Promise<void>((resolve) => {
      this.#allEnded = resolve
    })
    for (const connection of [...this.#connections]) connection.finish()
    const cut = this.#options.clock.after(CLOSE_LIMIT_MS, () => {
      for (const connection of [...this.#connections]) connection.destroy()
    })
    if (this.#connections.size > 0) await allEnded
    cut.cancel()
    await Promise.all(closed)
    this.#broker.producers.close()
  }
}

function listenFault(error: Error, host: string, port: number): AgentError {
  const cause = { cause: error }
  if (codeOf(error) === 'EADDRINUSE') {
    return new AgentError('LISTENER_IN_USE', `${port} is in use: set kafka.listeners`, cause)
  }
  const message = `kafka.listeners: cannot listen on ${host}:${port} (${codeOf(error)})`
  return new AgentError('INPUT_CONFIG', message, cause)
}
