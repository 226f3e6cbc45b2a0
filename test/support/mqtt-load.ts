// An MQTT 3.1.1 load generator on raw sockets, in a process of its own, cheap enough that the
// server is the limit (over 300,000 acked messages a second on one core against a bare socket).
//
//   const report = await runLoad({ port, qos: 1, connections: 50, window: 10, seconds: 3 }, …)
//
// Every connection keeps `window` messages unacked and checks each ack by its packet id and state;
// an ack it does not expect, or one that never comes, is counted and makes the report bad. With
// `rate` the messages of all connections together are sent evenly at that rate. QoS 0 is a flood:
// it ends with a PINGREQ per connection, and the time counts until the answers are there.
//
// Payloads are JSON of exactly `payloadBytes`, with digits that differ in every message.

import { fork } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { connectPacket, PACKET, publishPacket, shortPackets } from './mqtt-packets.ts'

export interface LoadOptions {
  port: number
  qos: 0 | 1 | 2
  connections: number
  /** Unacked messages a connection; for QoS 0, messages a write. */
  window: number
  seconds: number
  /** Seconds of load before anything is counted. */
  warmupSeconds?: number
  /** Messages a second of all connections together; unset: as fast as acks allow. */
  rate?: number
  /** Ends after this many messages, or after `seconds`. */
  messages?: number
  payloadBytes?: number
  clientPrefix?: string
  /** How long late acks are waited for before they count as missing. */
  settleMs?: number
}

export interface LoadReport {
  /** Acked (QoS 0: handed over and answered by PINGRESP) in the counted time. */
  messages: number
  /** Messages of the whole run, warm-up included. */
  totalMessages: number
  seconds: number
  messagesPerSecond: number
  p50Ms: number
  p99Ms: number
  badAcks: number
  missingAcks: number
  failedConnections: number
}

/** Forks the loader; `counting` is called when the warm-up is over, `counted` when the time is. */
export function runLoad(
  options: LoadOptions,
  on: { counting?: () => void; counted?: () => void } = {},
): Promise<LoadReport> {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)], {
    execArgv: ['--import', 'tsx'],
    env: { ...process.env, TRIBUTARY_MQTT_LOAD: '1' },
  })
  const limitMs = ((options.warmupSeconds ?? 0) + options.seconds + 60) * 1000
  const timer = setTimeout(() => child.kill('SIGKILL'), limitMs)
  let report: LoadReport | undefined
  child.on('message', (message: 'counting' | 'counted' | LoadReport) => {
    if (message === 'counting') on.counting?.()
    else if (message === 'counted') on.counted?.()
    else report = message
  })
  return new Promise((resolve, reject) => {
    child.on('close', (code) => {
      clearTimeout(timer)
      if (report !== undefined) resolve(report)
      else reject(new Error(`the loader ended with ${code} and no report`))
    })
  })
}

// ---- the loader's own process

/** States of a packet id. */
const FREE = 0
const PUBLISHED = 1
const RELEASED = 2

/** Latencies in steps of 10 µs to 100 ms, then of 1 ms to a minute. */
class Latencies {
  readonly #counts = new Uint32Array(70_000)
  #total = 0

  add(ms: number): void {
    const slot = ms < 100 ? Math.floor(ms * 100) : Math.min(69_999, 10_000 + Math.floor(ms - 100))
    this.#counts[slot]!++
    this.#total++
  }

  quantile(share: number): number {
    let seen = 0
    for (let slot = 0; slot < this.#counts.length; slot++) {
      seen += this.#counts[slot]!
      if (this.#total > 0 && seen >= share * this.#total) {
        return slot < 10_000 ? (slot + 1) / 100 : slot - 10_000 + 101
      }
    }
    return 0
  }

  clear(): void {
    this.#counts.fill(0)
    this.#total = 0
  }
}

class Load {
  readonly options: LoadOptions
  readonly latencies = new Latencies()
  readonly connections: LoadConnection[] = []
  sent = 0
  acked = 0
  badAcks = 0
  failedConnections = 0
  isSending = true
  isCounting = false
  onLimit = () => {}

  constructor(options: LoadOptions) {
    this.options = options
  }

  /** One more message may be sent now. */
  take(): boolean {
    if (!this.isSending) return false
    if (this.sent === this.options.messages) {
      this.isSending = false
      this.onLimit()
      return false
    }
    this.sent++
    return true
  }
}

class LoadConnection {
  readonly socket: Socket
  readonly ready: Promise<void>
  readonly #load: Load
  readonly #template: Buffer
  readonly #idPosition: number
  readonly #digitsPosition: number
  readonly #states: Uint8Array
  readonly #sentAt: Float64Array
  readonly #free: Uint16Array
  #freeCount: number
  #rest: Buffer = Buffer.alloc(0)
  #sequence: number
  #isOpen = false
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined
  #onPong: (() => void) | undefined

