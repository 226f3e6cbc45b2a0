// Seeded randomness (sfc32): the same seed gives the same fleet, whatever else runs beside it.
//
// Every device forks a generator of its own by name, so that adding a device or a sensor does not
// change what the others do.

export class Random {
  readonly #seed: string
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number | string) {
    this.#seed = String(seed)
    const hash = hashesOf(this.#seed)
    ;[this.#a, this.#b, this.#c] = [hash[0]!, hash[1]!, hash[2]!]
    for (let round = 0; round < 12; round++) this.next()
  }

  /** A generator that depends on this one's seed and the label only, not on what was drawn. */
  fork(label: string): Random {
    return new Random(`${this.#seed}/${label}`)
  }

  /** 0 ≤ x < 1. */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (this.#c << 21) | (this.#c >>> 11)
    this.#c = (this.#c + sum) | 0
    return (sum >>> 0) / 4294967296
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low)
  }

  /** 0 ≤ n < count. */
  index(count: number): number {
    return Math.floor(this.next() * count)
  }

  /** Normal, mean 0, deviation 1 (Box-Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()))
    return radius * Math.cos(2 * Math.PI * this.next())
  }

  /** Waiting time of events that come every `mean` on average. */
  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next())
  }
}

/** Three 32-bit hashes of a text (FNV-1a with different bases, finalised as in murmur3). */
function hashesOf(text: string): number[] {
  return [0x811c9dc5, 0x01000193, 0x9e3779b9].map((base) => {
    let hash = base
    for (let at = 0; at < text.length; at++) {
      hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return (hash ^ (hash >>> 16)) | 0
  })
}
