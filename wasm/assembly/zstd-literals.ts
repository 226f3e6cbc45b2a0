// The literals section of a block: raw, one byte repeated, or Huffman-coded with a new table or with
// that of the block before.
//
//   type 2 bits | size format 2 bits | sizes | [table] | [sizes of three streams, 3 × u16] | 1 or 4 streams
//
// Format: RFC 8878 §3.1.1.3.1.

import { huffmanBuild, huffmanCost, huffmanDescribe, huffmanEncode } from './zstd-huffman'
import { COUNTS, DESCRIPTION, HUFFMAN_A, HUFFMAN_B, increment, LITERALS } from './zstd-layout'

const RAW: u32 = 0
const REPEATED: u32 = 1
const COMPRESSED: u32 = 2
const TREELESS: u32 = 3

/** Fewer literals are not worth a table. */
const WORTH_TABLE: u32 = 24
/** Bytes from the middle of doubtful literals. */
const SAMPLE: u32 = 4096
/** From here on four streams, which decoders read at once. */
const FOUR_STREAMS: u32 = 256

// The table a decoder has from the blocks before, 0 for none, and the one it has after this block.
let lastTable: usize = 0
let nextTable: usize = 0

export function literalsBeginFrame(): void {
  lastTable = 0
}

/** The block was written: its table is the last one now. */
export function literalsKeep(): void {
  lastTable = nextTable
}

/**
 * Writes the section for `length` bytes at LITERALS; its end, or 0 when there is no room. `doubtful`
 * says that hardly anything else was found in the block: then a sample decides whether to try.
 */
export function writeLiterals(length: u32, doubtful: bool, op: usize, limit: usize): usize {
  nextTable = lastTable
  // Of the section without the literals: header 5, jump table 6, and what stores overshoot.
  if (op + 24 > limit) return 0
  if (length < WORTH_TABLE) return writeRaw(length, op, limit)
  if (doubtful && length >= 4 * SAMPLE) {
    const some = countLiterals(LITERALS + (length >>> 1), SAMPLE)
    if (isEven(greatestCount(some), SAMPLE)) return writeRaw(length, op, limit)
  }
  const symbols = countLiterals(LITERALS, length)
  const greatest = greatestCount(symbols)
  if (greatest === length) {
    op = writeHeader(REPEATED, length, op)
    store<u8>(op, symbols - 1)
    return op + 1
  }
  if (isEven(greatest, length)) return writeRaw(length, op, limit)

  const table = lastTable === HUFFMAN_A ? HUFFMAN_B : HUFFMAN_A
  huffmanBuild(table, symbols)
  const described = huffmanDescribe(table, DESCRIPTION)
  const streams: u32 = length < FOUR_STREAMS ? 1 : 4
  const overhead: u32 = streams === 1 ? 1 : 10
  const fresh = ((huffmanCost(table, symbols) + 7) >>> 3) + overhead + described
  const repeatBits: u32 = lastTable === 0 ? 0 : huffmanCost(lastTable, symbols)
  const repeated = ((repeatBits + 7) >>> 3) + overhead
  if (repeatBits !== 0 && (repeated <= fresh || described === 0)) {
    if (repeated + (length >>> 6) + 2 >= length) return writeRaw(length, op, limit)
    if (op + repeated + 24 > limit) return 0
    return writeStreams(TREELESS, lastTable, 0, streams, length, op)
  }
  if (described === 0 || fresh + (length >>> 6) + 2 >= length) return writeRaw(length, op, limit)
  if (op + fresh + 24 > limit) return 0
  nextTable = table
  return writeStreams(COMPRESSED, table, described, streams, length, op)
}

/** Header of raw and repeated literals. */
function writeHeader(kind: u32, length: u32, op: usize): usize {
  if (length < 32) {
    store<u8>(op, kind | (length << 3))
    return op + 1
  }
  if (length < 4096) {
    store<u16>(op, kind | (1 << 2) | (length << 4))
    return op + 2
  }
  store<u32>(op, kind | (3 << 2) | (length << 4))
  return op + 3
}

