// One device's connection: a real mqtt.js client with a window, back-off and faults on request.
//
// Messages in flight are the client's: with QoS 1 and 2 it keeps them through lost connections and
// reboots (a device's flash) and sends them again under the same packet id, as MQTT asks for. What
// does not fit the window stays with the caller. A message's callback comes exactly once.

import type { IClientOptions, MqttClient, Store } from 'mqtt'
import type { Random } from './prng.ts'
import { causeOf, SimError } from './sim-error.ts'

export type Qos = 0 | 1 | 2

export interface TlsOptions {
  readonly ca: Buffer | undefined
  readonly cert: Buffer | undefined
  readonly key: Buffer | undefined
  readonly rejectUnauthorized: boolean
}

export interface LinkOptions {
  readonly brokerUrl: string
  readonly clientId: string
  readonly username: string | undefined
  readonly password: string | undefined
  readonly qos: Qos
  /** A persistent session (clean session off). */
  readonly isPersistent: boolean
  readonly keepAliveS: number
  /** Messages in flight at once. */
  readonly window: number
  readonly tls: TlsOptions | undefined
}

export interface LinkListener {
  /** Connected, or there is room in the window again. */
  onRoom(): void
  onConnect(): void
  /** Once for each kind of trouble until the next connection. */
  onProblem(sentence: string): void
}

const BACK_OFF_FIRST_MS = 250
const BACK_OFF_MAX_MS = 10_000
const CONNECT_TIMEOUT_MS = 10_000
/** Between a refused message and the next try. */
const HOLD_MS = 50
const CLOSE_WAIT_MS = 2_000
/** Bytes waiting in the socket above which QoS 0 waits, too. */
const SOCKET_BYTES_MAX = 65_536

export class DeviceLink {
  readonly #options: LinkOptions
  readonly #random: Random
  readonly #listener: LinkListener
  #client: MqttClient | undefined
  #stores: { incomingStore: Store; outgoingStore: Store } | undefined
  #inFlight = 0
  #connects = 0
  #attempts = 0
  #isUp = false
  #isConnected = false
  #lastProblem = ''
  #stall: NodeJS.Timeout | undefined
  #held: NodeJS.Timeout | undefined

