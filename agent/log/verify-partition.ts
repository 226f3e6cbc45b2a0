// Checks the directory of one partition: its segments one after the other, their indexes, and how
// both fit what checkpoint, state and journal say of the partition.
//
// Below the recovery offset a segment is the only one that has its records: what is missing or damaged
// there is lost. Above it the journal has everything again.

import type { Codecs } from '../../wasm/codecs.ts'
import type { FileSystem } from './file-system.ts'
import type { Findings, KnownLoss } from './findings.ts'
import { ackedOffset } from './known-end.ts'
import { intentFrom, Losses, type LostRange } from './loss.ts'
import { listPartition } from './partition-directory.ts'
import { METADATA_FILE, readMetadata } from './partition-metadata.ts'
import { baseOffsetOf, segmentName } from './segment-file.ts'
import { REWRITE_SUFFIX } from './segment-rewrite.ts'
import type { OffsetRange } from './verify-journal.ts'
import { checkSegment, type SegmentCheck, type SegmentDamage } from './verify-segment.ts'

export interface PartitionFacts {
  topic: string
  partition: number
  logId: number
  /** Of the checkpoint; 0 without one. */
  recoveryOffset: number
  /** What the journal holds, in its order, neighbours joined. */
  journaled: readonly OffsetRange[]
}

export interface PartitionContext {
  fs: FileSystem
  codecs: Codecs
  directory: string
  state: ReadonlyMap<string, Buffer>
  findings: Findings
  progress: (path: string, bytes: number) => void
}

export async function checkPartition(
  context: PartitionContext,
  facts: PartitionFacts,
): Promise<void> {
  await new PartitionCheck(context, facts).run()
}

class PartitionCheck {
  readonly #context: PartitionContext
  readonly #facts: PartitionFacts
  readonly #path: string
  readonly #start: number
  /** Below it, segments are the only ones that have the records. */
  readonly #synced: number
  /** Losses on their way to become hollow records: the next start finishes that. */
  readonly #intents: readonly LostRange[]
  readonly #losses: LostRange[]

  constructor(context: PartitionContext, facts: PartitionFacts) {
    const { directory, state } = context
    const { topic, partition, logId, recoveryOffset } = facts
    this.#context = context
    this.#facts = facts
    this.#path = `${directory}/${topic}-${partition}`
    this.#start = Number(state.get(`start/${logId}`)?.toString() ?? 0)
    // What retention took may lie about in any state.
    this.#synced = this.#start >= recoveryOffset ? 0 : recoveryOffset
    this.#intents = intentFrom(state.get(`hollow/${logId}`))
    this.#losses = [...Losses.from(state.get(`lost/${logId}`)).ranges]
  }

  async run(): Promise<void> {
    const { fs, findings } = this.#context
    findings.totals.partitions++
    const listing = await listPartition({ fs }, this.#path)
    if (listing.kind === 'unreadable' || listing.kind === 'file') {
      const what = 'cannot be listed; a start sets it aside, and goes on without what is in it'
      findings.wrong('segment', this.#path, 0, what)
    }
    const names = listing.kind === 'names' ? listing.names : []
    const bases = names.map(baseOffsetOf).filter((base) => base !== undefined)
    const sealed = await this.#segments(bases.sort((a, b) => a - b))
    if (sealed < this.#synced) {
      this.#missing(this.#path, `segments end at offset ${sealed}, synced to ${this.#synced}`, {
        from: sealed,
        to: this.#synced,
      })
    }
    this.#cursors(this.#journalEnd(Math.max(sealed, this.#facts.recoveryOffset)))
    await this.#metadata(names)
    this.#strays(names, bases)
    this.#tellLosses()
  }

  /** One after the other; returns where what can be used of them ends. */
  async #segments(bases: readonly number[]): Promise<number> {
    const start = this.#start
    // Retention moves the start inside a segment; only what lies wholly below it is gone.
    let end = Math.min(bases[0] ?? start, start)
    for (const [order, baseOffset] of bases.entries()) {
      const path = `${this.#path}/${segmentName(baseOffset)}.log`
      // Names that retention removed may come back when the power fails.
      if (baseOffset !== end && baseOffset > start) {
        const what = `begins at offset ${baseOffset} instead of ${end}`
        // Above the recovery point names reach the disk in any order, and the journal has it all.
        if (Math.min(baseOffset, end) >= this.#synced) {
          this.#context.findings.wrong('segment', path, 0, what)
          return end
        }
        this.#missing(path, what, { from: Math.max(end, start), to: baseOffset })
      }
      const check = await this.#segment(baseOffset, bases[order + 1])
      end = check.nextOffset
      for (const damage of check.damages) this.#damage(path, damage)
      // Everything from here on is cut at the next start, because the journal has it.
      const cut = check.damages.find(({ from, isBytes }) => isBytes && from >= this.#synced)
      if (cut !== undefined) return cut.from
    }
    return end
  }

