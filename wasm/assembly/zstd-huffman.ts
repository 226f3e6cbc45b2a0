// Huffman tables of at most 11 bits for literals: built from counts, described, used.
//
//   +0 256 × u64: the code in the highest bits, its length in the lowest | +0x800 256 × u8: lengths
//   | +0x900 symbols u32, one more than the greatest
//
// A table is described by weights, weight = longest + 1 − length, 0 for a symbol that does not occur;
// the last one is left out, since all codes together fill the space. They are FSE-compressed or, for up
// to 128 symbols, four bits each, whichever is shorter. Format: RFC 8878 §4.2.

import {
  fseBits,
  fseBuild,
  fseDescribe,
  fseFirstState,
  fseNext,
  fseNormalize,
  fseSuitableLog,
} from './fse-encode'
import {
  BUCKETS,
  COUNTS,
  LEAVES,
  NODES,
  PARENTS,
  WEIGHT_COUNTS,
  WEIGHTS,
  WEIGHTS_TABLE,
} from './zstd-layout'

const LENGTHS: usize = 0x800
const SYMBOLS: usize = 0x900
/** Longest code. */
const MOST_BITS: u32 = 11

/** Builds the table for COUNTS, of which at least two are not 0. */
export function huffmanBuild(table: usize, symbols: u32): void {
  const leaves = sortLeaves(symbols)
  memory.fill(table + LENGTHS, 0, 0x100)
  store<u32>(table, symbols, SYMBOLS)
  growTree(leaves)
  limitLengths(leaves)
  for (let i: u32 = 0; i < leaves; i++) {
    const symbol = load<u32>(LEAVES + (i << 2)) & 0xff
    store<u8>(table + symbol, load<u16>(PARENTS + (i << 1)), LENGTHS)
  }
  assignCodes(table, symbols)
}

/** Symbols that occur into LEAVES, as count << 8 | symbol, rarest first; how many. */
function sortLeaves(symbols: u32): u32 {
  // Into buckets by the leading four bits of the count, then the few that are out of order.
  memory.fill(BUCKETS, 0, 0x200)
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(COUNTS + (symbol << 2))
    if (count === 0) continue
    const bucket = bucketOf(count)
    store<u32>(bucket, load<u32>(bucket) + 1)
  }
  let leaves: u32 = 0
  for (let bucket = BUCKETS; bucket < BUCKETS + 0x200; bucket += 4) {
    const size = load<u32>(bucket)
    store<u32>(bucket, leaves)
    leaves += size
  }
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(COUNTS + (symbol << 2))
    if (count === 0) continue
    const bucket = bucketOf(count)
    const place = load<u32>(bucket)
    store<u32>(bucket, place + 1)
    store<u32>(LEAVES + (place << 2), (count << 8) | symbol)
  }
  for (let i: u32 = 1; i < leaves; i++) {
    const leaf = load<u32>(LEAVES + (i << 2))
    let place = LEAVES + (i << 2)
    for (; place > LEAVES && load<u32>(place - 4) > leaf; place -= 4) {
      store<u32>(place, load<u32>(place - 4))
    }
    store<u32>(place, leaf)
  }
  return leaves
}

function bucketOf(count: u32): usize {
  const shift: u32 = max<u32>(31 - clz<u32>(count), 3) - 3
  return BUCKETS + (((shift << 3) + (count >>> shift)) << 2)
}

/**
 * The tree by two queues: leaves are sorted, and nodes come to be in order. The depth of leaf i is left
 * in PARENTS[i].
 */
