// Huffman coding of zstd's literals (RFC 8878, section 4.2): reading a tree, decoding its streams.
//
// - A tree is the weights of its symbols but the last, whose weight completes the sum to a power of
//   two. A symbol of weight w has a code of (longest + 1 - w) bits.
// - The decoding table always has 2^11 entries, whatever the longest code: entry = bits of the code |
//   symbol << 8, at every index that begins with the code.
// - Four streams are decoded side by side: their lookups do not wait for each other.

import { bitsOf, peekBits, topBits } from './backward-bits'
import { buildStates, distributionLog, distributionSymbols, readDistribution } from './fse-decode'
import { CORRUPT } from './limits'
import { COUNTS, HUFFMAN, WEIGHT_STARTS, WEIGHT_STATES, WEIGHTS } from './zstd-decoder-map'

const TABLE_LOG: u32 = 11
const MAX_SYMBOLS: u32 = 256
const MAX_WEIGHT_LOG: u32 = 6
/** Weights 0 to 11, as codes of `buildStates`. */
const WEIGHT_SYMBOLS: u32 = 12
const WEIGHT_CODES: usize = memory.data<u32>([
  0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0,
])

/** Makes the decoding table from a tree's description; the bytes it takes, or CORRUPT. */
export function readTree(src: usize, length: u32): i32 {
  if (length === 0) return CORRUPT
  const head: u32 = load<u8>(src)
  let bytes = head
  let given: i32
  if (head < 128) {
    if (head >= length) return CORRUPT
    given = readCodedWeights(src + 1, head)
    if (given < 0) return CORRUPT
  } else {
    // Two weights a byte, the first in the high half.
    given = head - 127
    bytes = <u32>(given + 1) >>> 1
    if (bytes >= length) return CORRUPT
    for (let i: u32 = 0; i < bytes; i++) {
      const pair: u32 = load<u8>(src + 1 + i)
      store<u16>(WEIGHTS + (i << 1), (pair >>> 4) | ((pair & 15) << 8))
    }
  }
  return buildTable(given) ? <i32>bytes + 1 : CORRUPT
}

/** Weights coded by two FSE states in turn, until the bits end; their number, or CORRUPT. */
function readCodedWeights(src: usize, length: u32): i32 {
  const used = readDistribution(src, length, MAX_WEIGHT_LOG, WEIGHT_SYMBOLS)
  if (used < 0) return CORRUPT
  const log = distributionLog
  buildStates(COUNTS, distributionSymbols, log, WEIGHT_CODES, WEIGHT_STATES)
  const stream = src + used
  let left = bitsOf(stream, length - used)
  if (left < <i32>(2 * log)) return CORRUPT
  const bits = peekBits(stream, left)
  let state = WEIGHT_STATES + (topBits(bits, log) << 3)
  let other = WEIGHT_STATES + (topBits(bits << log, log) << 3)
  left -= 2 * log
  for (let i: u32 = 0; i < MAX_SYMBOLS - 2; i++) {
    store<u8>(WEIGHTS + i, load<u8>(state))
    const count: u32 = load<u8>(state, 5)
    if (<i32>count > left) {
      store<u8>(WEIGHTS + i + 1, load<u8>(other))
      return i + 2
    }
    const next = <u32>load<u16>(state, 6) + topBits(peekBits(stream, left), count)
    left -= count
    state = other
    other = WEIGHT_STATES + (next << 3)
  }
  return CORRUPT
}

/** From all weights but the last; false when they do not make a tree. */
function buildTable(given: u32): bool {
  memory.fill(WEIGHT_STARTS, 0, 64)
  let sum: u32 = 0
  for (let i: u32 = 0; i < given; i++) {
    const weight: u32 = load<u8>(WEIGHTS + i)
    sum += (1 << weight) >>> 1
    store<u32>(WEIGHT_STARTS + (weight << 2), load<u32>(WEIGHT_STARTS + (weight << 2)) + 1)
  }
  if (sum === 0) return false
  const longest: u32 = 32 - clz<u32>(sum)
  const rest: u32 = (1 << longest) - sum
  if (longest > TABLE_LOG || (rest & (rest - 1)) !== 0) return false
  const last = ctz<u32>(rest) + 1
  store<u8>(WEIGHTS + given, last)
  store<u32>(WEIGHT_STARTS + (last << 2), load<u32>(WEIGHT_STARTS + (last << 2)) + 1)
  // The longest codes come in pairs; a tree without any would not use its bits.
  if (load<u32>(WEIGHT_STARTS, 4) === 0) return false

  // Entries of a symbol: 2^(weight + scale). Low weights come first, equal ones by symbol.
  const scale = TABLE_LOG - longest - 1
  let start = HUFFMAN
  for (let weight: u32 = 1; weight <= longest; weight++) {
    const count = load<u32>(WEIGHT_STARTS + (weight << 2))
    store<u32>(WEIGHT_STARTS + (weight << 2), <u32>start)
    start += (count << (weight + scale)) << 1
  }
  for (let symbol: u32 = 0; symbol <= given; symbol++) {
    const weight: u32 = load<u8>(WEIGHTS + symbol)
    if (weight === 0) continue
    const from: usize = load<u32>(WEIGHT_STARTS + (weight << 2))
    const to = from + ((1 << (weight + scale)) << 1)
    store<u32>(WEIGHT_STARTS + (weight << 2), <u32>to)
    fill(from, to, (longest + 1 - weight) | (symbol << 8))
  }
  return true
}

