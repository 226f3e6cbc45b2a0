// Rebuilds the log from its files: newest good checkpoint, then segments, then the journal.
//
//   1. state and topics from the checkpoint
//   2. each partition's segments, scanned from its recovery point and cut at the first bad batch
//   3. every journal generation the checkpoint still needs, frame by frame, a commit at a time;
//      what segments already hold is skipped, the rest goes back into tails
//
// What is read may only be in the page cache: after a failed sync the kernel calls pages clean that
// never reached the disk. So what the new process builds on (the checkpoint, each journal's header
// and last frame, what segments hold above the recovery point) is written again, byte for byte in
// its place, and synced before anything else is.
//
// A commit of several frames may go on in the next file, when the first one could not be written to
// its end: the sequence numbers say so. A gap in a partition's offsets may belong to a topic that is
// deleted further on, its files gone already; only what is left at the end is lost, and the journal is
// read once more to put hollow records in its place.
//
// Nothing here deletes data: cutting a segment, or removing the directory of a topic that was deleted
// after the checkpoint, takes only bytes that the journal holds again.
// Running it twice, or crashing in it, gives the same log.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { AgentError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import { CHECKPOINT_FILES, type Checkpoint, readCheckpoint } from './checkpoint.ts'
import type { FileSystem } from './file-system.ts'
import { type JournalPosition, SECTOR_BYTES } from './journal.ts'
import { decodeEntries, type RecordsEntry } from './journal-entry.ts'
import {
  CommitFrames,
  type JournalHeader,
  readFrames,
  readJournalBytes,
  readJournalHeader,
} from './journal-reader.ts'
import type { PartitionLog } from './partition-log.ts'
import type { StateStore } from './state-store.ts'
import { newerFormat } from './store-format.ts'

export interface RecoveryTarget {
  fs: FileSystem
  directory: string
  kernel: Kernel
  codecs: Codecs
  logger: Logger
  state: StateStore
  /** A `topic/` entry was restored or removed. */
  topicRestored: (name: string, checkpoint: Checkpoint | undefined) => Promise<void>
  partition: (logId: number) => PartitionLog | undefined
  /** Something in the store is from that time. */
  timeSeen: (time: number) => void
  /** Seals tails when the arena gets short. */
  relieve: () => Promise<void>
}

export interface Recovered {
  checkpoint: { number: number; generation: number }
  files: { path: string; generation: number }[]
  last: { generation: number; sequence: number }
  resume: JournalPosition | undefined
  frames: number
}

export async function recover(target: RecoveryTarget): Promise<Recovered> {
  const { state } = target
  const checkpoint = await loadCheckpoint(target)
  if (checkpoint !== undefined) target.timeSeen(checkpoint.time)
  for (const [key, value] of checkpoint?.state ?? []) state.restore(key, value)
  for (const [key] of checkpoint?.state ?? []) {
    if (key.startsWith('topic/')) await target.topicRestored(key.slice(6), checkpoint)
  }
  const oldest = checkpoint?.generation ?? 1
  const files = await listJournals(target)
  const lastGeneration = Math.max(oldest - 1, ...files.map((file) => file.header?.generation ?? 0))
  const replay = new Replay(target, checkpoint)
  const needed = files
    .filter((file) => file.header !== undefined && file.header.generation >= oldest)
    .sort((a, b) => a.header!.generation - b.header!.generation)
  for (const { path, header } of needed) await replay.file(path, header!)
  const lost = new Set([...replay.gaps].filter((id) => target.partition(id) !== undefined))
  if (lost.size > 0) {
    const again = new Replay(target, checkpoint, lost)
    for (const { path, header } of needed) await again.file(path, header!)
  }
  // One that holds only the beginning of a commit is free: restarts must not add files for ever.
  const unused = replay.resume === undefined && replay.isLastEmpty ? needed.at(-1) : undefined
  return {
    checkpoint: { number: checkpoint?.number ?? 0, generation: oldest },
    files: files.map((file) => ({
      path: file.path,
      generation: file === unused ? 0 : (file.header?.generation ?? 0),
    })),
    last: {
      generation: lastGeneration - (unused === undefined ? 0 : 1),
      sequence: replay.sequence,
    },
    resume: replay.resume,
    frames: replay.frames,
  }
}

