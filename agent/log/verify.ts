// An fsck for the store of a stopped agent: reads every byte, writes none.
//
//   1. checkpoint copies           the newer good one counts
//   2. journals                    every frame from that checkpoint on: chain, entries, offsets
//   3. partitions of every topic   segments: batches, CRCs, records, dense offsets, indexes
//   4. what was found together     segments reach the recovery point, the journal goes on without
//                                  a gap, cursors lie inside, nothing lies about
//
// A finding is fatal when something acked can no longer be read as it was written. What the next
// start puts right by itself (a torn end that the journal covers, an index, a stray file) is not.

import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { codeOf } from '../base/errors.ts'
import { CHECKPOINT_FILES, type Checkpoint, readCheckpoint } from './checkpoint.ts'
import type { FileSystem } from './file-system.ts'
import { decodeEntries, type JournalEntry } from './journal-entry.ts'
import {
  CommitFrames,
  type JournalHeader,
  readFrames,
  readJournalBytes,
  readJournalHeader,
} from './journal-reader.ts'
import { baseOffsetOf, segmentName } from './segment-file.ts'
import type { TopicRecord } from './topic.ts'
import { checkSegment } from './verify-segment.ts'

export interface Finding {
  path: string
  /** Byte in the file; 0 for the file as a whole. */
  position: number
  what: string
  fatal: boolean
}

interface VerifyTotals {
  partitions: number
  segments: number
  batches: number
  records: number
  segmentBytes: number
  journalFrames: number
  stateEntries: number
}

export interface VerifyResult {
  findings: Finding[]
  totals: VerifyTotals
}

export interface VerifyOptions {
  /** After each file. */
  onProgress?: (path: string, bytes: number) => void
  /** One that no log is using; by default a new one. */
  kernel?: Kernel
}

interface OffsetRange {
  from: number
  to: number
}

interface PartitionFacts {
  name: string
  logId: number
}

export async function verifyStore(
  fs: FileSystem,
  directory: string,
  options: VerifyOptions = {},
): Promise<VerifyResult> {
  const verification = new Verification(fs, directory, options)
  await verification.run()
  const { findings, totals } = verification
  return { findings, totals }
}

class Verification {
  readonly findings: Finding[] = []
  readonly totals: VerifyTotals = {
    partitions: 0,
    segments: 0,
    batches: 0,
    records: 0,
    segmentBytes: 0,
    journalFrames: 0,
    stateEntries: 0,
  }
  readonly #fs: FileSystem
  readonly #directory: string
  readonly #progress: (path: string, bytes: number) => void
  readonly #kernel: Kernel
  readonly #codecs: Codecs
  readonly #state = new Map<string, Buffer>()
  readonly #commit = new CommitFrames()
  /** By log id: what the journal holds, in its order, neighbours joined. */
  readonly #journaled = new Map<number, OffsetRange[]>()

  constructor(fs: FileSystem, directory: string, options: VerifyOptions) {
    this.#fs = fs
    this.#directory = directory
    this.#progress = options.onProgress ?? (() => {})
    this.#kernel = options.kernel ?? new Kernel()
    this.#codecs = new Codecs(this.#kernel)
  }

  async run(): Promise<void> {
    const names = await this.#fs.list(this.#directory)
    const checkpoint = await this.#checkpoints(names)
    for (const [key, value] of checkpoint?.state ?? []) this.#state.set(key, value)
    await this.#journals(names, checkpoint?.generation ?? 1)
    this.totals.stateEntries = this.#state.size
    const partitions = this.#partitions()
    for (const facts of partitions) {
      const mark = checkpoint?.partitions.find(({ logId }) => logId === facts.logId)
      await this.#partition(facts, this.#needed(facts.logId, mark?.recoveryOffset ?? 0))
    }
    this.#strays(names, partitions)
  }

