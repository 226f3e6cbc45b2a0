// LZ4 frames, written; `lz4-unframe.ts` reads them.
//
//   magic 0x184d2204 LE | FLG | BD | [content size u64] | HC | { size u32 | data | [checksum u32] } | 0 u32
//   | [content checksum u32];  the top bit of a block's size says that it is stored as it is
//
//   block: { token u8 | [more literals] | literals | distance u16 LE | [more match] }, the last without
//   a match;  token: literals in the upper four bits, length of the match − 4 in the lower ones, 15 of
//   either: bytes follow that are added, until one is not 255
//
// - FLG 0x60 (version 1, independent blocks: Kafka refuses linked ones), no checksums, no size; blocks
//   of 64 KiB up to that size, of 256 KiB above. BD is what a reader allocates, so it stays small.
// - Match finder: greedy, one hash of five bytes. The tables are never cleared: an entry is a
//   *virtual* position, each block starts 64 KiB behind the last, so old entries are out of a match's
//   reach. The output of a block depends on the block alone, whatever came before it.
// - Encoder version 1: `test/wasm/lz4-frame.test.ts` pins its output. A change of it is a new version.
//
// Sources: the LZ4 frame and block format descriptions.

import {
  LZ4_EPOCH,
  LZ4_LARGE_TABLE,
  LZ4_LARGE_TABLE_BYTES,
  LZ4_SMALL_TABLE,
  LZ4_SMALL_TABLE_BYTES,
  OUT_OF_ROOM,
} from './limits'
import { matchEnd } from './match-end'
import { xxh32 } from './xxh32'

export const MAGIC: u32 = 0x184d2204
export const STORED: u32 = 0x80000000
export const SHORTEST_MATCH: u32 = 4
/** The farthest a match may lie behind. */
const REACH: u32 = 65535
/** Longest input that uses the small table: clearing caches costs more than collisions there. */
const SMALL_INPUT: u32 = 48 * 1024
/** Bytes of the rest of a block that no match may start in, and that none may reach into. */
const LAST_MATCH: u32 = 12
const LAST_LITERALS: u32 = 5

/** Also at the wrap of the epoch. */
export function initLz4Tables(): void {
  memory.fill(LZ4_SMALL_TABLE, 0, LZ4_SMALL_TABLE_BYTES)
  memory.fill(LZ4_LARGE_TABLE, 0, LZ4_LARGE_TABLE_BYTES)
  // Zero entries must be out of reach of the first position.
  store<u32>(LZ4_EPOCH, REACH + 1)
}

/**
 * Compresses to a frame; its bytes, or OUT_OF_ROOM, which it may also say when up to 24 bytes more than
 * it needs are there. Windows must not overlap.
 */
export function lz4Frame(src: usize, length: u32, dst: usize, capacity: u32): i32 {
  // Header, and end mark; checked again before each block.
  if (capacity < 11) return OUT_OF_ROOM
  const limit = dst + capacity - 4
  const blockBytes: u32 = length <= 0x10000 ? 0x10000 : 0x40000
  store<u32>(dst, MAGIC)
  store<u8>(dst, 0x60, 4)
  store<u8>(dst, length <= 0x10000 ? 0x40 : 0x50, 5)
  store<u8>(dst, xxh32(dst + 4, 2) >>> 8, 6)
  let op = dst + 7
  const end = src + length
  while (src < end) {
    const size = min<u32>(blockBytes, <u32>(end - src))
    if (op + 4 > limit) return OUT_OF_ROOM
    const packed = compressBlock(src, size, op + 4, limit)
    if (packed > 0) {
      store<u32>(op, packed)
      op += packed + 4
    } else {
      if (size > <u32>(limit - op - 4)) return OUT_OF_ROOM
      store<u32>(op, size | STORED)
      memory.copy(op + 4, src, size)
      op += size + 4
    }
    src += size
  }
  store<u32>(op, 0)
  return <i32>(op + 4 - dst)
}

