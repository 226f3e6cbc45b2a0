// CRC-32C (Castagnoli), reflected, as Kafka's record batches carry it: update, combine, patch.
//
// - A *finished* CRC is what is stored; the *raw* state is its complement. Exports speak finished.
// - Appending, combining and patching are linear over GF(2): crc(a‖b) = crc(a)·x^(8·|b|) + crc(b).

import { CRC_POWERS, CRC_TABLES } from './limits'

const POLYNOMIAL: u32 = 0x82f63b78

export function initCrcTables(): void {
  for (let i: u32 = 0; i < 256; i++) {
    let c = i
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? POLYNOMIAL : 0)
    store<u32>(CRC_TABLES + (i << 2), c)
  }
  for (let i: u32 = 256; i < 16 * 256; i++) {
    const c = load<u32>(CRC_TABLES + ((i - 256) << 2))
    store<u32>(CRC_TABLES + (i << 2), (c >>> 8) ^ load<u32>(CRC_TABLES + ((c & 0xff) << 2)))
  }
  // In the reflected form bit 31 is x^0, so x^8 is bit 23.
  let unit: u32 = 1 << 23
  for (let digit: u32 = 0; digit < 8; digit++) {
    let power: u32 = 1 << 31
    for (let value: u32 = 0; value < 16; value++) {
      store<u32>(CRC_POWERS + (((digit << 4) + value) << 2), power)
      power = multiply(power, unit)
    }
    unit = power
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

/** x^(8·bytes) modulo the polynomial, one table look-up for each hexadecimal digit. */
function powerOf(bytes: u32): u32 {
  let power = load<u32>(CRC_POWERS + ((bytes & 15) << 2))
  let row: u32 = CRC_POWERS
  while ((bytes >>>= 4) !== 0) {
    row += 64
    const digit = bytes & 15
    if (digit !== 0) power = multiply(power, load<u32>(row + (digit << 2)))
  }
  return power
}

/** The raw state after `length` more bytes; slicing by 16. */
export function rawUpdate(state: u32, ptr: usize, length: u32): u32 {
  const end = ptr + length
  while (ptr + 16 <= end) {
    const a = load<u32>(ptr) ^ state
    const b = load<u32>(ptr, 4)
    const c = load<u32>(ptr, 8)
    const d = load<u32>(ptr, 12)
    state =
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
    ptr += 16
  }
  while (ptr < end) {
    state = (state >>> 8) ^ load<u32>(((state ^ load<u8>(ptr)) & 0xff) << 2, CRC_TABLES)
    ptr++
  }
  return state
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
  return multiply(powerOf(lengthB), crcA) ^ crcB
}

/**
 * The CRC after `length` bytes changed by XOR with the bytes at `delta`; `after` bytes follow them in
 * the CRC's range. A wrong CRC stays wrong: the bytes themselves are never read.
 */
export function crcPatch(crc: u32, delta: usize, length: u32, after: u32): u32 {
  return crc ^ multiply(powerOf(after), rawUpdate(0, delta, length))
}