  async #checkpoints(names: readonly string[]): Promise<Checkpoint | undefined> {
    let best: Checkpoint | undefined
    const bad: [path: string, what: string][] = []
    for (const name of CHECKPOINT_FILES) {
      if (!names.includes(name)) continue
      const path = this.#path(name)
      const outcome = await readCheckpoint(this.#fs, path, this.#codecs)
      this.#progress(path, (await this.#fs.size(path)) ?? 0)
      if (outcome.kind === 'newer') bad.push([path, `format ${outcome.version} is newer than this`])
      if (outcome.kind === 'corrupt') bad.push([path, 'checkpoint does not hold'])
      if (outcome.kind !== 'checkpoint') continue
      if (best === undefined || outcome.checkpoint.number > best.number) best = outcome.checkpoint
    }
    // One copy may be torn by the crash that stopped the agent while it was written.
    for (const [path, what] of bad) this.#find(path, 0, what, best === undefined)
    return best
  }

  async #journals(names: readonly string[], oldest: number): Promise<void> {
    const headers: [path: string, header: JournalHeader][] = []
    for (const name of names.filter((name) => /^journal-\d+$/.test(name))) {
      const path = this.#path(name)
      const file = await this.#fs.open(path, 'read')
      const outcome = await readJournalHeader(this.#kernel, file)
      await file.close()
      if (outcome.kind === 'newer') this.#find(path, 0, `format ${outcome.version} is newer`, true)
      // A header is written when a file is begun; torn there, nothing in the file was acked.
      if (outcome.kind === 'corrupt') this.#find(path, 0, 'header does not hold', false)
      if (outcome.kind === 'header' && outcome.generation >= oldest) headers.push([path, outcome])
    }
    headers.sort(([, a], [, b]) => a.generation - b.generation)
    // A clean stop leaves a checkpoint that needs a generation not begun yet: none is fine.
    for (const [order, [path, { generation }]] of headers.entries()) {
      const missing = oldest + order
      if (generation === missing) continue
      this.#find(path, 0, `generation ${generation}, but ${missing} is missing`, true)
      break
    }
    for (const [path, header] of headers) await this.#journal(path, header)
  }

  async #journal(path: string, header: JournalHeader): Promise<void> {
    const bytes = await readJournalBytes(this.#fs, path)
    for (const outcome of readFrames(this.#kernel, bytes, header)) {
      if (outcome.kind === 'rot') {
        this.#find(path, outcome.position, `rot up to byte ${outcome.resume}`, true)
        this.#commit.drop()
      }
      if (outcome.kind !== 'frame') continue
      const { frame } = outcome
      this.totals.journalFrames++
      const entries = decodeEntries(frame.payload)
      if (entries === undefined) this.#find(path, frame.position, 'unknown journal entry', true)
      else this.#commit.add(frame.sequence, entries)
      if (frame.more) continue
      for (const entry of this.#commit.take()) this.#replay(entry)
    }
    this.#progress(path, bytes.length)
  }

  #replay(entry: JournalEntry): void {
    if (entry.kind === 'put') this.#state.set(entry.key, entry.value)
    else if (entry.kind === 'delete') this.#state.delete(entry.key)
    else if (entry.kind === 'records') {
      const from = entry.tailBase + entry.firstDelta
      this.#cover(entry.logId, { from, to: from + entry.count })
    } else {
      const from = entry.baseOffset
      this.#cover(entry.logId, { from, to: from + entry.bytes.readInt32BE(23) + 1 })
    }
  }

  #cover(logId: number, range: OffsetRange): void {
    const ranges = this.#journaled.get(logId) ?? []
    this.#journaled.set(logId, ranges)
    const last = ranges.at(-1)
    if (last !== undefined && last.to === range.from) last.to = range.to
    else ranges.push(range)
  }

