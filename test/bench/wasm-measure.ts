// How the kernels are measured: everything in one process, rounds over all rows, sides next to each
// other; medians and quartiles of ratios, for a machine's speed moves while ratios hardly do. Time is
// that of the processor, all threads: what else runs here does not count, what an add-on leaves to the
// garbage collector does.

/** Of one call; what it leaves in memory must not matter to the next. */
export type Work = () => void

export interface Row {
  name: string
  /** Behind the figure: × for ratios. */
  unit: string
  better: 'more' | 'less'
  /** Missing it is a failure; none where a figure is only told. */
  floor?: number
  goal?: number
  /** Before the first sample of each round: bytes into their places. */
  prepare?: () => void
  sample: () => number
}

export interface Measured extends Row {
  median: number
  quartiles: [low: number, high: number]
}

const WARM_UP_ROUNDS = 3
/** Of one side in one round. */
const SAMPLE_MS = 4

function processorMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

/** Seconds of one call, on average over some milliseconds of calls. */
export function stopwatch(work: Work): () => number {
  let calls = 1
  return () => {
    const start = processorMs()
    for (let i = 0; i < calls; i++) work()
    const ms = processorMs() - start
    const seconds = ms / 1000 / calls
    calls = Math.max(1, Math.min(Math.round((SAMPLE_MS / Math.max(ms, 0.001)) * calls), 1_000_000))
    return seconds
  }
}

/** How many times as fast as the peer we are. */
export function contest(ours: Work, peer: Work): () => number {
  const sides = [stopwatch(ours), stopwatch(peer)] as const
  let isPeerFirst = false
  return () => {
    isPeerFirst = !isPeerFirst
    if (!isPeerFirst) {
      const seconds = sides[0]()
      return sides[1]() / seconds
    }
    const seconds = sides[1]()
    return seconds / sides[0]()
  }
}

/** All rows, round by round; the first rounds are thrown away. */
export function measure(rows: readonly Row[], rounds: number): Measured[] {
  const samples = rows.map((): number[] => [])
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const [i, row] of rows.entries()) {
      row.prepare?.()
      const sample = row.sample()
      if (round >= 0) samples[i]!.push(sample)
    }
  }
  return rows.map((row, i) => {
    const sorted = samples[i]!.sort((a, b) => a - b)
    const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!
    return { ...row, median: at(0.5), quartiles: [at(0.25), at(0.75)] }
  })
}

const isAtLeast = (row: Measured, bound: number): boolean =>
  row.better === 'more' ? row.median >= bound : row.median <= bound

export function isMissed(row: Measured): boolean {
  return row.floor !== undefined && !isAtLeast(row, row.floor)
}

/** Name, goal, floor, measured with its quartiles, and what to say of it. */
export function cellsOf(row: Measured): string[] {
  const figure = (value: number) => `${format(value)}${row.unit}`
  const bound = (value: number | undefined) => {
    if (value === undefined) return ''
    return `${row.better === 'more' ? '≥' : '≤'} ${value}${row.unit}`
  }
  const [low, high] = row.quartiles
  const spread = low === high ? '' : ` (${format(low)}–${format(high)})`
  return [row.name, bound(row.goal), bound(row.floor), `${figure(row.median)}${spread}`, said(row)]
}

function said(row: Measured): string {
  if (row.floor === undefined) return ''
  if (isMissed(row)) return '**missed**'
  return row.goal === undefined || isAtLeast(row, row.goal) ? 'goal met' : 'floor met'
}

function format(value: number): string {
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(2)
}
