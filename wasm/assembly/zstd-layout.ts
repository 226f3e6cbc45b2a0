// How the zstd encoder divides its working memory, and the numbers of the format its files share.
//
//   +0x00000  epoch, code tables, histograms, FSE and Huffman tables (below)
//   +0x10000  codes of the block's sequences: literals length, offset, match length, 0, a byte each
//   +0x20000  the rest of each sequence: offset value u32, low bits of both lengths u16, u16
//   +0x40000  hash table of the match finder, 2^14 u32
//   +0x50000  literals of the block, and room for a copy to overshoot

import { ZSTD_ENCODER } from './limits'

/** A block holds this many bytes, or as many sequences, at most. */
export const BLOCK_BYTES: u32 = 0x20000
export const MAX_SEQUENCES: u32 = 0x4000

/** Virtual position of the next frame, u32; the first word, so that a test can set it. */
export const EPOCH: usize = ZSTD_ENCODER
/** log2 of 1…512 in 1/256 bits: u16, from index 1 on. */
export const LOG2: usize = ZSTD_ENCODER + 0x100
/** Codes of the literals lengths below 64, and of the match lengths (less 3) below 128: u8. */
export const LITERALS_CODES: usize = ZSTD_ENCODER + 0x600
export const MATCH_CODES: usize = ZSTD_ENCODER + 0x640
/** FSE: the symbol of each cell (512 u8), the next cell of each symbol (64 u32). */
export const CELLS: usize = ZSTD_ENCODER + 0x700
export const NEXT_CELL: usize = ZSTD_ENCODER + 0x900
/** Histograms of the codes of sequences: three of 64 u32, in the order of the format. */
export const CODE_COUNTS: usize = ZSTD_ENCODER + 0xa00
/** Where a table is described before it is known whether that pays. */
export const DESCRIPTION: usize = ZSTD_ENCODER + 0xd00
/** Tables of the last block and of this one, addresses: three u32 each, 0 for none. */
export const LAST_TABLES: usize = ZSTD_ENCODER + 0xf00
export const NEXT_TABLES: usize = ZSTD_ENCODER + 0xf10
/** FSE tables, laid out in `fse-encode`: one for weights, then predefined and two for each code. */
export const WEIGHTS_TABLE: usize = ZSTD_ENCODER + 0x1000
export const CODE_TABLES: usize = ZSTD_ENCODER + 0x1700
/** Histogram of the literals: four of 256 u32, the sum in the first. */
export const COUNTS: usize = ZSTD_ENCODER + 0x6000
/** Two Huffman tables, laid out in `zstd-huffman`: of the last block, and of this one. */
export const HUFFMAN_A: usize = ZSTD_ENCODER + 0x7000
export const HUFFMAN_B: usize = ZSTD_ENCODER + 0x7a00
/** Building them: leaves by count (256 u32), weight (512 u32) and parent (512 u16) of each node. */
export const LEAVES: usize = ZSTD_ENCODER + 0x8400
export const NODES: usize = ZSTD_ENCODER + 0x8800
export const PARENTS: usize = ZSTD_ENCODER + 0x9000
export const BUCKETS: usize = ZSTD_ENCODER + 0x9400
/** Weights of a Huffman table (256 u8), and how often each occurs (16 u32). */
export const WEIGHTS: usize = ZSTD_ENCODER + 0x9800
export const WEIGHT_COUNTS: usize = ZSTD_ENCODER + 0x9900

export const CODES: usize = ZSTD_ENCODER + 0x10000
export const SEQUENCES: usize = ZSTD_ENCODER + 0x20000
export const HASH_TABLE: usize = ZSTD_ENCODER + 0x40000
export const HASH_BITS: u32 = 14
export const LITERALS: usize = ZSTD_ENCODER + 0x50000

/** One more in a cell of a histogram. */
export function increment(place: usize): void {
  store<u32>(place, load<u32>(place) + 1)
}
