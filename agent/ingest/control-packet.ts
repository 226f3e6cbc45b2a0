// The bodies of CONNECT, SUBSCRIBE and UNSUBSCRIBE, checked before aedes sees them, and the few
// packets that we write ourselves.
//
// CONNECT: protocol name, level, flags, keep alive (2), client id [, will topic, will message]
//          [, user name] [, password]; every text and message with a 2-byte length before it.
//
// - aedes accepts what the standard forbids: an empty client id in a kept session, will QoS 3, flags
//   that do not fit the payload, bytes behind the payload, MQIsdp with level 4, filters such as
//   `ab/+e`, UNSUBSCRIBE of nothing. All of it ends here.
// - Client ids are bounded, because they become keys of journaled state.

import { textFault, topicFilterFault, topicNameFault } from './mqtt-text.ts'

const CLIENT_ID_BYTES_MAX = 256
const FILTERS_MAX = 500

export const PINGRESP = Buffer.of(0xd0, 0)

const UNACCEPTABLE_PROTOCOL = 1
const IDENTIFIER_REJECTED = 2

/** A CONNACK that refuses; 3.1.1 has no other answer to say it with. */
export function refusingConnack(returnCode: number): Buffer {
  return Buffer.of(0x20, 2, 0, returnCode)
}

export type ConnectOutcome =
  | {
      kind: 'connect'
      clientId: string
      clean: boolean
      keepAliveS: number
      /** Where the two bytes of the keep alive lie. */
      keepAlivePosition: number
      username: string | undefined
    }
  | { kind: 'refused'; returnCode: number; clientId: string; isMqtt5: boolean; reason: string }
  | { kind: 'malformed'; reason: string }

/** Reads fields in order; `fault` stays set after the first that is wrong. */
class Fields {
  readonly #bytes: Buffer
  readonly #end: number
  position: number
  fault: string | undefined

  constructor(bytes: Buffer, position: number, end: number) {
    this.#bytes = bytes
    this.position = position
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.position === this.#end
  }

