// LZ4 frames, read: whatever the `lz4` command and the Kafka clients write.
//
// - Blocks may be linked: a match then reaches into earlier blocks of the frame, which lie right before
//   it in the window. In a frame of independent blocks it must not.
// - Checksums are verified, a content size is compared. Dictionaries are UNSUPPORTED.
// - One frame fills the input exactly. Readers of Kafka disagree about what comes behind it (Java's skip
//   it, the `lz4` command reads on), and about a stored block of no bytes (Java's take it for the end
//   mark), so that both are CORRUPT here: a batch must hold the same records for everybody.
// - A block is read twice over: `unpackFreely` takes the sequences that are far from the ends of both
//   windows, copies in whole vectors past their ends and stops in front of the first one that is near
//   or wrong; `unpackExactly` takes the rest, looks at every byte's place, and finds the status.
//
// Sources: the LZ4 block and frame format descriptions; Kafka's Lz4BlockInputStream for what it refuses.

import { CORRUPT, OUT_OF_ROOM, UNSUPPORTED } from './limits'
import { MAGIC, SHORTEST_MATCH, STORED } from './lz4-frame'
import { copyMatch } from './match-copy'
import { xxh32 } from './xxh32'
import { PATTERNS } from './zstd-decoder-map'

// Flags of the frame descriptor's first byte.
const RESERVED: u32 = 0x02
const DICTIONARY: u32 = 0x01
const CONTENT_CHECKSUM: u32 = 0x04
const CONTENT_SIZE: u32 = 0x08
const BLOCK_CHECKSUM: u32 = 0x10
const INDEPENDENT: u32 = 0x20

/** Token, 14 literals, distance and the first byte of a longer match: read without another look. */
const READ_AHEAD: u32 = 18
/** What the copies of whole vectors may write behind a sequence. */
const OVERSHOOT: u32 = 32

/** Decompresses one frame that fills the input exactly; its bytes, or a status. */
export function lz4Unframe(src: usize, length: u32, dst: usize, capacity: u32): i32 {
  if (length < 7 || load<u32>(src) !== MAGIC) return CORRUPT
  const flags: u32 = load<u8>(src, 4)
  const descriptor: u32 = load<u8>(src, 5)
  if (flags >>> 6 !== 1 || (flags & RESERVED) !== 0 || (descriptor & 0x8f) !== 0) return CORRUPT
  if ((flags & DICTIONARY) !== 0) return UNSUPPORTED
  const sized = (flags & CONTENT_SIZE) !== 0
  const headerBytes: u32 = sized ? 15 : 7
  if (length < headerBytes || descriptor < 0x40) return CORRUPT
  const checksum = (xxh32(src + 4, headerBytes - 5) >>> 8) & 0xff
  if (checksum !== load<u8>(src + headerBytes - 1)) return CORRUPT
  const blockBytes: u32 = 1 << (8 + ((descriptor >>> 4) << 1))
  const written = readBlocks(src + headerBytes, src + length, flags, blockBytes, dst, capacity)
  if (written < 0) return written
  if (sized && load<u64>(src, 6) !== <u64>written) return CORRUPT
  return written
}

function readBlocks(
  ip: usize,
  end: usize,
  flags: u32,
  blockBytes: u32,
  dst: usize,
  capacity: u32,
): i32 {
  const limit = dst + capacity
  const trailer: u32 = flags & BLOCK_CHECKSUM ? 4 : 0
  let op = dst
  while (true) {
    if (<u32>(end - ip) < 4) return CORRUPT
    const word = load<u32>(ip)
    ip += 4
    if (word === 0) break
    const size = word & ~STORED
    if (size === 0 || size > blockBytes || size + trailer > <u32>(end - ip)) return CORRUPT
    if (trailer !== 0 && xxh32(ip, size) !== load<u32>(ip + size)) return CORRUPT
    const room = <u32>(limit - op)
    if (word & STORED) {
      if (size > room) return OUT_OF_ROOM
      memory.copy(op, ip, size)
      op += size
    } else {
      const floor = flags & INDEPENDENT ? op : dst
      const written = unpack(ip, ip + size, op, op + min<u32>(room, blockBytes), floor)
      // Only a block that had its full size available is wrong by not fitting.
      if (written < 0) return written === OUT_OF_ROOM && room >= blockBytes ? CORRUPT : written
      op += written
    }
    ip += size + trailer
  }
  if (flags & CONTENT_CHECKSUM) {
    if (<u32>(end - ip) < 4 || load<u32>(ip) !== xxh32(dst, <u32>(op - dst))) return CORRUPT
    ip += 4
  }
  return ip === end ? <i32>(op - dst) : CORRUPT
}

