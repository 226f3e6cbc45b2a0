// Kafka's primitive types on the wire, read and written. Big-endian throughout.
//
//   string        int16 length, bytes          compact string   uvarint length + 1, bytes
//   bytes         int32 length, bytes          compact bytes    uvarint length + 1, bytes
//   array         int32 count, elements        compact array    uvarint count + 1, elements
//   uuid          16 bytes                     tagged fields    uvarint count, { uvarint tag, uvarint size, bytes }
// A length or count of -1 (0 in the compact forms) is null.
//
// Invariants: the reader never looks behind its end, and refuses every length and count against
// what is left before it allocates anything. The writer never copies record bytes: it hands out a
// list of buffers. int64 is a number and must be a safe integer; the Big forms are for opaque ids.

import { assert } from '../../base/assert.ts'
import { AgentError } from '../../base/errors.ts'

const TWO_32 = 0x1_0000_0000
const SAFE_HIGH = 0x20_0000
const LONGEST_STRING = 0x7fff
/** Bytes that are no UTF-8 become three each: above this, a decoded string may be too long to encode. */
const SURELY_SHORT = Math.floor(LONGEST_STRING / 3)

/** The id that means "no topic": 16 zero bytes. */
export const ZERO_UUID = '00000000-0000-0000-0000-000000000000'

function refuse(what: string): never {
  throw new AgentError('INPUT_FRAME', `malformed Kafka frame: ${what}`)
}

/** Bytes of a string on the wire, -1 for null. */
function textSize(value: string | null): number {
  if (value === null) return -1
  const size = Buffer.byteLength(value)
  assert(size <= LONGEST_STRING, 'a string on the wire has at most 32,767 bytes')
  return size
}

/** Reads primitives from one frame. Throws AgentError INPUT_FRAME and nothing else. */
export class Reader {
  readonly buffer: Buffer
  readonly end: number
  position: number
  /** Elements of arrays that may still come: each becomes an object many times its bytes. */
  #elementsLeft: number

  constructor(
    buffer: Buffer,
    position = 0,
    end = buffer.length,
    elementsMax = Number.POSITIVE_INFINITY,
  ) {
    this.buffer = buffer
    this.position = position
    this.end = end
    this.#elementsLeft = elementsMax
  }

  get remaining(): number {
    return this.end - this.position
  }

  /** Moves over `size` bytes and returns where they began. */
  #take(size: number): number {
    const at = this.position
    if (size > this.end - at) {
      refuse(`${size} bytes wanted at position ${at}, ${this.end - at} left`)
    }
    this.position = at + size
    return at
  }

  int8(): number {
    const at = this.#take(1)
    return (this.buffer[at]! << 24) >> 24
  }

  int16(): number {
    const at = this.#take(2)
    return (((this.buffer[at]! << 8) | this.buffer[at + 1]!) << 16) >> 16
  }

  int32(): number {
    const at = this.#take(4)
    const buffer = this.buffer
    return (buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!
  }

  int64(): number {
    const high = this.int32()
    const low = this.int32() >>> 0
    if (high < -SAFE_HIGH || high >= SAFE_HIGH || (high === -SAFE_HIGH && low === 0)) {
      refuse(`an int64 beyond 2^53 at position ${this.position - 8}`)
    }
    return high * TWO_32 + low
  }

  int64Big(): bigint {
    return this.buffer.readBigInt64BE(this.#take(8))
  }

  float64(): number {
    return this.buffer.readDoubleBE(this.#take(8))
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  uuid(): string {
    const at = this.#take(16)
    const hex = this.buffer.toString('hex', at, at + 16)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
  }

  uvarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.buffer[this.#take(1)]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) {
        if (value >= TWO_32) break
        return value
      }
    }
    return refuse(`an unsigned varint beyond 32 bits before position ${this.position}`)
  }

  /** -1 means null. */
  #length16(): number {
    return this.#checked(this.int16())
  }

  #length32(): number {
    return this.#checked(this.int32())
  }

  #compactLength(): number {
    return this.#checked(this.uvarint() - 1)
  }

  #checked(length: number): number {
    if (length < -1 || length > this.end - this.position) {
      refuse(`a length of ${length} at position ${this.position}, ${this.remaining} bytes left`)
    }
    return length
  }

  string(): string | null {
    return this.#text(this.#length16())
  }

  compactString(): string | null {
    return this.#text(this.#compactLength())
  }

  #text(length: number): string | null {
    if (length < 0) return null
    const at = this.#take(length)
    const text = this.buffer.toString('utf8', at, at + length)
    if (length > SURELY_SHORT && Buffer.byteLength(text) > LONGEST_STRING) {
      refuse(`a string of ${length} bytes at position ${at}`)
    }
    return text
  }

  /** A view, not a copy. */
  bytes(): Buffer | null {
    return this.#view(this.#length32())
  }

  /** A view, not a copy. */
  compactBytes(): Buffer | null {
    return this.#view(this.#compactLength())
  }

  #view(length: number): Buffer | null {
    if (length < 0) return null
    const at = this.#take(length)
    return this.buffer.subarray(at, at + length)
  }

  /** Element count of an array whose elements take at least `least` bytes each; -1 means null. */
  count(least: number): number {
    return this.#checkedCount(this.int32(), least)
  }

  compactCount(least: number): number {
    return this.#checkedCount(this.uvarint() - 1, least)
  }

  #checkedCount(count: number, least: number): number {
    if (count < -1 || count * least > this.end - this.position) {
      refuse(`a count of ${count} at position ${this.position}, ${this.remaining} bytes left`)
    }
    this.#elementsLeft -= Math.max(0, count)
    if (this.#elementsLeft < 0) refuse(`too many elements, ${count} more of them`)
    return count
  }

  /** Moves over a section of tagged fields that nobody wants. */
  skipTaggedFields(): void {
    for (let left = this.taggedCount(); left > 0; left--) {
      this.uvarint()
      this.#take(this.uvarint())
    }
  }

  /** How many tagged fields follow: each takes two bytes at least. */
  taggedCount(): number {
    return this.#checkedCount(this.uvarint(), 2)
  }

  /** A reader of the next `size` bytes, which this one moves over. */
  section(size: number): Reader {
    const at = this.#take(size)
    return new Reader(this.buffer, at, at + size, this.#elementsLeft)
  }

  /** Throws INPUT_FRAME, for a rule of the message rather than of the primitive. */
  refuse(what: string): never {
    return refuse(`${what} at position ${this.position}`)
  }
}

