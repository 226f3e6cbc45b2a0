// What only a damaged journal has of a partition, on its way into the segments that lack it.
//
//   segments   … │ synced │ damaged │ whole │ missing │
//   journal               [from … to)  gone  [from to)     runs that do not reach the end
//
// - A start that finds no run up to the end of the segments believes them as they are (rebuild.ts). The
//   journal is all there is for what does not hold in them, and the next checkpoint lets go of it. So no
//   checkpoint is written, and nothing is made hollow, before this is done.
// - Only what the journal has is put back. The rest stays as damaged, or as missing, as it is: mending
//   tells the loss, and that needs a log that runs.
// - Each step is durable and whole, and the journal is not touched: after a crash the next start finds
//   what is still to be done.

import type { Clock } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import { tryToRead } from './bad-sectors.ts'
import type { OffsetRun } from './journal-digest.ts'
import type { JournaledBatch } from './journal-records.ts'
import type { LostRange } from './loss.ts'
import type { Damage } from './salvage.ts'
import type { Segment } from './segment.ts'
import type { SegmentList } from './segment-list.ts'
import { type PlacedPlan, withBatchesOnly } from './segment-rewrite.ts'

export interface SalvageContext {
  clock: Clock
  partition: {
    readonly segments: SegmentList
    readonly logStartOffset: number
    readonly isDeleted: boolean
  }
  /** What of `ranges` is not known to be lost: that must not come back. */
  unknown: (ranges: readonly LostRange[]) => LostRange[]
  /** Bytes that are about to be replaced, and are nowhere else. */
  keep: (segment: Segment, damage: Damage) => Promise<void>
  restored: (batches: readonly JournaledBatch[]) => void
}

/** Reads the journal files that the start has found. */
export type ReadJournaled = (ranges: readonly OffsetRun[]) => Promise<JournaledBatch[]>

export class JournalSalvage {
  readonly #context: SalvageContext
  #owed: { runs: readonly OffsetRun[]; read: ReadJournaled } | undefined
  #running: Promise<void> | undefined

  constructor(context: SalvageContext) {
    this.#context = context
  }

  /** Recovery found `runs` in the journal: below the recovery offset, and never synced. */
  owe(runs: readonly OffsetRun[], read: ReadJournaled): void {
    this.#owed = { runs, read }
  }

  /**
   * Segments have what the journal had, durably, when it resolves. When the disk refuses it rejects, and
   * can be called again.
   */
  run(): Promise<void> {
    if (this.#owed === undefined || this.#context.partition.isDeleted) return Promise.resolve()
    const { runs, read } = this.#owed
    this.#running ??= this.#run(runs, read).finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  async #run(runs: readonly OffsetRun[], read: ReadJournaled): Promise<void> {
    const { partition, unknown, restored } = this.#context
    const { segments, logStartOffset } = partition
    const plans = await this.#damagedPlans(runs)
    const gaps = segments.gaps(logStartOffset)
    const lost = [...plans.flatMap(({ plan }) => plan.lost), ...gaps]
    const wanted = unknown(lost.flatMap((range) => runs.flatMap((run) => within(range, run))))
    const batches = wanted.length === 0 ? [] : await read(wanted.sort((a, b) => a.from - b.from))
    for (const { segment, plan } of plans) await this.#mend(segment, plan, batches)
    for (const gap of gaps) {
      const inside = batches.filter(({ from, to }) => gap.from <= from && to <= gap.to)
      for (const run of joined(inside)) await segments.putBack(run)
    }
    this.#owed = undefined
    restored(batches)
  }

  /** Recovery has looked at the last segment only: those before it may be as damaged. */
  async #damagedPlans(
    runs: readonly OffsetRun[],
  ): Promise<{ segment: Segment; plan: PlacedPlan }[]> {
    const { clock, partition } = this.#context
    const plans: { segment: Segment; plan: PlacedPlan }[] = []
    for (const segment of new Set(runs.flatMap((run) => partition.segments.within(run)))) {
      // One that the disk does not give at all cannot be put right, and must not hold up the log.
      const plan = await tryToRead(() => segment.plan([]), clock)
      const isConcerned = plan?.lost.some((range) =>
        runs.some((run) => within(range, run).length > 0),
      )
      if (plan !== undefined && isConcerned === true) plans.push({ segment, plan })
    }
    return plans
  }

  async #mend(
    segment: Segment,
    plan: PlacedPlan,
    batches: readonly JournaledBatch[],
  ): Promise<void> {
    const { keep, partition } = this.#context
    const mended = withBatchesOnly(plan, batches)
    if (!mended.parts.some(({ kind }) => kind === 'batch')) return
    for (const damage of plan.damages) await keep(segment, damage)
    if (!(await segment.rewrite(mended))) {
      const message = `${segment.path} was written anew meanwhile: it is looked at again`
      throw new AgentError('STORAGE_IO', message, { retriable: true })
    }
    if (mended.lost.length === 0) partition.segments.mended(segment)
  }
}

function within(range: LostRange, run: OffsetRun): LostRange[] {
  const [from, to] = [Math.max(range.from, run.from), Math.min(range.to, run.to)]
  return from < to ? [{ ...range, from, to }] : []
}

/** Batches that follow each other without a gap. */
function joined(batches: readonly JournaledBatch[]): JournaledBatch[][] {
  const runs: JournaledBatch[][] = []
  for (const batch of batches) {
    const last = runs.at(-1)
    if (last?.at(-1)?.to === batch.from) last.push(batch)
    else runs.push([batch])
  }
  return runs
}