  byte(): number {
    if (this.position >= this.#end) return this.#short()
    return this.#bytes[this.position++]!
  }

  uint16(): number {
    return (this.byte() << 8) | this.byte()
  }

  /** A text; `check` is one of mqtt-text.ts. */
  text(name: string, check = textFault): string {
    const [start, end] = this.binary()
    if (this.fault !== undefined) return ''
    const fault = check(this.#bytes, start, end)
    if (fault !== undefined) this.fault = `${fault} in the ${name}`
    return this.#bytes.toString('utf8', start, end)
  }

  binary(): [start: number, end: number] {
    const length = this.uint16()
    const start = this.position
    if (this.fault !== undefined || start + length > this.#end) {
      this.#short()
      return [start, start]
    }
    this.position = start + length
    return [start, this.position]
  }

  varint(): number {
    let value = 0
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    return this.#short()
  }

  #short(): number {
    this.fault ??= 'a packet that is too short for its fields'
    return 0
  }
}

/** Judges the CONNECT whose body lies in [start, end). */
export function readConnect(bytes: Buffer, start: number, end: number): ConnectOutcome {
  const fields = new Fields(bytes, start, end)
  const protocol = fields.text('protocol name')
  // mosquitto's bridges set the upper bit of the level.
  const level = fields.byte() & 0x7f
  const flags = fields.byte()
  const keepAlivePosition = fields.position
  const keepAliveS = fields.uint16()
  if (fields.fault !== undefined) return malformed(fields.fault)
  if (protocol === 'MQTT' && level === 5) return refuseMqtt5(fields)
  if (!(protocol === 'MQTT' && level === 4) && !(protocol === 'MQIsdp' && level === 3)) {
    if (protocol !== 'MQTT' && protocol !== 'MQIsdp') return malformed('an unknown protocol name')
    const reason = `protocol ${protocol} level ${level}`
    return refused(UNACCEPTABLE_PROTOCOL, '', reason)
  }
  const flagFault = connectFlagFault(flags)
  if (flagFault !== undefined) return malformed(flagFault)
  const clientId = fields.text('client id')
  if ((flags & 0x04) !== 0) {
    fields.text('will topic', topicNameFault)
    fields.binary()
  }
  const username = (flags & 0x80) === 0 ? undefined : fields.text('user name')
  if ((flags & 0x40) !== 0) fields.binary()
  if (fields.fault !== undefined) return malformed(fields.fault)
  if (!fields.isAtEnd) return malformed('bytes behind the payload of CONNECT')
  const clean = (flags & 0x02) !== 0
  const idFault = clientIdFault(clientId, clean, level)
  if (idFault !== undefined) return refused(IDENTIFIER_REJECTED, clientId, idFault)
  return { kind: 'connect', clientId, clean, keepAliveS, keepAlivePosition, username }
}

function refuseMqtt5(fields: Fields): ConnectOutcome {
  const propertiesLength = fields.varint()
  fields.position += propertiesLength
  const clientId = fields.text('client id')
  if (fields.fault !== undefined) return malformed(fields.fault)
  const reason = 'speaks MQTT 5'
  return { kind: 'refused', returnCode: UNACCEPTABLE_PROTOCOL, clientId, isMqtt5: true, reason }
}

function malformed(reason: string): ConnectOutcome {
  return { kind: 'malformed', reason }
}

function refused(returnCode: number, clientId: string, reason: string): ConnectOutcome {
  return { kind: 'refused', returnCode, clientId, isMqtt5: false, reason }
}

function connectFlagFault(flags: number): string | undefined {
  if ((flags & 0x01) !== 0) return 'the reserved flag of CONNECT'
  if ((flags & 0x18) === 0x18) return 'will QoS 3'
  if ((flags & 0x04) === 0 && (flags & 0x38) !== 0) return 'will flags without a will'
  if ((flags & 0xc0) === 0x40) return 'a password without a user name'
  return undefined
}

function clientIdFault(clientId: string, clean: boolean, level: number): string | undefined {
  const size = Buffer.byteLength(clientId)
  if (size === 0 && (!clean || level === 3)) return 'an empty client id' // [MQTT-3.1.3-8]
  if (level === 3 && clientId.length > 23)
    return 'a client id of more than 23 characters in MQTT 3.1'
  if (size > CLIENT_ID_BYTES_MAX) return `a client id of more than ${CLIENT_ID_BYTES_MAX} bytes`
  return undefined
}

/** What is wrong with the SUBSCRIBE whose body lies in [start, end). */
export function subscribeFault(bytes: Buffer, start: number, end: number): string | undefined {
  const fields = new Fields(bytes, start, end)
  if (fields.uint16() === 0) return fields.fault ?? 'packet id 0'
  if (fields.isAtEnd) return 'SUBSCRIBE without a filter'
  for (let count = 0; !fields.isAtEnd; count++) {
    if (count === FILTERS_MAX) return `more than ${FILTERS_MAX} filters in one packet`
    fields.text('topic filter', topicFilterFault)
    const qos = fields.byte()
    if (fields.fault !== undefined) return fields.fault
    if (qos > 2) return 'a requested QoS above 2'
  }
  return undefined
}

/** What is wrong with the UNSUBSCRIBE whose body lies in [start, end). */
export function unsubscribeFault(bytes: Buffer, start: number, end: number): string | undefined {
  const fields = new Fields(bytes, start, end)
  if (fields.uint16() === 0) return fields.fault ?? 'packet id 0'
  if (fields.isAtEnd) return 'UNSUBSCRIBE without a filter'
  while (!fields.isAtEnd) {
    fields.text('topic filter', topicFilterFault)
    if (fields.fault !== undefined) return fields.fault
  }
  return undefined
}
