// CRC-32C of up to a few hundred bytes: sixteen bytes at a time through 4-bit tables, without folding.
//
// - A byte b that stands 16·d bytes before its lane in the last vector weighs b·x^(128·d) there. Modulo
//   the polynomial, b·x^(128·d + 24) is four bytes, which replace b: one at its own lane, three behind.
//   They are linear in b, so each is one look-up of the low and one of the high nibble: a swizzle.
// - The four bytes of all lanes add up in four planes. Plane k belongs k lanes further, hence 19 bytes:
//   A, a vector, and B, the three behind it. A·x^24 + B = M·x^24, so M·x^32, which is the CRC, is that
//   of A with B added to its low three bytes.
// - Zeros before a message change nothing: the odd bytes go first, moved to the end of a vector.
//
// Layout of CRC_NIBBLES: for each d < 16, planes 0…3 of the low nibble, then of the high one.

import { POLYNOMIAL } from './crc-polynomial'
import { CRC_NIBBLES, CRC_TABLES } from './limits'

/** Table t of CRC_TABLES is a byte followed by t zero bytes. */
export function initNibbles(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? POLYNOMIAL : 0)
    store<u32>(CRC_TABLES + (i << 2), c)
  }
  for (let i: u32 = 256; i < 16 * 256; i++) {
    const c = load<u32>(CRC_TABLES + ((i - 256) << 2))
    store<u32>(CRC_TABLES + (i << 2), (c >>> 8) ^ load<u32>(CRC_TABLES + ((c & 0xff) << 2)))
  }
  for (let i: u32 = 0; i < 32; i++) {
    const high = i >>> 4
    let moved = high ? (i & 15) << 4 : i
    for (let d: u32 = 0; d < 16; d++) {
      const row = CRC_NIBBLES + (d << 7) + (high << 6) + (i & 15)
      for (let k: u32 = 0; k < 4; k++) store<u8>(row + (k << 4), moved >>> (k << 3))
      moved = slice16(i32x4(moved, 0, 0, 0))
    }
  }
}

/** The raw state after `length` more bytes. */
export function nibbleUpdate(state: u32, ptr: usize, length: u32): u32 {
  if (length < 16) return byteUpdate(state, ptr, length)
  let head = length & 15
  while (length >= 16) {
    const vectors = min<u32>((length - head) >>> 4, head === 0 ? 16 : 15)
    state = block(state, ptr, head, vectors)
    ptr += head + (vectors << 4)
    length -= head + (vectors << 4)
    head = 0
  }
  return state
}

