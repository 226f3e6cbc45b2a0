// CRC-32C (Castagnoli), reflected, as Kafka's record batches carry it: update, combine, patch.
//
// - A *finished* CRC is what is stored; the *raw* state is its complement. Exports speak finished.
// - Appending, combining and patching are linear over GF(2): crc(a‖b) = crc(a)·x^(8·|b|) + crc(b).
// - Long messages are folded (crc32c-fold) until nibble tables (crc32c-nibble) finish them.

import { POLYNOMIAL, X8 } from './crc-polynomial'
import { fold, LONG_REMAINDER, SHORT_REMAINDER } from './crc32c-fold'
import { initNibbles, nibbleUpdate } from './crc32c-nibble'
import { CRC_ADVANCE, CRC_FOLDED, CRC_REST } from './limits'

/** Lengths from which a fold by units of 2, and of 16 bytes before that, is faster than without it. */
const FOLD_FROM_2: u32 = 384
const FOLD_FROM_16: u32 = 12288

export function initCrcTables(): void {
  initNibbles()
  let power: u32 = X8
  for (let i: u32 = 0; i < 32; i++) {
    for (let nibble: u32 = 0; nibble < 8; nibble++) {
      const row = CRC_ADVANCE + (i << 9) + (nibble << 6)
      for (let bit: u32 = 0; bit < 4; bit++) {
        const product = multiply(1 << ((nibble << 2) + bit), power)
        const half: u32 = 1 << bit
        for (let v: u32 = 0; v < half; v++) {
          store<u32>(row + ((half + v) << 2), product ^ load<u32>(row + (v << 2)))
        }
      }
    }
    power = multiply(power, power)
  }
}

/** a·b modulo the polynomial, both reflected. */
function multiply(a: u32, b: u32): u32 {
  let product: u32 = 0
  for (; a !== 0; a <<= 1) {
    product ^= b & (0 - (a >>> 31))
    b = (b >>> 1) ^ (POLYNOMIAL & (0 - (b & 1)))
  }
  return product
}

/** state·x^(8·bytes): one multiplication, of eight look-ups, for each bit that is set in `bytes`. */
function advance(state: u32, bytes: u32): u32 {
  for (; bytes !== 0; bytes &= bytes - 1) {
    const row = CRC_ADVANCE + (ctz(bytes) << 9)
    state =
      load<u32>(row + ((state << 2) & 0x3c)) ^
      load<u32>(row + ((state >>> 2) & 0x3c), 64) ^
      load<u32>(row + ((state >>> 6) & 0x3c), 128) ^
      load<u32>(row + ((state >>> 10) & 0x3c), 192) ^
      load<u32>(row + ((state >>> 14) & 0x3c), 256) ^
      load<u32>(row + ((state >>> 18) & 0x3c), 320) ^
      load<u32>(row + ((state >>> 22) & 0x3c), 384) ^
      load<u32>(row + ((state >>> 26) & 0x3c), 448)
  }
  return state
}

/** The raw state after `length` more bytes. */
export function rawUpdate(state: u32, ptr: usize, length: u32): u32 {
  if (length < FOLD_FROM_2) return nibbleUpdate(state, ptr, length)
  const whole = length & ~15
  if (whole >= FOLD_FROM_16) {
    fold(state, ptr, whole, 16, CRC_FOLDED)
    fold(0, CRC_FOLDED, LONG_REMAINDER, 2, CRC_REST)
  } else fold(state, ptr, whole, 2, CRC_REST)
  const odd = length & 15
  if (odd !== 0) v128.store(CRC_REST + SHORT_REMAINDER, v128.load(ptr + whole))
  return nibbleUpdate(0, CRC_REST, SHORT_REMAINDER + odd)
}

export function crc32c(ptr: usize, length: u32): u32 {
  return ~rawUpdate(~0, ptr, length)
}

/** Continues a finished CRC. */
export function crcUpdate(crc: u32, ptr: usize, length: u32): u32 {
  return ~rawUpdate(~crc, ptr, length)
}

/** The CRC of a‖b from the CRCs of both and the length of b. */
export function crcCombine(crcA: u32, crcB: u32, lengthB: u32): u32 {
  return advance(crcA, lengthB) ^ crcB
}

/**
 * The CRC after `length` bytes changed by XOR with the bytes at `delta`; `after` bytes follow them in
 * the CRC's range. A wrong CRC stays wrong: the bytes themselves are never read.
 */
export function crcPatch(crc: u32, delta: usize, length: u32, after: u32): u32 {
  return crc ^ advance(rawUpdate(0, delta, length), after)
}
