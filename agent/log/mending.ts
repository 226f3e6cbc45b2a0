// Puts hollow records where a partition has lost something, and keeps count of it.
//
//   find out what is lost, and is not in the journal → the bytes into quarantine
//        → intent and count, in one commit
//        → the segment replaced (segment-rewrite.ts) → the intent is gone, with the next commit
//
// - Intent (state `hollow/<log id>`, a JSON array of lost ranges) and count (`lost/<log id>`) are
//   durable before anything changes. What a crash has left of an intent is settled at the next start:
//   what is hollow by then, or damaged, stays counted; what is there after all is taken back.
// - What a start would take from the journal is put back from there, and is no loss. So is what only a
//   damaged journal has, before anything else (journal-salvage.ts).
// - One after the other. What the disk refuses changes nothing; it is tried again when it is read
//   again, and never in a loop.
// - No fault here keeps a log from starting.

import type { Clock } from '../base/clock.ts'
import { AgentError, codeOf, isBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Committer } from './committer.ts'
import type { OffsetRun } from './journal-digest.ts'
import type { JournaledBatch } from './journal-records.ts'
import { JournalSalvage, type ReadJournaled } from './journal-salvage.ts'
import { intentFrom, Losses, type LostRange, lossSentence } from './loss.ts'
import type { Quarantine } from './quarantine.ts'
import { type Damage, readTolerantly } from './salvage.ts'
import type { Segment } from './segment.ts'
import type { Mender, SegmentList } from './segment-list.ts'
import { type PlacedPlan, withBatches } from './segment-rewrite.ts'
import type { StateStore } from './state-store.ts'

export interface MendingContext {
  clock: Clock
  logger: Logger
  state: StateStore
  committer: Committer
  quarantine: Quarantine
  /** Resolves when a start no longer brings back from the journal what is below `offset`. */
  secure: (partition: { readonly logId: number }, offset: number) => Promise<void>
  /** What the journal has of offsets that a start would take from it. */
  journaled: (
    partition: { readonly logId: number },
    ranges: readonly LostRange[],
  ) => Promise<JournaledBatch[]>
}

/** The partition that is mended. */
export interface MendedPartition {
  readonly name: string
  readonly logId: number
  readonly segments: SegmentList
  readonly logStartOffset: number
  readonly isDeleted: boolean
}

interface Change {
  segment: Segment
  plan: PlacedPlan
}

/** What could not be mended is not tried again before. */
const RETRY_MS = 1000
/** More of them in one intent are counted all the same, and only not taken back after a crash. */
const INTENT_RANGES_MAX = 1000
const KEPT_BYTES_MAX = 4 * 1024 * 1024

export class Mending implements Mender {
  readonly #context: MendingContext
  readonly #partition: MendedPartition
  readonly #salvage: JournalSalvage
  #losses = Losses.from(undefined)
  /** Found by recovery, before the whole state was there. */
  #found: LostRange[] = []
  #last: Promise<unknown> = Promise.resolve()
  #failure: { segment: Segment | undefined; error: AgentError; time: number } | undefined

