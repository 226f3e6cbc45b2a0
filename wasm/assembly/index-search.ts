// Floor search in Kafka's segment indexes, whose entries are big-endian and sorted.
//
//   .index      8 bytes   relativeOffset i32 | position i32
//   .timeindex  12 bytes  timestamp i64 | relativeOffset i32

/** The last entry with relativeOffset ≤ the one asked for, or −1. */
export function searchOffsetIndex(ptr: usize, entryCount: i32, relativeOffset: i32): i32 {
  let low = 0
  let high = entryCount
  while (low < high) {
    const middle = (low + high) >>> 1
    if (bswap<i32>(load<i32>(ptr + ((<usize>middle) << 3))) <= relativeOffset) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** The last entry with timestamp ≤ the one asked for, or −1. */
export function searchTimeIndex(ptr: usize, entryCount: i32, timestamp: f64): i32 {
  const wanted = <i64>timestamp
  let low = 0
  let high = entryCount
  while (low < high) {
    const middle = (low + high) >>> 1
    if (bswap<i64>(load<i64>(ptr + <usize>middle * 12)) <= wanted) low = middle + 1
    else high = middle
  }
  return low - 1
}
