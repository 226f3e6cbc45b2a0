// An MQTT publisher that keeps its word: a persistent session, an unacked store in memory, and
// after every lost connection the resends that QoS 1 and 2 ask for [MQTT-4.4.0-1]: PUBLISH with DUP
// where no ack came, PUBREL where a PUBREC did, in the order of the first sending.
//
// Sequence numbers of a publisher run 1, 2, 3 …; they are in the payload with the client's name, so
// that whoever reads the log can tell what is missing, twice or out of order.

import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connectPacket, PACKET, publishPacket, shortPackets } from '../support/mqtt-packets.ts'
import type { Random } from './random.ts'

export interface PublisherOptions {
  port: number
  clientId: string
  qos: 1 | 2
  mqttTopic: string
  /** Most messages unacked at a time. */
  window: number
  /** Most bytes a payload is longer than it has to be. */
  paddingMax: number
  random: Random
}

interface InFlight {
  payload: Buffer
  /** QoS 2: PUBREC came, so only the PUBREL is ever sent again. */
  isReleased: boolean
}

const TICK_MS = 10
const BURST_MAX = 4
const RECONNECT_MS_MAX = 150

export class Publisher {
  readonly clientId: string
  readonly qos: 1 | 2
  /** Highest sequence number ever sent. */
  issued = 0
  /** Messages whose last ack has come. */
  acked = 0
  reconnects = 0
  /** Acks for a packet id that is not in flight: late answers to a resend. */
  strayAcks = 0
  /** What the server did that MQTT does not allow. */
  readonly faults: string[] = []
  readonly #options: PublisherOptions
  readonly #inFlight = new Map<number, InFlight>()
  #socket: Socket | undefined
  #isAccepted = false
  #isPaused = false
  #isSurging = false
  #isClosed = false
  #hadSession = false
  #nextId = 1
  #rest: Buffer = Buffer.alloc(0)

  constructor(options: PublisherOptions) {
    this.#options = options
    this.clientId = options.clientId
    this.qos = options.qos
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0
  }

  get unacked(): number {
    return this.#inFlight.size
  }

  /** Connects, and connects again whenever the connection is lost; publishes in bursts. */
  start(): void {
    this.#connect()
    void this.#publishOn()
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
  }

  /** Keeps the window full from now on, so that whatever comes next comes in the middle of work. */
  surge(): void {
    this.#isSurging = true
    this.#publish(this.#options.window)
  }

  /** Back to bursts. */
  calm(): void {
    this.#isSurging = false
  }

  /** Loses the connection as a bad link does, without a DISCONNECT. */
  drop(): void {
    this.#socket?.destroy()
  }

  close(): void {
    this.#isClosed = true
    this.#socket?.destroy()
  }

  async #publishOn(): Promise<void> {
    while (!this.#isClosed) {
      await delay(TICK_MS)
      this.#publish(this.#options.random.upTo(BURST_MAX))
    }
  }

  /** Sends up to `count` new messages in one write, as the window allows. */
  #publish(count: number): void {
    if (this.#isPaused || !this.#isAccepted) return
    const room = this.#options.window - this.#inFlight.size
    const packets: Buffer[] = []
    while (packets.length < Math.min(room, count)) packets.push(this.#newMessage())
    if (packets.length > 0) this.#socket?.write(Buffer.concat(packets))
  }

  #newMessage(): Buffer {
    const { random, paddingMax } = this.#options
    const id = this.#freeId()
    this.issued++
    const padding = 'x'.repeat(random.upTo(paddingMax))
    const message = { client: this.clientId, seq: this.issued, padding }
    const payload = Buffer.from(JSON.stringify(message))
    this.#inFlight.set(id, { payload, isReleased: false })
    return this.#publishPacket(id, payload, false)
  }

  #publishPacket(packetId: number, payload: Buffer, isDuplicate: boolean): Buffer {
    const { mqttTopic: topic, qos } = this.#options
    return publishPacket({ topic, qos, payload, packetId, isDuplicate })
  }

  #freeId(): number {
    while (this.#inFlight.has(this.#nextId)) this.#nextId = (this.#nextId % 65_535) + 1
    const id = this.#nextId
    this.#nextId = (id % 65_535) + 1
    return id
  }

  #connect(): void {
    const { port, clientId } = this.#options
    this.#rest = Buffer.alloc(0)
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket = socket
    socket.on('connect', () => socket.write(connectPacket({ clientId, cleanSession: false })))
    socket.on('data', (chunk) => {
      if (this.#socket === socket) this.#receive(chunk)
    })
    socket.on('error', () => {})
    socket.on('close', () => void this.#reconnect())
  }

  async #reconnect(): Promise<void> {
    this.#isAccepted = false
    await delay(this.#options.random.upTo(RECONNECT_MS_MAX))
    if (this.#isClosed) return
    this.reconnects++
    this.#connect()
  }

  #receive(chunk: Buffer): void {
    const data = Buffer.concat([this.#rest, chunk])
    let position = 0
    while (data.length - position >= 2) {
      const size = 2 + data[position + 1]!
      if (data.length - position < size) break
      const packet = data.subarray(position, position + size)
      if (packet[0] === PACKET.connack) this.#accepted(packet[2] === 1, packet[3]!)
      else if (packet[0] !== PACKET.pingresp) this.#handleAck(packet[0]!, packet.readUInt16BE(2))
      position += size
    }
    this.#rest = Buffer.from(data.subarray(position))
    if (this.#isSurging) this.#publish(this.#options.window)
  }

  /** Everything unacked goes again, in the order of its first sending. */
  #accepted(isSessionPresent: boolean, returnCode: number): void {
    if (returnCode !== 0) {
      this.faults.push(`${this.clientId}: CONNACK ${returnCode}`)
      return
    }
    const released = [...this.#inFlight.values()].filter((message) => message.isReleased).length
    if (this.#hadSession && !isSessionPresent && released > 0) {
      this.faults.push(`${this.clientId}: session lost with ${released} packet ids held`)
    }
    this.#hadSession = true
    const packets: Buffer[] = []
    for (const [id, { payload, isReleased }] of this.#inFlight) {
      packets.push(
        isReleased ? shortPackets(PACKET.pubrel, [id]) : this.#publishPacket(id, payload, true),
      )
    }
    if (packets.length > 0) this.#socket?.write(Buffer.concat(packets))
    this.#isAccepted = true
  }

  #handleAck(type: number, id: number): void {
    const message = this.#inFlight.get(id)
    const isExpected =
      this.qos === 1 ? type === PACKET.puback : type === PACKET.pubrec || type === PACKET.pubcomp
    if (!isExpected) {
      this.faults.push(
        `${this.clientId}: packet 0x${type.toString(16)} is no answer to QoS ${this.qos}`,
      )
      return
    }
    if (type === PACKET.pubrec) {
      if (message === undefined) this.strayAcks++
      else message.isReleased = true
      this.#socket?.write(shortPackets(PACKET.pubrel, [id]))
      return
    }
    if (message === undefined) {
      this.strayAcks++
      return
    }
    if (type === PACKET.pubcomp && !message.isReleased) {
      this.faults.push(`${this.clientId}: PUBCOMP ${id} before its PUBREC`)
    }
    this.#inFlight.delete(id)
    this.acked++
  }
}
