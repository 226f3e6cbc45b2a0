// One connection to one broker: requests are pipelined, answers matched by correlation id.
//
// `open` resolves when the socket is connected (TLS included), versions are negotiated (KIP-511) and
// the authenticate hook is done. A request's header and body leave in one writev, record bytes
// uncopied: they must not change before the answer has come or the connection has ended.
//
// Whatever goes wrong ends the connection: a late answer, a malformed one, an unknown correlation id.
// All requests still waiting are then rejected with UPSTREAM_UNREACHABLE, which means "outcome
// unknown": the broker may have done what was asked.

import { connect, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Clock, Timer } from '../../base/clock.ts'
import { AgentError } from '../../base/errors.ts'
import { errorCode } from '../protocol/error-codes.ts'
import { decodeResponse, encodeRequest } from '../protocol/frame.ts'
import { FrameAssembler } from '../protocol/frame-assembler.ts'
import * as apiVersions from '../protocol/messages/18-api-versions.ts'
import type { Message } from '../protocol/schema.ts'
import { Reader } from '../protocol/wire.ts'
import { formatAddress } from './broker-address.ts'
import { connectionFault, refusedBy, unreachable } from './kafka-fault.ts'

/** An api as this side uses it: a file of protocol/messages is one. */
export interface ClientApi<In, Out> {
  readonly apiName: string
  readonly apiKey: number
  readonly versions: readonly [number, number]
  readonly request: Message<unknown, In>
  readonly response: Pick<Message<Out, never>, 'isFlexible' | 'decode'>
}

export interface TlsSettings {
  ca?: string | Buffer
  cert?: string | Buffer
  key?: string | Buffer
}

/** Runs on a fresh connection before anybody else may use it. */
export type Authenticate = (connection: BrokerConnection) => Promise<void>

export interface BrokerConnectionOptions {
  host: string
  port: number
  clientId: string
  clock: Clock
  tls?: TlsSettings | undefined
  authenticate?: Authenticate | undefined
  connectTimeoutMs?: number
  requestTimeoutMs?: number
  /** More than these waiting for an answer are refused with UPSTREAM_RETRY. */
  inFlightMax?: number
  /** A larger answer ends the connection. */
  frameBytesMax?: number
  /** Called once when the connection ends, after every waiting request was rejected. */
  onClose?: (fault: AgentError) => void
}

type Limits = Required<
  Pick<
    BrokerConnectionOptions,
    'connectTimeoutMs' | 'requestTimeoutMs' | 'inFlightMax' | 'frameBytesMax'
  >
>

const DEFAULTS: Limits = {
  connectTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  inFlightMax: 256,
  /** Brokers answer one batch of up to max.message.bytes whatever the fetch asks for. */
  frameBytesMax: 128 * 1024 * 1024,
}

export interface SendOptions {
  timeoutMs?: number
  /** Exactly this version; left out, the highest both sides speak. */
  version?: number
}

interface Pending {
  timer: Timer
  resolve: (frame: Buffer) => void
  reject: (fault: AgentError) => void
}

export class BrokerConnection {
  /** host:port */
  readonly address: string
  readonly #options: BrokerConnectionOptions & Limits
  readonly #socket: Socket
  readonly #assembler: FrameAssembler
  readonly #pending = new Map<number, Pending>()
  #offered = new Map<number, readonly [number, number]>()
  #nextCorrelationId = 1
  #ended: AgentError | undefined
  /** Negotiated, and authenticated where a hook does that. */
  #isReady = false
  /** Since then. */
  #answersCount = 0

  private constructor(options: BrokerConnectionOptions, socket: Socket) {
    this.#options = { ...DEFAULTS, ...options }
    this.address = formatAddress(options)
    this.#socket = socket
    this.#assembler = new FrameAssembler(this.#options.frameBytesMax)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('error', (cause) => this.#end(connectionFault(this.address, cause)))
    socket.on('close', () => this.#end(unreachable(this.address, this.#closedText())))
  }

  /** Rejects with UPSTREAM_UNREACHABLE or UPSTREAM_REFUSED; the socket is then gone. */
  static async open(options: BrokerConnectionOptions): Promise<BrokerConnection> {
    const socket = await openSocket(options)
    const connection = new BrokerConnection(options, socket)
    try {
      await connection.#negotiate()
      await options.authenticate?.(connection)
      connection.#isReady = true
    } catch (error) {
      connection.close()
      throw error
    }
    return connection
  }

  get isOpen(): boolean {
    return this.#ended === undefined
  }

  get inFlight(): number {
    return this.#pending.size
  }

  /** The highest version that both sides speak, and that is not above `atMost`. */
  versionOf(
    api: { apiName: string; apiKey: number; versions: readonly [number, number] },
    atMost = Number.POSITIVE_INFINITY,
  ): number {
    const [lowest, highest] = api.versions
    const [offeredLowest, offeredHighest] = this.#offered.get(api.apiKey) ?? [0, -1]
    const version = Math.min(highest, offeredHighest, atMost)
    if (version >= lowest && version >= offeredLowest) return version
    const offer = offeredHighest < 0 ? 'not at all' : `v${offeredLowest}-${offeredHighest}`
    throw new AgentError(
      'UPSTREAM_REFUSED',
      `${this.address} speaks ${api.apiName} ${offer}, this side v${lowest}-${highest}: use a broker of Kafka 2.1 or newer`,
      { details: { broker: this.address, kafkaError: 'UNSUPPORTED_VERSION' } },
    )
  }

  /** Resolves with the decoded answer. Never for a Produce with acks 0, which has none. */
  async send<In, Out>(
    api: ClientApi<In, Out>,
    request: In,
    options: SendOptions = {},
  ): Promise<Out> {
    const version = options.version ?? this.versionOf(api)
    const frame = await this.#exchange(api, request, version, options.timeoutMs)
    return this.#decode(api, version, frame)
  }

  close(): void {
    this.#end(unreachable(this.address, 'was disconnected from this side'))
  }

  #decode<Out>(api: ClientApi<never, Out>, version: number, frame: Buffer): Out {
    try {
      return decodeResponse(api, version, frame)
    } catch (cause) {
      const fault = unreachable(this.address, `sent a malformed ${api.apiName} answer`, cause)
      this.#end(fault)
      throw fault
    }
  }

