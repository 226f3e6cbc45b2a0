// What a simulated device publishes: its id, its sequence number (1, 2, 3 …), its own time, readings.
//
//   JSON  {"device":"dev-0001","seq":17,"ts":1767225600000,"temperature":21.4}
//   CBOR  the same map
//
// Whoever reads the messages at the other end finds (device, sequence) in them and can tell what is
// lost, twice or out of order; nothing else has to travel beside them.

import { Decoder, Encoder } from 'cbor-x/index-no-eval'

export type MessageFormat = 'json' | 'cbor'

export interface Message {
  readonly device: string
  readonly sequence: number
  /** The device's own clock, milliseconds since the epoch. */
  readonly timeMs: number
}

const CBOR_OPTIONS = { useRecords: false, mapsAsObjects: true, int64AsNumber: true }
const encoder = new Encoder(CBOR_OPTIONS)
const decoder = new Decoder(CBOR_OPTIONS)

export function encodeMessage(
  format: MessageFormat,
  message: Message,
  readings: Readonly<Record<string, unknown>>,
): Buffer {
  const { device, sequence, timeMs } = message
  const map = { device, seq: sequence, ts: timeMs, ...readings }
  return format === 'cbor' ? encoder.encode(map) : Buffer.from(JSON.stringify(map))
}

/** The identity of a message of the fleet, or undefined when it is none. */
export function readMessage(payload: Buffer): Message | undefined {
  let map: unknown
  try {
    map = payload[0] === 0x7b ? JSON.parse(payload.toString()) : decoder.decode(payload)
  } catch {
    return undefined
  }
  if (typeof map !== 'object' || map === null) return undefined
  const { device, seq, ts } = map as Record<string, unknown>
  if (typeof device !== 'string' || typeof seq !== 'number' || typeof ts !== 'number') {
    return undefined
  }
  return Number.isSafeInteger(seq) ? { device, sequence: seq, timeMs: ts } : undefined
}
