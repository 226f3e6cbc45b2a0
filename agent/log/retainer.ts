// Deletes what retention allows, every half minute, and makes room when the disk is short of it; which
// segments those are is said in retention.ts.
//
// Room is made of what the upstream already has, then, above the pin, of topics with `whenFull:
// dropOldest`: those that are replicated become hollow, so that offsets stay dense on both sides,
// others lose their oldest segments. A segment that is written to goes only when nothing else can.
//
// - A log start is durable before anything below it is deleted.
// - What the disk refuses to delete of one partition holds up no other, and is deleted later.
// - While something is being given up nobody reads it to send it: what was sent never changes.

import type { Timer } from '../base/clock.ts'
import { unlessBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { AckedMarks } from './acked-marks.ts'
import type { Committer } from './committer.ts'
import type { Shortage } from './disk-shares.ts'
import { diskBytesOf } from './disk-use.ts'
import type { LogTime } from './log-time.ts'
import type { PartitionLog } from './partition-log.ts'
import { oldestFirst, type Prefix, type SegmentFacts, segmentsToRemove } from './retention.ts'
import type { StateStore } from './state-store.ts'
import type { TopicSet } from './topic-set.ts'

const RETENTION_EVERY_MS = 30_000
/** A segment that is written to is not worth ending below this, or a part of what a segment may be. */
const ACTIVE_BYTES_MIN = 64 * 1024
const ACTIVE_SHARE_MIN = 0.25
/** What a hollow record takes, and what a segment of them takes besides. */
const HOLLOW_RECORD_BYTES = 1.5
const HOLLOW_SEGMENT_BYTES = 4096

export interface RetainerOptions {
  topics: TopicSet
  state: StateStore
  committer: Committer
  time: LogTime
  logger: Logger
  healWindowMs: number
  /** What a segment may be at present. */
  segmentBytes: () => number
  /** Resolves when a start no longer brings back from the journal what is below `offset`. */
  secure: (partition: PartitionLog, offset: number) => Promise<void>
}

export class Retainer {
  readonly #options: RetainerOptions
  readonly #acked = new WeakMap<PartitionLog, AckedMarks>()
  /** The commit that makes the log start of a partition durable. */
  readonly #startCommits = new WeakMap<PartitionLog, number>()
  #timer: Timer | undefined
  #isClosed = false
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: RetainerOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#isClosed) return
    const { time, logger } = this.#options
    this.#timer = time.after(RETENTION_EVERY_MS, () => {
      this.retain()
        .catch((error) => {
          unlessBug(error)
          logger.warn('retention failed', { error: String(error) })
        })
        .finally(() => this.start())
    })
  }

  /** Deletes what is old enough, or more than enough. */
  retain(): Promise<void> {
    return this.#serially(async () => {
      const { topics, time } = this.#options
      const now = time.steadyNow()
      const starts = new Map<PartitionLog, number>()
      for (const partition of topics.partitions()) {
        const facts = partition.segments.facts()
        const count = segmentsToRemove(facts, this.#limitsOf(partition, now))
        const start = facts[count - 1]?.nextOffset ?? partition.logStartOffset
        // What a disk refused to delete lies below the log start already.
        if (facts.length > 1 && facts[0]!.nextOffset <= start) starts.set(partition, start)
      }
      await this.#raise(starts)
    })
  }

  /** Makes room; true when anything went. */
  relieve(shortage: Shortage, shareBytes: number): Promise<boolean> {
    return this.#serially(async () => {
      const { reclaimBytes, dropAboveBytes, dropAnyBytes } = shortage
      const reclaimed = await this.#reclaim(reclaimBytes)
      if (reclaimed >= reclaimBytes) return true
      const ended = await this.#endActive()
      const above = await this.#drop(dropAboveBytes - reclaimed, (partition) => {
        return diskBytesOf(partition) > shareBytes
      })
      const any = await this.#drop(dropAnyBytes - reclaimed - above, () => true)
      return ended || reclaimed + above + any > 0
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#last
  }

  #limitsOf(partition: PartitionLog, now: number) {
    const { time, healWindowMs } = this.#options
    const { replicated, settings } = partition.topic
    const marks = replicated ? this.#marksOf(partition, now) : undefined
    return {
      // How old anything is can only be said by a clock that is right.
      retentionMs: time.isSynchronized ? settings.retentionMs : undefined,
      retentionBytes: settings.retentionBytes,
      healWindowMs,
      replicatedOffset: replicated ? partition.replicatedOffset : undefined,
      ackedTime: (offset: number) => marks?.timeOf(offset),
      now,
    }
  }

  /** What the upstream has acked until now is noted; that rides with the next commit. */
  #marksOf(partition: PartitionLog, now: number): AckedMarks {
    const { state, healWindowMs } = this.#options
    const key = `acked/${partition.logId}`
    const known = this.#acked.get(partition)
    const marks = known ?? AckedMarks.from(healWindowMs, state.get(key))
    if (known === undefined) this.#acked.set(partition, marks)
    if (marks.note(partition.replicatedOffset, now) && !partition.isDeleted) {
      state.put(key, marks.toBytes(), { ride: true })
    }
    return marks
  }

  /** Deletes what the upstream has, oldest first; returns the bytes. */
  async #reclaim(bytes: number): Promise<number> {
    const prefixes: Prefix<PartitionLog>[] = []
    for (const partition of this.#options.topics.partitions()) {
      const { replicatedOffset, topic } = partition
      if (!topic.replicated) continue
      const segments = this.#ended(partition, true).filter(
        ({ nextOffset }) => nextOffset <= replicatedOffset,
      )
      prefixes.push({ partition, segments })
    }
    return this.#raise(oldestFirst(prefixes, bytes))
  }

  /**
   * Ends segments that are written to and partly upstream already, so that they can go as soon as all
   * of them is. True when there were any.
   */
  async #endActive(): Promise<boolean> {
    let hasEnded = false
    for (const partition of this.#options.topics.partitions()) {
      const active = partition.segments.facts().at(-1)
      if (active === undefined || !partition.topic.replicated || partition.isDeleted) continue
      if (active.baseOffset >= partition.replicatedOffset) continue
      if (!this.#isWorthEnding(active)) continue
      await partition.segments.roll()
      hasEnded = true
    }
    return hasEnded
  }

  /** The segments of a partition, the one that is written to only where ending it gives something. */
  #ended({ segments }: PartitionLog, withActive: boolean): SegmentFacts[] {
    const facts = segments.facts()
    const active = facts.at(-1)
    if (withActive && active !== undefined && this.#isWorthEnding(active)) return facts
    return facts.slice(0, -1)
  }

  #isWorthEnding({ bytes }: SegmentFacts): boolean {
    return bytes >= Math.min(ACTIVE_BYTES_MIN, this.#options.segmentBytes() * ACTIVE_SHARE_MIN)
  }

  /** Gives up the oldest of what may be dropped; returns the bytes, about. */
  async #drop(bytes: number, isConcerned: (partition: PartitionLog) => boolean): Promise<number> {
    if (bytes <= 0) return 0
    const concerned = [...this.#options.topics.partitions()].filter(
      (partition) =>
        partition.topic.settings.whenFull === 'dropOldest' &&
        !partition.isDeleted &&
        isConcerned(partition),
    )
    // Only when nothing that is written to the end may go, what is written to is ended.
    for (const withActive of [false, true]) {
      const prefixes = concerned.map((partition) => ({
        partition,
        segments: droppable(partition, this.#ended(partition, withActive)),
      }))
      const ends = oldestFirst(prefixes, bytes)
      if (ends.size === 0) continue
      let dropped = 0
      for (const { partition, segments } of prefixes) {
        const end = ends.get(partition) ?? 0
        const victims = segments.filter(({ nextOffset }) => nextOffset <= end)
        if (victims.length > 0) dropped += await this.#dropFrom(partition, victims)
      }
      return dropped
    }
    return 0
  }

  async #dropFrom(partition: PartitionLog, victims: readonly SegmentFacts[]): Promise<number> {
    const { nextOffset } = victims.at(-1)!
    if (!partition.topic.replicated) {
      return this.#raise(new Map([[partition, nextOffset]]), { isLoss: true })
    }
    let freed = 0
    for (const { baseOffset, nextOffset } of victims) {
      const before = partition.segments.bytes
      await this.#hollow(partition, baseOffset, nextOffset)
      freed += Math.max(0, before - partition.segments.bytes)
    }
    return freed
  }

  /** Gives up what of a segment lies above the pin, as it is in the very moment it begins. */
  async #hollow(partition: PartitionLog, baseOffset: number, nextOffset: number): Promise<void> {
    if (partition.segments.facts().at(-1)?.baseOffset === baseOffset)
      await partition.segments.roll()
    const from = await firstBoundary(partition, Math.max(baseOffset, floorOf(partition)))
    // Between this look and the mark below nobody else runs.
    if (from === undefined || from >= nextOffset || from < floorOf(partition)) return
    const dropping = partition.hollow(from, nextOffset, 'dropped')
    partition.dropping = dropping.catch(() => {})
    try {
      await dropping
    } finally {
      partition.dropping = undefined
    }
  }

  /** Moves log starts up and deletes what is below; returns the bytes. */
  async #raise(
    starts: ReadonlyMap<PartitionLog, number>,
    { isLoss } = { isLoss: false },
  ): Promise<number> {
    const { topics, committer, secure } = this.#options
    for (const [partition, start] of starts) await secure(partition, start)
    await this.#each(starts, async (partition, start) => {
      const active = partition.segments.facts().at(-1)
      if (active !== undefined && active.nextOffset <= start) await partition.segments.roll()
      const from = partition.logStartOffset
      if (partition.isDeleted || start <= from) return
      partition.logStartOffset = start
      topics.saveStart(partition)
      if (isLoss) partition.countLost({ from, to: start, reason: 'dropped' })
      this.#startCommits.set(partition, committer.openCommit)
    })
    // Also of what was raised before: a pass that ended early may not have waited for it.
    const commits = [...starts.keys()].map((partition) => this.#startCommits.get(partition) ?? 0)
    await committer.durable(Math.max(0, ...commits))
    let freed = 0
    await this.#each(starts, async ({ segments, logStartOffset }) => {
      const before = segments.bytes
      await segments.removeBelow(logStartOffset)
      freed += Math.max(0, before - segments.bytes)
    })
    return freed
  }

  /** One after the other; what the disk refuses for one of them holds up no other. */
  async #each(
    starts: ReadonlyMap<PartitionLog, number>,
    work: (partition: PartitionLog, start: number) => Promise<void>,
  ): Promise<void> {
    for (const [partition, start] of starts) {
      if (partition.isDeleted) continue
      await work(partition, start).catch((error) => {
        unlessBug(error)
        const what = `what lies below offset ${start} cannot be deleted`
        this.#options.logger.warn(
          `${partition.name}: ${what} (${String(error)}); it is tried again`,
        )
      })
    }
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}

