// Damages frames: what disks, networks and enemies do to bytes, from a seed.

import type { SeededRandom } from '../support/seeded-random.ts'

const TELLING = [0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255]

export class Damage {
  readonly #random: SeededRandom
  readonly #frames: readonly Uint8Array[]
  /** The damaged frame is the first `#length` bytes of this. */
  readonly #bytes: Buffer
  #length = 0

  constructor(random: SeededRandom, frames: readonly Uint8Array[], mostBytes: number) {
    this.#random = random
    this.#frames = frames
    this.#bytes = Buffer.alloc(mostBytes)
  }

  /** The frame with a few things done to it; good until the next call. */
  of(frame: Uint8Array): Buffer {
    this.#bytes.set(frame)
    this.#length = frame.length
    do this.#once()
    while (this.#random.chance(0.4))
    return this.#bytes.subarray(0, this.#length)
  }

  /** Headers are short and say the most: a third of the damage is there. */
  #place(): number {
    const { random, length } = this.#scene()
    return random.below(random.chance(0.35) ? Math.min(length, 24) : length)
  }

  #scene(): { random: SeededRandom; bytes: Buffer; length: number } {
    return { random: this.#random, bytes: this.#bytes, length: this.#length }
  }

  #once(): void {
    const { random, bytes, length } = this.#scene()
    if (length === 0) return
    const at = this.#place()
    const what = random.below(10)
    if (what < 3) bytes[at]! ^= 1 << random.below(8)
    else if (what === 3) bytes[at] = random.below(256)
    else if (what === 4) bytes[at] = TELLING[random.below(TELLING.length)]!
    else if (what === 5) bytes[at]! += random.chance(0.5) ? 1 : -1
    else if (what === 6) this.#length = random.chance(0.5) ? at : length - random.below(8)
    else if (what === 7) this.#move(at, Math.min(at + 1 + random.below(8), length))
    else if (what === 8) this.#move(Math.min(at + 1 + random.below(8), length), at)
    else this.#splice(at)
    if (this.#length < 0) this.#length = 0
  }

  /** What begins at `from` goes to `to`: bytes disappear, or are there twice. */
  #move(to: number, from: number): void {
    const { bytes, length } = this.#scene()
    const moved = bytes.copy(bytes, to, from, Math.min(length, from + bytes.length - to))
    this.#length = to + moved
  }

  /** From here on a piece of another frame, or noise. */
  #splice(at: number): void {
    const { random, bytes, length } = this.#scene()
    const count = 1 + random.below(random.chance(0.5) ? 8 : length)
    if (random.chance(0.3)) {
      const end = Math.min(at + count, length)
      for (let i = at; i < end; i++) bytes[i] = random.below(256)
      return
    }
    const other = this.#frames[random.below(this.#frames.length)]!
    const from = random.chance(0.5) ? Math.min(at, other.length) : random.below(other.length)
    const piece = other.subarray(from, Math.min(from + count, from + bytes.length - at))
    bytes.set(piece, at)
    this.#length = Math.max(random.chance(0.5) ? length : 0, at + piece.length)
  }
}
