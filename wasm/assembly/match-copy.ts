// The copies of an LZ77 decoder: 16 bytes at a time where there is room behind, else exact.
//
// What is nearer than 16 bytes overlaps what is written: its bytes are spread over a vector by a table
// of patterns (byte i of the row of distance d is i mod d), which is then stored again and again at a
// stride that is a multiple of the distance. Row 0, which no distance needs, holds these strides.

import { PATTERNS } from './zstd-decoder-map'

export function initMatchCopy(): void {
  for (let distance: u32 = 1; distance < 16; distance++) {
    store<u8>(PATTERNS + distance, 16 - (16 % distance))
    for (let i: u32 = 0; i < 16; i++) store<u8>(PATTERNS + (distance << 4) + i, i % distance)
  }
}

/** Repeats what lies `distance` bytes behind; writes nothing at `limit`, where the size must end too. */
export function copyMatch(op: usize, distance: u32, size: u32, limit: usize): void {
  const end = op + size
  const wild = min<usize>(end, limit - 15)
  if (distance >= 16) {
    for (; op < wild; op += 16) v128.store(op, v128.load(op - distance))
  } else {
    const pattern = v128.swizzle(v128.load(op - distance), v128.load(PATTERNS + (distance << 4)))
    const stride: usize = load<u8>(PATTERNS + distance)
    for (; op < wild; op += stride) v128.store(op, pattern)
  }
  for (; op < end; op++) store<u8>(op, load<u8>(op - distance))
}
