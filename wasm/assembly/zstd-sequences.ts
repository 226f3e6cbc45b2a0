// The sequences section of a block: how many, a table for each of the three codes, and one stream of
// bits that holds states and the bits that codes leave open.
//
//   count 1…3 bytes | modes u8 | literals lengths' table | offsets' | match lengths' | stream
//
// A table is predefined, of a single code, described, or the last block's: whatever is estimated to
// take least. Format: RFC 8878 §3.1.1.3.2; the predefined distributions and the bits of codes are there.

import {
  fseBits,
  fseBuild,
  fseBuildSingle,
  fseCost,
  fseDescribe,
  fseFirstState,
  fseLog,
  fseNext,
  fseNormalize,
  fseSetProbability,
  fseStart,
  fseSuitableLog,
  IMPOSSIBLE,
  TABLE_BYTES,
} from './fse-encode'
import {
  CODE_COUNTS,
  CODE_TABLES,
  CODES,
  DESCRIPTION,
  increment,
  LAST_TABLES,
  LITERALS_CODES,
  MATCH_CODES,
  NEXT_TABLES,
  SEQUENCES,
} from './zstd-layout'
import {
  DESCRIBED,
  LAST,
  LITERAL_LENGTH_COUNTS,
  LITERAL_LENGTH_SYMBOLS,
  MATCH_LENGTH_COUNTS,
  MATCH_LENGTH_SYMBOLS,
  OFFSET_COUNTS,
  PREDEFINED,
  PREDEFINED_LENGTH_LOG,
  PREDEFINED_OFFSET_LOG,
  PREDEFINED_OFFSET_SYMBOLS,
  SINGLE,
} from './zstd-tables'

// The three kinds of codes, in the order of the format.
const LITERALS_LENGTHS: u32 = 0
const OFFSETS: u32 = 1
const MATCH_LENGTHS: u32 = 2

/** With fewer sequences a described table does not pay. */
const WORTH_TABLE: u32 = 8

// biome-ignore format: tables
const LITERALS_BITS: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
])
// biome-ignore format: tables
const MATCH_BITS: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
])
export function initSequences(): void {
  predefine(LITERALS_LENGTHS, LITERAL_LENGTH_COUNTS, PREDEFINED_LENGTH_LOG, LITERAL_LENGTH_SYMBOLS)
  predefine(OFFSETS, OFFSET_COUNTS, PREDEFINED_OFFSET_LOG, PREDEFINED_OFFSET_SYMBOLS)
  predefine(MATCH_LENGTHS, MATCH_LENGTH_COUNTS, PREDEFINED_LENGTH_LOG, MATCH_LENGTH_SYMBOLS)
  fillCodes(LITERALS_CODES, 64, LITERALS_BITS)
  fillCodes(MATCH_CODES, 128, MATCH_BITS)
}

function predefine(kind: u32, distribution: usize, log: u32, symbols: u32): void {
  const table = predefinedTable(kind)
  fseStart(table, log, symbols)
  for (let i: u32 = 0; i < symbols; i++) {
    fseSetProbability(table, i, load<i16>(distribution + (i << 1)))
  }
  fseBuild(table)
}

function fillCodes(codes: usize, length: u32, bits: usize): void {
  let code: u32 = 0
  for (let value: u32 = 0; value < length; code++) {
    for (let n = 1 << load<u8>(bits + code); n > 0; n--) store<u8>(codes + value++, code)
  }
}

/** A kind has its predefined table, and behind it two to be the last block's and this one's in turn. */
function predefinedTable(kind: u32): usize {
  return CODE_TABLES + kind * 3 * TABLE_BYTES
}

export function sequencesBeginFrame(): void {
  memory.fill(LAST_TABLES, 0, 12)
}

/** The block was written, and has sequences: its tables are the last ones now. */
export function sequencesKeep(): void {
  memory.copy(LAST_TABLES, NEXT_TABLES, 12)
}

/** Sequence `index`: literals, a match (its length less 3), and the offset's value, 1…3 a repetition. */
export function putSequence(index: u32, literals: u32, match: u32, offset: u32): void {
  const literalsCode: u32 =
    literals < 64 ? load<u8>(LITERALS_CODES + literals) : 50 - clz<u32>(literals)
  const matchCode: u32 = match < 128 ? load<u8>(MATCH_CODES + match) : 67 - clz<u32>(match)
  const offsetCode: u32 = 31 - clz<u32>(offset)
  store<u32>(CODES + (index << 2), literalsCode | (offsetCode << 8) | (matchCode << 16))
  store<u64>(
    SEQUENCES + (index << 3),
    <u64>offset | ((<u64>(literals & 0xffff)) << 32) | ((<u64>(match & 0xffff)) << 48),
  )
}

/** Writes the section for `count` sequences; its end, or 0 when there is no room. */
export function writeSequences(count: u32, op: usize, limit: usize): usize {
  // Count, modes, and a byte for each table of a single code.
  if (op + 8 > limit) return 0
  if (count < 128) {
    store<u8>(op++, count)
  } else {
    store<u8>(op, (count >>> 8) + 128)
    store<u8>(op, count, 1)
    op += 2
  }
  if (count === 0) return op
  const modes = op++
  const symbols = countCodes(count)
  let mode: u32 = 0
  for (let kind: u32 = 0; kind < 3; kind++) {
    const used = (symbols >>> (kind << 3)) & 0xff
    const chosen = chooseTable(kind, used, count)
    mode |= chosen << (6 - 2 * kind)
    if (chosen === SINGLE) store<u8>(op++, used - 1)
    if (chosen === DESCRIBED) {
      if (op + describedBytes + 8 > limit) return 0
      memory.copy(op, DESCRIPTION, describedBytes)
      op += describedBytes
    }
  }
  store<u8>(modes, mode)
  return writeStream(count, op, limit)
}

