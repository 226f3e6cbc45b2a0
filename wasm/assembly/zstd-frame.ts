// zstd frames, written: RFC 8878 with its fast level in mind, encoder version 1.
//
//   magic 0xfd2fb528 LE | descriptor u8 | [window u8] | content size, 1, 2 or 4 bytes | blocks
//   block: last 1 bit, type 2 bits, size 21 bits | raw bytes, one byte to repeat, or two sections
//
// - A frame up to 8 MiB is a single segment: its window is the content. A longer one says a window of
//   8 MiB, which every decoder must support. No checksum (record batches have one), no dictionary.
// - Blocks share the window, last offsets and entropy tables. What a block leaves to the next counts
//   only when it was written compressed.
// - `zstd-match` finds sequences, `zstd-literals` and `zstd-sequences` write the sections of a block,
//   on top of `zstd-huffman` and `fse-encode`; `zstd-layout` says where everything lies.
// - The output is pinned by `test/wasm/zstd-golden.test.ts`: whoever changes it raises the version.

import { initFse } from './fse-encode'
import { OUT_OF_ROOM } from './limits'
import { BLOCK_BYTES, EPOCH, HASH_BITS, HASH_TABLE } from './zstd-layout'
import { literalsBeginFrame, literalsKeep, writeLiterals } from './zstd-literals'
import {
  literalsLength,
  matchBeginFrame,
  matchForget,
  parseBlock,
  sequenceCount,
} from './zstd-match'
import { initSequences, sequencesBeginFrame, sequencesKeep, writeSequences } from './zstd-sequences'

const MAGIC: u32 = 0xfd2fb528
const WINDOW: u32 = 0x800000
/** The window descriptor of 8 MiB: 2^(10 + 13). */
const WINDOW_BYTE: u32 = 13 << 3
const HEADER_BYTES: u32 = 10
/** The writers of sections look less far ahead of what they write. */
const AHEAD: u32 = 32

const RAW: u32 = 0
const REPEATED: u32 = 1
const COMPRESSED: u32 = 2

export function initZstdEncoder(): void {
  initFse()
  initSequences()
  forgetPositions()
}

function forgetPositions(): void {
  memory.fill(HASH_TABLE, 0, 4 << HASH_BITS)
  // An empty entry, 0, is below every frame.
  store<u32>(EPOCH, 1)
}

/**
 * Compresses to a frame, the same one whatever the capacity; its bytes, or OUT_OF_ROOM, which it may also
 * say when up to 32 bytes more than it needs are there. Windows must not overlap.
 */
export function zstdFrame(src: usize, length: u32, dst: usize, capacity: u32): i32 {
  if (capacity < HEADER_BYTES + 3) return OUT_OF_ROOM
  let epoch = load<u32>(EPOCH)
  if (epoch > 0xffffffff - length) {
    forgetPositions()
    epoch = load<u32>(EPOCH)
  }
  store<u32>(EPOCH, epoch + length)
  matchBeginFrame()
  literalsBeginFrame()
  sequencesBeginFrame()

  const limit = dst + capacity
  const end = src + length
  const bias = epoch - <u32>src
  let op = writeFrameHeader(length, dst)
  let ip = src
  do {
    const blockEnd = min<usize>(ip + BLOCK_BYTES, end)
    const reached = <u32>(blockEnd - src)
    const lowest = epoch + (reached > WINDOW ? reached - WINDOW : 0)
    if (op + 3 > limit) return OUT_OF_ROOM
    ip = writeBlock(src, ip, blockEnd, end, bias, lowest, op, limit)
    if (ip === 0) return OUT_OF_ROOM
    op = blockOutput
  } while (ip < end)
  return <i32>(op - dst)
}

function writeFrameHeader(length: u32, op: usize): usize {
  store<u32>(op, MAGIC)
  op += 4
  if (length < 256) {
    store<u8>(op, 0x20)
    store<u8>(op, length, 1)
    return op + 2
  }
  if (length < 65536 + 256) {
    store<u8>(op, 0x60)
    store<u16>(op, length - 256, 1)
    return op + 3
  }
  if (length <= WINDOW) {
    store<u8>(op++, 0xa0)
  } else {
    store<u8>(op, 0x80)
    store<u8>(op, WINDOW_BYTE, 1)
    op += 2
  }
  store<u32>(op, length)
  return op + 4
}

// Where the last block ended in the output.
let blockOutput: usize = 0

/** One block from `ip`, its header included; where it ended in the input, or 0 when there is no room. */
function writeBlock(
  src: usize,
  ip: usize,
  blockEnd: usize,
  end: usize,
  bias: u32,
  lowest: u32,
  op: usize,
  limit: usize,
): usize {
  const body = op + 3
  let size = <u32>(blockEnd - ip)
  if (isRun(ip, size)) {
    if (body + 1 > limit) return 0
    writeBlockHeader(op, REPEATED, size, blockEnd === end)
    store<u8>(body, load<u8>(ip))
    blockOutput = body + 1
    return blockEnd
  }
  blockEnd = parseBlock(src, ip, blockEnd, bias, lowest, hashedBytes(<u32>(end - src)))
  size = <u32>(blockEnd - ip)
  // Sections that still do not fit here are no smaller than the block. Those that fail for less room might
  // be: to store the block then would make the frame depend on the capacity.
  const most = body + size + AHEAD
  const packedEnd = writeSections(body, min<usize>(limit, most))
  if (packedEnd === 0 && most > limit) return 0
  if (packedEnd !== 0 && <u32>(packedEnd - body) < size) {
    literalsKeep()
    if (sequenceCount > 0) sequencesKeep()
    writeBlockHeader(op, COMPRESSED, <u32>(packedEnd - body), blockEnd === end)
    blockOutput = packedEnd
    return blockEnd
  }
  matchForget()
  if (size > <u32>(limit - body)) return 0
  writeBlockHeader(op, RAW, size, blockEnd === end)
  memory.copy(body, ip, size)
  blockOutput = body + size
  return blockEnd
}

function writeSections(op: usize, limit: usize): usize {
  const doubtful = literalsLength >>> 10 >= sequenceCount
  const behindLiterals = writeLiterals(literalsLength, doubtful, op, limit)
  return behindLiterals === 0 ? 0 : writeSequences(sequenceCount, behindLiterals, limit)
}

function writeBlockHeader(op: usize, kind: u32, size: u32, last: bool): void {
  const header = <u32>last | (kind << 1) | (size << 3)
  store<u16>(op, header)
  store<u8>(op, header >>> 16, 2)
}

/** Longer inputs have more to offer, and need longer matches to pay for longer offsets. */
function hashedBytes(length: u32): u32 {
  return length <= 0x2000 ? 5 : 6
}

/** Whether all bytes are the same, and they are more than a handful. */
function isRun(ip: usize, size: u32): bool {
  if (size < 16) return false
  const end = ip + size - 8
  for (let p = ip; p < end; p += 8) if (load<u64>(p) !== load<u64>(p, 1)) return false
  return load<u64>(end) === load<u64>(end - 1)
}
