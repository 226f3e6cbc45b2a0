// The MQTT listeners of the agent: mqtt:// mqtts:// ws:// wss://, all in front of one MqttFront.
//
// - A listener that other machines can reach is refused without usersFile or allowAnonymous.
// - Sockets stay half open after the peer's FIN: what was sent before it still counts.
// - WebSocket: subprotocol `mqtt` (or `mqttv3.1`), binary frames, no compression.

import { readFile } from 'node:fs/promises'
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { AgentError, codeOf } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { MqttFront, type MqttFrontOptions, type MqttStatus } from './mqtt-front.ts'
import { Users } from './users.ts'

export interface MqttAddress {
  readonly scheme: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  readonly host: string
  /** 0 = any free one. */
  readonly port: number
}

export interface MqttListenerOptions extends Omit<MqttFrontOptions, 'users'> {
  listeners: readonly MqttAddress[]
  /** Made by mosquitto_passwd. */
  usersFile: string | undefined
  tls: {
    certFile?: string | undefined
    keyFile?: string | undefined
    clientCaFile?: string | undefined
  }
  maxConnections: number
}

const HANDSHAKE_MS = 10_000
/** Sockets above `maxConnections` that may be in a TLS handshake or before their upgrade. */
const HANDSHAKES_MAX = 64
const SUBPROTOCOLS = ['mqtt', 'mqttv3.1']

export class MqttListener {
  /** As URLs, with the ports that were really taken. */
  readonly addresses: string[] = []
  readonly #front: MqttFront
  readonly #maxConnections: number
  readonly #logger: Logger
  readonly #servers: (Server | HttpServer)[] = []
  /** Of all servers, below TLS and WebSocket. */
  readonly #sockets = new Set<Socket>()
  #isFullSaid = false

  private constructor(front: MqttFront, { maxConnections, logger }: MqttListenerOptions) {
    this.#front = front
    this.#maxConnections = maxConnections
    this.#logger = logger
  }

  /** Listens on every address when it resolves; AgentError INPUT_CONFIG or LISTENER_IN_USE. */
  static async open(options: MqttListenerOptions): Promise<MqttListener> {
    for (const address of options.listeners) checkReach(address, options)
    const { usersFile, listeners } = options
    const users = usersFile === undefined ? undefined : await Users.load(usersFile)
    const needsTls = listeners.some(({ scheme }) => scheme === 'mqtts' || scheme === 'wss')
    const tls = needsTls ? await loadTls(options.tls) : undefined
    const front = await MqttFront.open({ ...options, users })
    const listener = new MqttListener(front, options)
    try {
      for (const address of listeners) await listener.#listen(address, tls)
    } catch (error) {
      await listener.close()
      throw error
    }
    return listener
  }

