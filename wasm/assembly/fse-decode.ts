// FSE decoding tables (RFC 8878, section 4.1): reading a distribution, spreading it over the states.
//
// A state is 8 bytes: value u32, extra bits u8, bits to read for the next state u8, base of the next
// state u16. Value and extra bits are those that `codes` has for the state's symbol, so that a decoder
// finds what a symbol means without a second lookup.

import { CORRUPT } from './limits'
import { COUNTS, NEXT_STATES } from './zstd-decoder-map'

const MIN_LOG: u32 = 5

/** Of the distribution read last: log2 of its states, and its symbols. */
export let distributionLog: u32 = 0
export let distributionSymbols: u32 = 0

/** Reads a distribution of at most `maxSymbols` into COUNTS; the bytes it takes, or CORRUPT. */
export function readDistribution(src: usize, length: u32, maxLog: u32, maxSymbols: u32): i32 {
  if (length === 0) return CORRUPT
  const log: u32 = (load<u8>(src) & 15) + MIN_LOG
  if (log > maxLog) return CORRUPT
  // One more than what is left to give away: that many values a count can have, -1 included.
  let left: i32 = (1 << log) + 1
  let width: u32 = log + 1
  let position: u32 = 4
  let symbol: u32 = 0
  while (left > 1) {
    if (symbol === maxSymbols || position > length << 3) return CORRUPT
    const bits = load<u32>(src + (position >>> 3)) >>> (position & 7)
    // Values below `short` are written with one bit less.
    const half: u32 = 1 << (width - 1)
    const short: u32 = 2 * half - 1 - <u32>left
    let value = bits & (half - 1)
    if (value < short) position += width - 1
    else {
      value = bits & (2 * half - 1)
      if (value >= half) value -= short
      position += width
    }
    const count = <i32>value - 1
    store<i16>(COUNTS + (symbol++ << 1), count)
    left -= count < 0 ? 1 : count
    while (<u32>left < (<u32>1) << (width - 1)) width--
    if (count === 0) {
      // Then two bits say how many more zeros follow; three zeros are followed by two bits again.
      let zeros: u32 = 3
      while (zeros === 3) {
        if (position > length << 3) return CORRUPT
        zeros = (load<u32>(src + (position >>> 3)) >>> (position & 7)) & 3
        position += 2
        if (zeros > maxSymbols - symbol) return CORRUPT
        for (let i: u32 = 0; i < zeros; i++) store<i16>(COUNTS + (symbol++ << 1), 0)
      }
    }
  }
  distributionLog = log
  distributionSymbols = symbol
  const bytes = (position + 7) >>> 3
  return bytes > length ? CORRUPT : <i32>bytes
}

/** The decoding table of a distribution whose counts fill 2^log states exactly. */
export function buildStates(
  counts: usize,
  symbols: u32,
  log: u32,
  codes: usize,
  table: usize,
): void {
  const size: u32 = 1 << log
  // Symbols of probability "less than one" have one state each, from the end down.
  let high = size - 1
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = <i32>load<i16>(counts + (symbol << 1))
    if (count < 0) store<u32>(table + (high-- << 3), symbol)
    store<u16>(NEXT_STATES + (symbol << 1), count < 0 ? 1 : count)
  }
  const step = (size >>> 1) + (size >>> 3) + 3
  let place: u32 = 0
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    for (let left = <i32>load<i16>(counts + (symbol << 1)); left > 0; left--) {
      store<u32>(table + (place << 3), symbol)
      do place = (place + step) & (size - 1)
      while (place > high)
    }
  }
  for (let state = table; state < table + (size << 3); state += 8) {
    const symbol = load<u32>(state)
    const next: u32 = load<u16>(NEXT_STATES + (symbol << 1))
    store<u16>(NEXT_STATES + (symbol << 1), next + 1)
    const bits = log + clz<u32>(next) - 31
    store<u64>(state, load<u64>(codes + (symbol << 3)))
    store<u8>(state, bits, 5)
    store<u16>(state, (next << bits) - size, 6)
  }
}

/** The table of a symbol that is always the same: one state that takes no bits. */
export function buildOneState(code: usize, table: usize): void {
  store<u64>(table, load<u64>(code))
}
