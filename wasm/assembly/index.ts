// Entry of the AssemblyScript compiler: the exports of the kernel, and its tables.
//
// Free functions on raw pointers; no objects, no strings, no allocation, no imports. A kernel returns
// a length, or a negative status of limits.ts; it never traps on any input within the memory.

import { initCrcTables } from './crc32c'
import { initLz4Tables } from './lz4-frame'
import { initMatchCopy } from './match-copy'
import { initZstdEncoder } from './zstd-frame'
import { initSequences } from './zstd-sequences-decode'

export { crc32c, crcCombine, crcPatch, crcUpdate } from './crc32c'
export { searchOffsetIndex, searchTimeIndex } from './index-search'
export { lz4Frame } from './lz4-frame'
export { lz4Unframe } from './lz4-unframe'
export { encodeRecord, findRecord, scanMaxTimestamp, scanRecords } from './record'
export { sealBatch } from './seal'
export { snappyDecode } from './snappy'
export { xxh32 } from './xxh32'
export { zstdFrame } from './zstd-frame'
export { zstdUnframe } from './zstd-unframe'

/** Called once by the host, before anything else. */
export function init(): void {
  initCrcTables()
  initMatchCopy()
  initSequences()
  initZstdEncoder()
  initLz4Tables()
}
