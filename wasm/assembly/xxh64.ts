// xxHash-64 with seed 0: the content checksum of zstd frames (its low 32 bits).

const PRIME1: u64 = 0x9e3779b185ebca87
const PRIME2: u64 = 0xc2b2ae3d27d4eb4f
const PRIME3: u64 = 0x165667b19e3779f9
const PRIME4: u64 = 0x85ebca77c2b2ae63
const PRIME5: u64 = 0x27d4eb2f165667c5

function round(lane: u64, word: u64): u64 {
  return rotl<u64>(lane + word * PRIME2, 31) * PRIME1
}

function merge(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * PRIME1 + PRIME4
}

export function xxh64(ptr: usize, length: u32): u64 {
  const end = ptr + length
  let hash: u64 = PRIME5
  if (length >= 32) {
    let a: u64 = PRIME1 + PRIME2
    let b: u64 = PRIME2
    let c: u64 = 0
    let d: u64 = 0 - PRIME1
    for (; ptr + 32 <= end; ptr += 32) {
      a = round(a, load<u64>(ptr))
      b = round(b, load<u64>(ptr, 8))
      c = round(c, load<u64>(ptr, 16))
      d = round(d, load<u64>(ptr, 24))
    }
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18)
    hash = merge(merge(merge(merge(hash, a), b), c), d)
  }
  hash += length
  for (; ptr + 8 <= end; ptr += 8) {
    hash = rotl<u64>(hash ^ round(0, load<u64>(ptr)), 27) * PRIME1 + PRIME4
  }
  if (ptr + 4 <= end) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(ptr) * PRIME1), 23) * PRIME2 + PRIME3
    ptr += 4
  }
  for (; ptr < end; ptr++) {
    hash = rotl<u64>(hash ^ (<u64>load<u8>(ptr) * PRIME5), 11) * PRIME1
  }
  hash = (hash ^ (hash >>> 33)) * PRIME2
  hash = (hash ^ (hash >>> 29)) * PRIME3
  return hash ^ (hash >>> 32)
}
