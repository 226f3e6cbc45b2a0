// Bytes of a connection that wait for the rest of their frame, or for room.
//
// Most chunks end inside a frame: its first bytes are kept here and put before the next chunk when
// that is copied to the kernel, so nothing is concatenated. All connections share one budget.

/** Kept between chunks; anything larger is given back as soon as it is empty. */
const KEPT_BYTES = 1_024
const EMPTY = Buffer.alloc(0)

/** Bytes reserved by all connections together. */
export class CarriedBudget {
  readonly limit: number
  used = 0

  constructor(limit: number) {
    this.limit = limit
  }
}

export class CarriedBytes {
  readonly #budget: CarriedBudget
  #bytes: Buffer = EMPTY
  #start = 0
  #end = 0

  constructor(budget: CarriedBudget) {
    this.#budget = budget
  }

  get length(): number {
    return this.#end - this.#start
  }

  /** Adds source[from, to) at the end; false when the budget does not allow it. */
  keep(source: Uint8Array, from: number, to: number): boolean {
    const size = to - from
    if (size === 0) return true
    if (this.#end + size > this.#bytes.length && !this.#makeRoom(size)) return false
    this.#bytes.set(source.subarray(from, to), this.#end)
    this.#end += size
    return true
  }

  /** Copies the first `length` bytes; they stay here until `skip`. */
  copyTo(target: Uint8Array, at: number, length: number): void {
    target.set(this.#bytes.subarray(this.#start, this.#start + length), at)
  }

  /** Drops bytes from the front. */
  skip(length: number): void {
    this.#start += length
    if (this.#start < this.#end) return
    this.#start = 0
    this.#end = 0
    if (this.#bytes.length > KEPT_BYTES) this.release()
  }

  release(): void {
    this.#budget.used -= this.#bytes.length
    this.#bytes = EMPTY
    this.#start = 0
    this.#end = 0
  }

  #makeRoom(size: number): boolean {
    const { length } = this
    if (length + size <= this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#start, this.#end)
    } else {
      const capacity = Math.max(256, 2 ** Math.ceil(Math.log2(length + size)))
      const grown = capacity - this.#bytes.length
      if (this.#budget.used + grown > this.#budget.limit) return false
      const bytes = Buffer.allocUnsafe(capacity)
      this.#bytes.copy(bytes, 0, this.#start, this.#end)
      this.#bytes = bytes
      this.#budget.used += grown
    }
    this.#start = 0
    this.#end = length
    return true
  }
}
