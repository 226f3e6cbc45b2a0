// The decoder of zstd frames (RFC 8878).
//
//   frame   magic | descriptor | [window] | [dictionary id] | [content size] | blocks | [checksum]
//   block   last:1 | kind:2 | size:21, then data: as it is, one byte to repeat, or compressed
//
// - Any number of frames, skippable ones too, fill the input exactly.
// - The output window is the history: a match reaches back to the beginning of its frame.
// - Everything is bounded before it is used: a block by 128 KiB and the frame's window size, a frame
//   by its content size and the capacity. A content size and a checksum are compared.
// - Dictionaries and the formats before version 0.8 are UNSUPPORTED. So are windows of more than 128 MiB:
//   no reader of Kafka, brokers among them, takes those.
//
// Sections of a block: `zstd-literals-decode`, `zstd-sequences-decode`.

import { CORRUPT, OUT_OF_ROOM, UNSUPPORTED } from './limits'
import { xxh64 } from './xxh64'
import { forgetTree, readLiterals } from './zstd-literals-decode'
import { forgetSequences, readSequences } from './zstd-sequences-decode'

const MAGIC: u32 = 0xfd2fb528
/** Of 16 magics for frames whose contents are somebody else's; 16 older formats end in 0x20 to 0x27. */
const SKIPPABLE_MAGIC: u32 = 0x184d2a50
const LEGACY_MAGIC: u32 = 0xfd2fb520
const MAX_BLOCK: u32 = 0x20000
/** The window descriptor of 2^27 bytes. */
const MAX_WINDOW: u32 = 17 << 3
const RAW: u32 = 0
const RLE: u32 = 1
const COMPRESSED: u32 = 2

/** Decompresses frames that fill the input exactly; their bytes, or a status. */
export function zstdUnframe(src: usize, length: u32, dst: usize, capacity: u32): i32 {
  const end = src + length
  const limit = dst + capacity
  let op = dst
  next = src
  do {
    const left = <u32>(end - next)
    if (left < 8) return CORRUPT
    const magic = load<u32>(next)
    if (magic === MAGIC) {
      const written = readFrame(next + 4, end, op, limit)
      if (written < 0) return written
      op += written
    } else if ((magic & ~15) === SKIPPABLE_MAGIC) {
      const size = load<u32>(next, 4)
      if (size > left - 8) return CORRUPT
      next += 8 + size
    } else return (magic & ~7) === LEGACY_MAGIC ? UNSUPPORTED : CORRUPT
  } while (next < end)
  return <i32>(op - dst)
}

/** Where reading goes on behind a header or a frame. */
let next: usize = 0

// Of the frame being read.
let sized: bool = false
let contentSize: u64 = 0
let checked: bool = false
let maxBlock: u32 = 0

/** The frame behind its magic number. */
function readFrame(src: usize, end: usize, dst: usize, limit: usize): i32 {
  const status = readHeader(src, end)
  if (status < 0) return status
  const capacity = <u32>(limit - dst)
  if (sized && contentSize > capacity) return OUT_OF_ROOM
  // What does not fit the capacity wants more; what does not fit the size announced is wrong.
  const room = sized ? <u32>contentSize : capacity
  forgetTree()
  forgetSequences()
  const written = readBlocks(next, end, dst, room, limit)
  if (written < 0) return written === OUT_OF_ROOM && sized ? CORRUPT : written
  if (sized && <u32>written !== room) return CORRUPT
  if (checked) {
    if (<u32>(end - next) < 4) return CORRUPT
    if (load<u32>(next) !== <u32>xxh64(dst, written)) return CORRUPT
    next += 4
  }
  return written
}

/** Sets what is known of the frame, and `next`; 0 or a status. */
function readHeader(src: usize, end: usize): i32 {
  const descriptor: u32 = load<u8>(src)
  if ((descriptor & 8) !== 0) return CORRUPT
  const single = (descriptor & 0x20) !== 0
  const dictionaryBytes: u32 = (1 << (descriptor & 3)) >>> 1
  const sizeForm = descriptor >>> 6
  const sizeBytes: u32 = sizeForm === 0 ? (single ? 1 : 0) : 1 << sizeForm
  const headerBytes: u32 = 1 + (single ? 0 : 1) + dictionaryBytes + sizeBytes
  if (headerBytes > <u32>(end - src)) return CORRUPT
  let ip = src + 1
  maxBlock = MAX_BLOCK
  if (!single) {
    const window: u32 = load<u8>(ip++)
    if (window > MAX_WINDOW) return UNSUPPORTED
    const exponent = window >>> 3
    if (exponent < 7) maxBlock = (1 << (10 + exponent)) + ((window & 7) << (7 + exponent))
  }
  for (let i: u32 = 0; i < dictionaryBytes; i++) {
    if (load<u8>(ip + i) !== 0) return UNSUPPORTED
  }
  ip += dictionaryBytes
  sized = sizeBytes > 0
  checked = (descriptor & 4) !== 0
  if (sizeBytes === 1) contentSize = load<u8>(ip)
  else if (sizeBytes === 2) contentSize = <u64>load<u16>(ip) + 256
  else if (sizeBytes === 4) contentSize = load<u32>(ip)
  else if (sizeBytes === 8) contentSize = load<u64>(ip)
  if (single && contentSize < maxBlock) maxBlock = <u32>contentSize
  next = src + headerBytes
  return 0
}

/** Blocks up to the last, `room` bytes at most; sets `next`. */
function readBlocks(ip: usize, end: usize, dst: usize, room: u32, limit: usize): i32 {
  let op = dst
  let last: u32 = 0
  while (last === 0) {
    if (<u32>(end - ip) < 3) return CORRUPT
    const head = load<u32>(ip) & 0xffffff
    ip += 3
    last = head & 1
    const kind = (head >>> 1) & 3
    const size = head >>> 3
    const left = <u32>(end - ip)
    if (size > maxBlock || (kind === RLE ? 1 : size) > left) return CORRUPT
    const rest = room - <u32>(op - dst)
    if (kind === COMPRESSED) {
      const written = readBlock(ip, size, op, min<u32>(rest, maxBlock), dst, limit)
      // Only a block that had its full size available is wrong by not fitting.
      if (written < 0) return written === OUT_OF_ROOM && rest >= maxBlock ? CORRUPT : written
      ip += size
      op += written
    } else {
      if (size > rest) return OUT_OF_ROOM
      if (kind === RAW) {
        memory.copy(op, ip, size)
        ip += size
      } else if (kind === RLE) memory.fill(op, load<u8>(ip++), size)
      else return CORRUPT
      op += size
    }
  }
  next = ip
  return <i32>(op - dst)
}

/** A compressed block of at most `room` bytes, in a frame whose output begins at `base`. */
function readBlock(src: usize, length: u32, dst: usize, room: u32, base: usize, limit: usize): i32 {
  const used = readLiterals(src, length, maxBlock)
  if (used < 0) return CORRUPT
  return readSequences(src + used, length - used, dst, room, base, limit)
}
