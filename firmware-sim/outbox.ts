// Messages a device has taken but not handed to its connection: bounded, in sequence order.
//
// When full the oldest goes, as in a device that would rather know the present. A message that the
// connection gave back returns to its place in the order.

export interface OutboxEntry {
  readonly sequence: number
  readonly payload: Buffer
  readonly takenAtMs: number
}

export class Outbox {
  readonly #limit: number
  #entries: OutboxEntry[] = []
  #head = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.length - this.#head
  }

  /** Puts an entry at its place; the one that had to go for it, if any. */
  put(entry: OutboxEntry): OutboxEntry | undefined {
    const dropped = this.size >= this.#limit ? this.take() : undefined
    let at = this.#entries.length
    while (at > this.#head && this.#entries[at - 1]!.sequence > entry.sequence) at--
    if (at === this.#entries.length) this.#entries.push(entry)
    else this.#entries.splice(at, 0, entry)
    return dropped
  }

  /** The oldest entry. */
  take(): OutboxEntry | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    this.#head++
    if (this.#head === this.#entries.length || this.#head > 1_024) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  /** Forgets everything; how many entries that was. */
  clear(): number {
    const { size } = this
    this.#entries = []
    this.#head = 0
    return size
  }
}
