// QoS 1 and 2 packets on their way to one kept session: queued, sent, waiting for PUBACK or PUBCOMP.
//
// Found by the broker's number (before they were sent) or by packet id (after). Bounded by count and
// by the bytes of all queues together; what does not fit is not queued.

import { type BrokerPacket, copyPacket } from './broker-packet.ts'

export const QUEUE_PACKETS_MAX = 1_000
const QUEUE_BYTES_MAX = 8_388_608
const PACKET_OVERHEAD = 200

/** Bytes of all queues. */
export interface QueueBudget {
  bytes: number
}

export class OfflineQueue {
  readonly #budget: QueueBudget
  readonly #byCounter = new Map<number, BrokerPacket>()
  readonly #byMessageId = new Map<number, number>()

  constructor(budget: QueueBudget) {
    this.#budget = budget
  }

  get size(): number {
    return this.#byCounter.size
  }

  /** False when it does not fit. */
  add(packet: BrokerPacket, qos: number): boolean {
    const size = sizeOf(packet)
    if (this.size >= QUEUE_PACKETS_MAX || this.#budget.bytes + size > QUEUE_BYTES_MAX) return false
    const queued = copyPacket(packet)
    queued.qos = Math.min(packet.qos, qos)
    queued.retain = false
    this.#budget.bytes += size
    this.#byCounter.set(queued.brokerCounter, queued)
    return true
  }

  /** The packet got its id, or became the PUBREL of that id. False when it is not here. */
  update(packet: BrokerPacket): boolean {
    const { messageId } = packet
    if (messageId === undefined) return false
    const counter = this.#byMessageId.get(messageId)
    const queued = this.#byCounter.get(packet.brokerCounter)
    if (queued !== undefined && packet.cmd === 'publish') {
      if (queued.messageId !== undefined) this.#byMessageId.delete(queued.messageId)
      queued.messageId = messageId
      this.#byMessageId.set(messageId, queued.brokerCounter)
      return true
    }
    const old = counter === undefined ? undefined : this.#byCounter.get(counter)
    if (old === undefined) return false
    this.#budget.bytes -= sizeOf(old)
    this.#byCounter.set(counter!, { ...old, cmd: 'pubrel', payload: Buffer.alloc(0), messageId })
    this.#budget.bytes += PACKET_OVERHEAD + old.topic.length
    return true
  }

  /** Takes out what this id acknowledges. */
  clear(messageId: number | undefined): BrokerPacket | undefined {
    if (messageId === undefined) return undefined
    const counter = this.#byMessageId.get(messageId)
    if (counter === undefined) return undefined
    const packet = this.#byCounter.get(counter)
    this.#byMessageId.delete(messageId)
    this.#byCounter.delete(counter)
    if (packet !== undefined) this.#budget.bytes -= sizeOf(packet)
    return packet
  }

  packets(): BrokerPacket[] {
    return [...this.#byCounter.values()]
  }

  drop(): void {
    for (const packet of this.#byCounter.values()) this.#budget.bytes -= sizeOf(packet)
    this.#byCounter.clear()
    this.#byMessageId.clear()
  }
}

function sizeOf(packet: BrokerPacket): number {
  return PACKET_OVERHEAD + packet.topic.length + packet.payload.length
}
