// Tables of finite state entropy: probabilities from counts, their description, the encoder's tables.
//
//   +0 accuracy log u32 | +4 symbols u32 | +0x10 probabilities 64 × i16
//   | +0x90 per symbol { bits u32, cell i32 } | +0x290 states 512 × u16
//
// A state is a number in [size, 2·size), size = 2^log. To encode a symbol from a state, its low
// n = (state + bits) >>> 16 bits are written, and states[(state >>> n) + cell] follows. Decoding runs
// backwards through the same states, so symbols are encoded last first. Probabilities are in cells
// of the table, −1 being a cell for "less than one"; only predefined tables have those.
// Format: RFC 8878 §4.1.1. The two-number form of the transitions is Yann Collet's.

import { CELLS, LOG2, NEXT_CELL } from './zstd-layout'

export const TABLE_BYTES: u32 = 0x700
const PROBABILITIES: usize = 0x10
const TRANSITIONS: usize = 0x90
const STATES: usize = 0x290

/** A cost no table has: some symbol cannot be encoded. */
export const IMPOSSIBLE: u32 = 0xffffffff

export function initFse(): void {
  // log2 by squaring: each square doubles it, and what passes 2 is the next binary digit.
  for (let n: u32 = 1; n <= 512; n++) {
    const exponent = 31 - clz<u32>(n)
    let mantissa: u64 = (<u64>n) << (30 - exponent)
    let log = exponent
    for (let digit = 0; digit < 8; digit++) {
      mantissa = (mantissa * mantissa) >>> 30
      const carry = <u32>(mantissa >>> 31)
      mantissa >>>= carry
      log = (log << 1) | carry
    }
    store<u16>(LOG2 + (n << 1), log)
  }
}

export function fseLog(table: usize): u32 {
  return load<u32>(table)
}

export function fseProbability(table: usize, symbol: u32): i32 {
  return load<i16>(table + (symbol << 1), PROBABILITIES)
}

export function fseStart(table: usize, log: u32, symbols: u32): void {
  store<u32>(table, log)
  store<u32>(table, symbols, 4)
}

export function fseSetProbability(table: usize, symbol: u32, probability: i32): void {
  store<i16>(table + (symbol << 1), probability, PROBABILITIES)
}

/** A log that suits `total` symbols: more cells than that would only make the description longer. */
export function fseSuitableLog(total: u32, symbols: u32, most: u32): u32 {
  const byTotal: u32 = total < 32 ? 3 : 29 - clz<u32>(total - 1)
  const bySymbols: u32 = 32 - clz<u32>(symbols)
  return min<u32>(most, max<u32>(5, max<u32>(byTotal, bySymbols)))
}

/** Probabilities nearest to counts of which at least two are not 0. */
export function fseNormalize(
  table: usize,
  log: u32,
  counts: usize,
  symbols: u32,
  total: u32,
): void {
  fseStart(table, log, symbols)
  const size: u32 = 1 << log
  let rest: i32 = size
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(counts + (symbol << 2))
    const share: u32 = count === 0 ? 0 : max<u32>(1, ((count << log) + (total >>> 1)) / total)
    fseSetProbability(table, symbol, share)
    rest -= share
  }
  // Rounding left some cells over, or took too many: settled where it costs least.
  for (; rest > 0; rest--) addCell(table, mostWanting(table, counts, symbols), 1)
  for (; rest < 0; rest++) addCell(table, leastWanting(table, counts, symbols), -1)
}

function addCell(table: usize, symbol: u32, change: i32): void {
  fseSetProbability(table, symbol, fseProbability(table, symbol) + change)
}

/** The symbol with the most occurrences for each of its cells. */
function mostWanting(table: usize, counts: usize, symbols: u32): u32 {
  let best: u32 = 0
  let bestCount: u32 = 0
  let bestShare: u32 = 1
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(counts + (symbol << 2))
    const share: u32 = fseProbability(table, symbol)
    if (count * bestShare > bestCount * share) {
      best = symbol
      bestCount = count
      bestShare = share
    }
  }
  return best
}

/** The symbol with the fewest occurrences for each of its cells, of those that can lose one. */
function leastWanting(table: usize, counts: usize, symbols: u32): u32 {
  let best: u32 = 0
  let bestCount: u32 = 1
  let bestShare: u32 = 0
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const share: u32 = fseProbability(table, symbol)
    if (share < 2) continue
    const count = load<u32>(counts + (symbol << 2))
    if (count * bestShare < bestCount * (share - 1)) {
      best = symbol
      bestCount = count
      bestShare = share - 1
    }
  }
  return best
}

