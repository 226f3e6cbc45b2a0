// Local wall-clock time of a zone → the moment it means, with the zone's own daylight saving rules.
//
// Devices write local time without a zone. Twice a year that is not a function: in spring an hour
// does not exist, in autumn one stands there twice. Both are outcomes here, never guesses.

export type LocalMoment =
  | { readonly kind: 'one'; readonly epochMs: number }
  /** The clocks went back: the same reading stood on the wall twice. */
  | { readonly kind: 'two'; readonly earlierMs: number; readonly laterMs: number }
  /** The clocks went forward, or the date does not exist. */
  | { readonly kind: 'none' }

const HOUR_MS = 3_600_000

/** A zone of the IANA data base ("Europe/Berlin", "UTC"). */
export class TimeZone {
  readonly name: string
  readonly #format: Intl.DateTimeFormat
  /** Offset by quarter of an hour since the epoch: every change of every zone falls on one. */
  readonly #offsets = new Map<number, number>()

  private constructor(name: string, format: Intl.DateTimeFormat) {
    this.name = name
    this.#format = format
  }

  /** The zone, or undefined when the name is not known. */
  static named(name: string): TimeZone | undefined {
    try {
      const format = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        hourCycle: 'h23',
        era: 'narrow',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      })
      return new TimeZone(name, format)
    } catch {
      return undefined
    }
  }

  /** Milliseconds to add to UTC to read the wall clock at that moment. */
  offsetAt(epochMs: number): number {
    const quarter = Math.floor(epochMs / (HOUR_MS / 4))
    const known = this.#offsets.get(quarter)
    if (known !== undefined) return known
    const at = quarter * (HOUR_MS / 4)
    const parts = new Map<string, string>()
    for (const { type, value } of this.#format.formatToParts(at)) parts.set(type, value)
    const number = (type: string) => Number(parts.get(type))
    const wall = Date.UTC(
      number('year'),
      number('month') - 1,
      number('day'),
      number('hour'),
      number('minute'),
      number('second'),
    )
    if (this.#offsets.size >= 4096) this.#offsets.clear()
    this.#offsets.set(quarter, wall - at)
    return wall - at
  }

  /** What the wall clock reading means; `wallMs` is the reading taken as if it were UTC. */
  moment(wallMs: number): LocalMoment {
    if (!Number.isFinite(wallMs)) return { kind: 'none' }
    // No zone is further than 15 hours from UTC, so a day to each side sees both offsets in question.
    const before = wallMs - this.offsetAt(wallMs - 24 * HOUR_MS)
    const after = wallMs - this.offsetAt(wallMs + 24 * HOUR_MS)
    const fits = (epochMs: number) => epochMs + this.offsetAt(epochMs) === wallMs
    if (before === after) return fits(before) ? { kind: 'one', epochMs: before } : { kind: 'none' }
    const [first, second] = [fits(before), fits(after)]
    if (first && second) {
      return { kind: 'two', earlierMs: Math.min(before, after), laterMs: Math.max(before, after) }
    }
    if (first) return { kind: 'one', epochMs: before }
    return second ? { kind: 'one', epochMs: after } : { kind: 'none' }
  }
}

/** A date and time as UTC milliseconds, or undefined when the calendar has no such moment. */
export function wallClock(
  year: number,
  month: number,
  day: number,
  hour = 0,
  minute = 0,
  second = 0,
  millisecond = 0,
): number | undefined {
  if (hour > 23 || minute > 59 || second > 59 || year < 1000) return undefined
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second, millisecond))
  return date.getUTCMonth() === month - 1 && date.getUTCDate() === day ? date.getTime() : undefined
}
