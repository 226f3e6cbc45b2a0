// How the decoders divide the region ZSTD_DECODER. Nothing here outlives a call, but for what `init`
// computes: the predefined tables and the patterns.

import { ZSTD_DECODER } from './limits'

/** Literals of a block: 128 KiB, and room behind them for reads of 16 bytes. */
export const LITERALS: usize = ZSTD_DECODER
/** Huffman decoding: 2^11 u16, see `huffman-decode`. */
export const HUFFMAN: usize = ZSTD_DECODER + 0x20100
/** FSE decoding tables of 8 bytes a state, see `fse-decode`: 2^9, 2^9, 2^8 states. */
export const LITERAL_LENGTHS: usize = ZSTD_DECODER + 0x21100
export const MATCH_LENGTHS: usize = ZSTD_DECODER + 0x22100
export const OFFSETS: usize = ZSTD_DECODER + 0x23100
/** The same for the predefined distributions: 2^6, 2^6, 2^5 states. */
export const PREDEFINED_LITERAL_LENGTHS: usize = ZSTD_DECODER + 0x23900
export const PREDEFINED_MATCH_LENGTHS: usize = ZSTD_DECODER + 0x23b00
export const PREDEFINED_OFFSETS: usize = ZSTD_DECODER + 0x23d00
/** FSE decoding of Huffman weights: 2^6 states. */
export const WEIGHT_STATES: usize = ZSTD_DECODER + 0x23e00
/** Weights of up to 256 symbols, and where each weight's part of the Huffman table begins. */
export const WEIGHTS: usize = ZSTD_DECODER + 0x24000
export const WEIGHT_STARTS: usize = ZSTD_DECODER + 0x24100
/** Distribution being read (i16), and the next state of each symbol (u16), for up to 64 symbols. */
export const COUNTS: usize = ZSTD_DECODER + 0x24180
export const NEXT_STATES: usize = ZSTD_DECODER + 0x24200
/** Byte patterns of short match distances, see `match-copy`. */
export const PATTERNS: usize = ZSTD_DECODER + 0x24300
