// The sequences section of a compressed block (RFC 8878, sections 3.1.1.3.2 and 3.1.1.4), and their
// execution: so many literals, then a match so long and so far behind.
//
//   count 1 to 3 bytes | modes | [literal length table] | [offset table] | [match length table] | bits
//
// The bits hold, read backwards: the first states; for each sequence the extra bits of offset, match
// length, literal length, then what leads to the next literal length, match length, offset state.

import { bitsOf, peekBits, topBits } from './backward-bits'
import {
  buildOneState,
  buildStates,
  distributionLog,
  distributionSymbols,
  readDistribution,
} from './fse-decode'
import { CORRUPT, OUT_OF_ROOM } from './limits'
import { copyMatch } from './match-copy'
import {
  COUNTS,
  LITERAL_LENGTHS,
  MATCH_LENGTHS,
  OFFSETS,
  PREDEFINED_LITERAL_LENGTHS,
  PREDEFINED_MATCH_LENGTHS,
  PREDEFINED_OFFSETS,
} from './zstd-decoder-map'
import { literalsAt, literalsLength } from './zstd-literals-decode'
import {
  DESCRIBED,
  LITERAL_LENGTH_CODES,
  LITERAL_LENGTH_COUNTS,
  LITERAL_LENGTH_SYMBOLS,
  MATCH_LENGTH_CODES,
  MATCH_LENGTH_COUNTS,
  MATCH_LENGTH_SYMBOLS,
  OFFSET_CODES,
  OFFSET_COUNTS,
  OFFSET_SYMBOLS,
  PREDEFINED,
  PREDEFINED_LENGTH_LOG,
  PREDEFINED_OFFSET_LOG,
  PREDEFINED_OFFSET_SYMBOLS,
  SINGLE,
} from './zstd-tables'

const MAX_LENGTH_LOG: u32 = 9
const MAX_OFFSET_LOG: u32 = 8
/** An offset of more extra bits reaches farther than there is memory; and a sequence fits 57 bits. */
const MAX_OFFSET_BITS: u32 = 25

// What a block inherits from the one before: tables (0 when there is none) with log2 of their states,
// and the last three offsets.
let lengthTable: usize = 0
let lengthLog: u32 = 0
let offsetTable: usize = 0
let offsetLog: u32 = 0
let matchTable: usize = 0
let matchLog: u32 = 0
let offset1: u32 = 1
let offset2: u32 = 4
let offset3: u32 = 8

/** Called once by `init`: the predefined tables. */
export function initSequences(): void {
  buildStates(
    LITERAL_LENGTH_COUNTS,
    LITERAL_LENGTH_SYMBOLS,
    PREDEFINED_LENGTH_LOG,
    LITERAL_LENGTH_CODES,
    PREDEFINED_LITERAL_LENGTHS,
  )
  buildStates(
    MATCH_LENGTH_COUNTS,
    MATCH_LENGTH_SYMBOLS,
    PREDEFINED_LENGTH_LOG,
    MATCH_LENGTH_CODES,
    PREDEFINED_MATCH_LENGTHS,
  )
  buildStates(
    OFFSET_COUNTS,
    PREDEFINED_OFFSET_SYMBOLS,
    PREDEFINED_OFFSET_LOG,
    OFFSET_CODES,
    PREDEFINED_OFFSETS,
  )
}

/** A new frame begins. */
export function forgetSequences(): void {
  lengthTable = 0
  offsetTable = 0
  matchTable = 0
  offset1 = 1
  offset2 = 4
  offset3 = 8
}

/**
 * Writes a block of at most `room` bytes to `dst`: the literals read last, as the section says. History
 * begins at `base`; up to `limit` anything may be overwritten. The block's bytes, or a status.
 */
