// When the upstream acked what: a few marks for a partition, each an offset and a time, because what
// is kept for an upstream that lost its tail is kept from then on.
//
//   state `acked/<log id>`: JSON, [[offset, ms], …], oldest first: below the offset all was acked by then
//
// A mark is made when the last one is an eighth of the heal window old, so what they say of an offset
// may be that much too late and is never too early. Of those older than the window only the newest
// says anything.

export type AckedMark = readonly [offset: number, time: number]

const MARKS_PER_WINDOW = 8

export class AckedMarks {
  readonly #windowMs: number
  #marks: AckedMark[]

  constructor(windowMs: number, marks: readonly AckedMark[] = []) {
    this.#windowMs = windowMs
    this.#marks = [...marks]
  }

  static from(windowMs: number, value: Buffer | undefined): AckedMarks {
    const marks = value === undefined ? [] : (JSON.parse(value.toString()) as AckedMark[])
    return new AckedMarks(windowMs, marks)
  }

  /** The upstream has acked everything below `offset`. True when that made a mark. */
  note(offset: number, now: number): boolean {
    const last = this.#marks.at(-1)
    if (offset <= (last?.[0] ?? 0)) return false
    // A clock that was set back makes no mark wait for ever.
    const age = last === undefined ? Number.POSITIVE_INFINITY : Math.abs(now - last[1])
    if (age < this.#windowMs / MARKS_PER_WINDOW) return false
    this.#marks.push([offset, now])
    const passed = this.#marks.findLastIndex(([, time]) => now - time >= this.#windowMs)
    if (passed > 0) this.#marks.splice(0, passed)
    this.#marks = this.#marks.slice(-2 * MARKS_PER_WINDOW)
    return true
  }

  /** By when everything below `offset` was acked, as far as is known. */
  timeOf(offset: number): number | undefined {
    return this.#marks.find(([acked]) => acked >= offset)?.[1]
  }

  toBytes(): Buffer {
    return Buffer.from(JSON.stringify(this.#marks))
  }
}