  #exchange<In>(
    api: ClientApi<In, unknown>,
    request: In,
    version: number,
    timeoutMs = this.#options.requestTimeoutMs,
  ): Promise<Buffer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended)
    if (this.#pending.size >= this.#options.inFlightMax) {
      const text = `${this.address} has not answered ${this.#pending.size} requests yet`
      return Promise.reject(new AgentError('UPSTREAM_RETRY', text))
    }
    const correlationId = this.#nextCorrelationId
    this.#nextCorrelationId = (correlationId + 1) & 0x7fff_ffff
    const { clientId, clock } = this.#options
    const buffers = encodeRequest(api, { apiVersion: version, correlationId, clientId }, request)
    return new Promise((resolve, reject) => {
      const timer = clock.after(timeoutMs, () => {
        const why = `has not answered ${api.apiName} within ${timeoutMs} ms`
        this.#end(unreachable(this.address, why))
      })
      this.#pending.set(correlationId, { timer, resolve, reject })
      this.#socket.cork()
      for (const buffer of buffers) this.#socket.write(buffer)
      this.#socket.uncork()
    })
  }

  #onData(chunk: Buffer): void {
    if (this.#ended !== undefined) return
    try {
      this.#assembler.push(chunk, (frame) => this.#onFrame(frame))
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause)
      const why = isTlsAlert(chunk)
        ? 'wants TLS: set the security protocol to SSL or SASL_SSL'
        : `does not speak Kafka's protocol here (${text})`
      this.#end(unreachable(this.address, why, cause))
    }
  }

  /** Brokers say nothing to whoever should have authenticated first: they hang up. */
  #closedText(): string {
    const isRefusal = this.#isReady && this.#answersCount === 0
    return `closed the connection${isRefusal ? ' at the first request: does it want SASL?' : ''}`
  }

  #onFrame(frame: Buffer): void {
    const correlationId = frame.readInt32BE(0)
    const pending = this.#pending.get(correlationId)
    if (pending === undefined) {
      this.#end(unreachable(this.address, `answered ${correlationId}, which nobody asked`))
      return
    }
    if (this.#isReady) this.#answersCount++
    this.#pending.delete(correlationId)
    pending.timer.cancel()
    pending.resolve(frame)
  }

  #end(fault: AgentError): void {
    if (this.#ended !== undefined) return
    this.#ended = fault
    this.#socket.destroy()
    for (const { timer, reject } of this.#pending.values()) {
      timer.cancel()
      reject(fault)
    }
    this.#pending.clear()
    this.#options.onClose?.(fault)
  }

  /** Asks in v3; whoever does not know it answers in v0 and says what they know. */
  async #negotiate(): Promise<void> {
    const request = { clientSoftwareName: 'tributary', clientSoftwareVersion: '0.1' }
    let version = 3
    let frame = await this.#exchange(apiVersions, request, version)
    if (this.#errorOf(frame) === errorCode('UNSUPPORTED_VERSION')) {
      const { apiKeys } = this.#decode(apiVersions, 0, frame)
      const known = apiKeys.find(({ apiKey }) => apiKey === apiVersions.apiKey)
      version = Math.max(0, Math.min(version - 1, known?.maxVersion ?? 0))
      frame = await this.#exchange(apiVersions, request, version)
    }
    const answer = this.#decode(apiVersions, version, frame)
    if (answer.errorCode !== 0) throw refusedBy(this.address, 'ApiVersions', answer.errorCode)
    this.#offered = new Map(
      answer.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [
        apiKey,
        [minVersion, maxVersion],
      ]),
    )
  }

  /** The error code, which stands first in every version of an ApiVersions answer. */
  #errorOf(frame: Buffer): number {
    const reader = new Reader(frame, 4)
    return reader.remaining < 2 ? 0 : reader.int16()
  }
}

/** What a TLS listener answers to bytes that are not TLS. */
function isTlsAlert(chunk: Buffer): boolean {
  return chunk[0] === 0x15 && chunk[1] === 0x03
}

function openSocket(options: BrokerConnectionOptions): Promise<Socket> {
  const { host, port, tls, clock, connectTimeoutMs } = { ...DEFAULTS, ...options }
  return new Promise((resolve, reject) => {
    const socket =
      tls === undefined
        ? connect({ host, port, noDelay: true })
        : connectTls({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}), ...tls })
    const fail = (cause: unknown) => {
      timer.cancel()
      socket.destroy()
      reject(connectionFault(formatAddress(options), cause))
    }
    const timer = clock.after(connectTimeoutMs, () =>
      fail(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })),
    )
    socket.once('error', fail)
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      timer.cancel()
      socket.off('error', fail)
      socket.setNoDelay(true)
      resolve(socket)
    })
  })
}