// Where reading goes on: behind a length, 0 when the input ended inside it; behind the last sequence.
let next: usize = 0

/** One block; its decompressed bytes, CORRUPT or OUT_OF_ROOM. Matches reach down to `floor`. */
function unpack(ip: usize, end: usize, op: usize, limit: usize, floor: usize): i32 {
  const middle = unpackFreely(ip, end, op, limit, floor)
  const written = unpackExactly(next, end, middle, limit, floor)
  return written < 0 ? written : <i32>(middle - op) + written
}

/** What follows a length whose four bits are full; the whole of it is below 2^31: blocks have 4 MiB. */
function readLength(ip: usize, end: usize): u32 {
  let length: u32 = 15
  let byte: u32 = 255
  while (byte === 255) {
    if (ip >= end) {
      next = 0
      return 0
    }
    byte = load<u8>(ip++)
    length += byte
  }
  next = ip
  return length
}

/** The sequences that need no care. Where writing goes on; `next` is where reading does. */
function unpackFreely(ip: usize, end: usize, op: usize, limit: usize, floor: usize): usize {
  const lastIn = end - READ_AHEAD
  const lastOut = limit - OVERSHOOT
  let sequence = ip
  let start = op
  while (ip <= lastIn && op <= lastOut) {
    const token: u32 = load<u8>(ip++)
    let literals = token >>> 4
    if (literals < 15) v128.store(op, v128.load(ip))
    else {
      literals += load<u8>(ip++)
      if (literals === 270) {
        literals = readLength(ip - 1, end)
        if (next === 0) break
        ip = next
      }
      if (ip + literals > lastIn || op + literals > lastOut) break
      for (let i: u32 = 0; i < literals; i += 16) v128.store(op + i, v128.load(ip + i))
    }
    ip += literals
    op += literals
    const distance: u32 = load<u16>(ip)
    ip += 2
    let size = token & 15
    // Half of all matches are long ones: no branch could be foretold.
    const more = <u32>(size === 15)
    size += load<u8>(ip) & (0 - more)
    ip += more
    if (size === 270) {
      size = readLength(ip - 1, end)
      if (next === 0) break
      ip = next
    }
    size += SHORTEST_MATCH
    // As unsigned numbers: a distance of zero is beyond all reach.
    if (distance - 1 >= <u32>(op - floor) || op + size > lastOut) break
    if (distance >= 16) {
      const from = op - distance
      v128.store(op, v128.load(from))
      v128.store(op, v128.load(from, 16), 16)
      for (let i: u32 = 32; i < size; i += 16) v128.store(op + i, v128.load(from + i))
    } else repeat(op, distance, size)
    op += size
    sequence = ip
    start = op
  }
  next = sequence
  return start
}

/** As `copyMatch` does it, for the one caller that has room: a call from its loop would cost much. */
function repeat(op: usize, distance: u32, size: u32): void {
  const bytes = v128.load(op - distance)
  const pattern = i8x16.swizzle(bytes, v128.load(PATTERNS + (distance << 4)))
  const stride: u32 = load<u8>(PATTERNS + distance)
  for (let i: u32 = 0; i < size; i += stride) v128.store(op + i, pattern)
}

/** The rest of a block, nothing read or written beyond it; the bytes written, or a status. */
function unpackExactly(ip: usize, end: usize, dst: usize, limit: usize, floor: usize): i32 {
  let op = dst
  while (ip < end) {
    const token: u32 = load<u8>(ip++)
    let literals = token >>> 4
    if (literals === 15) {
      literals = readLength(ip, end)
      if (next === 0) return CORRUPT
      ip = next
    }
    if (literals > <u32>(end - ip)) return CORRUPT
    if (literals > <u32>(limit - op)) return OUT_OF_ROOM
    memory.copy(op, ip, literals)
    ip += literals
    op += literals
    if (ip === end) return <i32>(op - dst)
    if (<u32>(end - ip) < 2) return CORRUPT
    const distance: u32 = load<u16>(ip)
    ip += 2
    if (distance === 0 || distance > <u32>(op - floor)) return CORRUPT
    let size = token & 15
    if (size === 15) {
      size = readLength(ip, end)
      if (next === 0) return CORRUPT
      ip = next
    }
    size += SHORTEST_MATCH
    if (size > <u32>(limit - op)) return OUT_OF_ROOM
    copyMatch(op, distance, size, limit)
    op += size
  }
  // A block ends with literals.
  return CORRUPT
}
