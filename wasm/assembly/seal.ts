// One call from encoded records to a complete record batch: compress, header, CRC.
//
//   0 baseOffset i64 | 8 length i32 | 12 partitionLeaderEpoch i32 | 16 magic i8 = 2 | 17 crc u32
//   | 21 attributes i16 | 23 lastOffsetDelta i32 | 27 baseTimestamp i64 | 35 maxTimestamp i64
//   | 43 producerId i64 | 51 producerEpoch i16 | 53 baseSequence i32 | 57 count i32 | 61 records
//
// All big-endian. The CRC covers everything from the attributes on.

import { crc32c } from './crc32c'
import {
  BATCH_HEADER_BYTES,
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  OUT_OF_ROOM,
  UNSUPPORTED,
} from './limits'
import { lz4Frame } from './lz4-frame'
import { zstdFrame } from './zstd-frame'

/**
 * Writes the batch of `length` bytes of records to `dst`; its bytes, or a status. It is stored
 * uncompressed when compression does not make it smaller. Source and destination must not overlap.
 */
export function sealBatch(
  records: usize,
  length: u32,
  dst: usize,
  capacity: u32,
  codec: i32,
  baseOffset: f64,
  lastOffsetDelta: i32,
  baseTimestamp: f64,
  maxTimestamp: f64,
  count: i32,
): i32 {
  if (codec !== CODEC_NONE && codec !== CODEC_LZ4 && codec !== CODEC_ZSTD) return UNSUPPORTED
  if (capacity < <u32>BATCH_HEADER_BYTES) return OUT_OF_ROOM
  const room = capacity - BATCH_HEADER_BYTES
  const body = dst + BATCH_HEADER_BYTES
  let packed: i32 = OUT_OF_ROOM
  if (codec !== CODEC_NONE && length > 0) {
    const most = min<u32>(room, length - 1)
    packed =
      codec === CODEC_LZ4
        ? lz4Frame(records, length, body, most)
        : zstdFrame(records, length, body, most)
  }
  let stored: i32 = codec
  if (packed < 0) {
    if (length > room) return OUT_OF_ROOM
    memory.copy(body, records, length)
    packed = length
    stored = CODEC_NONE
  }
  store<u64>(dst, bswap<u64>(<u64>(<i64>baseOffset)))
  store<u32>(dst, bswap<u32>(<u32>packed + BATCH_HEADER_BYTES - 12), 8)
  store<u32>(dst, 0, 12)
  store<u8>(dst, 2, 16)
  store<u16>(dst, bswap<u16>(<u16>stored), 21)
  store<u32>(dst, bswap<u32>(<u32>lastOffsetDelta), 23)
  store<u64>(dst, bswap<u64>(<u64>(<i64>baseTimestamp)), 27)
  store<u64>(dst, bswap<u64>(<u64>(<i64>maxTimestamp)), 35)
  // Producer id, epoch and sequence are −1 until the batch goes upstream.
  store<u64>(dst, 0xffffffffffffffff, 43)
  store<u16>(dst, 0xffff, 51)
  store<u32>(dst, 0xffffffff, 53)
  store<u32>(dst, bswap<u32>(<u32>count), 57)
  store<u32>(dst, bswap<u32>(crc32c(dst + 21, <u32>packed + BATCH_HEADER_BYTES - 21)), 17)
  return packed + BATCH_HEADER_BYTES
}
