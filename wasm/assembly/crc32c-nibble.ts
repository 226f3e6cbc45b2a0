// CRC-32C of up to 256 bytes at once, by vector look-ups of half bytes.
//
//   block     V0 │ V1 │ … │ Vlast                    whole vectors of 16 bytes
//   becomes   │ p0 p1 p2 p3 at each of 16 lanes │    19 bytes with the same remainder
//
// - A byte that has 16·d bytes between it and the same lane of the last vector may be replaced by the
//   four bytes of the state that it and 16·d − 1 zeros leave behind, XORed in at that lane: a state
//   belongs to the four bytes that follow it.
// - That state is linear in the byte, so it is the XOR of what its two halves leave: tables of 16, which
//   `i8x16.swizzle` looks up for 16 lanes at once. One table for each of the four bytes ("planes"), each
//   half and each distance: 16 × 8 × 16 bytes.
// - What stays after the last lane, three bytes, is state for whatever comes next.

import { CRC_NIBBLES } from './limits'

/** Bytes that one pass takes at most: as many vectors as there are distances. */
export const NIBBLE_BLOCK: u32 = 256
/** Of a distance: two halves of four planes. */
const ROW: u32 = 128

/** `byteTable`: the state that each byte leaves, 256 u32. */
export function initNibbles(byteTable: usize): void {
  for (let half: u32 = 0; half < 2; half++) {
    for (let value: u32 = 0; value < 16; value++) {
      const byte = value << (half << 2)
      // Nothing lies between a byte of the last vector and its lane.
      let state: u32 = byte
      for (let distance: u32 = 0; distance < 16; distance++) {
        const at = CRC_NIBBLES + distance * ROW + (half << 6) + value
        store<u8>(at, state)
        store<u8>(at, state >>> 8, 16)
        store<u8>(at, state >>> 16, 32)
        store<u8>(at, state >>> 24, 48)
        for (let i = 0; i < 16; i++) {
          state = (state >>> 8) ^ load<u32>(byteTable + ((state & 0xff) << 2))
        }
      }
    }
  }
}

/** Where `nibbleBlock` leaves the bytes behind its 16: XOR them into the state after those. */
let rest: u32 = 0

export function nibbleRest(): u32 {
  return rest
}

/**
 * `length` bytes (a multiple of 16, NIBBLE_BLOCK at most) behind `state`: 16 bytes with the same
 * remainder, and `nibbleRest`.
 */
export function nibbleBlock(state: u32, ptr: usize, length: u32): v128 {
  const low = i8x16.splat(15)
  let p0 = i8x16.splat(0)
  let p1 = p0
  let p2 = p0
  let p3 = p0
  let row: usize = CRC_NIBBLES + ((length >>> 4) - 1) * ROW
  const end = ptr + length
  let vector = v128.xor(v128.load(ptr), i32x4(state, 0, 0, 0))
  while (true) {
    const l = v128.and(vector, low)
    const h = i8x16.shr_u(vector, 4)
    p0 = v128.xor(
      p0,
      v128.xor(v128.swizzle<i8>(v128.load(row), l), v128.swizzle<i8>(v128.load(row, 64), h)),
    )
    p1 = v128.xor(
      p1,
      v128.xor(v128.swizzle<i8>(v128.load(row, 16), l), v128.swizzle<i8>(v128.load(row, 80), h)),
    )
    p2 = v128.xor(
      p2,
      v128.xor(v128.swizzle<i8>(v128.load(row, 32), l), v128.swizzle<i8>(v128.load(row, 96), h)),
    )
    p3 = v128.xor(
      p3,
      v128.xor(v128.swizzle<i8>(v128.load(row, 48), l), v128.swizzle<i8>(v128.load(row, 112), h)),
    )
    ptr += 16
    if (ptr === end) break
    row -= ROW
    vector = v128.load(ptr)
  }
  return merge(p0, p1, p2, p3)
}

/** Moves each plane by its place: 16 bytes, and three behind them. */
function merge(p0: v128, p1: v128, p2: v128, p3: v128): v128 {
  const zero = i8x16.splat(0)
  // prettier-ignore
  const one = v128.shuffle<u8>(
    zero,
    p1,
    15,
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
  const two = v128.shuffle<u8>(
    zero,
    p2,
    14,
    15,
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
  const three = v128.shuffle<u8>(
    zero,
    p3,
    13,
    14,
    15,
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
  )
  rest =
    v128.extract_lane<u8>(p1, 15) ^
    (v128.extract_lane<u32>(p2, 3) >>> 16) ^
    (v128.extract_lane<u32>(p3, 3) >>> 8)
  return v128.xor(v128.xor(p0, one), v128.xor(two, three))
}
