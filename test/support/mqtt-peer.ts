// One end of an MQTT connection as raw packets, over an in-memory pair of streams or a socket.
//
//   const peer = MqttPeer.pair(front)            no ports: the other end is attached to the front
//   peer.send(connect({ clientId: 'a' }))
//   const packet = await peer.next()             { type, flags, body }
//
// Packets are built from their fields and may be as wrong as a test wants.

import { Duplex } from 'node:stream'
import type { MqttFront } from '../../agent/ingest/mqtt-front.ts'

export interface Packet {
  type: number
  flags: number
  body: Buffer
}

export const TYPE = {
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  suback: 9,
  unsuback: 11,
  pingresp: 13,
}

/** One side of a pair; what is written comes out of the other one a turn later. */
class PairEnd extends Duplex {
  other!: PairEnd
  /** Takes nothing while true, like a peer that does not read. */
  isFrozen = false
  #pending: (() => void) | undefined

  constructor() {
    super({ allowHalfOpen: true, emitClose: true })
  }

  thaw(): void {
    this.isFrozen = false
    const pending = this.#pending
    this.#pending = undefined
    pending?.()
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    const deliver = () => {
      if (this.isFrozen) {
        this.#pending = deliver
        return
      }
      if (!this.other.destroyed) this.other.push(chunk)
      done()
    }
    setImmediate(deliver)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), '', done)
  }

  override _final(done: () => void): void {
    if (!this.other.destroyed) this.other.push(null)
    done()
  }

  override _destroy(_error: Error | null, done: () => void): void {
    setImmediate(() => {
      if (!this.other.destroyed) this.other.destroy()
    })
    done()
  }
}

export class MqttPeer {
  readonly stream: Duplex
  readonly #packets: Packet[] = []
  readonly #waiting: ((packet: Packet | undefined) => void)[] = []
  #bytes: Buffer = Buffer.alloc(0)
  #isEnded = false
  readonly closed: Promise<void>

  constructor(stream: Duplex) {
    this.stream = stream
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.on('error', () => {})
    this.closed = new Promise((resolve) => stream.on('close', resolve))
    stream.on('close', () => this.#end())
    stream.on('end', () => this.#end())
  }

  /** A peer whose other end is a connection of `front`. */
  static pair(front: MqttFront, isLoopback = true): MqttPeer & { serverEnd: PairEnd } {
    const [near, far] = [new PairEnd(), new PairEnd()]
    near.other = far
    far.other = near
    front.attach(far, 'memory', isLoopback)
    return Object.assign(new MqttPeer(near), { serverEnd: far })
  }

  send(...packets: Buffer[]): void {
    this.stream.write(Buffer.concat(packets))
  }

  /** The next packet; undefined when the other end has closed. */
  next(): Promise<Packet | undefined> {
    const packet = this.#packets.shift()
    if (packet !== undefined) return Promise.resolve(packet)
    if (this.#isEnded) return Promise.resolve(undefined)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** What has arrived and nobody asked for. */
  take(): Packet[] {
    return this.#packets.splice(0)
  }

  async expect(type: number): Promise<Packet> {
    const packet = await this.next()
    if (packet?.type !== type) {
      throw new Error(`expected packet type ${type}, got ${packet?.type ?? 'the end'}`)
    }
    return packet
  }

  /** Connects and takes the CONNACK. */
  async connect(options: ConnectFields = {}): Promise<Packet> {
    this.send(connect(options))
    return this.expect(TYPE.connack)
  }

  #end(): void {
    this.#isEnded = true
    for (const resolve of this.#waiting.splice(0)) resolve(undefined)
  }

  #take(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    for (;;) {
      const packet = this.#cut()
      if (packet === undefined) return
      const resolve = this.#waiting.shift()
      if (resolve === undefined) this.#packets.push(packet)
      else resolve(packet)
    }
  }

  #cut(): Packet | undefined {
    let length = 0
    let next = 1
    for (let shift = 0; ; shift += 7) {
      if (next >= this.#bytes.length) return undefined
      const byte = this.#bytes[next++]!
      length += (byte & 127) * 2 ** shift
      if (byte < 128) break
    }
    if (this.#bytes.length < next + length) return undefined
    const first = this.#bytes[0]!
    const body = Buffer.from(this.#bytes.subarray(next, next + length))
    this.#bytes = this.#bytes.subarray(next + length)
    return { type: first >> 4, flags: first & 15, body }
  }
}

// ---- packets

export function frame(first: number, ...parts: (Buffer | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)))
  const size: number[] = []
  let { length } = body
  do {
    const more = length > 127
    size.push((length & 127) | (more ? 128 : 0))
    length >>= 7
  } while (length > 0)
  return Buffer.concat([Buffer.from([first, ...size]), body])
}

export function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 255), bytes])
}

