// xxHash-32 with seed 0, as LZ4 frames carry it.
//
// Four lanes of u32 eat 16 bytes a step, are rotated and added; what is left goes in by words, then by
// bytes, and a last mix spreads every bit. Source: the xxHash specification, "XXH32".

const PRIME1: u32 = 2654435761
const PRIME2: u32 = 2246822519
const PRIME3: u32 = 3266489917
const PRIME4: u32 = 668265263
const PRIME5: u32 = 374761393

export function xxh32(ptr: usize, length: u32): u32 {
  const end = ptr + length
  let hash: u32 = PRIME5
  if (length >= 16) {
    let a: u32 = PRIME1 + PRIME2
    let b: u32 = PRIME2
    let c: u32 = 0
    let d: u32 = 0 - PRIME1
    for (; ptr + 16 <= end; ptr += 16) {
      a = rotl<u32>(a + load<u32>(ptr) * PRIME2, 13) * PRIME1
      b = rotl<u32>(b + load<u32>(ptr, 4) * PRIME2, 13) * PRIME1
      c = rotl<u32>(c + load<u32>(ptr, 8) * PRIME2, 13) * PRIME1
      d = rotl<u32>(d + load<u32>(ptr, 12) * PRIME2, 13) * PRIME1
    }
    hash = rotl<u32>(a, 1) + rotl<u32>(b, 7) + rotl<u32>(c, 12) + rotl<u32>(d, 18)
  }
  hash += length
  for (; ptr + 4 <= end; ptr += 4) {
    hash = rotl<u32>(hash + load<u32>(ptr) * PRIME3, 17) * PRIME4
  }
  for (; ptr < end; ptr++) hash = rotl<u32>(hash + <u32>load<u8>(ptr) * PRIME5, 11) * PRIME1
  hash = (hash ^ (hash >>> 15)) * PRIME2
  hash = (hash ^ (hash >>> 13)) * PRIME3
  return hash ^ (hash >>> 16)
}
