// A device's configuration over HTTP: how a device fetches it, and the server a fleet fetches from.
//
//   GET /devices/{device}/configuration → 200 {"intervalMs":5000,…} with an ETag, 304 when unchanged
//
// The fetch is a real device's: a time limit, a size cap, a few retries with back-off, and the last
// ETag sent along, so that an unchanged configuration costs a few bytes.

import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Response } from 'node-fetch'
import { shorten, unknownKeys } from '../devices/suggestion.ts'
import type { DeviceSettings } from './device.ts'
import { causeOf, SimError } from './sim-error.ts'

export interface FetchOptions {
  readonly url: string
  /** Of the configuration the device has. */
  readonly etag?: string | undefined
  readonly timeoutMs?: number
  readonly attempts?: number
  /** Before the second attempt; doubles with every further one. */
  readonly backOffMs?: number
  readonly maxBytes?: number
  readonly signal?: AbortSignal | undefined
}

export type FetchOutcome =
  | { readonly kind: 'fresh'; readonly settings: DeviceSettings; readonly etag: string | undefined }
  | { readonly kind: 'unchanged' }

const RETRY_AFTER_MAX_MS = 30_000
const SETTING_KEYS = ['intervalMs', 'mqttTopic', 'format', 'isEnabled'] as const

/** Fetches and checks the settings; a SimError says why there are none. */
export async function fetchConfiguration(options: FetchOptions): Promise<FetchOutcome> {
  const { attempts = 4, backOffMs = 500 } = options
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetchOnce(options)
    } catch (error) {
      const isFinal = !(error instanceof RetryLater) || attempt >= attempts
      if (options.signal?.aborted || isFinal) throw faultOf(error, options.url, attempt)
      const wait = Math.max(error.afterMs, backOffMs * 2 ** (attempt - 1))
      await pause(Math.min(wait, RETRY_AFTER_MAX_MS), options.signal)
    }
  }
}

class RetryLater extends Error {
  readonly afterMs: number

  constructor(message: string, afterMs = 0) {
    super(message)
    this.afterMs = afterMs
  }
}

function faultOf(error: unknown, url: string, attempts: number): SimError {
  if (error instanceof SimError) return error
  const tries = attempts === 1 ? '' : ` (${attempts} attempts)`
  return new SimError('SIM_UNREACHABLE', `configuration from ${url}: ${causeOf(error)}${tries}`, {
    cause: error,
  })
}

