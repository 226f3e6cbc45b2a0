// The literals section of a compressed block (RFC 8878, section 3.1.1.3.1).
//
//   raw, RLE          kind:2 | format:2 | size            1, 2 or 3 bytes
//   coded, treeless   kind:2 | format:2 | size | packed   3, 4 or 5 bytes, then [tree] and streams
//
// Raw literals are left where they lie in the frame; the others are made in LITERALS. A treeless
// section uses the tree of the last coded one of its frame.

import { decodeFourStreams, decodeStream, readTree } from './huffman-decode'
import { CORRUPT } from './limits'
import { LITERALS } from './zstd-decoder-map'

const RAW: u32 = 0
const RLE: u32 = 1
const CODED: u32 = 2

/** The literals of the section read last: at least 16 bytes can be read from any of them. */
export let literalsAt: usize = 0
export let literalsLength: u32 = 0

let hasTree: bool = false

/** A new frame begins. */
export function forgetTree(): void {
  hasTree = false
}

/** Reads a section of at most `maxLiterals`, up to 128 KiB; the bytes it takes, or CORRUPT. */
export function readLiterals(src: usize, length: u32, maxLiterals: u32): i32 {
  if (length === 0) return CORRUPT
  const head: u32 = load<u8>(src)
  const kind = head & 3
  return kind >= CODED
    ? readCodedLiterals(src, length, kind === CODED, maxLiterals)
    : readPlainLiterals(src, length, kind, maxLiterals)
}

function readPlainLiterals(src: usize, length: u32, kind: u32, maxLiterals: u32): i32 {
  const word = load<u32>(src)
  const format = (word >>> 2) & 3
  let headerBytes: u32 = 1
  let size = (word & 0xff) >>> 3
  if (format === 1) {
    headerBytes = 2
    size = (word & 0xffff) >>> 4
  } else if (format === 3) {
    headerBytes = 3
    size = (word & 0xffffff) >>> 4
  }
  const stored: u32 = kind === RAW ? size : 1
  if (size > maxLiterals || headerBytes + stored > length) return CORRUPT
  literalsLength = size
  if (kind === RAW) literalsAt = src + headerBytes
  else {
    literalsAt = LITERALS
    memory.fill(LITERALS, load<u8>(src + headerBytes), size)
  }
  return <i32>(headerBytes + stored)
}

function readCodedLiterals(src: usize, length: u32, withTree: bool, maxLiterals: u32): i32 {
  const word = load<u64>(src)
  const format = <u32>(word >>> 2) & 3
  // Both sizes have 10, 14 or 18 bits; only format 0 has one stream.
  const width: u32 = format < 2 ? 10 : 6 + (format << 2)
  const headerBytes: u32 = format < 2 ? 3 : format + 2
  const mask: u64 = (1 << (<u64>width)) - 1
  const size = <u32>((word >>> 4) & mask)
  const packed = <u32>((word >>> (4 + <u64>width)) & mask)
  if (size === 0 || size > maxLiterals || headerBytes + packed > length) return CORRUPT
  let stream = src + headerBytes
  const end = stream + packed
  if (withTree) {
    const treeBytes = readTree(stream, packed)
    if (treeBytes < 0) return CORRUPT
    hasTree = true
    stream += treeBytes
  } else if (!hasTree) return CORRUPT
  const left = <u32>(end - stream)
  const whole =
    format === 0
      ? decodeStream(stream, left, LITERALS, size)
      : decodeFourStreams(stream, left, LITERALS, size)
  if (!whole) return CORRUPT
  literalsAt = LITERALS
  literalsLength = size
  return <i32>(headerBytes + packed)
}
