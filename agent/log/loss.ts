// What a partition has lost, and why. Offsets are never closed up: hollow records stand at those of
// what is lost, and this remembers which they are, across restarts, in state `lost/<log id>`:
//
//   {"totals": {"rot": 12, …}, "ranges": [[<first offset>, <offset behind the last>, "rot"], …]}
//
// Totals are since the partition was made; of the ranges only the newest are kept.

export const LOSS_REASONS = ['rot', 'file', 'journal', 'dropped'] as const

/**
 * rot: bytes of a segment no longer hold; file: a segment is gone; journal: frames of the journal are
 * gone; dropped: given up on purpose, to have room for what is new.
 */
export type LossReason = (typeof LOSS_REASONS)[number]

/** `to` is the offset behind the last one. */
export interface LostRange {
  from: number
  to: number
  reason: LossReason
}

export type LossTotals = Record<LossReason, number>

const RANGES_MAX = 16

/** What to say of it, and what an operator can do. */
const SENTENCES: Record<LossReason, readonly [why: string, advice: string]> = {
  rot: ['bytes on the disk are not what was written', 'check the disk; `quarantine` has the bytes'],
  file: ['their segment file is gone', 'keep other programs out of the data directory'],
  journal: ['the journal is damaged where it had them', 'check the disk'],
  dropped: [
    'whenFull: dropOldest made room',
    'give the log more room, or the upstream a better link',
  ],
}

export class Losses {
  readonly totals: LossTotals
  #ranges: LostRange[]

  private constructor(totals: LossTotals, ranges: LostRange[]) {
    this.totals = totals
    this.#ranges = ranges
  }

  /** As they were remembered; none without a value. */
  static from(value: Buffer | undefined): Losses {
    const totals = noLosses()
    if (value === undefined) return new Losses(totals, [])
    const stored = JSON.parse(value.toString()) as {
      totals: Partial<LossTotals>
      ranges: [from: number, to: number, reason: LossReason][]
    }
    for (const reason of LOSS_REASONS) totals[reason] = stored.totals[reason] ?? 0
    return new Losses(
      totals,
      stored.ranges.map(([from, to, reason]) => ({ from, to, reason })),
    )
  }

  get total(): number {
    return LOSS_REASONS.reduce((sum, reason) => sum + this.totals[reason], 0)
  }

  /** The newest ranges, in the order in which they were lost. */
  get ranges(): readonly LostRange[] {
    return this.#ranges
  }

  /** How many of these offsets are known to be lost; more may be. */
  countWithin(first: number, end: number): number {
    return this.#ranges.reduce(
      (sum, { from, to }) => sum + Math.max(0, Math.min(to, end) - Math.max(from, first)),
      0,
    )
  }

  /** Whether all of a range is known to be lost. */
  has({ from, to }: LostRange): boolean {
    return this.#ranges.some((known) => known.from <= from && to <= known.to)
  }

  add(range: LostRange): void {
    const { from, to, reason } = range
    if (to <= from) return
    this.totals[reason] += to - from
    const last = this.#ranges.at(-1)
    if (last?.reason === reason && last.to === from) last.to = to
    else this.#ranges.push({ ...range })
    this.#ranges = this.#ranges.slice(-RANGES_MAX)
  }

  /** They are there after all. */
  takeBack({ from, to, reason }: LostRange): void {
    this.totals[reason] = Math.max(0, this.totals[reason] - (to - from))
    this.#ranges = this.#ranges.flatMap((known) => {
      if (known.reason !== reason || to <= known.from || known.to <= from) return [known]
      const parts = [
        { ...known, to: from },
        { ...known, from: to },
      ]
      return parts.filter((part) => part.from < part.to)
    })
  }

  toBytes(): Buffer {
    const ranges = this.#ranges.map(({ from, to, reason }) => [from, to, reason])
    return Buffer.from(JSON.stringify({ totals: this.totals, ranges }))
  }
}

/** Losses on their way to become hollow records: what is stored under `hollow/<log id>`. */
export function intentFrom(value: Buffer | undefined): LostRange[] {
  return value === undefined ? [] : (JSON.parse(value.toString()) as LostRange[])
}

export function noLosses(): LossTotals {
  return { rot: 0, file: 0, journal: 0, dropped: 0 }
}

/** One sentence for the log. `isGone`: no empty records stand there, the log starts behind them. */
export function lossSentence(
  partition: string,
  { from, to, reason }: LostRange,
  isGone = false,
): string {
  const [why, advice] = SENTENCES[reason]
  const offsets = to - from === 1 ? `offset ${from} is` : `offsets ${from} to ${to - 1} are`
  const isOne = to - from === 1
  let served = isOne ? 'it is served as an empty record' : 'they are served as empty records'
  if (isGone) served = `the log starts at ${to}`
  return `${partition}: ${offsets} lost (${why}); ${served}; ${advice}`
}
