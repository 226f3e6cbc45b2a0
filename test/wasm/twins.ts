// Plain twins of the kernels, written from the formats and not from the kernels.

import { SeededRandom } from '../support/seeded-random.ts'

/** Bytes that compress like sensor data do. */
export function sensorBytes(length: number): Buffer {
  const random = new SeededRandom(length)
  const parts: string[] = []
  for (let size = 0; size < length; size += parts[parts.length - 1]!.length) {
    const device = random.below(64)
    const time = 1763870000156 + parts.length * 17
    parts.push(
      `{"device":"th-${device}","ts":${time},"temp":${(20 + random.next() * 5).toFixed(2)}}`,
    )
  }
  return Buffer.from(parts.join('')).subarray(0, length)
}

/** CRC-32C, one bit at a time. */
export function crc32cTwin(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

/** Floor search by halves: the last entry whose key is at most `wanted`, or −1. */
export function searchTwin(
  count: number,
  wanted: number,
  keyOf: (entry: number) => number,
): number {
  let low = 0
  let high = count
  while (low < high) {
    const middle = (low + high) >>> 1
    if (keyOf(middle) <= wanted) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** xxHash-32 with seed 0, in BigInt so that no overflow is left to chance. */
export function xxh32Twin(bytes: Uint8Array): number {
  const [p1, p2, p3, p4, p5] = [0x9e3779b1n, 0x85ebca77n, 0xc2b2ae3dn, 0x27d4eb2fn, 0x165667b1n]
  const mask = 0xffffffffn
  const rotate = (x: bigint, n: bigint) => ((x << n) | (x >> (32n - n))) & mask
  const word = (i: number) =>
    BigInt(Buffer.from(bytes.buffer, bytes.byteOffset + i, 4).readUInt32LE())
  let i = 0
  let hash = p5
  if (bytes.length >= 16) {
    const lanes = [(p1 + p2) & mask, p2, 0n, (mask + 1n - p1) & mask]
    for (; i + 16 <= bytes.length; i += 16) {
      lanes.forEach((lane, k) => {
        lanes[k] = (rotate((lane + word(i + 4 * k) * p2) & mask, 13n) * p1) & mask
      })
    }
    const turns = [1n, 7n, 12n, 18n]
    hash = lanes.reduce((sum, lane, k) => sum + rotate(lane, turns[k]!), 0n) & mask
  }
  hash = (hash + BigInt(bytes.length)) & mask
  for (; i + 4 <= bytes.length; i += 4)
    hash = (rotate((hash + word(i) * p3) & mask, 17n) * p4) & mask
  for (; i < bytes.length; i++) {
    hash = (rotate((hash + BigInt(bytes[i]!) * p5) & mask, 11n) * p1) & mask
  }
  hash = ((hash ^ (hash >> 15n)) * p2) & mask
  hash = ((hash ^ (hash >> 13n)) * p3) & mask
  return Number(hash ^ (hash >> 16n))
}

/** The low 32 bits of xxHash-64 with seed 0: what a zstd frame has as its checksum. */
export function xxh64LowTwin(bytes: Uint8Array): number {
  const [p1, p2, p3] = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n]
  const [p4, p5] = [0x85ebca77c2b2ae63n, 0x27d4eb2f165667c5n]
  const mask = 0xffffffffffffffffn
  const rotate = (x: bigint, n: bigint) => ((x << n) | (x >> (64n - n))) & mask
  const round = (lane: bigint, word: bigint) => (rotate((lane + word * p2) & mask, 31n) * p1) & mask
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let i = 0
  let hash = p5
  if (bytes.length >= 32) {
    const lanes = [(p1 + p2) & mask, p2, 0n, (mask + 1n - p1) & mask]
    for (; i + 32 <= bytes.length; i += 32) {
      lanes.forEach((lane, k) => {
        lanes[k] = round(lane, buffer.readBigUInt64LE(i + 8 * k))
      })
    }
    const turns = [1n, 7n, 12n, 18n]
    hash = lanes.reduce((sum, lane, k) => sum + rotate(lane, turns[k]!), 0n) & mask
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * p1 + p4) & mask
  }
  hash = (hash + BigInt(bytes.length)) & mask
  for (; i + 8 <= bytes.length; i += 8) {
    hash = (rotate(hash ^ round(0n, buffer.readBigUInt64LE(i)), 27n) * p1 + p4) & mask
  }
  if (i + 4 <= bytes.length) {
    hash ^= (BigInt(buffer.readUInt32LE(i)) * p1) & mask
    hash = (rotate(hash, 23n) * p2 + p3) & mask
    i += 4
  }
  for (; i < bytes.length; i++) {
    hash = (rotate(hash ^ ((BigInt(bytes[i]!) * p5) & mask), 11n) * p1) & mask
  }
  hash = ((hash ^ (hash >> 33n)) * p2) & mask
  hash = ((hash ^ (hash >> 29n)) * p3) & mask
  return Number((hash ^ (hash >> 32n)) & 0xffffffffn)
}

/** Decompresses an LZ4 frame of independent blocks; throws on anything unexpected. */
export function lz4Twin(frame: Buffer): Buffer {
  if (frame.readUInt32LE(0) !== 0x184d2204) throw new Error('magic')
  if (frame[4] !== 0x60) throw new Error('flags')
  const blockMax = 2 ** (8 + 2 * (frame[5]! >> 4))
  if (frame[6] !== ((xxh32Twin(frame.subarray(4, 6)) >>> 8) & 0xff))
    throw new Error('header checksum')
  const blocks: Buffer[] = []
  let position = 7
  for (;;) {
    const word = frame.readUInt32LE(position)
    position += 4
    if (word === 0) break
    const size = word & 0x7fffffff
    const data = frame.subarray(position, position + size)
    const block = word >= 0x80000000 ? data : lz4BlockTwin(data)
    if (block.length > blockMax) throw new Error('block too large')
    blocks.push(block)
    position += size
  }
  if (position !== frame.length) throw new Error('bytes behind the end mark')
  return Buffer.concat(blocks)
}

/** One block; in a linked frame its matches reach into what lies `before` it. */
export function lz4BlockTwin(block: Buffer, before: Uint8Array = Buffer.alloc(0)): Buffer {
  const out: number[] = [...before]
  let i = 0
  const next = (): number => {
    if (i >= block.length) throw new Error('cut off')
    return block[i++]!
  }
  const length = (low: number): number => {
    let total = low
    if (low === 15) {
      let byte: number
      do total += byte = next()
      while (byte === 255)
    }
    return total
  }
  for (;;) {
    const token = next()
    for (let n = length(token >> 4); n > 0; n--) out.push(next())
    if (i === block.length) return Buffer.from(out).subarray(before.length)
    const distance = block.readUInt16LE(i)
    i += 2
    if (distance === 0 || distance > out.length) throw new Error('distance')
    for (let n = length(token & 15) + 4; n > 0; n--) out.push(out[out.length - distance]!)
  }
}