  async #segment(baseOffset: number, next: number | undefined): Promise<SegmentCheck> {
    const { fs, codecs, findings, progress } = this.#context
    const stem = `${this.#path}/${segmentName(baseOffset)}`
    const check = await checkSegment({
      fs,
      codecs,
      stem,
      baseOffset,
      syncedOffset: Math.min(next ?? Number.POSITIVE_INFINITY, this.#synced),
      isFinished: next !== undefined && next < this.#synced,
    })
    const { totals } = findings
    totals.segments++
    totals.batches += check.batches
    totals.records += check.records
    totals.segmentBytes += check.bytes
    for (const loss of check.losses) totals.hollowRecords += loss.to - loss.from
    this.#losses.push(...check.losses)
    for (const { path, position, what } of check.indexDamages)
      findings.wrong('index', path, position, what)
    progress(`${stem}.log`, check.bytes)
    return check
  }

  #damage(path: string, { position, what, from, to, isBytes }: SegmentDamage): void {
    const { findings } = this.#context
    if (from === to) findings.wrong(isBytes ? 'segment' : 'epoch', path, position, what)
    else if (to <= this.#start)
      findings.note('segment', path, position, `${what}; below the log start`)
    else if (!isBytes) {
      const text = `${what} (${offsets(from, to)})`
      findings.hopeless(
        'segment',
        path,
        position,
        `${text}; served as it is, because its CRC holds`,
      )
    } else this.#missing(path, `${what} (${offsets(from, to)})`, { from, to }, position)
  }

  #missing(path: string, what: string, range: OffsetRange, position = 0): void {
    const { findings } = this.#context
    const isKnown = this.#intents.some(({ from, to }) => from <= range.from && range.to <= to)
    if (isKnown)
      findings.wrong('segment', path, position, `${what}: a known loss, hollow at the next start`)
    else findings.lost('segment', path, position, what)
  }

  /** Follows the journal from where the segments end. */
  #journalEnd(sealed: number): number {
    let end = sealed
    for (const { from, to } of this.#facts.journaled) {
      if (to <= end) continue
      if (from > Math.max(end, this.#start)) {
        this.#context.findings.lost('journal', this.#path, 0, `${offsets(end, from)} are nowhere`)
      }
      end = to
    }
    return end
  }

  #cursors(end: number): void {
    const { state, findings } = this.#context
    if (this.#start > end) {
      const what = `log start ${this.#start} lies behind the end ${end}`
      findings.hopeless('cursor', this.#path, 0, `${what}; a start goes on at ${this.#start}`)
    }
    const acked = ackedOffset(state, this.#facts.logId) ?? 0
    if (acked > end) {
      const what = `replicated to ${acked}, but ends at ${end}`
      const way = 'an old copy of the store? Its replication stops, and `tributary status` says why'
      findings.hopeless('cursor', this.#path, 0, `${what}; ${way}`)
    }
  }

  /** It may be older than the state: only the next checkpoint writes it again. */
  async #metadata(names: readonly string[]): Promise<void> {
    const { fs, codecs, findings } = this.#context
    if (!names.includes(METADATA_FILE)) return
    const metadata = await readMetadata(fs, this.#path, codecs)
    if (metadata !== undefined) return
    findings.wrong(
      'metadata',
      `${this.#path}/${METADATA_FILE}`,
      0,
      'does not hold; the state has it all',
    )
  }

  #strays(names: readonly string[], bases: readonly number[]): void {
    const stems = new Set(bases.map(segmentName))
    for (const name of names) {
      const path = `${this.#path}/${name}`
      if (name === METADATA_FILE) continue
      if (name.endsWith(`.log${REWRITE_SUFFIX}`) || name === `${METADATA_FILE}.new`) {
        this.#context.findings.wrong('unfinished', path, 0, 'a write that was not finished')
      } else if (!stems.has(name.replace(/\.(log|index|timeindex)$/, ''))) {
        this.#context.findings.note('stray', path, 0, 'belongs to no segment')
      }
    }
  }

  #tellLosses(): void {
    const { topic, partition } = this.#facts
    const ranges = this.#losses.filter(({ to }) => to > this.#start).sort((a, b) => a.from - b.from)
    const joined: KnownLoss[] = []
    for (const { from, to, reason } of ranges) {
      const last = joined.at(-1)
      if (last !== undefined && last.reason === reason && from <= last.to) {
        last.to = Math.max(last.to, to)
      } else joined.push({ topic, partition, from, to, reason })
    }
    for (const loss of joined) this.#context.findings.known({ ...loss, to: loss.to - 1 })
  }
}

function offsets(from: number, to: number): string {
  return to - from === 1 ? `offset ${from}` : `offsets ${from} to ${to - 1}`
}