/** Histograms of the three codes; one more than the greatest of each, a byte each. */
function countCodes(count: u32): u32 {
  memory.fill(CODE_COUNTS, 0, 0x300)
  for (let place = CODES; place < CODES + (count << 2); place += 4) {
    const codes = load<u32>(place)
    increment(CODE_COUNTS + ((codes & 0xff) << 2))
    increment(CODE_COUNTS + 0x100 + ((codes >>> 6) & 0x3fc))
    increment(CODE_COUNTS + 0x200 + ((codes >>> 14) & 0x3fc))
  }
  return greatest(0) | (greatest(1) << 8) | (greatest(2) << 16)
}

function greatest(kind: u32): u32 {
  let symbols: u32 = 64
  while (load<u32>(CODE_COUNTS + (kind << 8) + (symbols << 2) - 4) === 0) symbols--
  return symbols
}

// Bytes of the description that the last chooseTable left.
let describedBytes: u32 = 0

/** The mode of a kind; its table is left in NEXT_TABLES, and its description in DESCRIPTION. */
function chooseTable(kind: u32, symbols: u32, count: u32): u32 {
  const counts = CODE_COUNTS + (kind << 8)
  const predefined = predefinedTable(kind)
  const last: usize = load<u32>(LAST_TABLES + (kind << 2))
  const first = predefined + TABLE_BYTES
  const table = last === first ? first + TABLE_BYTES : first
  const next = NEXT_TABLES + (kind << 2)
  let cost = fseCost(predefined, counts, symbols)
  store<u32>(next, predefined)
  let mode = PREDEFINED
  if (load<u32>(counts + (symbols << 2) - 4) === count) {
    if (cost <= 8 << 8) return PREDEFINED
    fseBuildSingle(table, symbols - 1)
    store<u32>(next, table)
    return SINGLE
  }
  if (last !== 0) {
    const lastCost = fseCost(last, counts, symbols)
    if (lastCost < cost) {
      cost = lastCost
      mode = LAST
      store<u32>(next, last)
    }
  }
  if (count < WORTH_TABLE && cost !== IMPOSSIBLE) return mode
  const log = fseSuitableLog(count, symbols, kind === OFFSETS ? 8 : 9)
  fseNormalize(table, log, counts, symbols, count)
  describedBytes = fseDescribe(table, DESCRIPTION)
  const described = fseCost(table, counts, symbols) + (describedBytes << 11)
  if (described >= cost) return mode
  fseBuild(table)
  store<u32>(next, table)
  return DESCRIBED
}

/** The stream of bits, last sequence first; its end, or 0 when there is no room. */
function writeStream(count: u32, op: usize, limit: usize): usize {
  const literalsTable: usize = load<u32>(NEXT_TABLES)
  const offsetsTable: usize = load<u32>(NEXT_TABLES, 4)
  const matchTable: usize = load<u32>(NEXT_TABLES, 8)
  // A round writes up to two words of eight bytes.
  const room = limit - 24
  if (op > room) return 0
  let index = count - 1
  let codes = load<u32>(CODES + (index << 2))
  let literalsState = fseFirstState(literalsTable, codes & 0xff)
  let offsetState = fseFirstState(offsetsTable, (codes >>> 8) & 0xff)
  let matchState = fseFirstState(matchTable, codes >>> 16)
  let bits: u64 = 0
  let used: u32 = 0
  while (true) {
    const rest = load<u64>(SEQUENCES + (index << 3))
    const literalsBits: u32 = load<u8>(LITERALS_BITS + (codes & 0xff))
    const matchBits: u32 = load<u8>(MATCH_BITS + (codes >>> 16))
    const offsetBits = (codes >>> 8) & 0xff
    bits |= low(rest >>> 32, literalsBits) << used
    used += literalsBits
    // At most 7 bits of before, 26 of states and 16 are in, and 16 and 23 may follow.
    store<u64>(op, bits)
    op += used >>> 3
    bits >>>= used & 56
    used &= 7
    bits |= low(rest >>> 48, matchBits) << used
    used += matchBits
    bits |= low(rest, offsetBits) << used
    used += offsetBits
    store<u64>(op, bits)
    op += used >>> 3
    bits >>>= used & 56
    used &= 7
    if (index-- === 0) break
    if (op > room) return 0
    codes = load<u32>(CODES + (index << 2))
    let code = (codes >>> 8) & 0xff
    let width = fseBits(offsetsTable, offsetState, code)
    bits |= low(offsetState, width) << used
    used += width
    offsetState = fseNext(offsetsTable, offsetState, code, width)
    code = codes >>> 16
    width = fseBits(matchTable, matchState, code)
    bits |= low(matchState, width) << used
    used += width
    matchState = fseNext(matchTable, matchState, code, width)
    code = codes & 0xff
    width = fseBits(literalsTable, literalsState, code)
    bits |= low(literalsState, width) << used
    used += width
    literalsState = fseNext(literalsTable, literalsState, code, width)
  }
  if (op > room) return 0
  let width = fseLog(matchTable)
  bits |= low(matchState, width) << used
  used += width
  width = fseLog(offsetsTable)
  bits |= low(offsetState, width) << used
  used += width
  width = fseLog(literalsTable)
  bits |= low(literalsState, width) << used
  used += width
  // A 1 ends the stream.
  bits |= (<u64>1) << used
  store<u64>(op, bits)
  return op + ((used + 8) >>> 3)
}

function low(bits: u64, width: u64): u64 {
  return bits & (((<u64>1) << width) - 1)
}