/** `head` odd bytes and then `vectors` whole vectors, sixteen vectors at most. */
function block(state: u32, ptr: usize, head: u32, vectors: u32): u32 {
  const lanes = i8x16(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
  const zero = i64x2(0, 0)
  let p0 = zero
  let p1 = zero
  let p2 = zero
  let p3 = zero
  // The state belongs to the first four bytes, wherever head and first vector part. A swizzle gives 0
  // for lanes that do not exist.
  const before = i32x4(state, 0, 0, 0)
  let m = v128.swizzle(
    v128.xor(v128.load(ptr), before),
    i8x16.add(lanes, i8x16.splat(<i8>(head - 16))),
  )
  let row: usize = CRC_NIBBLES + (vectors << 7)
  ptr += head
  let next = v128.xor(v128.load(ptr), v128.swizzle(before, i8x16.add(lanes, i8x16.splat(<i8>head))))
  if (head === 0) {
    m = next
    row -= 128
    ptr += 16
    if (vectors > 1) next = v128.load(ptr)
  }
  while (true) {
    const low = v128.and(m, i8x16.splat(15))
    const high = i16x8.shr_u(v128.and(m, i8x16.splat(-16)), 4)
    p0 = v128.xor(
      p0,
      v128.xor(v128.swizzle(v128.load(row), low), v128.swizzle(v128.load(row, 64), high)),
    )
    p1 = v128.xor(
      p1,
      v128.xor(v128.swizzle(v128.load(row, 16), low), v128.swizzle(v128.load(row, 80), high)),
    )
    p2 = v128.xor(
      p2,
      v128.xor(v128.swizzle(v128.load(row, 32), low), v128.swizzle(v128.load(row, 96), high)),
    )
    p3 = v128.xor(
      p3,
      v128.xor(v128.swizzle(v128.load(row, 48), low), v128.swizzle(v128.load(row, 112), high)),
    )
    if (row === CRC_NIBBLES) break
    row -= 128
    m = next
    ptr += 16
    // Behind the last vector only when that has been taken: no further than the window.
    next = row === CRC_NIBBLES ? zero : v128.load(ptr)
  }
  return merge(p0, p1, p2, p3)
}

/** The planes, each a lane further than the one before, as the state they stand for. */
function merge(p0: v128, p1: v128, p2: v128, p3: v128): u32 {
  const zero = i64x2(0, 0)
  const a1 = v128.shuffle<u8>(
    zero,
    p1,
    0,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    29,
    30,
  )
  const a2 = v128.shuffle<u8>(
    zero,
    p2,
    0,
    0,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    27,
    28,
    29,
  )
  const a3 = v128.shuffle<u8>(zero, p3, 0, 0, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28)
  const b =
    (i32x4.extract_lane(p1, 3) >>> 24) ^
    (i32x4.extract_lane(p2, 3) >>> 16) ^
    (i32x4.extract_lane(p3, 3) >>> 8)
  return slice16(v128.xor(v128.xor(p0, a1), v128.xor(a2, a3))) ^ b
}

/** The state after one vector: slicing by 16. */
function slice16(m: v128): u32 {
  const a = <u32>i32x4.extract_lane(m, 0)
  const b = <u32>i32x4.extract_lane(m, 1)
  const c = <u32>i32x4.extract_lane(m, 2)
  const d = <u32>i32x4.extract_lane(m, 3)
  return (
    load<u32>((a << 2) & 0x3fc, CRC_TABLES + 15 * 1024) ^
    load<u32>((a >>> 6) & 0x3fc, CRC_TABLES + 14 * 1024) ^
    load<u32>((a >>> 14) & 0x3fc, CRC_TABLES + 13 * 1024) ^
    load<u32>((a >>> 22) & 0x3fc, CRC_TABLES + 12 * 1024) ^
    load<u32>((b << 2) & 0x3fc, CRC_TABLES + 11 * 1024) ^
    load<u32>((b >>> 6) & 0x3fc, CRC_TABLES + 10 * 1024) ^
    load<u32>((b >>> 14) & 0x3fc, CRC_TABLES + 9 * 1024) ^
    load<u32>((b >>> 22) & 0x3fc, CRC_TABLES + 8 * 1024) ^
    load<u32>((c << 2) & 0x3fc, CRC_TABLES + 7 * 1024) ^
    load<u32>((c >>> 6) & 0x3fc, CRC_TABLES + 6 * 1024) ^
    load<u32>((c >>> 14) & 0x3fc, CRC_TABLES + 5 * 1024) ^
    load<u32>((c >>> 22) & 0x3fc, CRC_TABLES + 4 * 1024) ^
    load<u32>((d << 2) & 0x3fc, CRC_TABLES + 3 * 1024) ^
    load<u32>((d >>> 6) & 0x3fc, CRC_TABLES + 2 * 1024) ^
    load<u32>((d >>> 14) & 0x3fc, CRC_TABLES + 1024) ^
    load<u32>((d >>> 22) & 0x3fc, CRC_TABLES)
  )
}

function byteUpdate(state: u32, ptr: usize, length: u32): u32 {
  for (const end = ptr + length; ptr < end; ptr++) {
    state = (state >>> 8) ^ load<u32>(((state ^ load<u8>(ptr)) & 0xff) << 2, CRC_TABLES)
  }
  return state
}