function growTree(leaves: u32): void {
  let leaf: u32 = 0
  let node = leaves
  const root: u32 = 2 * leaves - 2
  for (let i: u32 = 0; i < leaves; i++)
    store<u32>(NODES + (i << 2), load<u32>(LEAVES + (i << 2)) >>> 8)
  for (let next = leaves; next <= root; next++) {
    let weight: u32 = 0
    for (let child = 0; child < 2; child++) {
      const isLeaf =
        leaf < leaves &&
        (node === next || load<u32>(NODES + (leaf << 2)) <= load<u32>(NODES + (node << 2)))
      const taken = isLeaf ? leaf++ : node++
      weight += load<u32>(NODES + (taken << 2))
      store<u16>(PARENTS + (taken << 1), next)
    }
    store<u32>(NODES + (next << 2), weight)
  }
  // Depths from the root down; a child's depth replaces the number of its parent.
  store<u16>(PARENTS + (root << 1), 0)
  for (let i: i32 = root - 1; i >= 0; i--) {
    const parent: u32 = load<u16>(PARENTS + (i << 1))
    store<u16>(PARENTS + (i << 1), <u32>load<u16>(PARENTS + (parent << 1)) + 1)
  }
}

/** Cuts depths to MOST_BITS; pays with longer codes of the rarest symbols that have shorter ones. */
function limitLengths(leaves: u32): void {
  if (<u32>load<u16>(PARENTS) <= MOST_BITS) return
  // In units of the longest code: what the codes take, less what there is.
  let excess: i32 = -(1 << MOST_BITS)
  for (let i: u32 = 0; i < leaves; i++) {
    const place = PARENTS + (i << 1)
    const length = min<u32>(load<u16>(place), MOST_BITS)
    store<u16>(place, length)
    excess += 1 << (MOST_BITS - length)
  }
  for (let i: u32 = 0; excess > 0; i++) {
    const place = PARENTS + (i << 1)
    let length: u32 = load<u16>(place)
    for (; length < MOST_BITS && excess > 0; length++) excess -= 1 << (MOST_BITS - length - 1)
    store<u16>(place, length)
  }
  for (let i: i32 = leaves - 1; i >= 0 && excess < 0; i--) {
    const place = PARENTS + (i << 1)
    const length: u32 = load<u16>(place)
    const gain: i32 = 1 << (MOST_BITS - length)
    if (gain + excess > 0) continue
    store<u16>(place, length - 1)
    excess += gain
  }
}

/** Codes in the order of the format: the longest first from 0, by symbol within a length. */
function assignCodes(table: usize, symbols: u32): void {
  memory.fill(BUCKETS, 0, 64)
  let longest: u32 = 0
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const length: u32 = load<u8>(table + symbol, LENGTHS)
    const bucket = BUCKETS + (length << 2)
    store<u32>(bucket, load<u32>(bucket) + 1)
    longest = max<u32>(longest, length)
  }
  let code: u32 = 0
  for (let length = longest; length > 0; length--) {
    const bucket = BUCKETS + (length << 2)
    const size = load<u32>(bucket)
    store<u32>(bucket, code)
    code = (code + size) >>> 1
  }
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const length: u32 = load<u8>(table + symbol, LENGTHS)
    const bucket = BUCKETS + (length << 2)
    const value = load<u32>(bucket)
    store<u32>(bucket, value + 1)
    store<u64>(table + (symbol << 3), length === 0 ? 0 : ((<u64>value) << (64 - length)) | length)
    // The weight, for the description.
    store<u8>(WEIGHTS + symbol, length === 0 ? 0 : longest + 1 - length)
  }
}

/** Bits that this table takes for COUNTS; 0 when some symbol has no code. */
export function huffmanCost(table: usize, symbols: u32): u32 {
  if (symbols > load<u32>(table, SYMBOLS)) return 0
  let bits: u32 = 0
  for (let symbol: u32 = 0; symbol < symbols; symbol++) {
    const count = load<u32>(COUNTS + (symbol << 2))
    const length: u32 = load<u8>(table + symbol, LENGTHS)
    if (length === 0 && count > 0) return 0
    bits += count * length
  }
  return bits
}

/** Describes the table built last; the bytes of that, 0 when there is no way. Overshoots by eight. */
export function huffmanDescribe(table: usize, dst: usize): u32 {
  // The last weight goes without saying.
  const count = load<u32>(table, SYMBOLS) - 1
  const packed = packWeights(count, dst + 1)
  const direct: u32 = (count + 1) >>> 1
  if (packed !== 0 && (packed < direct || count > 128)) {
    store<u8>(dst, packed)
    return packed + 1
  }
  if (count > 128) return 0
  store<u8>(dst, 127 + count)
  store<u8>(WEIGHTS + count, 0)
  for (let i: u32 = 0; i < count; i += 2) {
    store<u8>(dst + 1 + (i >>> 1), (load<u8>(WEIGHTS + i) << 4) | load<u8>(WEIGHTS + i + 1))
  }
  return direct + 1
}