export function readSequences(
  src: usize,
  length: u32,
  dst: usize,
  room: u32,
  base: usize,
  limit: usize,
): i32 {
  if (length === 0) return CORRUPT
  let ip = src + 1
  const end = src + length
  let count: u32 = load<u8>(src)
  if (count === 255) {
    count = <u32>load<u16>(ip) + 0x7f00
    ip += 2
  } else if (count > 127) count = ((count - 128) << 8) + <u32>load<u8>(ip++)
  if (count === 0) {
    if (ip !== end) return CORRUPT
    if (literalsLength > room) return OUT_OF_ROOM
    memory.copy(dst, literalsAt, literalsLength)
    return <i32>literalsLength
  }
  if (ip >= end) return CORRUPT
  const modes: u32 = load<u8>(ip++)
  if ((modes & 3) !== 0) return CORRUPT
  let used = readLengthTable(modes >>> 6, ip, <u32>(end - ip))
  if (used < 0) return CORRUPT
  ip += used
  used = readOffsetTable((modes >>> 4) & 3, ip, <u32>(end - ip))
  if (used < 0) return CORRUPT
  ip += used
  used = readMatchTable((modes >>> 2) & 3, ip, <u32>(end - ip))
  if (used < 0) return CORRUPT
  ip += used
  return execute(count, ip, bitsOf(ip, <u32>(end - ip)), dst, dst + room, base, limit)
}

function readLengthTable(mode: u32, src: usize, length: u32): i32 {
  if (mode === PREDEFINED) {
    lengthTable = PREDEFINED_LITERAL_LENGTHS
    lengthLog = PREDEFINED_LENGTH_LOG
    return 0
  }
  if (mode > DESCRIBED) return lengthTable === 0 ? CORRUPT : 0
  lengthTable = LITERAL_LENGTHS
  const table = LITERAL_LENGTHS
  const used = readTable(
    mode,
    src,
    length,
    MAX_LENGTH_LOG,
    LITERAL_LENGTH_SYMBOLS,
    LITERAL_LENGTH_CODES,
    table,
  )
  lengthLog = tableLog
  return used
}

function readOffsetTable(mode: u32, src: usize, length: u32): i32 {
  if (mode === PREDEFINED) {
    offsetTable = PREDEFINED_OFFSETS
    offsetLog = PREDEFINED_OFFSET_LOG
    return 0
  }
  if (mode > DESCRIBED) return offsetTable === 0 ? CORRUPT : 0
  offsetTable = OFFSETS
  const used = readTable(mode, src, length, MAX_OFFSET_LOG, OFFSET_SYMBOLS, OFFSET_CODES, OFFSETS)
  offsetLog = tableLog
  return used
}

function readMatchTable(mode: u32, src: usize, length: u32): i32 {
  if (mode === PREDEFINED) {
    matchTable = PREDEFINED_MATCH_LENGTHS
    matchLog = PREDEFINED_LENGTH_LOG
    return 0
  }
  if (mode > DESCRIBED) return matchTable === 0 ? CORRUPT : 0
  matchTable = MATCH_LENGTHS
  const used = readTable(
    mode,
    src,
    length,
    MAX_LENGTH_LOG,
    MATCH_LENGTH_SYMBOLS,
    MATCH_LENGTH_CODES,
    MATCH_LENGTHS,
  )
  matchLog = tableLog
  return used
}

/** log2 of the states of the table read last. */
let tableLog: u32 = 0

/** A table of one symbol or a described one; the bytes it takes, or CORRUPT. */
function readTable(
  mode: u32,
  src: usize,
  length: u32,
  maxLog: u32,
  symbols: u32,
  codes: usize,
  table: usize,
): i32 {
  if (mode === SINGLE) {
    if (length === 0 || <u32>load<u8>(src) >= symbols) return CORRUPT
    buildOneState(codes + ((<usize>load<u8>(src)) << 3), table)
    tableLog = 0
    return 1
  }
  const used = readDistribution(src, length, maxLog, symbols)
  if (used < 0) return CORRUPT
  tableLog = distributionLog
  buildStates(COUNTS, distributionSymbols, distributionLog, codes, table)
  return used
}

