// The decoder of snappy, as Kafka's clients write it.
//
//   block   length varint | elements
//   xerial  0x82 "SNAPPY" 0 | version int32 BE | oldest reader int32 BE | { length int32 BE | block }
//
// An element's low two bits are its kind, the other six (here `high`) depend on it:
//
//   0   literals   high + 1 of them; from 60 on, high - 59 bytes hold that number less one
//   1   match      length high % 8 + 4, distance of 11 bits: high / 8 above one byte
//   2   match      length high + 1, distance u16
//   3   match      length high + 1, distance u32
//
// - The Java client writes the framing of xerial's snappy-java, librdkafka a plain block. The magic
//   tells them apart: as a block it would begin with a match, of which there is nothing to repeat.
// - A block never reaches back into the block before it, and has exactly the length it announces.

import { CORRUPT, OUT_OF_ROOM, UNSUPPORTED } from './limits'
import { copyMatch } from './match-copy'

/** Little-endian, as it is loaded. */
const XERIAL_MAGIC: u64 = 0x0059_5050_414e_5382
const XERIAL_HEADER_BYTES: u32 = 16
const XERIAL_VERSION: u32 = 1

/** Decompresses a block, or the blocks of a xerial stream; their bytes, or a status. */
export function snappyDecode(src: usize, length: u32, dst: usize, capacity: u32): i32 {
  const limit = dst + capacity
  if (length < 8 || load<u64>(src) !== XERIAL_MAGIC) return readBlock(src, length, dst, limit)
  if (length < XERIAL_HEADER_BYTES) return CORRUPT
  if (bswap<u32>(load<u32>(src, 12)) > XERIAL_VERSION) return UNSUPPORTED
  const end = src + length
  let ip = src + XERIAL_HEADER_BYTES
  let op = dst
  while (ip < end) {
    if (<u32>(end - ip) < 4) return CORRUPT
    const size = bswap<u32>(load<u32>(ip))
    ip += 4
    if (size > <u32>(end - ip)) return CORRUPT
    const written = readBlock(ip, size, op, limit)
    if (written < 0) return written
    ip += size
    op += written
  }
  return <i32>(op - dst)
}

function readBlock(src: usize, length: u32, dst: usize, limit: usize): i32 {
  const end = src + length
  let ip = src
  let size: u64 = 0
  let more = true
  for (let shift: u64 = 0; more; shift += 7) {
    if (ip === end || shift > 28) return CORRUPT
    const byte: u64 = load<u8>(ip++)
    size |= (byte & 127) << shift
    more = byte > 127
  }
  if (size > 0xffffffff) return CORRUPT
  if (size > <u64>(limit - dst)) return OUT_OF_ROOM
  return readElements(ip, end, dst, <u32>size, limit)
}

/** Elements that make `size` bytes exactly; what lies behind these, below `limit`, may be overwritten. */
function readElements(ip: usize, end: usize, dst: usize, size: u32, limit: usize): i32 {
  const opEnd = dst + size
  let op = dst
  while (ip < end) {
    const tag: u32 = load<u8>(ip++)
    const high = tag >>> 2
    const kind = tag & 3
    if (kind === 0) {
      let count = high + 1
      if (high >= 60) {
        const bytes = high - 59
        if (bytes > <u32>(end - ip)) return CORRUPT
        const less = load<u32>(ip) & (<u32>0xffffffff >>> ((4 - bytes) << 3))
        if (less === 0xffffffff) return CORRUPT
        count = less + 1
        ip += bytes
      }
      if (count > <u32>(end - ip) || count > <u32>(opEnd - op)) return CORRUPT
      if (count <= 16 && op + 16 <= limit) v128.store(op, v128.load(ip))
      else memory.copy(op, ip, count)
      ip += count
      op += count
    } else {
      const bytes: u32 = kind === 3 ? 4 : kind
      if (bytes > <u32>(end - ip)) return CORRUPT
      let distance = load<u32>(ip)
      let count = high + 1
      if (kind === 1) {
        distance = ((high >>> 3) << 8) | (distance & 0xff)
        count = (high & 7) + 4
      } else if (kind === 2) distance &= 0xffff
      ip += bytes
      if (distance - 1 >= <u32>(op - dst) || count > <u32>(opEnd - op)) return CORRUPT
      if (distance >= 16 && count <= 32 && op + 32 <= limit) {
        v128.store(op, v128.load(op - distance))
        v128.store(op, v128.load(op - distance, 16), 16)
      } else copyMatch(op, distance, count, limit)
      op += count
    }
  }
  return op === opEnd ? <i32>size : CORRUPT
}