export interface ConnectFields {
  clientId?: string | Buffer
  clean?: boolean
  keepAlive?: number
  will?: { topic: string | Buffer; payload: string; qos?: number; retain?: boolean }
  username?: string | Buffer
  password?: string
  protocol?: string
  level?: number
  /** Instead of those that the other fields make. */
  flags?: number
  trailing?: Buffer
}

export function connect(fields: ConnectFields = {}): Buffer {
  const { clientId = 'client', clean = true, keepAlive = 0, will, username, password } = fields
  const flags =
    (clean ? 2 : 0) |
    (will === undefined ? 0 : 4 | ((will.qos ?? 0) << 3) | (will.retain === true ? 32 : 0)) |
    (username === undefined ? 0 : 128) |
    (password === undefined ? 0 : 64)
  return frame(
    0x10,
    text(fields.protocol ?? 'MQTT'),
    [fields.level ?? 4, fields.flags ?? flags, keepAlive >> 8, keepAlive & 255],
    text(clientId),
    ...(will === undefined ? [] : [text(will.topic), text(will.payload)]),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)]),
    fields.trailing ?? [],
  )
}

export function publish(
  topic: string | Buffer,
  payload: string | Buffer,
  options: { qos?: number; id?: number; retain?: boolean; dup?: boolean } = {},
): Buffer {
  const { qos = 0, id = 1, retain = false, dup = false } = options
  const first = 0x30 | (dup ? 8 : 0) | (qos << 1) | (retain ? 1 : 0)
  return frame(first, text(topic), qos > 0 ? [id >> 8, id & 255] : [], Buffer.from(payload))
}

/** PUBACK, PUBREC, PUBREL, PUBCOMP by their type. */
export function ack(type: number, id: number): Buffer {
  return frame((type << 4) | (type === TYPE.pubrel ? 2 : 0), [id >> 8, id & 255])
}

export function subscribe(
  id: number,
  ...filters: [filter: string | Buffer, qos: number][]
): Buffer {
  return frame(
    0x82,
    [id >> 8, id & 255],
    ...filters.map(([filter, qos]) => Buffer.concat([text(filter), Buffer.of(qos)])),
  )
}

export function unsubscribe(id: number, ...filters: string[]): Buffer {
  return frame(0xa2, [id >> 8, id & 255], ...filters.map((filter) => text(filter)))
}

export const PING = frame(0xc0)
export const DISCONNECT = frame(0xe0)

export function packetId(packet: Packet): number {
  return packet.body.readUInt16BE(0)
}

/** Topic, payload and packet id of a PUBLISH that arrived. */
export function delivery({ flags, body }: Packet): { topic: string; payload: string; id: number } {
  const length = body.readUInt16BE(0)
  const qos = (flags >> 1) & 3
  const at = 2 + length
  return {
    topic: body.toString('utf8', 2, at),
    payload: body.toString('utf8', qos > 0 ? at + 2 : at),
    id: qos > 0 ? body.readUInt16BE(at) : 0,
  }
}