  constructor(options: LinkOptions, random: Random, listener: LinkListener) {
    this.#options = options
    this.#random = random
    this.#listener = listener
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  get connects(): number {
    return this.#connects
  }

  get inFlight(): number {
    return this.#inFlight
  }

  get hasRoom(): boolean {
    if (!this.#isUp || !this.#isConnected || this.#held !== undefined) return false
    if (this.#inFlight >= this.#options.window) return false
    return this.#options.qos > 0 || this.#client!.stream.writableLength < SOCKET_BYTES_MAX
  }

  /** Connects, now and again after every loss; resolves when the first attempt is under way. */
  async start(): Promise<void> {
    // mqtt.js is CommonJS and large: only a fleet that runs pays for it.
    const mqtt = (await import('mqtt')).default
    this.#stores = {
      incomingStore: new mqtt.Store({ clean: false }),
      outgoingStore: new mqtt.Store({ clean: false }),
    }
    this.#isUp = true
    const client = mqtt.connect(this.#options.brokerUrl, this.#clientOptions())
    this.#client = client
    client.on('packetreceive', (packet) => {
      // As early as can be: the client resends its store before it says 'connect'. mqtt.js leaves
      // Nagle on, which delays every lone publish behind an unacknowledged one.
      if (packet.cmd === 'connack') (client.stream as { setNoDelay?(): void }).setNoDelay?.()
    })
    client.on('connect', () => this.#onConnect())
    client.on('close', () => {
      this.#isConnected = false
    })
    client.on('reconnect', () => this.#backOff())
    client.on('error', (error) => this.#onError(error))
  }

  /**
   * Only while there is room. `onDone` comes when the message is acked (QoS 1, 2) or written (QoS 0),
   * with false when it was given up and may be published again.
   */
  publish(mqttTopic: string, payload: Buffer, onDone: (isDone: boolean) => void): void {
    this.#inFlight++
    this.#client!.publish(mqttTopic, payload, { qos: this.#options.qos }, (error) => {
      this.#inFlight--
      if (error) this.#hold()
      onDone(!error)
      if (this.hasRoom) this.#listener.onRoom()
    })
  }

  /** Loses the connection without a word; it comes back after the back-off. */
  cut(): void {
    this.#client?.stream.destroy()
  }

  /** The network takes and gives nothing for a while, without closing. */
  stall(ms: number): void {
    const stream = this.#client?.stream
    if (stream === undefined || this.#stall !== undefined) return
    stream.pause()
    stream.cork()
    this.#stall = setTimeout(() => {
      this.#stall = undefined
      stream.uncork()
      stream.resume()
    }, ms)
  }

  /** Off until `up`; abruptly = without DISCONNECT and without waiting for what is in flight. */
  down(options: { isAbrupt: boolean }): Promise<void> {
    const client = this.#client
    if (client === undefined || !this.#isUp) return Promise.resolve()
    this.#isUp = false
    this.#endStall()
    return new Promise((resolve) => {
      if (options.isAbrupt) {
        client.end(true, {}, () => resolve())
        return
      }
      // mqtt.js waits for ever for what is in flight; nobody else should.
      const late = setTimeout(() => client.stream.destroy(), 2 * CLOSE_WAIT_MS)
      const done = () => {
        clearTimeout(late)
        resolve()
      }
      if (this.#inFlight > 0 && !this.#isConnected) client.end(true, {}, done)
      else this.#endWhenAcked(client, done)
    })
  }

  /** On again after `down`, with what was in flight. */
  up(): void {
    if (this.#isUp || this.#client === undefined || this.#stores === undefined) return
    this.#isUp = true
    this.#attempts = 0
    this.#client.reconnect(this.#stores)
  }

  #endWhenAcked(client: MqttClient, done: () => void): void {
    const started = performance.now()
    const look = () => {
      const isLate = performance.now() - started > CLOSE_WAIT_MS
      if (this.#inFlight === 0 || isLate || !this.#isConnected) {
        client.end(this.#inFlight > 0, {}, done)
      } else setTimeout(look, 10)
    }
    look()
  }

  #clientOptions(): IClientOptions {
    const { clientId, username, password, isPersistent, keepAliveS, tls } = this.#options
    return {
      clientId,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls?.key === undefined ? {} : { key: tls.key }),
      rejectUnauthorized: tls?.rejectUnauthorized ?? true,
      clean: !isPersistent,
      protocolVersion: 4,
      keepalive: keepAliveS,
      reconnectPeriod: this.#delay(),
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectOnConnackError: true,
      queueQoSZero: false,
      resubscribe: false,
      ...this.#stores!,
    }
  }

  #onConnect(): void {
    if (!this.#isUp) return
    this.#isConnected = true
    this.#connects++
    this.#attempts = 0
    this.#lastProblem = ''
    this.#client!.options.reconnectPeriod = this.#delay()
    this.#listener.onConnect()
    this.#listener.onRoom()
  }

  /** mqtt.js takes its next waiting time from the options each time a connection ends. */
  #backOff(): void {
    this.#attempts++
    this.#client!.options.reconnectPeriod = this.#delay()
  }

  /** Doubling, with full jitter above half: a fleet must not come back in one moment. */
  #delay(): number {
    const ceiling = Math.min(BACK_OFF_MAX_MS, BACK_OFF_FIRST_MS * 2 ** Math.min(this.#attempts, 16))
    return Math.round(this.#random.between(ceiling / 2, ceiling))
  }

  #onError(error: Error): void {
    // Brokers may answer a DISCONNECT with a reset; that is an end like any other.
    if (!this.#isUp) return
    const sentence = `${this.#options.clientId}: ${this.#options.brokerUrl}: ${causeOf(error)}`
    if (sentence === this.#lastProblem) return
    this.#lastProblem = sentence
    this.#listener.onProblem(sentence)
  }

  /** mqtt.js may refuse in the call itself: without a pause the caller would try for ever. */
  #hold(): void {
    if (this.#held !== undefined) return
    this.#held = setTimeout(() => {
      this.#held = undefined
      if (this.hasRoom) this.#listener.onRoom()
    }, HOLD_MS)
  }

  #endStall(): void {
    clearTimeout(this.#stall)
    this.#stall = undefined
  }
}

/** Refuses what mqtt.js would take for another scheme or fail on much later. */
export function checkBrokerUrl(text: string): SimError | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const schemes = ['mqtt:', 'mqtts:', 'tcp:', 'ws:', 'wss:']
  if (url !== undefined && schemes.includes(url.protocol) && url.hostname !== '') return undefined
  return new SimError(
    'SIM_INPUT',
    `broker is "${text}", expected a URL such as mqtt://127.0.0.1:1883`,
  )
}
