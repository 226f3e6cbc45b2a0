// The packets that aedes and its persistence pass around, as much of them as we touch.
//
// aedes-packet's constructor numbers a new packet for its broker (`brokerCounter`), which is what
// subscribers de-duplicate overlapping subscriptions by; so it is made once per message and in order.

import aedesPacket from 'aedes-packet'

export interface BrokerPacket {
  cmd: 'publish' | 'pubrel'
  brokerId: string | null
  brokerCounter: number
  topic: string
  payload: Buffer
  qos: number
  retain: boolean
  dup: boolean
  messageId?: number | undefined
  clientId?: string
}

/** Fields of a message that is about to get its number. */
export interface MessageParts {
  topic: string
  payload: Buffer
  qos: number
  retain: boolean
  clientId?: string
}

/** The module is the constructor itself; its types describe something else. */
const Packet = aedesPacket as unknown as new (
  parts: MessageParts | BrokerPacket,
  broker: { id: string; counter: number } | undefined,
) => BrokerPacket

/** A packet with the broker's next number. */
export function newPacket(
  parts: MessageParts,
  broker: { id: string; counter: number },
): BrokerPacket {
  return new Packet(parts, broker)
}

/** The same message under the same number, for a queue: aedes writes message ids into packets. */
export function copyPacket(packet: BrokerPacket): BrokerPacket {
  return new Packet(packet, undefined)
}