const FIRST_CHUNK = 512
const LARGEST_CHUNK = 64 * 1024

/** Writes primitives into a list of buffers. A finished writer must not be used again. */
export class Writer {
  #chunk: Buffer
  #start = 0
  #position = 0
  #finished: Buffer[] = []
  #finishedSize = 0

  constructor(capacity = FIRST_CHUNK) {
    this.#chunk = Buffer.allocUnsafe(capacity)
  }

  get size(): number {
    return this.#finishedSize + this.#position - this.#start
  }

  /** Room for `size` bytes in one chunk; returns where they go. */
  #reserve(size: number): number {
    if (this.#position + size > this.#chunk.length) this.#roll(size)
    const at = this.#position
    this.#position = at + size
    return at
  }

  #roll(size: number): void {
    this.#cut()
    const next = Math.min(LARGEST_CHUNK, this.#chunk.length * 2)
    this.#chunk = Buffer.allocUnsafe(Math.max(size, next))
    this.#start = 0
    this.#position = 0
  }

  /** Ends the current buffer of the list. */
  #cut(): void {
    if (this.#position === this.#start) return
    this.#finished.push(this.#chunk.subarray(this.#start, this.#position))
    this.#finishedSize += this.#position - this.#start
    this.#start = this.#position
  }

  int8(value: number): void {
    const at = this.#reserve(1)
    this.#chunk[at] = value
  }

  int16(value: number): void {
    const at = this.#reserve(2)
    this.#chunk[at] = value >> 8
    this.#chunk[at + 1] = value
  }

  int32(value: number): void {
    const at = this.#reserve(4)
    const chunk = this.#chunk
    chunk[at] = value >> 24
    chunk[at + 1] = value >> 16
    chunk[at + 2] = value >> 8
    chunk[at + 3] = value
  }

  int64(value: number): void {
    assert(Number.isSafeInteger(value), 'an int64 on the wire is a safe integer')
    const high = Math.floor(value / TWO_32)
    this.int32(high)
    this.int32(value - high * TWO_32)
  }

  int64Big(value: bigint): void {
    const at = this.#reserve(8)
    this.#chunk.writeBigInt64BE(value, at)
  }

  float64(value: number): void {
    const at = this.#reserve(8)
    this.#chunk.writeDoubleBE(value, at)
  }

  boolean(value: boolean): void {
    this.int8(value ? 1 : 0)
  }

  /** `value` in the hyphenated hexadecimal form. */
  uuid(value: string): void {
    const at = this.#reserve(16)
    const size = this.#chunk.write(value.replaceAll('-', ''), at, 16, 'hex')
    assert(size === 16 && value.length === 36, 'a uuid has 36 characters')
  }

  uvarint(value: number): void {
    let rest = value
    while (rest >= 0x80) {
      this.int8((rest % 0x80) | 0x80)
      rest = Math.floor(rest / 0x80)
    }
    this.int8(rest)
  }

  string(value: string | null): void {
    const size = textSize(value)
    this.int16(size)
    if (size > 0) this.#text(value!, size)
  }

  compactString(value: string | null): void {
    const size = textSize(value)
    this.uvarint(size + 1)
    if (size > 0) this.#text(value!, size)
  }

  #text(value: string, size: number): void {
    const at = this.#reserve(size)
    this.#chunk.write(value, at, size, 'utf8')
  }

  bytes(value: Uint8Array | null): void {
    this.int32(value === null ? -1 : value.length)
    if (value !== null) this.#copy(value)
  }

  compactBytes(value: Uint8Array | null): void {
    this.uvarint(value === null ? 0 : value.length + 1)
    if (value !== null) this.#copy(value)
  }

  #copy(value: Uint8Array): void {
    const at = this.#reserve(value.length)
    this.#chunk.set(value, at)
  }

  /** Puts `value` into the list as it is: it must not change until the frame is on its way. */
  reference(value: Uint8Array): void {
    if (value.length === 0) return
    this.#cut()
    const buffer = Buffer.isBuffer(value)
      ? value
      : Buffer.from(value.buffer, value.byteOffset, value.length)
    this.#finished.push(buffer)
    this.#finishedSize += value.length
  }

  /** Moves what another writer holds to the end of this one. */
  append(other: Writer): void {
    for (const buffer of other.finish()) this.reference(buffer)
  }

  finish(): Buffer[] {
    this.#cut()
    return this.#finished
  }

  /** The list as a frame: `this` must have begun with four bytes kept for the frame's size. */
  finishFrame(): Buffer[] {
    const list = this.finish()
    list[0]!.writeInt32BE(this.size - 4, 0)
    return list
  }
}
