// Folding: a long message becomes a short one with the same CRC, by whole vectors and XOR alone.
//
// - Q (crc-polynomial) is a multiple of the polynomial P, so a remainder by Q keeps the one by P.
//   x + 1 divides P, hence Q(1) = 0: every multiple has an even number of terms.
// - Squaring is linear over GF(2): Q(x)^2 = Q(x^2), and so Q(x^8), Q(x^32), Q(x^128) are multiples too.
//   Dividing by Q(x^(8·unit)) moves whole units of `unit` bytes: no tables, no carry-less multiply.
// - The long division: quotient[j] = message[j] + Σ quotient[j − gap·unit], over all gaps of Q. Vector by
//   vector, as the smallest gap is wider than that. The last DEGREE·unit bytes get no quotient of their
//   own: message plus earlier quotients there is the remainder, as a message.
//
// Layout of CRC_QUOTIENT: DEGREE·unit bytes of history, zeros at first, and then a chunk's quotient; the
// last of it becomes the history of the next chunk.

import { DEGREE, GAP_1, GAP_2, GAP_3, GAP_4, GAP_5, GAP_6 } from './crc-polynomial'
import { CRC_QUOTIENT } from './limits'

const CHUNK: u32 = 8192

/**
 * Replaces `length` bytes (a multiple of 16, more than DEGREE·unit) behind `state` by DEGREE·unit bytes
 * at `dst`; the unit is 16 or 4.
 */
export function fold(state: u32, src: usize, length: u32, unit: u32, dst: usize): void {
  const span: u32 = DEGREE * unit
  clear(CRC_QUOTIENT, span)
  // Only the first four bytes look at the oldest history, which is where the state belongs.
  store<u32>(CRC_QUOTIENT, state)
  let left = length - span
  let size = min<u32>(left, CHUNK)
  while (true) {
    if (unit === 16) divideBy16(src, size)
    else divideBy4(src, size)
    src += size
    left -= size
    if (left === 0) break
    memory.copy(CRC_QUOTIENT, CRC_QUOTIENT + size, span)
    size = min<u32>(left, CHUNK)
  }
  const history = CRC_QUOTIENT + size
  clear(history + span, span)
  for (let i: u32 = 0; i < span; i += 16) {
    const sum = unit === 16 ? taps16(history + i) : taps4(history + i)
    v128.store(dst + i, v128.xor(v128.load(src + i), sum))
  }
}

/** A loop, as calling out for so few bytes takes longer. */
function clear(ptr: usize, length: u32): void {
  for (const end = ptr + length; ptr < end; ptr += 32) {
    v128.store(ptr, i64x2(0, 0))
    v128.store(ptr, i64x2(0, 0), 16)
  }
}

function divideBy16(src: usize, size: u32): void {
  let h: usize = CRC_QUOTIENT
  const end = h + size
  for (; h + 32 <= end; h += 32) {
    const a = v128.xor(v128.load(src), taps16(h))
    const b = v128.xor(v128.load(src, 16), taps16(h + 16))
    v128.store(h, a, DEGREE * 16)
    v128.store(h, b, DEGREE * 16 + 16)
    src += 32
  }
  if (h < end) v128.store(h, v128.xor(v128.load(src), taps16(h)), DEGREE * 16)
}

function divideBy4(src: usize, size: u32): void {
  let h: usize = CRC_QUOTIENT
  const end = h + size
  for (; h + 32 <= end; h += 32) {
    const a = v128.xor(v128.load(src), taps4(h))
    const b = v128.xor(v128.load(src, 16), taps4(h + 16))
    v128.store(h, a, DEGREE * 4)
    v128.store(h, b, DEGREE * 4 + 16)
    src += 32
  }
  if (h < end) v128.store(h, v128.xor(v128.load(src), taps4(h)), DEGREE * 4)
}

/** The quotient at every gap before the place DEGREE·16 bytes behind `h`. */
function taps16(h: usize): v128 {
  return v128.xor(
    v128.xor(
      v128.xor(v128.load(h), v128.load(h, (DEGREE - GAP_6) * 16)),
      v128.xor(v128.load(h, (DEGREE - GAP_5) * 16), v128.load(h, (DEGREE - GAP_4) * 16)),
    ),
    v128.xor(
      v128.xor(v128.load(h, (DEGREE - GAP_3) * 16), v128.load(h, (DEGREE - GAP_2) * 16)),
      v128.load(h, (DEGREE - GAP_1) * 16),
    ),
  )
}

/** The quotient at every gap before the place DEGREE·4 bytes behind `h`. */
function taps4(h: usize): v128 {
  return v128.xor(
    v128.xor(
      v128.xor(v128.load(h), v128.load(h, (DEGREE - GAP_6) * 4)),
      v128.xor(v128.load(h, (DEGREE - GAP_5) * 4), v128.load(h, (DEGREE - GAP_4) * 4)),
    ),
    v128.xor(
      v128.xor(v128.load(h, (DEGREE - GAP_3) * 4), v128.load(h, (DEGREE - GAP_2) * 4)),
      v128.load(h, (DEGREE - GAP_1) * 4),
    ),
  )
}
