// CRC-32C by division: a long message becomes a short one with the same remainder, by nothing but
// loads, XORs and stores of vectors (the way of Chorba, arXiv 2412.16398, for this polynomial).
//
//   Q = x^104 + x^57 + x^53 + x^49 + x^19 + x^14 + x^4 + 1      a multiple of the CRC's polynomial P
//
// - What leaves no remainder when divided by Q leaves none by P, so XORing multiples of Q into a message
//   changes its CRC by nothing. Long division by Q clears the message from its front: each bit of the
//   quotient is a message bit and the quotient's bits 47, 51, 55, 85, 90, 100 and 104 before it (104 less
//   each exponent). What is left is the last 104 bits.
// - Squaring is linear over GF(2): Q(x)² = Q(x²). So Q(x^8), Q(x^16), … are multiples of P as well, and
//   with those the same gaps count bytes, or units of 2 and 4 bytes, instead of bits. Whole vectors can
//   be divided at once as long as the smallest gap is more than a vector: no step needs its own result.
// - P has the factor x + 1, so every multiple has an even number of terms. This is the lightest of a
//   degree this low whose smallest gap is large; `tools/crc-constants.ts` derives it again.
// - The history holds the quotient: zeros before it, and zeros behind it while the rest is made.

import { CRC_HISTORY } from './limits'

export const DEGREE: u32 = 104
/** Bytes of the quotient between two moves of the history to its front. */
const CHUNK: u32 = 8192

/**
 * Replaces `length` bytes (a multiple of 16, more than DEGREE·unit) behind `state` by DEGREE·unit bytes
 * at `dst` with the same remainder; `unit` is 2 or 4 bytes.
 */
export function fold(state: u32, src: usize, length: u32, unit: u32, dst: usize): void {
  const span = DEGREE * unit
  clear(CRC_HISTORY, span)
  // The state belongs to the first four bytes.
  v128.store(CRC_HISTORY + span, v128.xor(v128.load(src), i32x4(state, 0, 0, 0)))
  let left = length - span
  let done: u32 = 16
  let size = min<u32>(left, CHUNK)
  while (true) {
    if (unit === 4) divideBy4(src, done, size)
    else divideBy2(src, done, size)
    src += size
    left -= size
    if (left === 0) break
    memory.copy(CRC_HISTORY, CRC_HISTORY + size, span)
    done = 0
    size = min<u32>(left, CHUNK)
  }
  const last = CRC_HISTORY + size
  clear(last + span, span)
  for (let i: u32 = 0; i < span; i += 16) {
    const taps = unit === 4 ? taps4(last + i) : taps2(last + i)
    v128.store(dst + i, v128.xor(v128.load(src + i), taps))
  }
}

/** Calls of `memory.fill` cost more than this few stores. */
function clear(ptr: usize, length: u32): void {
  const zero = i64x2.splat(0)
  for (let i: u32 = 0; i < length; i += 16) v128.store(ptr + i, zero)
}

/** The quotient of `done` up to `size` bytes; one step more may be made than is needed. */
function divideBy4(src: usize, done: u32, size: u32): void {
  for (; done < size; done += 32) {
    const h = CRC_HISTORY + done
    v128.store(h, v128.xor(v128.load(src + done), taps4(h)), 416)
    v128.store(h, v128.xor(v128.load(src + done, 16), taps4(h + 16)), 432)
  }
}

function divideBy2(src: usize, done: u32, size: u32): void {
  for (; done < size; done += 32) {
    const h = CRC_HISTORY + done
    v128.store(h, v128.xor(v128.load(src + done), taps2(h)), 208)
    v128.store(h, v128.xor(v128.load(src + done, 16), taps2(h + 16)), 224)
  }
}

/** The quotient at each of the gaps before the place DEGREE·4 bytes behind `h`: four times 104 − gap. */
function taps4(h: usize): v128 {
  return v128.xor(
    v128.xor(
      v128.xor(v128.load(h), v128.load(h, 16)),
      v128.xor(v128.load(h, 56), v128.load(h, 76)),
    ),
    v128.xor(v128.xor(v128.load(h, 196), v128.load(h, 212)), v128.load(h, 228)),
  )
}

function taps2(h: usize): v128 {
  return v128.xor(
    v128.xor(v128.xor(v128.load(h), v128.load(h, 8)), v128.xor(v128.load(h, 28), v128.load(h, 38))),
    v128.xor(v128.xor(v128.load(h, 98), v128.load(h, 106)), v128.load(h, 114)),
  )
}