/** Entries are written 16 bytes at a time where there are as many; one, two or four else. */
function fill(from: usize, to: usize, entry: u32): void {
  if (to - from < 16) {
    for (; from < to; from += 2) store<u16>(from, entry)
    return
  }
  const entries = i16x8.splat(<i16>entry)
  for (; from < to; from += 16) v128.store(from, entries)
}

/** One stream that holds exactly `count` symbols; false when it does not. */
export function decodeStream(stream: usize, length: u32, dst: usize, count: u32): bool {
  const left = bitsOf(stream, length)
  return left >= 0 && decodeRest(stream, left, dst, dst + count)
}

function decodeRest(stream: usize, left: i32, op: usize, end: usize): bool {
  while (end - op >= 5 && left > 0) {
    let bits = peekBits(stream, left)
    let used: u64 = 0
    for (let i: u32 = 0; i < 5; i++) {
      const entry: u64 = load<u16>(HUFFMAN + ((<usize>(bits >>> 53)) << 1))
      bits <<= entry
      used += entry & 255
      store<u8>(op++, entry >>> 8)
    }
    left -= <i32>used
  }
  for (; op < end && left > 0; op++) {
    const entry: u32 = load<u16>(HUFFMAN + ((<usize>(peekBits(stream, left) >>> 53)) << 1))
    left -= entry & 255
    store<u8>(op, entry >>> 8)
  }
  return op === end && left === 0
}

/**
 * Four streams behind a table of three u16 lengths; each but the last holds a quarter of the symbols,
 * rounded up. False when any of them does not hold exactly its share.
 */
export function decodeFourStreams(src: usize, length: u32, dst: usize, count: u32): bool {
  if (length < 10) return false
  const lengthA: u32 = load<u16>(src)
  const lengthB: u32 = load<u16>(src, 2)
  const lengthC: u32 = load<u16>(src, 4)
  if (lengthA + lengthB + lengthC > length - 6) return false
  const share: u32 = (count + 3) >>> 2
  if (share * 3 > count) return false
  const a = src + 6
  const b = a + lengthA
  const c = b + lengthB
  const d = c + lengthC
  let leftA = bitsOf(a, lengthA)
  let leftB = bitsOf(b, lengthB)
  let leftC = bitsOf(c, lengthC)
  let leftD = bitsOf(d, <u32>(src + length - d))
  let op = dst
  // The last stream has the fewest symbols.
  const end = dst + count - 3 * share
  while (true) {
    // Rounds of five symbols that no stream can run out of: a round takes 55 bits at most.
    const least = min(min(leftA, leftB), min(leftC, leftD))
    if (least < 0) return false
    const rounds = min<u32>(<u32>(end - op) / 5, <u32>least / 55)
    if (rounds === 0) break
    // Each stream's next bits are on top of a word; a set bit below them tells how many have gone.
    let atA = a + ((leftA + 7) >> 3) - 8
    let atB = b + ((leftB + 7) >> 3) - 8
    let atC = c + ((leftC + 7) >> 3) - 8
    let atD = d + ((leftD + 7) >> 3) - 8
    let bitsA: u64 = 1 << (<u64>(0 - leftA) & 7)
    let bitsB: u64 = 1 << (<u64>(0 - leftB) & 7)
    let bitsC: u64 = 1 << (<u64>(0 - leftC) & 7)
    let bitsD: u64 = 1 << (<u64>(0 - leftD) & 7)
    for (const stop = op + 5 * rounds; op < stop; ) {
      let gone = ctz<u64>(bitsA)
      atA -= <usize>(gone >>> 3)
      bitsA = (load<u64>(atA) | 1) << (gone & 7)
      gone = ctz<u64>(bitsB)
      atB -= <usize>(gone >>> 3)
      bitsB = (load<u64>(atB) | 1) << (gone & 7)
      gone = ctz<u64>(bitsC)
      atC -= <usize>(gone >>> 3)
      bitsC = (load<u64>(atC) | 1) << (gone & 7)
      gone = ctz<u64>(bitsD)
      atD -= <usize>(gone >>> 3)
      bitsD = (load<u64>(atD) | 1) << (gone & 7)
      for (let i: u32 = 0; i < 5; i++) {
        const entryA: u64 = load<u16>(HUFFMAN + ((<usize>(bitsA >>> 53)) << 1))
        const entryB: u64 = load<u16>(HUFFMAN + ((<usize>(bitsB >>> 53)) << 1))
        const entryC: u64 = load<u16>(HUFFMAN + ((<usize>(bitsC >>> 53)) << 1))
        const entryD: u64 = load<u16>(HUFFMAN + ((<usize>(bitsD >>> 53)) << 1))
        bitsA <<= entryA
        bitsB <<= entryB
        bitsC <<= entryC
        bitsD <<= entryD
        store<u8>(op, entryA >>> 8)
        store<u8>(op + share, entryB >>> 8)
        store<u8>(op + 2 * share, entryC >>> 8)
        store<u8>(op + 3 * share, entryD >>> 8)
        op++
      }
    }
    leftA = <i32>(((atA - a) << 3) + 64 - <usize>ctz<u64>(bitsA))
    leftB = <i32>(((atB - b) << 3) + 64 - <usize>ctz<u64>(bitsB))
    leftC = <i32>(((atC - c) << 3) + 64 - <usize>ctz<u64>(bitsC))
    leftD = <i32>(((atD - d) << 3) + 64 - <usize>ctz<u64>(bitsD))
  }
  return (
    decodeRest(a, leftA, op, dst + share) &&
    decodeRest(b, leftB, op + share, dst + 2 * share) &&
    decodeRest(c, leftC, op + 2 * share, dst + 3 * share) &&
    decodeRest(d, leftD, op + 3 * share, dst + count)
  )
}
