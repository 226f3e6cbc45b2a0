// Records of one partition that the journal still has, in batches as a segment takes them: for offsets
// whose segment does not hold, while the log runs.
//
// - The files are being written. What a segment has was in the journal before that, so all frames with
//   it are durable, and others are not looked for. Only whole commits in their chain are believed.
// - Decodes in a kernel that is not the log's, which has a frame on its way to the disk.
// - Batches end where the tails did. Offsets, times and content of records are what they were.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import { CODEC_LZ4 } from '../record/compression.ts'
import { iterateRecords } from '../record/record.ts'
import { type BatchRecord, buildBatch } from '../record/record-batch.ts'
import { readTolerantly } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import { SECTOR_BYTES } from './journal.ts'
import type { OffsetRun } from './journal-digest.ts'
import type { JournalEntry, RecordsEntry } from './journal-entry.ts'
import {
  CommitFrames,
  decodeJournalHeader,
  type JournalHeader,
  readFrames,
} from './journal-reader.ts'
import { entriesOf } from './replay.ts'
import type { SurveyedJournal } from './store-survey.ts'

/** A batch of exactly these offsets. */
export interface JournaledBatch extends OffsetRun {
  bytes: Buffer
}

export interface JournalRecordsParts {
  fs: FileSystem
  kernel: Kernel
  codecs: Codecs
  /** Those that a checkpoint still needs, in order. */
  files: readonly { path: string; generation: number }[]
}

/** What is there of `ranges`, ascending. */
export async function journaledBatches(
  { fs, kernel, codecs, files }: JournalRecordsParts,
  logId: number,
  ranges: readonly OffsetRun[],
): Promise<JournaledBatch[]> {
  const commit = new CommitFrames()
  const records = new JournalRecords(ranges)
  let floor = 0
  for (const { path, generation } of files) {
    const bytes = await readFile(fs, path)
    const header = decodeJournalHeader(kernel, bytes.subarray(0, SECTOR_BYTES))
    // Used again meanwhile: a checkpoint has what it had.
    if (header.kind !== 'header' || header.generation !== generation) continue
    for (const [entry, sequence] of wholeCommits(kernel, commit, { path, bytes, header, floor })) {
      floor = sequence
      if ('logId' in entry && entry.logId === logId) records.add(entry)
    }
  }
  return records.batches(codecs)
}

/** The same of the journals that a start has found, whose headers may be lost. */
export async function surveyedBatches(
  parts: Pick<JournalRecordsParts, 'fs' | 'kernel' | 'codecs'>,
  journals: readonly SurveyedJournal[],
  logId: number,
  ranges: readonly OffsetRun[],
): Promise<JournaledBatch[]> {
  const commit = new CommitFrames()
  const records = new JournalRecords(ranges)
  for (const { path, header, floor } of journals) {
    const bytes = await readFile(parts.fs, path)
    for (const [entry] of wholeCommits(parts.kernel, commit, { path, bytes, header, floor }))
      if ('logId' in entry && entry.logId === logId) records.add(entry)
  }
  return records.batches(parts.codecs)
}

/** Entries, with the number of the frame that ends their commit. One may go on in the next file. */
function* wholeCommits(
  kernel: Kernel,
  commit: CommitFrames,
  {
    path,
    bytes,
    header,
    floor,
  }: { path: string; bytes: Buffer; header: JournalHeader; floor: number },
): Iterable<[entry: JournalEntry, sequence: number]> {
  for (const outcome of readFrames(kernel, bytes, header, { floor })) {
    if (outcome.kind === 'rot') commit.drop()
    if (outcome.kind !== 'frame') continue
    const { frame } = outcome
    commit.add(frame.sequence, entriesOf(path, frame))
    if (frame.more) continue
    for (const entry of commit.take()) yield [entry, frame.sequence]
  }
}

/** A file whose name is gone has nothing. Fault: STORAGE_IO, the disk may give it later. */
async function readFile(fs: FileSystem, path: string): Promise<Buffer> {
  const bytes = await readTolerantly(fs, path).catch((error) => {
    if (codeOf(error) !== 'ENOENT') throw error
    return Buffer.alloc(0)
  })
  if (bytes !== undefined) return bytes
  throw new AgentError('STORAGE_IO', `${path} cannot be opened; check the disk`, {
    retriable: true,
  })
}

type BatchEntry = Extract<JournalEntry, { kind: 'batch' }>

export class JournalRecords {
  readonly #ranges: readonly OffsetRun[]
  readonly #batches: JournaledBatch[] = []
  /** By offset. */
  readonly #records = new Map<number, BatchRecord & { tailBase: number }>()

  constructor(ranges: readonly OffsetRun[]) {
    this.#ranges = ranges
  }

  add(entry: RecordsEntry | BatchEntry): void {
    if (entry.kind === 'records') this.#addRecords(entry)
    else this.#addBatch(entry)
  }

  #addBatch({ baseOffset: from, bytes }: BatchEntry): void {
    const to = from + bytes.readInt32BE(23) + 1
    const isWanted = this.#ranges.some((range) => range.from <= from && to <= range.to)
    if (isWanted) this.#batches.push({ from, to, bytes: Buffer.from(bytes) })
  }

  #addRecords({ tailBase, firstDelta, count, baseTimestamp, bytes }: RecordsEntry): void {
    const [first, end] = [tailBase + firstDelta, tailBase + firstDelta + count]
    if (!this.#ranges.some(({ from, to }) => from < end && first < to)) return
    for (const record of iterateRecords(Buffer.from(bytes), count)) {
      const { offsetDelta, timestampDelta, ...fields } = record
      const offset = tailBase + offsetDelta
      if (!this.#ranges.some(({ from, to }) => from <= offset && offset < to)) continue
      this.#records.set(offset, { ...fields, timestamp: baseTimestamp + timestampDelta, tailBase })
    }
  }

  batches(codecs: Codecs): JournaledBatch[] {
    let end = 0
    const whole = this.#batches
      .sort((a, b) => a.from - b.from)
      .filter(({ from, to }) => {
        // Of what is carried to the next file there are two.
        const isNext = from >= end
        if (isNext) end = to
        return isNext
      })
    // Records by themselves fill what is between: a batch cannot be cut.
    for (const { from, to } of whole)
      for (let offset = from; offset < to; offset++) this.#records.delete(offset)
    return [...whole, ...this.#runs(codecs)].sort((a, b) => a.from - b.from)
  }

  *#runs(codecs: Codecs): Iterable<JournaledBatch> {
    const offsets = [...this.#records.keys()].sort((a, b) => a - b)
    let run: (BatchRecord & { tailBase: number })[] = []
    for (const [index, offset] of offsets.entries()) {
      const record = this.#records.get(offset)!
      run.push(record)
      const next = this.#records.get(offset + 1)
      if (next?.tailBase === record.tailBase && index + 1 < offsets.length) continue
      const to = offset + 1
      const from = to - run.length
      yield { from, to, bytes: buildBatch(run, { codecs, codec: CODEC_LZ4, baseOffset: from }) }
      run = []
    }
  }
}
