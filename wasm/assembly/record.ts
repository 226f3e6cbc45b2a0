// Records of Kafka's v2 batches: encode one, find one, scan many.
//
//   length varint | attributes i8 = 0 | timestampDelta varlong | offsetDelta varint
//   | keyLength varint (−1 = null) | key | valueLength varint (−1 = null) | value
//   | headersCount varint | { keyLength varint | key | valueLength varint (−1 = null) | value }
//
// - Varints are zig-zag, at most 5 bytes (varlong 10). `length` counts what comes after it.
// - Readers believe nothing from behind the end they are given. Only `skipPlain` looks there: the scan
//   takes a record by it first, and one that is not so plain, or wrong, by `scanRecord`.

import { CORRUPT, OUT_OF_ROOM, WRONG_COUNT, WRONG_DELTA, WRONG_TIMESTAMP } from './limits'

const SAFE: i64 = 9007199254740991

// Results of the readers besides the value: where reading goes on, 0 when the bytes were no varint.
let next: usize = 0
/** Timestamp delta of the scan that is going on. */
let greatest: i64 = 0
let maxTimestampDelta: i64 = 0

function zigZag(value: i32): u32 {
  return ((<u32>value) << 1) ^ <u32>(value >> 31)
}

function zigZagLong(value: i64): u64 {
  return ((<u64>value) << 1) ^ <u64>(value >> 63)
}

/** Bytes of a varint: ⌈bits / 7⌉ without a division. */
function sizeOf(z: u32): u32 {
  return ((38 - clz<u32>(z | 1)) * 9363) >>> 16
}

function sizeOfLong(z: u64): u32 {
  return ((70 - <u32>clz<u64>(z | 1)) * 9363) >>> 16
}

function writeVarint(ptr: usize, z: u32): usize {
  while (z > 0x7f) {
    store<u8>(ptr++, z | 0x80)
    z >>>= 7
  }
  store<u8>(ptr++, z)
  return ptr
}

function writeVarlong(ptr: usize, z: u64): usize {
  while (z > 0x7f) {
    store<u8>(ptr++, z | 0x80)
    z >>>= 7
  }
  store<u8>(ptr++, z)
  return ptr
}

function readVarint(ptr: usize, end: usize): i32 {
  let z: u32 = 0
  for (let shift: u32 = 0; shift < 35; shift += 7) {
    if (ptr >= end) break
    const byte: u32 = load<u8>(ptr++)
    z |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      // The fifth byte holds the upper four bits; more would be lost.
      if (shift === 28 && byte > 15) break
      next = ptr
      return <i32>(z >>> 1) ^ -(<i32>(z & 1))
    }
  }
  next = 0
  return 0
}

function readVarlong(ptr: usize, end: usize): i64 {
  let z: u64 = 0
  for (let shift: u64 = 0; shift < 70; shift += 7) {
    if (ptr >= end) break
    const byte: u64 = load<u8>(ptr++)
    z |= (byte & 0x7f) << shift
    if (byte < 0x80) {
      if (shift === 63 && byte > 1) break
      next = ptr
      return <i64>(z >>> 1) ^ -(<i64>(z & 1))
    }
  }
  next = 0
  return 0
}

/** Short copies by 16 bytes where the window allows to write past the end, else exactly. */
function copy(dst: usize, src: usize, length: u32, limit: usize): void {
  if (length <= 256 && dst + length + 16 <= limit) {
    for (let i: u32 = 0; i < length; i += 16) v128.store(dst + i, v128.load(src + i))
  } else memory.copy(dst, src, length)
}

/** Writes one record; its bytes, or OUT_OF_ROOM with nothing written. */
export function encodeRecord(
  dst: usize,
  capacity: u32,
  offsetDelta: i32,
  timestampDelta: f64,
  key: usize,
  keyLength: i32,
  value: usize,
  valueLength: i32,
  headers: usize,
  headersLength: u32,
  headersCount: i32,
): i32 {
  const time = zigZagLong(<i64>timestampDelta)
  const offset = zigZag(offsetDelta)
  const keyZ = zigZag(keyLength)
  const valueZ = zigZag(valueLength)
  const countZ = zigZag(headersCount)
  const keyBytes: u32 = keyLength > 0 ? keyLength : 0
  const valueBytes: u32 = valueLength > 0 ? valueLength : 0
  const fixed =
    1 + sizeOfLong(time) + sizeOf(offset) + sizeOf(keyZ) + sizeOf(valueZ) + sizeOf(countZ)
  const body = <u64>fixed + keyBytes + valueBytes + headersLength
  if (body > capacity) return OUT_OF_ROOM
  const bodyZ = zigZag(<i32>body)
  const total = <u32>body + sizeOf(bodyZ)
  if (total > capacity) return OUT_OF_ROOM
  const limit = dst + capacity
  let ptr = writeVarint(dst, bodyZ)
  store<u8>(ptr++, 0)
  ptr = writeVarlong(ptr, time)
  ptr = writeVarint(ptr, offset)
  ptr = writeVarint(ptr, keyZ)
  copy(ptr, key, keyBytes, limit)
  ptr = writeVarint(ptr + keyBytes, valueZ)
  copy(ptr, value, valueBytes, limit)
  ptr = writeVarint(ptr + valueBytes, countZ)
  copy(ptr, headers, headersLength, limit)
  return total
}

/**
 * The position of the first record whose offset delta is at least `offsetDelta`; `length` when there
 * is none; CORRUPT when a record on the way does not parse.
 */
