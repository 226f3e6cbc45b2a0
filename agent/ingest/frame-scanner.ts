// Finds the frames of MQTT 3.1 and 3.1.1 in a stream of bytes; makes no object.
//
//   byte 0    type << 4 | flags
//   byte 1…4  remaining length, 7 bits a byte, least significant first
//   …         that many bytes
//
// - Everything that the fixed header can say wrong is refused before a byte of the body is kept:
//   packets only servers send, flags, lengths of packets that have one length, oversize
//   [MQTT-2.2.2-2, 3.1.0-1, 3.1.0-2].
// - A frame is read in place; after `next` the fields say where it lies.

export const CONNECT = 1
export const PUBLISH = 3
export const PUBACK = 4
export const PUBREC = 5
export const PUBREL = 6
export const SUBSCRIBE = 8
export const UNSUBSCRIBE = 10
export const PINGREQ = 12
export const DISCONNECT = 14

/** `next` found no complete frame; `needed` says how many bytes one takes, 0 when not known yet. */
export const INCOMPLETE = 0

const NOT_FOR_SERVER = -1
const BAD_FLAGS = -2
const BAD_QOS = -3
const DUP_QOS_0 = -4
const BAD_LENGTH = -5
const OVERSIZE = -6
const NOT_CONNECT = -7
const SECOND_CONNECT = -8
const WRONG_SIZE = -9

const FAULTS: Record<number, string> = {
  [NOT_FOR_SERVER]: 'a packet type that no client may send',
  [BAD_FLAGS]: 'wrong flags in the fixed header',
  [BAD_QOS]: 'QoS 3',
  [DUP_QOS_0]: 'DUP on QoS 0',
  [BAD_LENGTH]: 'a remaining length of more than four bytes',
  [OVERSIZE]: 'a packet larger than mqtt.maxPacketSize',
  [NOT_CONNECT]: 'a first packet that is not CONNECT',
  [SECOND_CONNECT]: 'a second CONNECT',
  [WRONG_SIZE]: 'a packet of the wrong length',
}

/** The words for a negative status of `next`. */
export function frameFault(status: number): string {
  return FAULTS[status] ?? 'a malformed packet'
}

/** Per type: required flags, or −1 where clients may not send it; PUBLISH is checked apart. */
const FLAGS = Int8Array.of(-1, 0, -1, 0, 0, 0, 2, 0, 2, -1, 2, -1, 0, -1, 0, -1)
/** Per type: the only remaining length it can have, or −1. */
const SIZES = Int8Array.of(-1, -1, -1, -1, 2, 2, 2, 2, -1, -1, -1, -1, 0, -1, 0, -1)

export class FrameScanner {
  /** First byte behind the fixed header of the last complete frame. */
  bodyStart = 0
  /** First byte behind the last complete frame. */
  frameEnd = 0
  /** Bytes of the incomplete frame in all, as far as they are known. */
  needed = 0
  readonly #maxPacketSize: number

  /** `maxPacketSize` is compared with the whole frame, fixed header included. */
  constructor(maxPacketSize: number) {
    this.#maxPacketSize = maxPacketSize
  }

  /** The type of the frame at `position`, INCOMPLETE, or a negative status: refuse the peer. */
  next(bytes: Uint8Array, position: number, end: number, connected: boolean): number {
    this.needed = 0
    if (position >= end) return INCOMPLETE
    const first = bytes[position]!
    const type = first >> 4
    const fault = headerFault(type, first & 0xf, connected)
    if (fault !== 0) return fault
    let length = 0
    let next = position + 1
    for (let shift = 0; ; shift += 7) {
      if (shift > 21) return BAD_LENGTH
      if (next >= end) return INCOMPLETE
      const byte = bytes[next++]!
      length |= (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    const size = SIZES[type]!
    if (size >= 0 && size !== length) return WRONG_SIZE
    if (next - position + length > this.#maxPacketSize) return OVERSIZE
    if (next + length > end) {
      this.needed = next - position + length
      return INCOMPLETE
    }
    this.bodyStart = next
    this.frameEnd = next + length
    return type
  }
}

function headerFault(type: number, flags: number, connected: boolean): number {
  if (!connected) return type !== CONNECT ? NOT_CONNECT : flags !== 0 ? BAD_FLAGS : 0
  if (type === PUBLISH) {
    if ((flags & 6) === 6) return BAD_QOS
    return (flags & 0xe) === 8 ? DUP_QOS_0 : 0
  }
  if (type === CONNECT) return SECOND_CONNECT
  if (FLAGS[type]! < 0) return NOT_FOR_SERVER
  return FLAGS[type] === flags ? 0 : BAD_FLAGS
}