function execute(
  count: u32,
  stream: usize,
  left: i32,
  dst: usize,
  end: usize,
  base: usize,
  limit: usize,
): i32 {
  const lengths = lengthTable
  const offsets = offsetTable
  const matches = matchTable
  if (left < <i32>(lengthLog + offsetLog + matchLog)) return CORRUPT
  let bits = peekBits(stream, left)
  let lengthState = lengths + (topBits(bits, lengthLog) << 3)
  bits <<= lengthLog
  let offsetState = offsets + (topBits(bits, offsetLog) << 3)
  bits <<= offsetLog
  let matchState = matches + (topBits(bits, matchLog) << 3)
  left -= <i32>(lengthLog + offsetLog + matchLog)

  let op = dst
  let literals = literalsAt
  const literalsEnd = literals + literalsLength
  let spent = left
  for (; count > 0; count--) {
    const offsetBits: u32 = load<u8>(offsetState, 4)
    const matchBits: u32 = load<u8>(matchState, 4)
    const lengthBits: u32 = load<u8>(lengthState, 4)
    if (offsetBits > MAX_OFFSET_BITS) return CORRUPT
    bits = peekBits(stream, left)
    const value = load<u32>(offsetState) + topBits(bits, offsetBits)
    bits <<= offsetBits
    const size = load<u32>(matchState) + topBits(bits, matchBits)
    bits <<= matchBits
    const run = load<u32>(lengthState) + topBits(bits, lengthBits)
    bits <<= lengthBits
    const extraBits = offsetBits + matchBits + lengthBits
    left -= extraBits
    if (left < 0) return CORRUPT
    spent = left

    // The last sequence has no next states: what is read for it then is not used.
    if (extraBits > 31) bits = peekBits(stream, left)
    const lengthStep: u32 = load<u8>(lengthState, 5)
    const matchStep: u32 = load<u8>(matchState, 5)
    const offsetStep: u32 = load<u8>(offsetState, 5)
    lengthState = lengths + ((<u32>load<u16>(lengthState, 6) + topBits(bits, lengthStep)) << 3)
    bits <<= lengthStep
    matchState = matches + ((<u32>load<u16>(matchState, 6) + topBits(bits, matchStep)) << 3)
    bits <<= matchStep
    offsetState = offsets + ((<u32>load<u16>(offsetState, 6) + topBits(bits, offsetStep)) << 3)
    left -= lengthStep + matchStep + offsetStep

    const distance = value > 3 ? newOffset(value - 3) : oldOffset(run === 0 ? value + 1 : value)
    if (run > <u32>(literalsEnd - literals)) return CORRUPT
    if (run + size > <u32>(end - op)) return OUT_OF_ROOM
    if (distance - 1 >= <u32>(op - base) + run) return CORRUPT
    if (op + run + 16 <= limit) {
      v128.store(op, v128.load(literals))
      for (let i: u32 = 16; i < run; i += 16) {
        v128.store(op + i, v128.load(literals + i))
      }
    } else memory.copy(op, literals, run)
    literals += run
    op += run
    if (distance >= 16 && size <= 32 && op + 32 <= limit) {
      v128.store(op, v128.load(op - distance))
      v128.store(op, v128.load(op - distance, 16), 16)
    } else copyMatch(op, distance, size, limit)
    op += size
  }
  if (spent !== 0) return CORRUPT
  const rest = <u32>(literalsEnd - literals)
  if (rest > <u32>(end - op)) return OUT_OF_ROOM
  memory.copy(op, literals, rest)
  return <i32>(op + rest - dst)
}

function newOffset(offset: u32): u32 {
  offset3 = offset2
  offset2 = offset1
  offset1 = offset
  return offset
}

/** The last offset, the second or third last, or (4) one less than the last; it becomes the last. */
function oldOffset(which: u32): u32 {
  if (which === 1) return offset1
  const offset = which === 2 ? offset2 : which === 3 ? offset3 : offset1 - 1
  if (which !== 2) offset3 = offset2
  offset2 = offset1
  offset1 = offset
  return offset
}