/** The newest copy that holds; undefined for a store that never had one. */
async function loadCheckpoint(target: RecoveryTarget): Promise<Checkpoint | undefined> {
  let best: Checkpoint | undefined
  let bestPath = ''
  const bad: string[] = []
  for (const name of CHECKPOINT_FILES) {
    const path = `${target.directory}/${name}`
    const outcome = await readCheckpoint(target.fs, path, target.codecs)
    if (outcome.kind === 'newer') throw newerFormat(outcome.version)
    if (outcome.kind === 'corrupt') {
      target.logger.warn(`${name} does not hold; the other copy and the journal are used`)
      bad.push(path)
    }
    if (outcome.kind !== 'checkpoint') continue
    if (best !== undefined && outcome.checkpoint.number < best.number) continue
    best = outcome.checkpoint
    bestPath = path
  }
  if (best !== undefined) await writeAgain(target.fs, bestPath, [[0, Number.MAX_SAFE_INTEGER]])
  if (best !== undefined) for (const path of bad) await forget(target.fs, path)
  return best
}

/**
 * A copy that the disk refuses to give now must not come back later: it may be the newer one, and the
 * journal that goes on from the older one would count for nothing.
 */
async function forget(fs: FileSystem, path: string): Promise<void> {
  const file = await fs.open(path, 'write')
  try {
    await file.truncate(0)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Puts ranges of a file where they are once more, and syncs. */
async function writeAgain(
  fs: FileSystem,
  path: string,
  ranges: readonly (readonly [from: number, to: number])[],
): Promise<void> {
  const file = await fs.open(path, 'write')
  try {
    const size = await file.size()
    for (const [from, to] of ranges) {
      const bytes = Buffer.alloc(Math.min(to, size) - from)
      await file.read(bytes, from)
      await file.write([bytes], from)
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

async function listJournals(
  target: RecoveryTarget,
): Promise<{ path: string; header: JournalHeader | undefined }[]> {
  const { fs, directory, kernel } = target
  const found: { path: string; header: JournalHeader | undefined }[] = []
  for (const name of await fs.list(directory)) {
    if (!/^journal-\d+$/.test(name)) continue
    const path = `${directory}/${name}`
    const file = await fs.open(path, 'read')
    try {
      const outcome = await readJournalHeader(kernel, file)
      if (outcome.kind === 'newer') throw newerFormat(outcome.version)
      found.push({ path, header: outcome.kind === 'header' ? outcome : undefined })
    } finally {
      await file.close()
    }
  }
  return found
}

class Replay {
  readonly #target: RecoveryTarget
  readonly #checkpoint: Checkpoint | undefined
  /** The second time: only records of these partitions, and gaps are filled. */
  readonly #only: ReadonlySet<number> | undefined
  readonly #commit = new CommitFrames()
  resume: JournalPosition | undefined
  frames = 0
  /** The last file holds no whole commit, and no damage. */
  isLastEmpty = false
  /** Of the last whole commit. */
  sequence = 0
  /** Log ids of partitions whose offsets do not follow each other. */
  readonly gaps = new Set<number>()

  constructor(
    target: RecoveryTarget,
    checkpoint: Checkpoint | undefined,
    only?: ReadonlySet<number>,
  ) {
    this.#target = target
    this.#checkpoint = checkpoint
    this.#only = only
  }

  async file(path: string, header: JournalHeader): Promise<void> {
    const { fs, kernel, logger } = this.#target
    const bytes = await readJournalBytes(fs, path)
    const at = { file: path, generation: header.generation, salt: header.salt }
    let firstSequence = this.sequence + 1
    this.resume = { ...at, position: SECTOR_BYTES, previousCrc: header.crc, firstSequence }
    let isRotten = false
    this.isLastEmpty = true
    let lastFrame: [from: number, to: number] = [0, 0]
    for (const outcome of readFrames(kernel, bytes, header)) {
      if (outcome.kind === 'rot') {
        logger.error(
          `${path} is damaged at byte ${outcome.position}; what it held is served as hollow records`,
        )
        this.#commit.drop()
        isRotten = true
      }
      if (outcome.kind !== 'frame') continue
      const { frame } = outcome
      const entries = decodeEntries(frame.payload)
      if (entries === undefined) {
        throw new AgentError('CORRUPT_STORE', `${path} at ${frame.position}: unknown journal entry`)
      }
      this.#commit.add(frame.sequence, entries)
      if (lastFrame[1] === 0) firstSequence = frame.sequence
      this.frames++
      this.#target.timeSeen(frame.time)
      lastFrame = [frame.position, frame.position + frame.size]
      if (frame.more) continue
      await this.#apply(frame.time)
      this.sequence = frame.sequence
      this.isLastEmpty = false
      const position = frame.position + frame.size
      this.resume = { ...at, position, previousCrc: frame.crc, firstSequence }
    }
    await writeAgain(fs, path, [[0, SECTOR_BYTES], lastFrame])
    // Frames behind rot are not chained to what would be written next, and whole frames of a commit
    // that was not finished would look like rot behind it: start a new generation.
    if (isRotten) this.isLastEmpty = false
    if (isRotten || this.#commit.isOpen) this.resume = undefined
  }

  async #apply(time: number): Promise<void> {
    for (const entry of this.#commit.take()) {
      if (entry.kind === 'put' || entry.kind === 'delete') {
        if (this.#only !== undefined) continue
        const value = entry.kind === 'put' ? entry.value : undefined
        this.#target.state.restore(entry.key, value)
        if (entry.key.startsWith('topic/')) {
          await this.#target.topicRestored(entry.key.slice(6), this.#checkpoint)
        }
        continue
      }
      // A topic that was deleted later has no partition any more.
      const partition = this.#target.partition(entry.logId)
      if (partition === undefined || this.#only?.has(entry.logId) === false) continue
      if (entry.kind === 'records') await this.#records(partition, entry, time)
      else await this.#batch(partition, entry, time)
      await this.#target.relieve()
    }
  }

  async #records(partition: PartitionLog, entry: RecordsEntry, time: number): Promise<void> {
    const first = entry.tailBase + entry.firstDelta
    if (first + entry.count <= partition.logEndOffset) return
    if (first > partition.logEndOffset && !this.#hollow(partition, first, time)) return
    if (first === partition.logEndOffset && partition.restoreRecords(entry, time)) return
    partition.restoreFrom(entry, time)
  }

  async #batch(
    partition: PartitionLog,
    entry: { baseOffset: number; bytes: Buffer },
    time: number,
  ): Promise<void> {
    const end = entry.baseOffset + entry.bytes.readInt32BE(23) + 1
    if (end <= partition.logEndOffset) return
    const { baseOffset } = entry
    if (baseOffset > partition.logEndOffset && !this.#hollow(partition, baseOffset, time)) return
    if (entry.baseOffset === partition.logEndOffset) partition.restoreBatch(entry.bytes, time)
  }

  /** False when it is too early to say that the offsets up to `to` are lost. */
  #hollow(partition: PartitionLog, to: number, time: number): boolean {
    if (this.#only === undefined) {
      this.gaps.add(partition.logId)
      return false
    }
    const from = partition.logEndOffset
    this.#target.logger.error(
      `${partition.name}: offsets ${from} to ${to - 1} are lost; they are served as empty records`,
    )
    partition.restoreHollow(to, time)
    return true
  }
}
