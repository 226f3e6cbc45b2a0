// The memory map and the status codes of the kernel, read by both compilers: only numbers here.
//
//   0…1 MiB      tables and working memory of the kernels themselves
//   1…2 MiB      INGRESS   socket chunks, staged keys, values and headers
//   2…3.5 MiB    EGRESS    journal frames on their way to the disk
//   3.5…5 MiB    SEAL      batches being sealed
//   5…6 MiB      INDEX     cached entries of segment indexes
//   6…8 MiB      SCRATCH   decompression and validation
//   8…32 MiB     TAILS     slots of the partitions' tails
//
// - The memory never grows, so no view of it is ever detached.
// - Kernels write inside the window they are given and nowhere else. They may *read* up to 15 bytes
//   behind a source, which is why every region ends SLACK bytes before the next one begins.

export const MEMORY_PAGES = 512
export const MEMORY_BYTES = 0x2000000
export const SLACK = 64

export const INGRESS = 0x100000
export const INGRESS_BYTES = 0xfffc0
export const EGRESS = 0x200000
export const EGRESS_BYTES = 0x17ffc0
export const SEAL = 0x380000
export const SEAL_BYTES = 0x17ffc0
export const INDEX = 0x500000
export const INDEX_BYTES = 0xfffc0
export const SCRATCH = 0x600000
export const SCRATCH_BYTES = 0x1fffc0
export const TAILS = 0x800000
export const TAILS_BYTES = 0x17fffc0

// Private to the kernels, below 1 MiB. `test/wasm/limits.test.ts` proves that nothing overlaps.

/** Virtual position of the next LZ4 block; older table entries are out of reach by construction. */
export const LZ4_EPOCH = 0x700
export const LZ4_EPOCH_BYTES = 4
/** Slicing tables: 16 × 256 u32. */
export const CRC_TABLES = 0x1000
export const CRC_TABLES_BYTES = 0x4000
/** LZ4 hash tables: 2^12 u32 for short inputs, 2^14 for long ones. */
export const LZ4_SMALL_TABLE = 0x8000
export const LZ4_SMALL_TABLE_BYTES = 0x4000
export const LZ4_LARGE_TABLE = 0x10000
export const LZ4_LARGE_TABLE_BYTES = 0x10000
/** The zstd encoder's tables, sequences and literals of a block; `zstd-layout` divides it. */
export const ZSTD_ENCODER = 0x20000
export const ZSTD_ENCODER_BYTES = 0x80000
/** The zstd decoder's tables, and the literals of a block. */
export const ZSTD_DECODER = 0xa0000
export const ZSTD_DECODER_BYTES = 0x30000
/** Multiplication by x^(8·2^i), i < 32, for appending and patching: 8 nibbles × 16 u32 each. */
export const CRC_ADVANCE = 0xd0000
export const CRC_ADVANCE_BYTES = 0x4000
/** A nibble moved forward by 16·d bytes, d < 16: 8 × 16 bytes each. */
export const CRC_NIBBLES = 0xd4000
export const CRC_NIBBLES_BYTES = 0x800
/** Folding: the running quotient, and what one fold and the next leave of the message. */
export const CRC_QUOTIENT = 0xd5000
export const CRC_QUOTIENT_BYTES = 0x5a20
export const CRC_FOLDED = 0xdb000
export const CRC_FOLDED_BYTES = 0xd10
export const CRC_REST = 0xdc000
export const CRC_REST_BYTES = 0xe0
/** Where the compiler puts `memory.data`: `memoryBase` of asconfig.json. */
export const CONSTANTS = 0xf8000
export const CONSTANTS_BYTES = 0x8000

// Statuses: what a kernel returns instead of a length. They never change their number.

/** The output does not fit the capacity; nothing is to be believed about the output window. */
export const OUT_OF_ROOM = -1
/** The input breaks its format. */
export const CORRUPT = -2
/** The input is well formed but uses something this kernel refuses (linked LZ4 blocks, dictionaries). */
export const UNSUPPORTED = -3
/** More or fewer records than announced. */
export const WRONG_COUNT = -4
/** Offset deltas are not 0, 1, 2, … */
export const WRONG_DELTA = -5
/** A timestamp delta beyond what a number holds exactly. */
export const WRONG_TIMESTAMP = -6

/** Codecs of a record batch, as in its attributes. */
export const CODEC_NONE = 0
export const CODEC_SNAPPY = 2
export const CODEC_LZ4 = 3
export const CODEC_ZSTD = 4

/** Bytes of a record batch before its records. */
export const BATCH_HEADER_BYTES = 61
/** Where in a record batch the bytes begin that its CRC covers. */
export const BATCH_CRC_FROM = 21