  constructor(context: MendingContext, partition: MendedPartition) {
    this.#context = context
    this.#partition = partition
    this.#salvage = new JournalSalvage({
      clock: context.clock,
      partition,
      unknown: (ranges) => this.#unknown(ranges),
      keep: (segment, damage) => this.keep(segment, damage),
      restored: (batches) => this.restored(batches),
    })
  }

  get losses(): Losses {
    return this.#losses
  }

  /** What cannot be put right at the moment. */
  get trouble(): string | undefined {
    return this.#failure?.error.message
  }

  /**
   * Makes offsets hollow that are not yet: whole batches of segments. Durable when it resolves; when it
   * rejects nothing has changed.
   */
  hollow(range: LostRange): Promise<void> {
    return this.#serially(async () => {
      await this.putBack()
      await this.#settle()
      const { segments, logStartOffset } = this.#partition
      const [wanted] = overlap(range, { from: logStartOffset, to: segments.end })
      if (wanted === undefined) return
      const fresh = this.#unknown([wanted])
      const changes: Change[] = []
      for (const segment of segments.within(wanted)) {
        const { baseOffset: from, nextOffset: to } = segment
        if (fresh.every((part) => overlap(part, { from, to }).length === 0)) continue
        changes.push({ segment, plan: await segment.plan(fresh) })
      }
      await this.#carryOut(changes, fresh)
    })
  }

  mend(segment: Segment | undefined): Promise<void> {
    return this.#serially(async () => {
      const { clock } = this.#context
      const before = this.#failure
      const isSame = before?.segment === segment
      if (before !== undefined && isSame && clock.monotonic() - before.time < RETRY_MS) {
        throw before.error
      }
      try {
        await this.putBack()
        await this.#settle()
        if (segment === undefined) await this.#fillGaps()
        else await this.#mend(segment)
        this.#failure = undefined
      } catch (cause) {
        // Faults of the disk have a code; anything else is a bug.
        if (isBug(cause)) throw cause
        // What it held is below the log start meanwhile.
        if (segment?.isRemoved === true) return
        const message = `${this.#partition.name}: damage cannot be mended (${String(cause)})`
        const error = new AgentError('CORRUPT_STORE', message, { cause })
        if (before === undefined) this.#context.logger.error(message)
        this.#failure = { segment, error, time: clock.monotonic() }
        throw error
      }
    })
  }

  async keep(segment: Segment, { position, end, from }: Damage): Promise<void> {
    const { quarantine } = this.#context
    const file = { read: (target: Uint8Array, at: number) => segment.read(at, target) }
    for (let at = position; at < end; at += KEPT_BYTES_MAX) {
      const bytes = await readTolerantly(file, at, Math.min(end, at + KEPT_BYTES_MAX))
      await quarantine.keep(`${this.#partition.name}-${from}-${at}.bytes`, bytes)
    }
  }

  /** Offsets that are gone and need no empty records: the log starts behind them. */
  count(range: LostRange): void {
    const { state, logger } = this.#context
    if (this.#partition.isDeleted || range.from >= range.to) return
    this.#losses.add(range)
    state.put(this.#lostKey, this.#losses.toBytes())
    logger.error(lossSentence(this.#partition.name, range, true))
  }

  /** Recovery put hollow records into the tails. */
  found(range: LostRange): void {
    this.#found.push(range)
  }

  /** The state is there: what was lost before, and what recovery has just found. */
  restore(): void {
    const { state, logger } = this.#context
    this.#losses = Losses.from(state.get(this.#lostKey))
    for (const range of this.#found.splice(0)) {
      // A start that is repeated finds the same gap in the journal.
      if (this.#losses.has(range)) continue
      this.#losses.add(range)
      logger.error(lossSentence(this.#partition.name, range))
      state.put(this.#lostKey, this.#losses.toBytes())
    }
  }

  /** A start found `runs` in a damaged journal: segments are to have them before it is let go of. */
  owe(runs: readonly OffsetRun[], read: ReadJournaled): void {
    this.#salvage.owe(runs, read)
  }

  /** Not one after the other with what waits for a checkpoint, which waits for this. */
  putBack(): Promise<void> {
    return this.#salvage.run()
  }

  /** Once, when the log runs: settles an intent, fills gaps, mends what recovery found. */
  async start(): Promise<void> {
    const { segments, logStartOffset } = this.#partition
    const hasWork =
      this.#intent.length > 0 ||
      segments.gaps(logStartOffset).length > 0 ||
      segments.damaged.length > 0
    if (!hasWork) return
    // A fault is remembered and told; the log starts.
    await this.mend(undefined).catch(unlessCorrupt)
    for (const segment of segments.damaged) await this.mend(segment).catch(unlessCorrupt)
  }

  async #mend(segment: Segment): Promise<void> {
    if (segment.isRemoved || this.#partition.isDeleted) return
    let plan = await segment.plan([])
    // What is found twice is no slip of the disk.
    if (plan.damages.length > 0) plan = await segment.plan([])
    if (plan.damages.length > 0) {
      const batches = await this.journaled(plan.lost)
      await this.#carryOut([{ segment, plan: withBatches(plan, batches) }], [])
      this.restored(batches)
    }
    this.#partition.segments.mended(segment)
  }

  /** What was served as lost must not come back. Waits for nothing that waits for a checkpoint. */
  journaled(lost: readonly LostRange[]): Promise<JournaledBatch[]> {
    return this.#context.journaled(this.#partition, this.#unknown(lost))
  }

  restored(batches: readonly JournaledBatch[]): void {
    const [first, last] = [batches[0], batches.at(-1)]
    if (first === undefined || last === undefined || this.#partition.isDeleted) return
    const records = batches.reduce((sum, { from, to }) => sum + to - from, 0)
    const where = `${records} records from offset ${first.from} to ${last.to - 1}`
    this.#context.logger.warn(
      `${this.#partition.name}: ${where} did not hold in their segment; the journal still had them, and ` +
        'none of them is lost; check the disk',
    )
  }

  async #fillGaps(): Promise<void> {
    const { segments, logStartOffset, name, isDeleted } = this.#partition
    if (isDeleted) return
    const gaps = segments.gaps(logStartOffset)
    if (gaps.length === 0) return
    const intent = this.#intent
    const fresh = gaps.filter(
      (gap) => !intent.some(({ from, to }) => from <= gap.from && gap.to <= to),
    )
    for (const gap of fresh) this.#context.logger.error(lossSentence(name, gap))
    await this.#announce([...intent, ...fresh], fresh)
    for (const gap of gaps) await segments.fill(gap)
    this.#forgetIntent()
  }

  /** `wanted` is lost, and what the plans found besides; `known` is counted already. */
  async #carryOut(
    changes: readonly Change[],
    wanted: readonly LostRange[],
    known: readonly LostRange[] = [],
  ): Promise<void> {
    const { segments, name } = this.#partition
    if (this.#partition.isDeleted || changes.length === 0) return
    for (const { segment, plan } of changes) {
      for (const damage of plan.damages) await this.keep(segment, damage)
    }
    const found = changes.flatMap(({ plan }) => plan.lost)
    // Empty records that rot stand for what is counted already.
    const fresh = [...wanted, ...this.#unknown(found)]
    const ranges = [...known, ...wanted, ...found]
    // What was served as lost once must never be there again.
    const end = Math.max(...changes.map(({ segment }) => segment.nextOffset))
    if (ranges.length > 0) await this.#context.secure(this.#partition, end)
    // Nobody would delete its keys any more.
    if (this.#partition.isDeleted) return
    if (ranges.length > 0) await this.#announce(ranges, fresh)
    const undone: LostRange[] = []
    let failure: unknown
    let isNameUnsynced = false
    for (const { segment, plan } of changes) {
      const { baseOffset: from, nextOffset: to } = segment
      let isDone = false
      try {
        isDone = failure === undefined && (await segment.rewrite(plan))
        if (!isDone) failure ??= replacedMeanwhile(segment)
      } catch (error) {
        failure = error
        isNameUnsynced = isDone = segment.rewrites > plan.rewrites
      }
      if (isDone) segments.mended(segment)
      else if (!segment.isRemoved)
        undone.push(...[...known, ...fresh].flatMap((range) => overlap(range, { from, to })))
    }
    this.#takeBack(undone)
    // Until it is, the old file may come back.
    if (!isNameUnsynced) this.#forgetIntent()
    if (failure !== undefined) throw failure
    for (const range of fresh) this.#context.logger.error(lossSentence(name, range))
  }

  /** What of `ranges` nobody has been told of. */
  #unknown(ranges: readonly LostRange[]): LostRange[] {
    return this.#losses.ranges.reduce<LostRange[]>(
      (left, known) => left.flatMap((part) => without(part, known)),
      [...ranges],
    )
  }

  /** Intent and count are durable when it resolves. */
  async #announce(intent: readonly LostRange[], added: readonly LostRange[]): Promise<void> {
    const { state, committer } = this.#context
    for (const range of added) this.#losses.add(range)
    const stored = JSON.stringify(intent.slice(0, INTENT_RANGES_MAX))
    state.put(this.#intentKey, Buffer.from(stored))
    state.put(this.#lostKey, this.#losses.toBytes())
    await committer.durable(committer.openCommit)
  }

  #takeBack(ranges: readonly LostRange[]): void {
    if (ranges.length === 0 || this.#partition.isDeleted) return
    for (const range of ranges) this.#losses.takeBack(range)
    this.#context.state.put(this.#lostKey, this.#losses.toBytes())
  }

  #forgetIntent(): void {
    this.#context.state.delete(this.#intentKey, { ride: true })
  }

  /** What a crash, or a directory that could not be synced, has left of an intent. */
  async #settle(): Promise<void> {
    const { segments, logStartOffset } = this.#partition
    const gaps = segments.gaps(logStartOffset)
    const open = this.#intent.filter((range) =>
      gaps.every((gap) => overlap(range, gap).length === 0),
    )
    if (open.length === 0) return
    const intact: LostRange[] = []
    const damaged = new Set<Segment>()
    for (const range of open) {
      intact.push(...overlap(range, { from: segments.end, to: Infinity }))
      for (const segment of segments.within(range)) {
        const survey = await segment.survey(range)
        intact.push(...survey.intact)
        if (survey.hasDamage) damaged.add(segment)
      }
    }
    this.#takeBack(intact)
    await segments.syncNames()
    const left = intact.reduce(
      (ranges, hole) => ranges.flatMap((range) => without(range, hole)),
      open,
    )
    const changes: Change[] = []
    for (const segment of damaged) changes.push({ segment, plan: await segment.plan(left) })
    await this.#carryOut(changes, [], left)
    if (gaps.length === 0) this.#forgetIntent()
  }

  get #intent(): LostRange[] {
    return intentFrom(this.#context.state.get(this.#intentKey))
  }

  get #intentKey(): string {
    return `hollow/${this.#partition.logId}`
  }

  get #lostKey(): string {
    return `lost/${this.#partition.logId}`
  }

  #serially(work: () => Promise<void>): Promise<void> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

/** A sync that failed had it written anew: what was planned is for another file. */
function replacedMeanwhile({ path }: Segment): AgentError {
  const message = `${path} was written anew meanwhile: it is looked at again`
  return new AgentError('CORRUPT_STORE', message, { retriable: true })
}

/** The part of a range that lies in another, if any. */
function overlap(range: LostRange, other: { from: number; to: number }): LostRange[] {
  const from = Math.max(range.from, other.from)
  const to = Math.min(range.to, other.to)
  return from < to ? [{ ...range, from, to }] : []
}

/** What is left of a range without another. */
function without(range: LostRange, hole: { from: number; to: number }): LostRange[] {
  return [
    ...overlap(range, { from: -Infinity, to: hole.from }),
    ...overlap(range, { from: hole.to, to: Infinity }),
  ]
}

function unlessCorrupt(error: unknown): void {
  if (codeOf(error) !== 'CORRUPT_STORE') throw error
}
