// Folding: a long message becomes a short one with the same CRC, by whole vectors and XOR alone.
//
// - Q (one of two in crc-polynomial) is a multiple of the polynomial P, so a remainder by Q keeps the
//   one by P. x + 1 divides P, hence Q(1) = 0: every multiple has an even number of terms.
// - Squaring is linear over GF(2): Q(x)^2 = Q(x^2), and so Q(x^16) and Q(x^128) are multiples too.
//   Dividing by Q(x^(8·unit)) moves whole units of `unit` bytes: no tables, no carry-less multiply.
// - The long division: quotient[j] = message[j] + Σ quotient[j − gap·unit], over all gaps of Q. Vector by
//   vector, as the smallest gap is wider than that. The last degree·unit bytes get no quotient of their
//   own: message plus earlier quotients there is the remainder, as a message.
//
// Layout of CRC_QUOTIENT: degree·unit bytes of history, zeros at first, and then a chunk's quotient; the
// last of it becomes the history of the next chunk.

import {
  LONG_DEGREE,
  LONG_GAP_1,
  LONG_GAP_2,
  LONG_GAP_3,
  LONG_GAP_4,
  SHORT_DEGREE,
  SHORT_GAP_1,
  SHORT_GAP_2,
  SHORT_GAP_3,
  SHORT_GAP_4,
  SHORT_GAP_5,
  SHORT_GAP_6,
} from './crc-polynomial'
import { CRC_QUOTIENT } from './limits'

const CHUNK: u32 = 16384
/** What a fold by units of 16 bytes leaves of a message, and what one by units of 2 leaves. */
export const LONG_REMAINDER: u32 = LONG_DEGREE * 16
export const SHORT_REMAINDER: u32 = SHORT_DEGREE * 2

/**
 * Replaces `length` bytes (a multiple of 16, more than remain) behind `state` by the remainder at `dst`;
 * the unit is 16, with the long multiple, or 2, with the short one.
 */
export function fold(state: u32, src: usize, length: u32, unit: u32, dst: usize): void {
  const span: u32 = unit === 16 ? LONG_REMAINDER : SHORT_REMAINDER
  clear(CRC_QUOTIENT, span)
  // Only the first four bytes look at the oldest history, which is where the state belongs.
  store<u32>(CRC_QUOTIENT, state)
  let left = length - span
  let size = min<u32>(left, CHUNK)
  while (true) {
    if (unit === 16) divideBy16(src, size)
    else divideBy2(src, size)
    src += size
    left -= size
    if (left === 0) break
    memory.copy(CRC_QUOTIENT, CRC_QUOTIENT + size, span)
    size = min<u32>(left, CHUNK)
  }
  const history = CRC_QUOTIENT + size
  clear(history + span, span)
  for (let i: u32 = 0; i < span; i += 16) {
    const sum = unit === 16 ? taps16(history + i) : taps2(history + i)
    v128.store(dst + i, v128.xor(v128.load(src + i), sum))
  }
}

/** A loop, as calling out for so few bytes takes longer. */
function clear(ptr: usize, length: u32): void {
  for (const end = ptr + length; ptr < end; ptr += 16) v128.store(ptr, i64x2(0, 0))
}

function divideBy16(src: usize, size: u32): void {
  let h: usize = CRC_QUOTIENT
  const end = h + size
  for (; h + 32 <= end; h += 32) {
    const a = v128.xor(v128.load(src), taps16(h))
    const b = v128.xor(v128.load(src, 16), taps16(h + 16))
    v128.store(h, a, LONG_DEGREE * 16)
    v128.store(h, b, LONG_DEGREE * 16 + 16)
    src += 32
  }
  if (h < end) v128.store(h, v128.xor(v128.load(src), taps16(h)), LONG_DEGREE * 16)
}

function divideBy2(src: usize, size: u32): void {
  let h: usize = CRC_QUOTIENT
  const end = h + size
  for (; h + 32 <= end; h += 32) {
    const a = v128.xor(v128.load(src), taps2(h))
    const b = v128.xor(v128.load(src, 16), taps2(h + 16))
    v128.store(h, a, SHORT_DEGREE * 2)
    v128.store(h, b, SHORT_DEGREE * 2 + 16)
    src += 32
  }
  if (h < end) v128.store(h, v128.xor(v128.load(src), taps2(h)), SHORT_DEGREE * 2)
}

/** The quotient at every gap before the place LONG_DEGREE·16 bytes behind `h`. */
function taps16(h: usize): v128 {
  return v128.xor(
    v128.xor(v128.load(h), v128.load(h, (LONG_DEGREE - LONG_GAP_4) * 16)),
    v128.xor(
      v128.xor(
        v128.load(h, (LONG_DEGREE - LONG_GAP_3) * 16),
        v128.load(h, (LONG_DEGREE - LONG_GAP_2) * 16),
      ),
      v128.load(h, (LONG_DEGREE - LONG_GAP_1) * 16),
    ),
  )
}

/** The quotient at every gap before the place SHORT_DEGREE·2 bytes behind `h`. */
function taps2(h: usize): v128 {
  return v128.xor(
    v128.xor(
      v128.xor(v128.load(h), v128.load(h, (SHORT_DEGREE - SHORT_GAP_6) * 2)),
      v128.xor(
        v128.load(h, (SHORT_DEGREE - SHORT_GAP_5) * 2),
        v128.load(h, (SHORT_DEGREE - SHORT_GAP_4) * 2),
      ),
    ),
    v128.xor(
      v128.xor(
        v128.load(h, (SHORT_DEGREE - SHORT_GAP_3) * 2),
        v128.load(h, (SHORT_DEGREE - SHORT_GAP_2) * 2),
      ),
      v128.load(h, (SHORT_DEGREE - SHORT_GAP_1) * 2),
    ),
  )
}
