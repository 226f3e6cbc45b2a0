// The admin HTTP listener: GET /healthz /readyz /metrics /status, and nothing that changes anything.
//
// It has no password, so it listens where the configuration says, which is loopback by default.
// Answers are made at once from memory; connections, headers and their time are bounded.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AgentError, codeOf } from '../base/errors.ts'
import type { Logger, Metrics } from '../base/telemetry.ts'
import type { Readiness, Status } from './status.ts'

export interface HttpListenerOptions {
  readonly addresses: readonly { readonly host: string; readonly port: number }[]
  readonly status: () => Status
  readonly ready: () => Readiness
  readonly metrics: Metrics
  readonly logger: Logger
}

interface Answer {
  readonly code: number
  readonly type: 'text/plain; charset=utf-8' | 'application/json' | typeof PROMETHEUS
  readonly body: string
}

const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8'
const PLAIN = 'text/plain; charset=utf-8'
/** A scraper, a dashboard and a few people. */
const CONNECTIONS_MAX = 64
const HEADER_BYTES_MAX = 8_192
const REQUEST_LIMIT_MS = 10_000
const IDLE_LIMIT_MS = 15_000

export class HttpListener {
  readonly #options: HttpListenerOptions
  readonly #servers: Server[] = []

  private constructor(options: HttpListenerOptions) {
    this.#options = options
  }

  /** Listens on every address, or throws LISTENER_IN_USE and listens on none. */
  static async listen(options: HttpListenerOptions): Promise<HttpListener> {
    const listener = new HttpListener(options)
    try {
      for (const address of options.addresses) await listener.#open(address)
    } catch (error) {
      await listener.close()
      throw error
    }
    return listener
  }

  /** `host:port` of each address, with the port that a 0 became. */
  get addresses(): string[] {
    return this.#servers.map((server) => {
      const { address, port } = server.address() as AddressInfo
      return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
    })
  }

  /** Ends open connections and stops listening. */
  async close(): Promise<void> {
    await Promise.all(
      this.#servers.splice(0).map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve())
            server.closeAllConnections()
          }),
      ),
    )
  }

  #open({ host, port }: { host: string; port: number }): Promise<void> {
    const server = createServer(
      {
        maxHeaderSize: HEADER_BYTES_MAX,
        headersTimeout: REQUEST_LIMIT_MS,
        requestTimeout: REQUEST_LIMIT_MS,
        keepAliveTimeout: IDLE_LIMIT_MS,
        connectionsCheckingInterval: IDLE_LIMIT_MS,
      },
      (request, response) => this.#serve(request, response),
    )
    server.maxConnections = CONNECTIONS_MAX
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(listenFault(error, host, port)))
      server.listen(port, host, () => {
        server.removeAllListeners('error')
        server.on('error', ({ message }) => {
          this.#options.logger.warn('admin listener', { error: message })
        })
        this.#servers.push(server)
        resolve()
      })
    })
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    // Whatever a body holds, nothing here reads it.
    request.resume()
    const { code, type, body } = this.#answer(request)
    response.writeHead(code, {
      'content-type': type,
      'content-length': Buffer.byteLength(body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...(code === 405 ? { allow: 'GET' } : {}),
    })
    response.end(body)
  }

  #answer({ method, url = '/' }: IncomingMessage): Answer {
    const { status, ready, metrics } = this.#options
    if (method !== 'GET') return { code: 405, type: PLAIN, body: 'only GET is answered here\n' }
    switch (url.split('?', 1)[0]) {
      case '/healthz':
        return { code: 200, type: PLAIN, body: 'ok\n' }
      case '/readyz': {
        const { ok, reasons } = ready()
        if (ok) return { code: 200, type: PLAIN, body: 'ready\n' }
        return { code: 503, type: PLAIN, body: `${reasons.join('\n')}\n` }
      }
      case '/metrics':
        return { code: 200, type: PROMETHEUS, body: metrics.text() }
      case '/status':
        return { code: 200, type: 'application/json', body: `${JSON.stringify(status())}\n` }
      default: {
        const known = '/healthz /readyz /metrics /status'
        return { code: 404, type: PLAIN, body: `nothing here; there is ${known}\n` }
      }
    }
  }
}

function listenFault(error: Error, host: string, port: number): AgentError {
  const code = codeOf(error)
  const sentence =
    code === 'EADDRINUSE'
      ? `${port} is in use (another agent?): set admin.listeners`
      : `admin cannot listen on ${host}:${port} (${code}): set admin.listeners`
  return new AgentError('LISTENER_IN_USE', sentence, { cause: error })
}