/** What is below is or may be upstream. */
function floorOf({ pinnedOffset, replicatedOffset }: PartitionLog): number {
  return Math.max(pinnedOffset, replicatedOffset)
}

/** What may be dropped of a partition, and gives room when it is. */
function droppable(partition: PartitionLog, facts: readonly SegmentFacts[]): SegmentFacts[] {
  if (!partition.topic.replicated) return [...facts]
  const floor = floorOf(partition)
  return facts.flatMap((fact) => {
    if (fact.nextOffset <= floor) return []
    const from = Math.max(floor, fact.baseOffset)
    const records = fact.nextOffset - from
    const part = records / (fact.nextOffset - fact.baseOffset)
    const bytes = fact.bytes * part - records * HOLLOW_RECORD_BYTES - HOLLOW_SEGMENT_BYTES
    // One that is hollow already stays as it is.
    const isHollow = partition.losses.countWithin(from, fact.nextOffset) > records / 2
    return !isHollow && bytes > fact.bytes / 4 ? [{ ...fact, bytes }] : []
  })
}

/** The first offset from `offset` on where a sealed batch begins. */
async function firstBoundary(partition: PartitionLog, offset: number): Promise<number | undefined> {
  if (!Number.isFinite(offset)) return undefined
  const read = await partition.readSealed(offset, 1)
  if (read.kind !== 'batches') return undefined
  return read.baseOffset >= offset ? read.baseOffset : read.nextOffset
}
