// Murmur2 as Java's producer uses it to choose partitions, so that every Kafka client chooses the same.

const SEED = 0x9747b28c
const MULTIPLIER = 0x5bd1e995

/** The signed 32-bit hash of Java's `Utils.murmur2`. */
export function murmur2(key: Uint8Array): number {
  const { length } = key
  let hash = SEED ^ length
  const whole = length & ~3
  for (let i = 0; i < whole; i += 4) {
    let k = key[i]! | (key[i + 1]! << 8) | (key[i + 2]! << 16) | (key[i + 3]! << 24)
    k = Math.imul(k, MULTIPLIER)
    k = Math.imul(k ^ (k >>> 24), MULTIPLIER)
    hash = Math.imul(hash, MULTIPLIER) ^ k
  }
  if (whole < length) {
    for (let i = whole; i < length; i++) hash ^= key[i]! << ((i - whole) * 8)
    hash = Math.imul(hash, MULTIPLIER)
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER)
  return hash ^ (hash >>> 15)
}

/** The partition of a key among `count`, as every Kafka client computes it. */
export function partitionFor(key: Uint8Array, count: number): number {
  return (murmur2(key) & 0x7fffffff) % count
}
