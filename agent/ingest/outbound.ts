// What aedes sends to one client: counted until the socket has taken it, so that a client that does
// not read costs a bounded amount of memory and nobody else waits for it.
//
// Also which QoS each delivery on its way has (aedes would answer a PUBREC for a QoS 1 message), and
// the session-present bit of the CONNACK, where aedes says only "has subscriptions".

import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { PUBACK, PUBLISH, PUBREC } from './frame-scanner.ts'

const CONNACK = 0x20

/** Above this live messages are skipped, and aedes is told to wait with what it streams. */
export const BACKLOG_MAX = 262_144

/** Bytes under way to all clients; above the limit those that are far behind are let go. */
export class OutboundBudget {
  readonly limit: number
  used = 0

  constructor(limit: number) {
    this.limit = limit
  }
}

export interface OutboundOptions {
  clock: Clock
  outboundBudget: OutboundBudget
}

export class Outbound {
  readonly #socket: Duplex
  readonly #budget: OutboundBudget
  readonly #clock: Clock
  readonly #hasSession: () => boolean
  /** Packet id → QoS of deliveries that are not acknowledged. */
  readonly #deliveries = new Map<number, number>()
  #waiting: (() => void) | undefined
  #hasConnack = false
  /** Bytes the socket has not taken. */
  backlog = 0
  /** When the socket last took some. */
  movedAt: number

  constructor(socket: Duplex, shared: OutboundOptions, hasSession: () => boolean) {
    this.#socket = socket
    this.#budget = shared.outboundBudget
    this.#clock = shared.clock
    this.#hasSession = hasSession
    this.movedAt = shared.clock.monotonic()
  }

  get isOver(): boolean {
    const isTight = this.#budget.used > this.#budget.limit
    return this.backlog > (isTight ? BACKLOG_MAX / 16 : BACKLOG_MAX)
  }

  /** Writes whole packets; `done` is called when more may come. */
  send(given: Buffer, done: () => void): void {
    const packets = this.#hasConnack ? given : this.#withSession(given)
    this.#note(packets)
    if (this.backlog === 0) this.movedAt = this.#clock.monotonic()
    this.backlog += packets.length
    this.#budget.used += packets.length
    this.#socket.write(packets, () => this.#taken(packets.length))
    if (this.isOver) this.#waiting = done
    else done()
  }

  /** What is wrong with this acknowledgement of a delivery, if anything. */
  ackFault(type: number, packetId: number): string | undefined {
    const qos = this.#deliveries.get(packetId)
    if (type === PUBREC) return qos === 1 ? 'PUBREC for a QoS 1 message' : undefined
    if (type === PUBACK && qos === 2) return 'PUBACK for a QoS 2 message'
    this.#deliveries.delete(packetId)
    return undefined
  }

  release(): void {
    this.#budget.used -= this.backlog
    this.backlog = 0
    this.#waiting?.()
    this.#waiting = undefined
    this.#deliveries.clear()
  }

  #taken(size: number): void {
    const taken = Math.min(size, this.backlog)
    this.backlog -= taken
    this.#budget.used -= taken
    this.movedAt = this.#clock.monotonic()
    if (this.#waiting === undefined || this.isOver) return
    const done = this.#waiting
    this.#waiting = undefined
    done()
  }

  /** The first packet is the CONNACK. */
  #withSession(packets: Buffer): Buffer {
    this.#hasConnack = true
    if (packets[0] !== CONNACK || packets[3] !== 0) return packets
    const own = Buffer.from(packets)
    own[2] = this.#hasSession() ? 1 : 0
    return own
  }

  #note(packets: Buffer): void {
    let position = 0
    while (position < packets.length) {
      const first = packets[position]!
      let length = 0
      let next = position + 1
      for (let shift = 0; next < packets.length; shift += 7) {
        const byte = packets[next++]!
        length += (byte & 0x7f) << shift
        if (byte < 0x80) break
      }
      const qos = (first >> 1) & 3
      if (first >> 4 === PUBLISH && qos > 0) {
        const idAt = next + 2 + packets.readUInt16BE(next)
        this.#deliveries.set(packets.readUInt16BE(idAt), qos)
      }
      position = next + length
    }
  }
}
