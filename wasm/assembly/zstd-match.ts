// The match finder of the zstd encoder: greedy, one hash, the last offset tried first.
//
// - The hash table holds *virtual* positions, address + bias, and is never cleared: each frame begins
//   behind all that came before, so an entry below `lowest` belongs to another frame or lies outside
//   the window. The output of a frame depends on the frame alone.
// - Three last offsets are kept as the format says (RFC 8878 §3.1.1.5): a sequence with literals may
//   repeat them as 1, 2, 3; one without repeats the second and third as 1, 2.
// - Literals are collected at LITERALS, sequences go to putSequence.

import { matchEnd } from './match-end'
import { HASH_BITS, HASH_TABLE, LITERALS, MAX_SEQUENCES } from './zstd-layout'
import { putSequence } from './zstd-sequences'

/** Multiplies the hashed bytes; odd, and without a pattern. */
const PRIME: u64 = 0x9e3779b185ebca87
/** No match begins in this many bytes at the end of a block. */
const LAST_BYTES: u32 = 8
/** Every so many bytes without a match the steps become longer. */
const PATIENCE: u32 = 8

// The last offsets, newest first, and those before this block.
let offset1: u32 = 1
let offset2: u32 = 4
let offset3: u32 = 8
let before1: u32 = 1
let before2: u32 = 4
let before3: u32 = 8

/** What a parse found. */
export let literalsLength: u32 = 0
export let sequenceCount: u32 = 0

export function matchBeginFrame(): void {
  offset1 = 1
  offset2 = 4
  offset3 = 8
}

/** The block was not written as sequences: a decoder knows nothing of its offsets. */
export function matchForget(): void {
  offset1 = before1
  offset2 = before2
  offset3 = before3
}

/**
 * Finds the sequences of one block; the end of it, which is before `end` when there are too many.
 * `base` is where the frame's bytes begin, `hashed` how many bytes are hashed.
 */
export function parseBlock(
  base: usize,
  src: usize,
  end: usize,
  bias: u32,
  lowest: u32,
  hashed: u64,
): usize {
  before1 = offset1
  before2 = offset2
  before3 = offset3
  const unhashed: u64 = 64 - 8 * hashed
  const searchLimit = end - LAST_BYTES
  let anchor = src
  let ip = src
  let literals = LITERALS
  let count: u32 = 0
  while (ip <= searchLimit && count < MAX_SEQUENCES) {
    const bytes = load<u64>(ip)
    const place = slot(bytes, unhashed)
    const position = <u32>ip + bias
    const entry = load<u32>(place)
    store<u32>(place, position)
    let start: usize
    let distance: u32
    // Two ahead: a number that changed in one digit is followed by what followed it last time, and
    // nearer than that, four equal bytes are too often chance.
    if (load<u32>(ip + 2 - offset1) === <u32>(bytes >>> 16)) {
      start = ip + 2
      if (load<u8>(ip + 1) === load<u8>(ip + 1 - offset1)) start--
      distance = offset1
    } else if (entry >= lowest && load<u32>(<usize>(entry - bias)) === <u32>bytes) {
      distance = position - entry
      start = matchStart(ip, distance, max<usize>(anchor, base + distance))
    } else {
      ip += ((ip - anchor) >>> PATIENCE) + 1
      continue
    }
    const length = <u32>(start - anchor)
    const matched = start
    literals = copyLiterals(literals, anchor, length)
    ip = matchEnd(ip + 4, ip + 4 - distance, end)
    putSequence(count++, length, <u32>(ip - matched) - 3, offsetValue(distance, length))
    anchor = ip
    if (ip > searchLimit) break
    // Two positions inside the match, for later ones.
    insert(matched + 2, unhashed, bias)
    insert(ip - 2, unhashed, bias)
    // Often the second last offset goes on where the last one ended.
    while (
      ip <= searchLimit &&
      count < MAX_SEQUENCES &&
      load<u32>(ip) === load<u32>(ip - offset2)
    ) {
      insert(ip, unhashed, bias)
      ip = matchEnd(ip + 4, ip + 4 - offset2, end)
      putSequence(count++, 0, <u32>(ip - anchor) - 3, offsetValue(offset2, 0))
      anchor = ip
    }
  }
  if (count === MAX_SEQUENCES) end = anchor
  literalsLength = <u32>(copyLiterals(literals, anchor, <u32>(end - anchor)) - LITERALS)
  sequenceCount = count
  return end
}

function slot(bytes: u64, unhashed: u64): usize {
  return HASH_TABLE + ((<usize>(((bytes << unhashed) * PRIME) >>> (64 - HASH_BITS))) << 2)
}

function insert(ip: usize, unhashed: u64, bias: u32): void {
  store<u32>(slot(load<u64>(ip), unhashed), <u32>ip + bias)
}

/** What stands for this offset behind this many literals; it becomes the last one. */
function offsetValue(distance: u32, literals: u32): u32 {
  let value: u32
  if (distance === offset2) {
    value = literals === 0 ? 1 : 2
  } else if (distance === offset1 && literals !== 0) {
    return 1
  } else {
    value = distance === offset3 ? (literals === 0 ? 2 : 3) : distance + 3
    offset3 = offset2
  }
  offset2 = offset1
  offset1 = distance
  return value
}

/** Where a match at `ip` begins, `floor` at the earliest. */
function matchStart(ip: usize, distance: u32, floor: usize): usize {
  while (ip > floor && load<u8>(ip - 1) === load<u8>(ip - distance - 1)) ip--
  return ip
}

/** Overshoots by up to 16 bytes; the end of the copy. */
function copyLiterals(dst: usize, src: usize, length: u32): usize {
  if (length <= 64) {
    for (let i: u32 = 0; i < length; i += 16) v128.store(dst + i, v128.load(src + i))
  } else memory.copy(dst, src, length)
  return dst + length
}
