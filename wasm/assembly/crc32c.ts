// CRC-32C (Castagnoli), reflected, as Kafka's record batches carry it: update, combine, patch.
//
// - A *finished* CRC is what is stored; the *raw* state is its complement. Exports speak finished.
// - Appending, combining and patching are linear over GF(2): crc(a‖b) = crc(a)·x^(8·|b|) + crc(b).

import { CRC_HISTORY, CRC_LAST, CRC_POWERS, CRC_REST, CRC_TABLES } from './limits'

const POLYNOMIAL: u32 = 0x82f63b78
/**
 * Degree of Q = x^104 + x^57 + x^53 + x^49 + x^19 + x^14 + x^4 + 1, a multiple of the polynomial with
 * few terms. Squaring is linear, so Q(x^8), Q(x^16), … are multiples too: dividing by them needs only
 * loads and XORs of whole bytes, no tables and no carry-less multiplication.
 */
const DEGREE: u32 = 104
const FOLD_CHUNK: u32 = 8192
/** Lengths from which a first fold by units of 2 and of 4 bytes is faster than without it. */
const FOLD_FROM: u32 = 512
const FOLD_FROM_4: u32 = 1024

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

/** The raw state after `length` more bytes: slicing by 16, behind folding where that pays. */
export function rawUpdate(state: u32, ptr: usize, length: u32): u32 {
  if (length < FOLD_FROM) return slice(state, ptr, length)
  const whole = length & ~15
  if (whole >= FOLD_FROM_4) {
    fold(state, ptr, whole, 4, CRC_LAST)
    fold(0, CRC_LAST, DEGREE * 4, 2, CRC_REST)
  } else fold(state, ptr, whole, 2, CRC_REST)
  return slice(slice(0, CRC_REST, DEGREE * 2), ptr + whole, length & 15)
}

/**
 * Replaces `length` bytes (a multiple of 16, more than DEGREE·unit) behind `state` by DEGREE·unit bytes
 * at `dst` with the same remainder: the long division by Q(x^(8·unit)), 16 bytes at a time, which the
 * smallest gap allows. The history holds the quotient, zeros before it and behind it.
 */
function fold(state: u32, src: usize, length: u32, unit: u32, dst: usize): void {
  const span = DEGREE * unit
  memory.fill(CRC_HISTORY, 0, span)
  v128.store(CRC_HISTORY + span, i32x4(state, 0, 0, 0))
  let quotient = length - span
  // The state belongs to the first four bytes.
  v128.store(CRC_HISTORY + span, v128.xor(v128.load(src), v128.load(CRC_HISTORY + span)))
  let done: u32 = 16
  while (true) {
    const size = min<u32>(quotient, FOLD_CHUNK)
    if (unit === 4) done = divideBy4(src, done, size)
    for (; done < size; done += 16) {
      const h = CRC_HISTORY + done
      v128.store(h + span, v128.xor(v128.load(src + done), taps(h, unit)))
    }
    src += size
    quotient -= size
    memory.copy(CRC_HISTORY, CRC_HISTORY + size, span)
    if (quotient === 0) break
    done = 0
  }
  memory.fill(CRC_HISTORY + span, 0, span)
  for (let i: u32 = 0; i < span; i += 16) {
    v128.store(dst + i, v128.xor(v128.load(src + i), taps(CRC_HISTORY + i, unit)))
  }
}

/** The main loop of the division at unit 4, the gaps constant, two steps at once; how far it came. */
function divideBy4(src: usize, done: u32, size: u32): u32 {
  for (; done + 32 <= size; done += 32) {
    const m = src + done
    const h = CRC_HISTORY + done
    const a = v128.xor(
      v128.xor(v128.xor(v128.load(m), v128.load(h)), v128.xor(v128.load(h, 16), v128.load(h, 56))),
      v128.xor(
        v128.xor(v128.load(h, 76), v128.load(h, 196)),
        v128.xor(v128.load(h, 212), v128.load(h, 228)),
      ),
    )
    const b = v128.xor(
      v128.xor(
        v128.xor(v128.load(m, 16), v128.load(h, 16)),
        v128.xor(v128.load(h, 32), v128.load(h, 72)),
      ),
      v128.xor(
        v128.xor(v128.load(h, 92), v128.load(h, 212)),
        v128.xor(v128.load(h, 228), v128.load(h, 244)),
      ),
    )
    v128.store(h, a, 416)
    v128.store(h, b, 432)
  }
  return done
}

/** The quotient at each of the gaps before the place DEGREE·unit bytes behind `h`. */
function taps(h: usize, unit: u32): v128 {
  return v128.xor(
    v128.xor(
      v128.xor(v128.load(h), v128.load(h + 4 * unit)),
      v128.xor(v128.load(h + 14 * unit), v128.load(h + 19 * unit)),
    ),
    v128.xor(
      v128.xor(v128.load(h + 49 * unit), v128.load(h + 53 * unit)),
      v128.load(h + 57 * unit),
    ),
  )
}

function slice(state: u32, ptr: usize, length: u32): u32 {
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