  #partitions(): PartitionFacts[] {
    const found: PartitionFacts[] = []
    for (const [key, value] of this.#state) {
      if (!key.startsWith('topic/')) continue
      const { logIds } = JSON.parse(value.toString()) as TopicRecord
      logIds.forEach((logId, partition) => {
        found.push({ name: `${key.slice(6)}-${partition}`, logId })
      })
    }
    return found
  }

  /** What segments must hold: the journal may go back behind the recovery offset. */
  #needed(logId: number, recoveryOffset: number): number {
    let needed = recoveryOffset
    for (const { from, to } of (this.#journaled.get(logId) ?? []).toReversed()) {
      if (from < needed && to >= needed) needed = from
    }
    return needed
  }

  async #partition({ name, logId }: PartitionFacts, needed: number): Promise<void> {
    this.totals.partitions++
    const path = this.#path(name)
    const names = await this.#fs.list(path).catch((error) => {
      if (codeOf(error) === 'ENOENT') return []
      throw error
    })
    const bases = names.map(baseOffsetOf).filter((base) => base !== undefined)
    const start = Number(this.#state.get(`start/${logId}`)?.toString() ?? 0)
    // What retention took may lie about in any state.
    const recoveryOffset = start >= needed ? 0 : needed
    const sealed = await this.#segments(path, bases, start, recoveryOffset)
    if (sealed < recoveryOffset) {
      this.#find(path, 0, `segments end at offset ${sealed}, synced to ${recoveryOffset}`, true)
    }
    const end = this.#journalEnd(path, logId, Math.max(sealed, needed), start)
    if (start > end) this.#find(path, 0, `log start ${start} lies behind the end ${end}`, true)
    const cursor = this.#state.get(`repl/${logId}`)?.toString()
    const acked = cursor === undefined ? 0 : Number(JSON.parse(cursor).acked ?? 0)
    if (acked > end) this.#find(path, 0, `replicated to ${acked}, but ends at ${end}`, true)
    for (const file of names) {
      const stem = file.replace(/\.(log|index|timeindex)$/, '')
      if (bases.some((base) => segmentName(base) === stem)) continue
      this.#find(`${path}/${file}`, 0, 'belongs to no segment', false)
    }
  }

  /** Checks the segments one after the other; returns where what can be used of them ends. */
  async #segments(
    path: string,
    bases: readonly number[],
    start: number,
    recoveryOffset: number,
  ): Promise<number> {
    // Retention moves the start inside a segment; only what lies wholly below it is gone.
    let end = Math.min(bases[0] ?? start, start)
    for (const [order, baseOffset] of bases.entries()) {
      const stem = `${path}/${segmentName(baseOffset)}`
      const next = bases[order + 1]
      // Names that retention removed may come back when the power fails.
      if (baseOffset !== end && baseOffset > start) {
        // Above the recovery point names reach the disk in any order, and the journal has it all.
        const isSynced = Math.min(baseOffset, end) < recoveryOffset
        this.#find(`${stem}.log`, 0, `begins at offset ${baseOffset} instead of ${end}`, isSynced)
        if (!isSynced) return end
      }
      const isFinished = next !== undefined && next < recoveryOffset
      const check = await checkSegment({
        fs: this.#fs,
        codecs: this.#codecs,
        stem,
        baseOffset,
        isFinished,
      })
      this.totals.segments++
      this.totals.batches += check.batches
      this.totals.records += check.records
      this.totals.segmentBytes += check.bytes
      this.#progress(`${stem}.log`, check.bytes)
      end = check.nextOffset
      for (const damage of check.damages) {
        const isSynced = damage.offset !== undefined && damage.offset < recoveryOffset
        this.#find(damage.path, damage.position, damage.what, isSynced)
        // Everything from here on is cut at the next start, because the journal has it.
        if (damage.offset !== undefined && !isSynced) return damage.offset
      }
      // One finding for a damaged segment, not another for what the damage hides.
      if (isFinished && check.damages.some(({ offset }) => offset !== undefined)) end = next
    }
    return end
  }

  /** Follows the journal from where the segments end. */
  #journalEnd(path: string, logId: number, sealed: number, start: number): number {
    let end = sealed
    for (const { from, to } of this.#journaled.get(logId) ?? []) {
      if (to <= end) continue
      if (from > Math.max(end, start))
        this.#find(path, 0, `offsets ${end} to ${from - 1} are nowhere`, true)
      end = to
    }
    return end
  }

  #strays(names: readonly string[], partitions: readonly PartitionFacts[]): void {
    const known = new Set(partitions.map(({ name }) => name))
    for (const name of names) {
      if (known.has(name) || /^(lock|journal-\d+|checkpoint-[01])$/.test(name)) continue
      if (this.#state.has(`deleted/${name}`)) continue
      this.#find(this.#path(name), 0, 'belongs to nothing in this store', false)
    }
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`
  }

  #find(path: string, position: number, what: string, fatal: boolean): void {
    this.findings.push({ path, position, what, fatal })
  }
}