/** FSE-compressed weights, two states in turn; their bytes, or 0 when that is not to be had. */
function packWeights(count: u32, dst: usize): u32 {
  memory.fill(WEIGHT_COUNTS, 0, 64)
  let symbols: u32 = 0
  let greatest: u32 = 0
  for (let i: u32 = 0; i < count; i++) {
    const weight: u32 = load<u8>(WEIGHTS + i)
    const place = WEIGHT_COUNTS + (weight << 2)
    const times = load<u32>(place) + 1
    store<u32>(place, times)
    symbols = max<u32>(symbols, weight + 1)
    greatest = max<u32>(greatest, times)
  }
  if (greatest === count) return 0
  const log = fseSuitableLog(count, symbols, 6)
  fseNormalize(WEIGHTS_TABLE, log, WEIGHT_COUNTS, symbols, count)
  fseBuild(WEIGHTS_TABLE)
  let op = dst + fseDescribe(WEIGHTS_TABLE, dst)
  // Weight i belongs to the first state when i is even. `other` is the one of weight i + 1.
  let i = count - 1
  let other = fseFirstState(WEIGHTS_TABLE, load<u8>(WEIGHTS + i))
  let state = fseFirstState(WEIGHTS_TABLE, load<u8>(WEIGHTS + --i))
  let bits: u64 = 0
  let used: u32 = 0
  while (i > 0) {
    const weight: u32 = load<u8>(WEIGHTS + --i)
    const width = fseBits(WEIGHTS_TABLE, other, weight)
    bits |= (<u64>other & (((<u64>1) << width) - 1)) << used
    used += width
    const next = fseNext(WEIGHTS_TABLE, other, weight, width)
    other = state
    state = next
    store<u64>(op, bits)
    op += used >>> 3
    bits >>>= used & 56
    used &= 7
  }
  // Read first is the state of weight 0, so it is written last; and a 1 ends the stream.
  const mask: u32 = (1 << log) - 1
  bits |= (<u64>(other & mask) | ((<u64>(state & mask)) << log) | ((<u64>1) << (2 * log))) << used
  store<u64>(op, bits)
  op += (used + 2 * log + 8) >>> 3
  const packed = <u32>(op - dst)
  return packed < 128 ? packed : 0
}

/** Encodes `length` symbols, last first, as one stream; its end. Overshoots by up to eight bytes. */
export function huffmanEncode(table: usize, src: usize, length: u32, dst: usize): usize {
  // Bits enter at the top, and move down by each next code; lengths pollute only what is shifted out.
  let bits: u64 = 0
  let used: u64 = 0
  let op = dst
  let ip = src + length
  for (; ip >= src + 4; ip -= 4) {
    const a = load<u64>(table + ((<usize>load<u8>(ip - 1)) << 3))
    const b = load<u64>(table + ((<usize>load<u8>(ip - 2)) << 3))
    const c = load<u64>(table + ((<usize>load<u8>(ip - 3)) << 3))
    const d = load<u64>(table + ((<usize>load<u8>(ip - 4)) << 3))
    bits = (bits >>> a) | a
    bits = (bits >>> b) | b
    bits = (bits >>> c) | c
    bits = (bits >>> d) | d
    used = (used + a + b + c + d) & 63
    store<u64>(op, bits >>> (64 - used))
    op += <usize>(used >>> 3)
    used &= 7
  }
  while (ip > src) {
    const code = load<u64>(table + ((<usize>load<u8>(--ip)) << 3))
    bits = (bits >>> code) | code
    used = (used + code) & 63
  }
  // A 1 ends the stream.
  bits = (bits >>> 1) | 0x8000000000000000
  used++
  store<u64>(op, bits >>> (64 - used))
  return op + <usize>((used + 7) >>> 3)
}