/** Writes the probabilities; the bytes of that. Overshoots by up to eight. */
export function fseDescribe(table: usize, dst: usize): u32 {
  const log = fseLog(table)
  let op = dst
  let bits: u64 = log - 5
  let used: u32 = 4
  let rest: u32 = 1 << log
  let symbol: u32 = 0
  while (rest > 0) {
    const probability = fseProbability(table, symbol++)
    // The value is at most rest + 1; the lowest ones do with a bit less.
    const width: u32 = 32 - clz<u32>(rest + 1)
    const short: u32 = (1 << width) - 2 - rest
    let value: u32 = probability + 1
    rest -= abs<i32>(probability)
    if (value < short) {
      bits |= (<u64>value) << used
      used += width - 1
    } else {
      if (value >>> (width - 1) !== 0) value += short
      bits |= (<u64>value) << used
      used += width
    }
    if (probability === 0) {
      // How many more zeros follow, in digits of which 3 means "and more".
      let zeros: u32 = 0
      while (fseProbability(table, symbol) === 0) {
        symbol++
        zeros++
      }
      for (; zeros >= 3; zeros -= 3) {
        bits |= (<u64>3) << used
        used += 2
      }
      bits |= (<u64>zeros) << used
      used += 2
    }
    store<u64>(op, bits)
    op += used >>> 3
    bits >>>= used & 56
    used &= 7
  }
  if (used > 0) op++
  return <u32>(op - dst)
}

/** The encoder's tables from the probabilities. */
export function fseBuild(table: usize): void {
  const log = fseLog(table)
  const size: u32 = 1 << log
  const symbols = load<u32>(table, 4)
  let highest = size - 1
  let cell: u32 = 0
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const probability = fseProbability(table, symbol)
    store<u32>(NEXT_CELL + (symbol << 2), cell)
    if (probability === 0) continue
    const transition = table + (symbol << 3)
    if (probability < 2) {
      if (probability < 0) store<u8>(CELLS + highest--, symbol)
      store<u32>(transition, (log << 16) - size, TRANSITIONS)
      store<i32>(transition, <i32>cell - 1, TRANSITIONS + 4)
      cell++
    } else {
      const bits = log - (31 - clz<u32>(probability - 1))
      store<u32>(transition, (bits << 16) - ((<u32>probability) << bits), TRANSITIONS)
      store<i32>(transition, <i32>cell - probability, TRANSITIONS + 4)
      cell += probability
    }
  }
  spread(table, symbols, size, highest)
  for (let i: u32 = 0; i < size; i++) {
    const next = NEXT_CELL + ((<u32>load<u8>(CELLS + i)) << 2)
    const place = load<u32>(next)
    store<u32>(next, place + 1)
    store<u16>(table + (place << 1), size + i, STATES)
  }
}

/** Deals the cells up to `highest` to the symbols, in the strides that the format prescribes. */
function spread(table: usize, symbols: u32, size: u32, highest: u32): void {
  const stride: u32 = (size >>> 1) + (size >>> 3) + 3
  let cell: u32 = 0
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    for (let left = fseProbability(table, symbol); left > 0; left--) {
      store<u8>(CELLS + cell, symbol)
      do cell = (cell + stride) & (size - 1)
      while (cell > highest)
    }
  }
}

/** A table of one symbol, which takes no bits. */
export function fseBuildSingle(table: usize, symbol: u32): void {
  fseStart(table, 0, symbol + 1)
  memory.fill(table + PROBABILITIES, 0, symbol << 1)
  fseSetProbability(table, symbol, 1)
  fseBuild(table)
}

/** What symbols with these counts take, in 1/256 bits, the first state included. */
export function fseCost(table: usize, counts: usize, symbols: u32): u32 {
  const log = fseLog(table)
  if (symbols > load<u32>(table, 4)) return IMPOSSIBLE
  let cost: u32 = log << 8
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(counts + (symbol << 2))
    if (count === 0) continue
    const probability = fseProbability(table, symbol)
    if (probability === 0) return IMPOSSIBLE
    cost += count * ((log << 8) - load<u16>(LOG2 + (abs<i32>(probability) << 1)))
  }
  return cost
}

/** The first state, from the symbol that is encoded first: of its states the one that takes most bits. */
export function fseFirstState(table: usize, symbol: u32): u32 {
  const probability = abs<i32>(fseProbability(table, symbol))
  const cell = load<i32>(table + (symbol << 3), TRANSITIONS + 4)
  return load<u16>(table + ((cell + probability) << 1), STATES)
}

/** How many low bits of the state are written when this symbol is encoded. */
export function fseBits(table: usize, state: u32, symbol: u32): u32 {
  return (state + load<u32>(table + (symbol << 3), TRANSITIONS)) >>> 16
}

/** The state behind it. */
export function fseNext(table: usize, state: u32, symbol: u32, bits: u32): u32 {
  const cell = load<i32>(table + (symbol << 3), TRANSITIONS + 4)
  return load<u16>(table + (((state >>> bits) + cell) << 1), STATES)
}