  /** The addresses on which nobody is let in any more. */
  get deaf(): string[] {
    return this.addresses.filter((_, index) => !this.#servers[index]!.listening)
  }

  status(): MqttStatus {
    return this.#front.status()
  }

  /** Takes no more connections and messages, sends the acks that are owed, ends everything. */
  async close(): Promise<void> {
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    )
    await this.#front.close()
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  async #listen(address: MqttAddress, tls: TlsOptions | undefined): Promise<void> {
    const server = await this.#createServer(address, tls)
    const { scheme, host, port } = address
    // Those are not in the front's count yet.
    server.maxConnections = this.#maxConnections + HANDSHAKES_MAX
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenFault(address, error)))
      server.listen({ host, port }, resolve)
    })
    server.removeAllListeners('error')
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('error', (error) => this.#logger.error(`an MQTT listener failed: ${error.message}`))
    this.#servers.push(server)
    const bound = (server.address() as AddressInfo).port
    this.addresses.push(`${scheme}://${host.includes(':') ? `[${host}]` : host}:${bound}`)
  }

  async #createServer(
    { scheme, host }: MqttAddress,
    tls: TlsOptions | undefined,
  ): Promise<Server | HttpServer> {
    const isLocal = isLoopback(host)
    const take = (socket: Socket) => this.#attach(socket, socket, isLocal)
    const streams = { allowHalfOpen: true, noDelay: true }
    switch (scheme) {
      case 'mqtt':
        return createServer(streams, take)
      case 'mqtts':
        return createTlsServer({ ...tls, ...streams, handshakeTimeout: HANDSHAKE_MS }, take)
      case 'ws':
        return this.#serveWebSockets(createHttpServer({ noDelay: true }, askForUpgrade), isLocal)
      case 'wss':
        return this.#serveWebSockets(
          createHttpsServer(
            { ...tls, noDelay: true, handshakeTimeout: HANDSHAKE_MS },
            askForUpgrade,
          ),
          isLocal,
        )
    }
  }

  async #serveWebSockets(server: HttpServer, isLocal: boolean): Promise<HttpServer> {
    // Loaded only here: few gateways take WebSockets, and every one should start quickly.
    const { createWebSocketStream, WebSocketServer } = await import('ws')
    const sockets = new WebSocketServer({
      server,
      perMessageDeflate: false,
      maxPayload: this.#front.maxPacketSize + 65_536,
      handleProtocols: (offered) => SUBPROTOCOLS.find((known) => offered.has(known)) ?? false,
    })
    sockets.on('error', () => {})
    sockets.on('connection', (webSocket, request) => {
      const stream = createWebSocketStream(webSocket, { allowHalfOpen: true })
      this.#attach(stream, request.socket, isLocal)
    })
    server.headersTimeout = HANDSHAKE_MS
    server.requestTimeout = HANDSHAKE_MS
    return server
  }

  #attach(stream: Duplex, { remoteAddress, remotePort }: Socket, isLocal: boolean): void {
    if (this.#front.connectionsCount >= this.#maxConnections) {
      stream.on('error', () => {})
      stream.destroy()
      if (!this.#isFullSaid) {
        this.#isFullSaid = true
        const limit = this.#maxConnections
        this.#logger.warn(`refused an MQTT connection: mqtt.maxConnections ${limit} is reached`)
      }
      return
    }
    this.#front.attach(stream, `${remoteAddress}:${remotePort}`, isLocal)
  }
}

/** A request that is no WebSocket handshake: a browser, a port scan. */
function askForUpgrade(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  response.writeHead(426, { connection: 'close', upgrade: 'websocket' })
  response.end('MQTT over WebSocket is spoken here\n')
}

/** True for a host that only this machine reaches. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

function checkReach({ scheme, host, port }: MqttAddress, options: MqttListenerOptions): void {
  const { usersFile, allowAnonymous } = options
  if (isLoopback(host) || usersFile !== undefined || allowAnonymous === true) return
  throw new AgentError(
    'INPUT_CONFIG',
    `mqtt.listeners: ${scheme}://${host}:${port} lets other machines in: ` +
      'set mqtt.usersFile (mosquitto_passwd makes it), or mqtt.allowAnonymous: true',
  )
}

function listenFault({ host, port }: MqttAddress, error: Error): AgentError {
  const code = codeOf(error)
  if (code === 'EADDRINUSE') {
    return new AgentError('LISTENER_IN_USE', `${port} is in use (mosquitto?): set mqtt.listeners`)
  }
  const reason = `mqtt.listeners: cannot listen on ${host}:${port} (${code || error.message})`
  return new AgentError('INPUT_CONFIG', reason, { cause: error })
}

async function loadTls(files: MqttListenerOptions['tls']): Promise<TlsOptions> {
  const { certFile, keyFile, clientCaFile } = files
  if (certFile === undefined || keyFile === undefined) {
    throw new AgentError('INPUT_CONFIG', 'mqtts:// and wss:// need mqtt.tls.certFile and keyFile')
  }
  const read = (key: string, file: string) =>
    readFile(file).catch((error: unknown) => {
      const reason = `mqtt.tls.${key} ${file} cannot be read (${codeOf(error)})`
      throw new AgentError('INPUT_CONFIG', reason, { cause: error })
    })
  const cert = await read('certFile', certFile)
  const key = await read('keyFile', keyFile)
  if (clientCaFile === undefined) return { cert, key }
  const ca = await read('clientCaFile', clientCaFile)
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true }
}
