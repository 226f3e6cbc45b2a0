// Applies journal files to the log that recovery rebuilds, a whole commit at a time: state entries to
// the state, records to the tails of their partitions. What a segment holds already is skipped.
//
// - A commit of several frames may go on in the next file, when the first one could not be written to
//   its end: the sequence numbers say so.
// - A gap in a partition's offsets may belong to a topic that is deleted further on, its files gone
//   already. So it is only noted at first; when the partition is still there at the end, the journal is
//   read once more, with `fillsGaps`, and hollow records take their place.

import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError, isBug } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'
import { type JournalPosition, SECTOR_BYTES } from './journal.ts'
import {
  decodeEntries,
  type JournalEntry,
  type RecordsEntry,
  UNKNOWN_ENTRY,
} from './journal-entry.ts'
import { CommitFrames, readFrames, readJournalBytes } from './journal-reader.ts'
import type { PartitionLog } from './partition-log.ts'
import type { SurveyedJournal } from './store-survey.ts'

export interface ReplayTarget {
  fs: FileSystem
  kernel: Kernel
  partition: (logId: number) => PartitionLog | undefined
  /** Something in the store is from that time. */
  timeSeen: (time: number) => void
  /** Seals tails when the arena gets short. */
  relieve: () => Promise<void>
  /** Undefined: the state is there already. */
  stateChanged: ((key: string, value: Buffer | undefined) => Promise<void>) | undefined
  /** Records of these only. */
  only?: ReadonlySet<number>
  fillsGaps: boolean
}

export class Replay {
  readonly #target: ReplayTarget
  readonly #commit = new CommitFrames()
  /** Where writing can go on; undefined when it must be in a new generation. */
  resume: JournalPosition | undefined
  frames = 0
  /** The last file holds no whole commit, and no damage. */
  isLastEmpty = false
  /** Of the last whole commit. */
  sequence: number
  /** Log ids of partitions whose offsets do not follow each other. */
  readonly gaps = new Set<number>()
  /** By log id: behind the last offset that the journal holds. */
  readonly ends = new Map<number, number>()
  /** Could not be written again in place: what was read of them may not be on the disk. */
  readonly unwritable: string[] = []

  constructor(target: ReplayTarget, sequence: number) {
    this.#target = target
    this.sequence = sequence
  }

  async file(journal: SurveyedJournal): Promise<void> {
    const { fs, kernel } = this.#target
    const { path, header, floor, isHeaderLost } = journal
    const bytes = journal.bytes ?? (await readJournalBytes(fs, path))
    journal.bytes = undefined
    const firstSequence = journal.firstSequence || this.sequence + 1
    const at = { file: path, generation: header.generation, salt: header.salt, firstSequence }
    this.resume = { ...at, position: SECTOR_BYTES, previousCrc: header.crc }
    this.isLastEmpty = true
    let isRotten = false
    let lastFrame: [from: number, to: number] = [0, 0]
    for (const outcome of readFrames(kernel, bytes, header, { floor })) {
      if (outcome.kind === 'rot') {
        this.#commit.drop()
        isRotten = true
      }
      if (outcome.kind !== 'frame') continue
      const { frame } = outcome
      this.#commit.add(frame.sequence, entriesOf(path, frame))
      this.frames++
      this.#target.timeSeen(frame.time)
      lastFrame = [frame.position, frame.position + frame.size]
      if (frame.more) continue
      await this.#apply(frame.time)
      this.sequence = Math.max(this.sequence, frame.sequence)
      this.isLastEmpty = false
      const position = frame.position + frame.size
      this.resume = { ...at, position, previousCrc: frame.crc }
    }
    const ranges = [lastFrame] as [from: number, to: number][]
    if (!isHeaderLost) ranges.unshift([0, SECTOR_BYTES])
    if (!(await writeAgain(fs, path, bytes, ranges))) this.unwritable.push(path)
    // Frames behind rot are not chained to what would be written next, and whole frames of a commit
    // that was not finished would look like rot behind it: start a new generation.
    const isDamaged = isRotten || isHeaderLost || this.unwritable.includes(path)
    if (isDamaged) this.isLastEmpty = false
    if (isDamaged || this.#commit.isOpen) this.resume = undefined
  }

  async #apply(time: number): Promise<void> {
    const { stateChanged, only } = this.#target
    for (const entry of this.#commit.take()) {
      if (entry.kind === 'put' || entry.kind === 'delete') {
        await stateChanged?.(entry.key, entry.kind === 'put' ? entry.value : undefined)
        continue
      }
      const partition = this.#target.partition(entry.logId)
      if (partition === undefined || only?.has(entry.logId) === false) continue
      if (entry.kind === 'records') this.#records(partition, entry, time)
      else this.#batch(partition, entry, time)
      await this.#target.relieve()
    }
  }

  #records(partition: PartitionLog, entry: RecordsEntry, time: number): void {
    const first = entry.tailBase + entry.firstDelta
    this.ends.set(entry.logId, first + entry.count)
    if (first + entry.count <= partition.logEndOffset) return
    if (first > partition.logEndOffset && !this.#hollow(partition, first, time)) return
    if (first === partition.logEndOffset && partition.restoreRecords(entry, time)) return
    partition.restoreFrom(entry, time)
  }

  #batch(
    partition: PartitionLog,
    entry: { logId: number; baseOffset: number; bytes: Buffer },
    time: number,
  ): void {
    const end = entry.baseOffset + entry.bytes.readInt32BE(23) + 1
    this.ends.set(entry.logId, end)
    if (end <= partition.logEndOffset) return
    const { baseOffset } = entry
    if (baseOffset > partition.logEndOffset && !this.#hollow(partition, baseOffset, time)) return
    if (entry.baseOffset === partition.logEndOffset) partition.restoreBatch(entry.bytes, time)
  }

  /** False when it is too early to say that the offsets up to `to` are lost. */
  #hollow(partition: PartitionLog, to: number, time: number): boolean {
    if (this.#target.fillsGaps) partition.restoreHollow(to, time)
    else this.gaps.add(partition.logId)
    return this.#target.fillsGaps
  }
}

/** Fault: CORRUPT_STORE. Such a frame holds: only a program that is not this one can have written it. */
export function entriesOf(
  path: string,
  frame: { position: number; payload: Buffer },
): JournalEntry[] {
  const entries = decodeEntries(frame.payload)
  if (entries !== undefined) return entries
  throw new AgentError('CORRUPT_STORE', `${path} at ${frame.position}: ${UNKNOWN_ENTRY}`)
}

/**
 * Puts what was read where it is once more, and syncs: it may only be in the page cache. False when
 * the disk does not take it.
 */
export async function writeAgain(
  fs: FileSystem,
  path: string,
  bytes: Buffer,
  ranges: readonly (readonly [from: number, to: number])[],
): Promise<boolean> {
  try {
    const file = await fs.open(path, 'write')
    try {
      for (const [from, to] of ranges) {
        if (to > from) await file.write([bytes.subarray(from, to)], from)
      }
      await file.sync()
    } finally {
      await file.close()
    }
    return true
  } catch (error) {
    // Faults of the disk have a code; anything else is a bug.
    if (isBug(error)) throw error
    return false
  }
}