function writeRaw(length: u32, op: usize, limit: usize): usize {
  if (op + length + 8 > limit) return 0
  op = writeHeader(RAW, length, op)
  memory.copy(op, LITERALS, length)
  return op + length
}

function writeStreams(
  kind: u32,
  table: usize,
  described: u32,
  streams: u32,
  length: u32,
  op: usize,
): usize {
  const start = op
  const headerBytes: u32 = length < 1024 ? 3 : length < 16384 ? 4 : 5
  op += headerBytes
  memory.copy(op, DESCRIPTION, described)
  op += described
  if (streams === 1) {
    op = huffmanEncode(table, LITERALS, length, op)
  } else {
    const jumps = op
    const quarter = (length + 3) >>> 2
    op += 6
    for (let i: u32 = 0; i < 3; i++) {
      const end = huffmanEncode(table, LITERALS + i * quarter, quarter, op)
      store<u16>(jumps + (i << 1), <u32>(end - op))
      op = end
    }
    op = huffmanEncode(table, LITERALS + 3 * quarter, length - 3 * quarter, op)
  }
  // Both sizes take 10, 14 or 18 bits each.
  const width: u32 = headerBytes * 4 - 2
  const format: u32 = streams === 1 ? 0 : headerBytes - 2
  const packed = <u64>(op - start - headerBytes)
  const header = <u64>(kind | (format << 2) | (length << 4)) | (packed << (4 + width))
  store<u16>(start, <u32>header)
  store<u8>(start, <u32>(header >>> 16), 2)
  if (headerBytes > 3) store<u8>(start, <u32>(header >>> 24), 3)
  if (headerBytes > 4) store<u8>(start, <u32>(header >>> 32), 4)
  return op
}

/** Whether the most frequent byte is not much more frequent than all: this does not become smaller. */
function isEven(greatest: u32, length: u32): bool {
  return greatest <= (length >>> 7) + 4
}

/** Histogram of these bytes into COUNTS; one more than the greatest symbol. */
function countLiterals(ip: usize, length: u32): u32 {
  // Four histograms in turn, so that a run of one byte does not wait for its own count.
  memory.fill(COUNTS, 0, 0x1000)
  const end = ip + length
  for (; ip + 8 <= end; ip += 8) {
    const bytes = load<u64>(ip)
    const low = <u32>bytes
    const high = <u32>(bytes >>> 32)
    increment(COUNTS + ((low << 2) & 0x3fc))
    increment(COUNTS + 0x400 + ((low >>> 6) & 0x3fc))
    increment(COUNTS + 0x800 + ((low >>> 14) & 0x3fc))
    increment(COUNTS + 0xc00 + ((low >>> 22) & 0x3fc))
    increment(COUNTS + ((high << 2) & 0x3fc))
    increment(COUNTS + 0x400 + ((high >>> 6) & 0x3fc))
    increment(COUNTS + 0x800 + ((high >>> 14) & 0x3fc))
    increment(COUNTS + 0xc00 + ((high >>> 22) & 0x3fc))
  }
  for (; ip < end; ip++) increment(COUNTS + ((<usize>load<u8>(ip)) << 2))
  let symbols: u32 = 0
  for (let i: u32 = 0; i < 256; i += 4) {
    const place = COUNTS + (i << 2)
    const sum = i32x4.add(
      i32x4.add(v128.load(place), v128.load(place, 0x400)),
      i32x4.add(v128.load(place, 0x800), v128.load(place, 0xc00)),
    )
    v128.store(place, sum)
    if (v128.any_true(sum)) symbols = i + 4
  }
  while (load<u32>(COUNTS + (symbols << 2) - 4) === 0) symbols--
  return symbols
}

function greatestCount(symbols: u32): u32 {
  let greatest: u32 = 0
  for (let i: u32 = 0; i < symbols; i++) {
    greatest = max<u32>(greatest, load<u32>(COUNTS + (i << 2)))
  }
  return greatest
}