/** One block; its bytes, or 0 when it would not become smaller or not fit below `limit`. */
function compressBlock(src: usize, length: u32, dst: usize, limit: usize): u32 {
  if (length <= LAST_MATCH) return 0
  let epoch = load<u32>(LZ4_EPOCH)
  if (epoch > 0xffffffff - length - REACH - 1) {
    initLz4Tables()
    epoch = load<u32>(LZ4_EPOCH)
  }
  store<u32>(LZ4_EPOCH, epoch + length + REACH + 1)
  limit = min<usize>(limit, dst + length - 1)
  return length < SMALL_INPUT
    ? pack(src, length, dst, limit, epoch - <u32>src, LZ4_SMALL_TABLE, 52)
    : pack(src, length, dst, limit, epoch - <u32>src, LZ4_LARGE_TABLE, 50)
}

/** Where in the hash table the five bytes at the low end of `bytes` belong. */
function slot(bytes: u64, table: usize, shift: u64): usize {
  return table + ((<usize>(((bytes << 24) * 889523592379) >>> shift)) << 2)
}

function pack(
  src: usize,
  length: u32,
  dst: usize,
  limit: usize,
  bias: u32,
  table: usize,
  shift: u64,
): u32 {
  const end = src + length
  const matchLimit = end - LAST_LITERALS
  const searchLimit = end - LAST_MATCH
  let op = dst
  let anchor = src
  let ip = src + 1
  store<u32>(slot(load<u64>(src), table, shift), <u32>src + bias)
  while (true) {
    // Step wider the longer nothing is found: incompressible data costs little.
    let tries: u32 = 64
    let match: usize = 0
    while (ip <= searchLimit) {
      const bytes = load<u64>(ip)
      const place = slot(bytes, table, shift)
      const position = <u32>ip + bias
      const distance = position - load<u32>(place)
      store<u32>(place, position)
      if (distance <= REACH && load<u32>(ip - distance) === <u32>bytes) {
        match = ip - distance
        break
      }
      ip += tries++ >>> 6
    }
    if (match === 0) break
    while (ip > anchor && match > src && load<u8>(ip - 1) === load<u8>(match - 1)) {
      ip--
      match--
    }
    const start = ip
    const distance = <u32>(ip - match)
    ip = matchEnd(ip + 4, match + 4, matchLimit)
    op = writeSequence(op, limit, anchor, <u32>(start - anchor), distance, <u32>(ip - start) - 4)
    if (op === 0) return 0
    anchor = ip
    if (ip > searchLimit) break
    store<u32>(slot(load<u64>(ip - 2), table, shift), <u32>ip - 2 + bias)
  }
  op = writeLast(op, limit, anchor, <u32>(end - anchor))
  return op === 0 ? 0 : <u32>(op - dst)
}

/** The part of a length that its four bits in the token do not hold. */
function writeLength(op: usize, rest: u32): usize {
  for (; rest >= 255; rest -= 255) store<u8>(op++, 255)
  store<u8>(op++, rest)
  return op
}

/** Literals and a match; the new end, or 0 when there is no room. */
function writeSequence(
  op: usize,
  limit: usize,
  literals: usize,
  count: u32,
  distance: u32,
  extra: u32,
): usize {
  // Token, both lengths, literals with 16 bytes of overshoot, distance.
  if (op + count + count / 255 + extra / 255 + 24 > limit) return 0
  const token = op++
  let bits: u32
  if (count >= 15) {
    bits = 0xf0
    op = writeLength(op, count - 15)
  } else bits = count << 4
  v128.store(op, v128.load(literals))
  for (let i: u32 = 16; i < count; i += 16) v128.store(op + i, v128.load(literals + i))
  op += count
  store<u16>(op, distance)
  op += 2
  if (extra >= 15) {
    bits |= 15
    op = writeLength(op, extra - 15)
  } else bits |= extra
  store<u8>(token, bits)
  return op
}

/** The literals at the end of a block; the new end, or 0 when there is no room. */
function writeLast(op: usize, limit: usize, literals: usize, count: u32): usize {
  if (op + count + count / 255 + 2 > limit) return 0
  const token = op++
  if (count >= 15) {
    store<u8>(token, 0xf0)
    op = writeLength(op, count - 15)
  } else store<u8>(token, count << 4)
  memory.copy(op, literals, count)
  return op + count
}
