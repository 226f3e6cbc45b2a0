// How far two strings of bytes are equal, for the match finders of LZ4 and zstd: eight bytes at once.

/** The first address where the two strings differ, `limit` at most. */
export function matchEnd(ip: usize, match: usize, limit: usize): usize {
  while (ip + 8 <= limit) {
    const difference = load<u64>(ip) ^ load<u64>(match)
    if (difference !== 0) return ip + (<usize>ctz<u64>(difference) >>> 3)
    ip += 8
    match += 8
  }
  while (ip < limit && load<u8>(ip) === load<u8>(match)) {
    ip++
    match++
  }
  return ip
}
