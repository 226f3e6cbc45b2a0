// zstd's bit streams that are read from their end (RFC 8878, section 4.1): the last byte's highest set
// bit marks where the bits begin; what comes next is always the most significant of what is left.
//
// A reader is the address of the stream and the number of bits not yet read. Bits before the stream
// read as whatever lies there, always part of the frame: whoever reads checks afterwards that the
// number has not become negative, before it went on for longer than a few bytes.

/** The bits of a stream, or -1 when nothing marks its end. */
export function bitsOf(stream: usize, length: u32): i32 {
  if (length === 0) return -1
  const last: u32 = load<u8>(stream + length - 1)
  return last === 0 ? -1 : <i32>((length << 3) - (clz<u32>(last) - 23))
}

/** The next 57 bits at least, the first of them on top. */
export function peekBits(stream: usize, left: i32): u64 {
  return load<u64>(stream + ((left + 7) >> 3) - 8) << (<u64>(0 - left) & 7)
}

/** The top `count` bits, which may be none, as a number. */
export function topBits(bits: u64, count: u32): u32 {
  return <u32>((bits >>> 1) >>> (63 - <u64>count))
}
