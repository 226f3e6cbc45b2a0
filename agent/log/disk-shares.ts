// Who is full, and what has to go. Pure: figures in, a verdict out.
//
//   0 ─────────── reclaim ── drop ── shares ──────── drop any ── all
//                 85 %       88 %    90 %            96 %        100 %   of the space for partitions
//
// - The space is what the limit leaves beside everything that is no partition: journal, checkpoints,
//   reserve, strays. A partition's share is its even part of that.
// - From `shares` on a partition above its share is full, so that one that nobody drains cannot stop the
//   others: the rest of the space is theirs. At `all` everything is full.
// - Room is made earlier, so that nobody has to wait for it: first of what the upstream has, then of
//   what may be dropped, above its share before below it.
// - Each mark has a second, lower one at which its state ends.

export interface DiskFigures {
  /** Bytes of everything in the data directory. */
  used: number
  /** What that may be. */
  limit: number
  /** The part of `used` that is no partition. */
  fixed: number
}

/** How far it has come: all have room, those below their share, nobody. */
export type DiskLevel = 'ample' | 'shares' | 'all'

/** What has to go so that nobody has to wait. */
export interface Shortage {
  /** Of what the upstream has. */
  reclaimBytes: number
  /** Of partitions above their share that may drop; and of any that may. */
  dropAboveBytes: number
  dropAnyBytes: number
}

const RECLAIM = { from: 0.85, to: 0.8 }
const DROP_ABOVE = { from: 0.88, to: 0.86 }
const SHARES = { from: 0.9, to: 0.88 }
const DROP_ANY = { from: 0.96, to: 0.94 }
const ALL = { from: 1, to: 0.98 }
/** A full partition has room again below this part of its share. */
const SHARE_AGAIN = 0.95

export function spaceOf({ limit, fixed }: DiskFigures): number {
  return Math.max(0, limit - fixed)
}

/** The part of the space that partitions take; above 1 when they may not take any more. */
export function fillOf(figures: DiskFigures): number {
  const space = spaceOf(figures)
  return space === 0 ? Number.POSITIVE_INFINITY : (figures.used - figures.fixed) / space
}

export function levelOf(figures: DiskFigures, before: DiskLevel): DiskLevel {
  const fill = fillOf(figures)
  if (fill >= (before === 'all' ? ALL.to : ALL.from)) return 'all'
  return fill >= (before === 'ample' ? SHARES.from : SHARES.to) ? 'shares' : 'ample'
}

export function isFull(
  level: DiskLevel,
  partition: { bytes: number; share: number; wasFull: boolean },
): boolean {
  const { bytes, share, wasFull } = partition
  if (level === 'shares') return bytes > (wasFull ? share * SHARE_AGAIN : share)
  return level === 'all'
}

export function shortageOf(figures: DiskFigures): Shortage {
  const space = spaceOf(figures)
  const excess = ({ from, to }: { from: number; to: number }) =>
    fillOf(figures) < from ? 0 : Math.ceil(figures.used - figures.fixed - to * space)
  const reclaimBytes = excess(RECLAIM)
  // Others have taken all of it: whatever is dropped is lost for nothing.
  if (space === 0) return { reclaimBytes, dropAboveBytes: 0, dropAnyBytes: 0 }
  return { reclaimBytes, dropAboveBytes: excess(DROP_ABOVE), dropAnyBytes: excess(DROP_ANY) }
}

/** Bytes that may be written before anything here can change. */
export function untilNext(figures: DiskFigures): number {
  const [space, taken] = [spaceOf(figures), figures.used - figures.fixed]
  const marks = [RECLAIM, DROP_ABOVE, SHARES, DROP_ANY, ALL].map(({ from }) => from * space)
  return Math.max(0, (marks.find((mark) => mark > taken) ?? taken) - taken)
}