export function findRecord(ptr: usize, length: u32, offsetDelta: i32): i32 {
  const end = ptr + length
  let at = ptr
  while (at < end) {
    const size = readVarint(at, end)
    if (next === 0 || size < 0 || <u32>size > <u32>(end - next)) return CORRUPT
    const recordEnd = next + size
    readVarlong(next + 1, recordEnd)
    if (next === 0) return CORRUPT
    const delta = readVarint(next, recordEnd)
    if (next === 0) return CORRUPT
    if (delta >= offsetDelta) break
    at = recordEnd
  }
  return <i32>(at - ptr)
}

/** Behind a length and its bytes, 0 when they do not fit; −1 stands for null where that may be. */
function skipBytes(ptr: usize, end: usize, least: i32): usize {
  const length = readVarint(ptr, end)
  if (next === 0 || length < least) return 0
  if (length <= 0) return next
  return <u32>length > <u32>(end - next) ? 0 : next + length
}

/** Behind one header, 0 when it does not parse. */
function skipHeader(ptr: usize, end: usize): usize {
  const value = skipBytes(ptr, end, 0)
  return value === 0 ? 0 : skipBytes(value, end, -1)
}

/**
 * Checks that exactly `count` records fill `length` bytes, with offset deltas 0…count−1, and
 * remembers their greatest timestamp delta. 0 or a status.
 */
export function scanRecords(ptr: usize, length: u32, count: i32): i32 {
  const end = ptr + length
  let at = ptr
  greatest = i64.MIN_VALUE
  for (let i = 0; i < count; i++) {
    if (at === end) return WRONG_COUNT
    let after = skipPlain(at, end, i)
    if (after === 0) {
      const status = scanRecord(at, end, i)
      if (status < 0) return status
      after = next
    }
    at = after
  }
  if (at !== end) return WRONG_COUNT
  maxTimestampDelta = count > 0 ? greatest : 0
  return 0
}

/** One record of any kind: 0, and `next` behind it, or a status. */
function scanRecord(at: usize, end: usize, offsetDelta: i32): i32 {
  const size = readVarint(at, end)
  if (next === 0 || size <= 0 || <u32>size > <u32>(end - next)) return CORRUPT
  const recordEnd = next + size
  if (load<u8>(next) !== 0) return CORRUPT
  const time = readVarlong(next + 1, recordEnd)
  if (next === 0) return CORRUPT
  if (time > SAFE || time < -SAFE) return WRONG_TIMESTAMP
  const delta = readVarint(next, recordEnd)
  if (next === 0) return CORRUPT
  if (delta !== offsetDelta) return WRONG_DELTA
  at = skipBytes(next, recordEnd, -1)
  if (at === 0) return CORRUPT
  at = skipBytes(at, recordEnd, -1)
  if (at === 0) return CORRUPT
  let headers = readVarint(at, recordEnd)
  if (next === 0 || headers < 0) return CORRUPT
  at = next
  while (headers-- > 0) {
    at = skipHeader(at, recordEnd)
    if (at === 0) return CORRUPT
  }
  if (at !== recordEnd) return CORRUPT
  greatest = max<i64>(greatest, time)
  next = recordEnd
  return 0
}

/**
 * Behind a good record without headers whose numbers have at most two bytes, its timestamp delta at most
 * four, as nearly all have; 0 for any other. May look 9 bytes behind the end, but believes nothing from
 * there.
 */
function skipPlain(at: usize, end: usize, offsetDelta: i32): usize {
  const size: u32 = load<u16>(at)
  const fields = at + shortSize(size)
  const recordEnd = fields + (shortValue(size) >>> 1)
  // The lowest bit is the sign.
  if (isLong(size) || (size & 1) !== 0 || recordEnd > end || load<u8>(fields) !== 0) return 0
  const time: u32 = load<u32>(fields, 1)
  const stop = ~time & 0x80808080
  at = fields + 1 + ((ctz<u32>(stop) + 1) >>> 3)
  const delta: u32 = load<u16>(at)
  at += shortSize(delta)
  if (stop === 0 || isLong(delta) || shortValue(delta) !== (<u32>offsetDelta) << 1) return 0
  const key: u32 = load<u16>(at)
  at += shortSize(key) + shortLength(key)
  if (isLong(key) || at >= recordEnd) return 0
  const value: u32 = load<u16>(at)
  at += shortSize(value) + shortLength(value)
  // What is left is the number of headers: none.
  if (isLong(value) || at + 1 !== recordEnd || load<u8>(at) !== 0) return 0
  const bits = time & (stop ^ (stop - 1))
  const z =
    (bits & 0x7f) | ((bits >>> 1) & 0x3f80) | ((bits >>> 2) & 0x1fc000) | ((bits >>> 3) & 0xfe00000)
  greatest = max<i64>(greatest, <i64>(z >>> 1) ^ -(<i64>(z & 1)))
  return recordEnd
}

// Varints of at most two bytes, from the word that begins with them, without a branch.

function isLong(word: u32): bool {
  return (word & 0x8080) === 0x8080
}

function shortSize(word: u32): u32 {
  return 1 + ((word >>> 7) & 1)
}

function shortValue(word: u32): u32 {
  return (word & 0x7f) | ((word >>> 1) & 0x3f80 & (0 - ((word >>> 7) & 1)))
}

/** 0 for null, which is −1; more than any record has for what is less. */
function shortLength(word: u32): u32 {
  const z = shortValue(word)
  return z === 1 ? 0 : (z >>> 1) | ((z & 1) << 28)
}

/** The greatest timestamp delta of the last scanRecords that returned 0. */
export function scanMaxTimestamp(): f64 {
  return <f64>maxTimestampDelta
}
