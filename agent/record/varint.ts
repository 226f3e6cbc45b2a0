// Zig-zag varints of Kafka's records, on Buffers, as numbers.
//
//   magnitude = value ≥ 0 ? value : −value − 1;  bits: sign, then the magnitude from its low end,
//   seven in each byte, the top bit says that more follow
//
// A varint has at most 5 bytes and is an int32; a varlong has at most 10, and here it must be a safe
// integer. Readers move a cursor; what is malformed or too large reads as NaN.

/** Where reading goes on. */
export interface Cursor {
  position: number
}

const INT32_MAX = 0x7fffffff

/** Bytes that a varint or varlong takes. */
export function varintSize(value: number): number {
  let magnitude = value < 0 ? -value - 1 : value
  let size = 1
  for (magnitude = Math.floor(magnitude / 64); magnitude > 0; size++) {
    magnitude = Math.floor(magnitude / 128)
  }
  return size
}

/** Writes a safe integer as varint or varlong (they are the same); the position behind it. */
export function writeVarint(buffer: Uint8Array, position: number, value: number): number {
  const sign = value < 0 ? 1 : 0
  const magnitude = value < 0 ? -value - 1 : value
  let low = (magnitude % 64) * 2 + sign
  let rest = Math.floor(magnitude / 64)
  while (rest > 0) {
    buffer[position++] = low | 0x80
    low = rest % 128
    rest = Math.floor(rest / 128)
  }
  buffer[position++] = low
  return position
}

/** An int32 from at most five bytes before `end`, or NaN. */
export function readVarint(buffer: Uint8Array, cursor: Cursor, end: number): number {
  const value = read(buffer, cursor, Math.min(end, cursor.position + 5))
  return value > INT32_MAX || value < -INT32_MAX - 1 ? Number.NaN : value
}

/** A safe integer from at most ten bytes before `end`, or NaN. */
export function readVarlong(buffer: Uint8Array, cursor: Cursor, end: number): number {
  const value = read(buffer, cursor, Math.min(end, cursor.position + 10))
  return Number.isSafeInteger(value) ? value : Number.NaN
}

function read(buffer: Uint8Array, cursor: Cursor, end: number): number {
  if (cursor.position >= end) return Number.NaN
  let byte = buffer[cursor.position++]!
  const negative = (byte & 1) === 1
  let magnitude = (byte & 0x7f) >>> 1
  for (let weight = 64; byte > 0x7f; weight *= 128) {
    if (cursor.position >= end) return Number.NaN
    byte = buffer[cursor.position++]!
    magnitude += (byte & 0x7f) * weight
  }
  return negative ? -magnitude - 1 : magnitude
}
