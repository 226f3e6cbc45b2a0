// CRC-32C (Castagnoli), reflected, as Kafka's record batches carry it: update, combine, patch.
//
// - A *finished* CRC is what is stored; the *raw* state is its complement. Exports speak finished.
// - Appending, combining and patching are linear over GF(2): crc(a‖b) = crc(a)·x^(8·|b|) + crc(b).

import { DEGREE, fold } from './crc32c-fold'
import { initNibbles, NIBBLE_BLOCK, nibbleBlock, nibbleRest } from './crc32c-nibble'
import { CRC_LAST, CRC_POWERS, CRC_REST, CRC_TABLES } from './limits'

const POLYNOMIAL: u32 = 0x82f63b78
/** Lengths from which a first fold by units of 2 and of 4 bytes is faster than without it. */
const FOLD_FROM: u32 = 384
const FOLD_FROM_4: u32 = 2048

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
  initNibbles(CRC_TABLES)
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

/** The raw state after `length` more bytes. */
export function rawUpdate(state: u32, ptr: usize, length: u32): u32 {
  if (length < FOLD_FROM) return short(state, ptr, length)
  const whole = length & ~15
  if (whole >= FOLD_FROM_4) {
    fold(state, ptr, whole, 4, CRC_LAST)
    fold(0, CRC_LAST, DEGREE * 4, 2, CRC_REST)
  } else fold(state, ptr, whole, 2, CRC_REST)
  return tail(block(0, CRC_REST, DEGREE * 2), ptr + whole, length & 15)
}

/** Vectors of 16 bytes in blocks, then what is less than one. */
function short(state: u32, ptr: usize, length: u32): u32 {
  while (length >= 16) {
    const size = min<u32>(length & ~15, NIBBLE_BLOCK)
    state = block(state, ptr, size)
    ptr += size
    length -= size
  }
  return tail(state, ptr, length)
}

function block(state: u32, ptr: usize, length: u32): u32 {
  const last = nibbleBlock(state, ptr, length)
  return slice(last) ^ nibbleRest()
}

/** The state that 16 bytes leave, by tables of what each of them leaves behind itself. */
function slice(vector: v128): u32 {
  const a = v128.extract_lane<u32>(vector, 0)
  const b = v128.extract_lane<u32>(vector, 1)
  const c = v128.extract_lane<u32>(vector, 2)
  const d = v128.extract_lane<u32>(vector, 3)
  return (
    word(a, CRC_TABLES + 12 * 1024) ^
    word(b, CRC_TABLES + 8 * 1024) ^
    word(c, CRC_TABLES + 4 * 1024) ^
    word(d, CRC_TABLES)
  )
}

/** What four bytes leave; `tables` begins with that of the last. */
function word(bytes: u32, tables: usize): u32 {
  return (
    load<u32>(tables + ((bytes << 2) & 0x3fc), 3 * 1024) ^
    load<u32>(tables + ((bytes >>> 6) & 0x3fc), 2 * 1024) ^
    load<u32>(tables + ((bytes >>> 14) & 0x3fc), 1024) ^
    load<u32>(tables + ((bytes >>> 22) & 0x3fc))
  )
}

/** Less than 16 bytes. */
function tail(state: u32, ptr: usize, length: u32): u32 {
  if (length & 8) {
    state =
      word(load<u32>(ptr) ^ state, CRC_TABLES + 4 * 1024) ^ word(load<u32>(ptr, 4), CRC_TABLES)
    ptr += 8
  }
  if (length & 4) {
    state = word(load<u32>(ptr) ^ state, CRC_TABLES)
    ptr += 4
  }
  for (let left = length & 3; left > 0; left--) {
    state = (state >>> 8) ^ load<u32>(((state ^ load<u8>(ptr++)) & 0xff) << 2, CRC_TABLES)
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
