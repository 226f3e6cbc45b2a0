// MQTT 3.1.1 packets as bytes, for the load generator and the publishers of the torture. Written
// apart from the agent's own codec, so that the agent is never judged by itself.

/** First bytes, flags included. */
export const PACKET = {
  connack: 0x20,
  puback: 0x40,
  pubrec: 0x50,
  pubrel: 0x62,
  pubcomp: 0x70,
  pingreq: 0xc0,
  pingresp: 0xd0,
} as const

/** CONNECT without user name, will or keep alive. */
export function connectPacket(options: { clientId: string; cleanSession: boolean }): Buffer {
  const id = Buffer.from(options.clientId)
  const flags = options.cleanSession ? 2 : 0
  const head = [0x10, 12 + id.length, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, flags, 0, 0, 0, id.length]
  return Buffer.concat([Buffer.from(head), id])
}

/** PUBLISH; with QoS 1 and 2 the packet id lies in the two bytes before the payload. */
export function publishPacket(options: {
  topic: string
  qos: number
  payload: Buffer
  packetId?: number
  isDuplicate?: boolean
}): Buffer {
  const { qos, payload, packetId = 0, isDuplicate = false } = options
  const topic = Buffer.from(options.topic)
  const length = 2 + topic.length + (qos > 0 ? 2 : 0) + payload.length
  if (length >= 16_384) throw new Error(`a PUBLISH of ${length} bytes is too long for this writer`)
  const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7]
  const first = 0x30 | (isDuplicate ? 8 : 0) | (qos << 1)
  const head = Buffer.from([first, ...size, topic.length >> 8, topic.length & 255])
  const id = qos > 0 ? Buffer.from([packetId >> 8, packetId & 255]) : Buffer.alloc(0)
  return Buffer.concat([head, topic, id, payload])
}

/** A row of four-byte packets: PUBACK, PUBREC, PUBREL or PUBCOMP for each packet id. */
export function shortPackets(first: number, packetIds: readonly number[]): Buffer {
  const out = Buffer.allocUnsafe(packetIds.length * 4)
  packetIds.forEach((id, index) => {
    out[index * 4] = first
    out[index * 4 + 1] = 2
    out.writeUInt16BE(id, index * 4 + 2)
  })
  return out
}