  constructor(load: Load, index: number) {
    const { port, qos, window, clientPrefix = 'load' } = load.options
    this.#load = load
    this.#sequence = index * 1000
    const clientId = `${clientPrefix}-${process.pid}-${index}`
    const device = `dev${String(index).padStart(4, '0')}`
    const topic = `sensors/${device}/climate`
    const payload = payloadTemplate(device, load.options.payloadBytes ?? 128)
    this.#template = publishPacket({ topic, qos, payload })
    const payloadPosition = this.#template.length - payload.length
    this.#idPosition = payloadPosition - 2
    this.#digitsPosition = payloadPosition + payload.indexOf(FIRST_SEQUENCE)
    this.#states = new Uint8Array(window + 1)
    this.#sentAt = new Float64Array(window + 1)
    this.#free = Uint16Array.from({ length: window }, (_, slot) => slot + 1)
    this.#freeCount = window
    this.ready = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('connect', () =>
      this.socket.write(connectPacket({ clientId, cleanSession: true })),
    )
    this.socket.on('data', (chunk) => this.#receive(chunk))
    this.socket.on('drain', () => this.flood())
    this.socket.on('error', () => {})
    this.socket.on('close', () => this.#closed())
  }

  get unacked(): number {
    return this.#load.options.window - this.#freeCount
  }

  get hasRoom(): boolean {
    return this.#freeCount > 0
  }

  /** Fills the window with one write. */
  fill(): void {
    const { rate, qos } = this.#load.options
    if (rate !== undefined || qos === 0) return
    this.send(this.#freeCount)
  }

  /** Sends up to `count` messages in one write, as the window allows. */
  send(count: number): void {
    const size = this.#template.length
    const most = Math.min(count, this.#freeCount)
    if (most === 0) return
    const now = performance.now()
    const out = Buffer.allocUnsafe(most * size)
    let filled = 0
    while (filled < most && this.#load.take()) {
      const id = this.#free[--this.#freeCount]!
      this.#states[id] = PUBLISHED
      this.#sentAt[id] = now
      this.#copyMessage(out, filled++ * size, id)
    }
    if (filled > 0) this.socket.write(filled === most ? out : out.subarray(0, filled * size))
  }

  /** QoS 0: writes until the socket says that it is full; its drain goes on. */
  flood(): void {
    const { qos, window, rate } = this.#load.options
    if (qos !== 0 || rate !== undefined) return
    const size = this.#template.length
    for (let writes = 0; writes < WRITES_A_TURN; writes++) {
      const out = Buffer.allocUnsafe(window * size)
      let filled = 0
      while (filled < window && this.#load.take()) this.#copyMessage(out, filled++ * size, 0)
      if (filled === 0 || !this.socket.write(out.subarray(0, filled * size))) return
    }
    setImmediate(() => this.flood())
  }

  /** Resolves when the server has answered a PINGREQ, and so read all that came before it. */
  ping(): Promise<void> {
    return new Promise((resolve) => {
      this.#onPong = resolve
      this.socket.write(Buffer.from([0xc0, 0]))
    })
  }

  #copyMessage(out: Buffer, position: number, id: number): void {
    this.#template.copy(out, position)
    if (id > 0) out.writeUInt16BE(id, position + this.#idPosition)
    // Digits that change from message to message, as a sensor's do: sequence and two readings.
    let digits = 10_000_000 + (this.#sequence++ % 89_999_999)
    const at = position + this.#digitsPosition
    for (let i = 7; i >= 0; i--) {
      out[at + i] = 48 + (digits % 10)
      digits = Math.floor(digits / 10)
    }
    let noise = Math.imul(this.#sequence, 2_654_435_761) >>> 0
    for (let i = 0; i < 8; i++) {
      out[at + NOISE_GAPS[i]!] = 48 + (noise % 10)
      noise = Math.floor(noise / 10)
    }
  }

  #receive(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const now = performance.now()
    let position = 0
    let released: number[] | undefined
    while (data.length - position >= 2) {
      const length = 2 + data[position + 1]!
      if (data.length - position < length) break
      const id = length === 4 ? data.readUInt16BE(position + 2) : 0
      const type = data[position]!
      if (type === PACKET.pubrec) {
        if (this.#advance(id, PUBLISHED, RELEASED)) (released ??= []).push(id)
      } else this.#handle(type, id, now)
      position += length
    }
    this.#rest = position === data.length ? EMPTY : Buffer.from(data.subarray(position))
    if (released !== undefined) this.socket.write(shortPackets(PACKET.pubrel, released))
    this.fill()
  }

  #handle(type: number, id: number, now: number): void {
    if (type === PACKET.puback || type === PACKET.pubcomp) {
      const from = type === PACKET.puback ? PUBLISHED : RELEASED
      const isRight = (type === PACKET.puback) === (this.#load.options.qos === 1)
      if (!isRight) this.#load.badAcks++
      else if (this.#advance(id, from, FREE)) this.#acked(id, now)
    } else if (type === PACKET.pingresp) {
      this.#onPong?.()
    } else if (type === PACKET.connack && !this.#isOpen) {
      this.#isOpen = true
      if (id & 0xff) this.#settle?.reject(new Error(`CONNACK ${id & 0xff}`))
      else this.#settle?.resolve()
    } else this.#load.badAcks++
  }

  /** Whether the id was in the state the ack belongs to. */
  #advance(id: number, from: number, to: number): boolean {
    if (this.#states[id] !== from || id === 0) {
      this.#load.badAcks++
      return false
    }
    this.#states[id] = to
    return true
  }

  #acked(id: number, now: number): void {
    this.#free[this.#freeCount++] = id
    if (!this.#load.isCounting) return
    this.#load.acked++
    this.#load.latencies.add(now - this.#sentAt[id]!)
  }

  #closed(): void {
    if (this.#settle !== undefined && !this.#isOpen) this.#settle.reject(new Error('closed'))
    this.#load.failedConnections++
  }
}

/** QoS 0 lets other sockets and timers have their turn after so many writes. */
const WRITES_A_TURN = 16
const EMPTY = Buffer.alloc(0)
const FIRST_SEQUENCE = '10000000'
/** Where the digits of the two readings lie, counted from the sequence's first digit. */
const READINGS = `${FIRST_SEQUENCE},"temperature":21.0000,"humidity":48.0000`
const NOISE_GAPS = [...READINGS.matchAll(/\.(\d{4})/g)].flatMap(({ index }) =>
  [1, 2, 3, 4].map((gap) => index + gap),
)

/** JSON of exactly `bytes` (at least 100): the last member is padding. */
function payloadTemplate(device: string, bytes: number): Buffer {
  const start = `{"device":"${device}","seq":${READINGS},"unit":"`
  const end = '"}'
  const padding = 'celsius,percent,'.repeat(Math.ceil(bytes / 16))
  const text = start + padding.slice(0, bytes - start.length - end.length) + end
  if (text.length !== bytes) throw new Error(`payloadBytes ${bytes} is too small`)
  return Buffer.from(text)
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Sends what is due at `rate`, spread over the connections in turn. */
function pace(load: Load, rate: number): void {
  const start = performance.now()
  let due = 0
  let turn = 0
  const timer = setInterval(() => {
    if (!load.isSending) return clearInterval(timer)
    const target = Math.floor(((performance.now() - start) / 1000) * rate)
    for (let tries = 0; due < target && tries < load.connections.length; turn++, tries++) {
      const connection = load.connections[turn % load.connections.length]!
      if (!connection.hasRoom) continue
      connection.send(1)
      due++
      tries = -1
    }
  }, 1)
}

async function load(options: LoadOptions): Promise<LoadReport> {
  const run = new Load(options)
  for (let index = 0; index < options.connections; index++) {
    run.connections.push(new LoadConnection(run, index))
    if (index % 20 === 19) await run.connections.at(-1)!.ready
  }
  await Promise.all(run.connections.map((connection) => connection.ready))
  const limit = new Promise<void>((resolve) => {
    run.onLimit = resolve
  })
  let [start, sentBefore] = [0, 0]
  const beginCounting = () => {
    run.isCounting = true
    ;[start, sentBefore] = [performance.now(), run.sent]
    process.send?.('counting')
  }
  if (!options.warmupSeconds) beginCounting()
  for (const connection of run.connections) {
    connection.fill()
    connection.flood()
  }
  if (options.rate !== undefined) pace(run, options.rate)
  if (options.warmupSeconds) {
    await pause(options.warmupSeconds * 1000)
    beginCounting()
  }
  await Promise.race([limit, pause(options.seconds * 1000)])
  run.isSending = false
  const failedConnections = run.failedConnections
  if (options.qos === 0) await Promise.all(run.connections.map((connection) => connection.ping()))
  else if (options.messages !== undefined) await settle(run)
  const seconds = (performance.now() - start) / 1000
  run.isCounting = false
  process.send?.('counted')
  await settle(run)
  const messages = options.qos === 0 ? run.sent - sentBefore : run.acked
  const report: LoadReport = {
    messages,
    totalMessages: run.sent,
    seconds,
    messagesPerSecond: messages / seconds,
    p50Ms: run.latencies.quantile(0.5),
    p99Ms: run.latencies.quantile(0.99),
    badAcks: run.badAcks,
    missingAcks: unackedOf(run),
    failedConnections,
  }
  for (const connection of run.connections) connection.socket.destroy()
  return report
}

function unackedOf(run: Load): number {
  return run.connections.reduce((sum, connection) => sum + connection.unacked, 0)
}

/** Waits for the acks that are still out. */
async function settle(run: Load): Promise<void> {
  const end = performance.now() + (run.options.settleMs ?? 20_000)
  while (unackedOf(run) > 0 && performance.now() < end) await pause(5)
}

if (process.env.TRIBUTARY_MQTT_LOAD === '1') {
  const report = await load(JSON.parse(process.argv[2]!) as LoadOptions)
  process.send?.(report, () => process.exit(0))
}