async function fetchOnce(options: FetchOptions): Promise<FetchOutcome> {
  const { url, etag, timeoutMs = 5_000, maxBytes = 65_536, signal } = options
  const { default: fetch } = await import('node-fetch')
  const limit = new AbortController()
  const timer = setTimeout(() => limit.abort(), timeoutMs)
  const abort = () => limit.abort()
  signal?.addEventListener('abort', abort)
  if (signal?.aborted) limit.abort()
  try {
    const headers = {
      accept: 'application/json',
      ...(etag === undefined ? {} : { 'if-none-match': etag }),
    }
    // The limit covers the body too: `size` makes node-fetch give up behind that many bytes.
    const response = await fetch(url, { headers, signal: limit.signal, size: maxBytes, follow: 3 })
    if (response.status === 304) return { kind: 'unchanged' }
    if (response.status !== 200) {
      response.body?.resume?.()
      throw refusal(response, url)
    }
    const text = await response.text()
    return {
      kind: 'fresh',
      settings: readSettings(text, url),
      etag: response.headers.get('etag') ?? undefined,
    }
  } catch (error) {
    throw classify(error, limit.signal.aborted, options, timeoutMs, maxBytes)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
}

function classify(
  error: unknown,
  isAborted: boolean,
  { url, signal }: FetchOptions,
  timeoutMs: number,
  maxBytes: number,
): Error {
  if (error instanceof SimError || error instanceof RetryLater) return error
  if (signal?.aborted) return new SimError('SIM_UNREACHABLE', `configuration from ${url}: stopped`)
  if (isAborted) return new RetryLater(`no answer within ${timeoutMs} ms`)
  const type = error instanceof Error && 'type' in error ? error.type : undefined
  if (type === 'max-size') {
    return new SimError('SIM_REFUSED', `configuration from ${url} has more than ${maxBytes} bytes`)
  }
  if (error instanceof TypeError) {
    return new SimError('SIM_INPUT', `configuration from ${url}: ${error.message}`)
  }
  return new RetryLater(causeOf(error))
}

/** 429, 408 and every 5xx may pass; the rest is an answer. */
function refusal(response: Response, url: string): Error {
  const { status } = response
  if (status === 429 || status === 408 || status >= 500) {
    const seconds = Number(response.headers.get('retry-after'))
    return new RetryLater(`HTTP ${status}`, Number.isFinite(seconds) ? seconds * 1_000 : 0)
  }
  return new SimError('SIM_REFUSED', `configuration from ${url}: HTTP ${status}`)
}

/** Settings from JSON text; a configuration a device cannot obey is refused whole. */
export function readSettings(text: string, where: string): DeviceSettings {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new SimError('SIM_REFUSED', `configuration from ${where} is not JSON: ${shorten(text)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SimError(
      'SIM_REFUSED',
      `configuration from ${where} is ${shorten(value)}, expected an object`,
    )
  }
  const settings = value as Readonly<Record<string, unknown>>
  const problem = unknownKeys(settings, SETTING_KEYS, where)[0] ?? settingProblem(settings)
  if (problem !== undefined) throw new SimError('SIM_REFUSED', `configuration: ${problem}`)
  return settings
}

function settingProblem(settings: Readonly<Record<string, unknown>>): string | undefined {
  const { intervalMs, mqttTopic, format, isEnabled } = settings
  if (intervalMs !== undefined && !(typeof intervalMs === 'number' && intervalMs >= 1)) {
    return `intervalMs is ${shorten(intervalMs)}, expected milliseconds, at least 1`
  }
  if (mqttTopic !== undefined && (typeof mqttTopic !== 'string' || !/^[^+#\0]+$/.test(mqttTopic))) {
    return `mqttTopic is ${shorten(mqttTopic)}, expected a topic without + and #`
  }
  if (format !== undefined && format !== 'json' && format !== 'cbor') {
    return `format is ${shorten(format)}, expected json or cbor`
  }
  if (isEnabled !== undefined && typeof isEnabled !== 'boolean') {
    return `isEnabled is ${shorten(isEnabled)}, expected true or false`
  }
  return undefined
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}

/** Serves settings to a fleet; what `settingsOf` says at the time of a request is what it gets. */
export class ConfigurationServer {
  readonly #server: Server
  readonly #settingsOf: (device: string) => DeviceSettings | undefined

  private constructor(settingsOf: (device: string) => DeviceSettings | undefined) {
    this.#settingsOf = settingsOf
    this.#server = createServer((request, response) => this.#answer(request, response))
    this.#server.requestTimeout = 10_000
    this.#server.maxConnections = 1_000
  }

  /** Listening on loopback when it resolves; port 0 = a free one. */
  static async listen(
    settingsOf: (device: string) => DeviceSettings | undefined,
    port = 0,
  ): Promise<ConfigurationServer> {
    const server = new ConfigurationServer(settingsOf)
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', (error) => {
        reject(new SimError('SIM_INPUT', `configuration server: ${causeOf(error)}`))
      })
      server.#server.listen(port, '127.0.0.1', resolve)
    })
    return server
  }

  /** With {device} in the place of the device's id. */
  get url(): string {
    const { port } = this.#server.address() as AddressInfo
    return `http://127.0.0.1:${port}/devices/{device}/configuration`
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeAllConnections()
    await closed
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    const { status, body } = this.#reply(request)
    const text = JSON.stringify(body)
    const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`
    if (status === 200 && request.headers['if-none-match'] === etag) {
      response.writeHead(304, { etag }).end()
      return
    }
    response.writeHead(status, {
      'content-type': 'application/json',
      ...(status === 200 ? { etag } : {}),
    })
    response.end(text)
  }

  #reply(request: IncomingMessage): { readonly status: number; readonly body: object } {
    const found = /^\/devices\/([^/?]{1,192})\/configuration$/.exec(request.url ?? '')
    if (found === null) return { status: 404, body: { error: 'no such page' } }
    if (request.method !== 'GET') return { status: 405, body: { error: 'only GET' } }
    let device: string
    try {
      device = decodeURIComponent(found[1]!)
    } catch {
      return { status: 400, body: { error: 'malformed device id' } }
    }
    const settings = this.#settingsOf(device)
    if (settings === undefined) return { status: 404, body: { error: 'no such device' } }
    return { status: 200, body: settings }
  }
}
