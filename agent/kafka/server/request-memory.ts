// The bytes that large requests of all connections may take together.
//
// A large frame reserves its whole size before any of it is kept, and holds nothing else that waits:
// so reservations cannot block each other, whatever a client claims and never sends. Small frames are
// views of the chunk they came in and are bounded by the number of connections.

export class RequestMemory {
  readonly #bytesMax: number
  #used = 0
  readonly #waiting: { bytes: number; run: () => void }[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get used(): number {
    return this.#used
  }

  /** True when the bytes are reserved now; else `run` is called, in turn, once they are. */
  reserve(bytes: number, run: () => void): boolean {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#used += bytes
      return true
    }
    this.#waiting.push({ bytes, run })
    return false
  }

  release(bytes: number): void {
    this.#used -= bytes
    this.#serve()
  }

  /** Takes a waiting reservation back. */
  forget(run: () => void): void {
    const index = this.#waiting.findIndex((waiting) => waiting.run === run)
    if (index < 0) return
    this.#waiting.splice(index, 1)
    this.#serve()
  }

  /** A frame above the whole limit is let in alone. */
  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#bytesMax
  }

  #serve(): void {
    for (;;) {
      const next = this.#waiting[0]
      if (next === undefined || !this.#fits(next.bytes)) return
      this.#waiting.shift()
      this.#used += next.bytes
      next.run()
    }
  }
}
