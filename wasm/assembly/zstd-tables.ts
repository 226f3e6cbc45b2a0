// Constants of the zstd format (RFC 8878, section 3.1.1.3.2): what the codes of literal lengths, match
// lengths and offsets stand for, and the distributions that a block may use without describing them.
//
// A code is a pair of u32: the value where it begins, and how many extra bits are added to that.

/** 36 codes. */
export const LITERAL_LENGTH_CODES: usize = memory.data<u32>([
  0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15,
  0, 16, 1, 18, 1, 20, 1, 22, 1, 24, 2, 28, 2, 32, 3, 40, 3, 48, 4, 64, 6, 128, 7, 256, 8, 512, 9,
  1024, 10, 2048, 11, 4096, 12, 8192, 13, 16384, 14, 32768, 15, 65536, 16,
])
/** 53 codes. */
export const MATCH_LENGTH_CODES: usize = memory.data<u32>([
  3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0, 14, 0, 15, 0, 16, 0, 17, 0,
  18, 0, 19, 0, 20, 0, 21, 0, 22, 0, 23, 0, 24, 0, 25, 0, 26, 0, 27, 0, 28, 0, 29, 0, 30, 0, 31, 0,
  32, 0, 33, 0, 34, 0, 35, 1, 37, 1, 39, 1, 41, 1, 43, 2, 47, 2, 51, 3, 59, 3, 67, 4, 83, 4, 99, 5,
  131, 7, 259, 8, 515, 9, 1027, 10, 2051, 11, 4099, 12, 8195, 13, 16387, 14, 32771, 15, 65539, 16,
])
/** 32 codes; the values 1 to 3 mean one of the last three offsets, others the offset plus 3. */
export const OFFSET_CODES: usize = memory.data<u32>([
  1, 0, 2, 1, 4, 2, 8, 3, 16, 4, 32, 5, 64, 6, 128, 7, 256, 8, 512, 9, 1024, 10, 2048, 11, 4096, 12,
  8192, 13, 16384, 14, 32768, 15, 65536, 16, 131072, 17, 262144, 18, 524288, 19, 1048576, 20,
  2097152, 21, 4194304, 22, 8388608, 23, 16777216, 24, 33554432, 25, 67108864, 26, 134217728, 27,
  268435456, 28, 536870912, 29, 1073741824, 30, 2147483648, 31,
])

// Predefined distributions as i16: states of 2^6, 2^6 and 2^5 for each code; -1 is "less than one".

export const LITERAL_LENGTH_COUNTS: usize = memory.data<i16>([
  4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
  -1, -1, -1, -1,
])
export const MATCH_LENGTH_COUNTS: usize = memory.data<i16>([
  1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
  1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
])
/** 29 codes only. */
export const OFFSET_COUNTS: usize = memory.data<i16>([
  1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1,
])

export const LITERAL_LENGTH_SYMBOLS: u32 = 36
export const MATCH_LENGTH_SYMBOLS: u32 = 53
export const OFFSET_SYMBOLS: u32 = 32
export const PREDEFINED_OFFSET_SYMBOLS: u32 = 29
export const PREDEFINED_LENGTH_LOG: u32 = 6
export const PREDEFINED_OFFSET_LOG: u32 = 5

// Where a block's table comes from, the values of its modes byte.

export const PREDEFINED: u32 = 0
/** Of a single code. */
export const SINGLE: u32 = 1
export const DESCRIBED: u32 = 2
/** The last block's. */
export const LAST: u32 = 3
