// Rebuilds the log from its files: newest good checkpoint, then segments, then the journal.
//
//   1. what the checkpoints and journal files are worth; a newer format ends it here (store-survey.ts)
//   2. state and topics from the checkpoint
//   3. each partition's segments, scanned from its recovery point and cut at the first bad batch
//   4. every journal generation the checkpoint still needs, frame by frame, a commit at a time;
//      what segments already hold is skipped, the rest goes back into tails (replay.ts)
//
// When checkpoint and journal do not tell everything (both copies bad, a journal file gone, rot in one),
// nothing that they do tell may be believed too far: the state is put together from all that is left
// (rebuild.ts), and 3 and 4 go by that; what only the journal has goes to segments before a checkpoint
// lets go of it (journal-salvage.ts). It is told, what did not hold is copied to quarantine, and the
// caller makes a checkpoint at once: the next start is an ordinary one. No damage keeps a log from
// starting.
//
// What is read may only be in the page cache: after a failed sync the kernel calls pages clean that
// never reached the disk. So what the new process builds on (the checkpoint, each journal's header
// and last frame, what segments hold above the recovery point) is written again, byte for byte in
// its place, and synced before anything else is.
//
// Nothing here deletes data: cutting a segment, or removing the directory of a topic that was deleted
// after the checkpoint, takes only bytes that the journal holds again.
// Running it twice, or crashing in it, gives the same log.

import type { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import type { Clock } from '../base/clock.ts'
import { isBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Asides } from './asides.ts'
import { type Checkpoint, emptyCheckpoint, type PartitionMark } from './checkpoint.ts'
import type { FileSystem } from './file-system.ts'
import type { JournalPosition } from './journal.ts'
import { readJournalBytes } from './journal-reader.ts'
import { surveyedBatches } from './journal-records.ts'
import { knownEndOf } from './known-end.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Quarantine } from './quarantine.ts'
import { rebuild } from './rebuild.ts'
import { tellDamage, tellHistory } from './recovery-report.ts'
import { Replay, writeAgain } from './replay.ts'
import type { StateStore } from './state-store.ts'
import { type Survey, type SurveyedJournal, surveyStore } from './store-survey.ts'

/** By log id: what the checkpoint knows of a partition. */
type Marks = ReadonlyMap<number, PartitionMark>

export interface RecoveryTarget {
  fs: FileSystem
  directory: string
  kernel: Kernel
  codecs: Codecs
  clock: Clock
  logger: Logger
  asides: Asides
  quarantine: Quarantine
  state: StateStore
  /** What the gateway is called, when the store does not say. */
  gateway: string | undefined
  /** A `topic/` entry was restored or removed. */
  topicRestored: (name: string, marks: Marks) => Promise<void>
  partition: (logId: number) => PartitionLog | undefined
  partitions: () => Iterable<PartitionLog>
  /** Something in the store is from that time. */
  timeSeen: (time: number) => void
  /** Seals tails when the arena gets short. */
  relieve: () => Promise<void>
}

export interface Recovered {
  checkpoint: { number: number; generation: number; content: Checkpoint | undefined }
  files: { path: string; generation: number }[]
  /** Journal files that cannot even be opened. */
  unusable: string[]
  last: { generation: number; sequence: number }
  resume: JournalPosition | undefined
  frames: number
  /**
   * A checkpoint is wanted before anything else; so many copies, and the frames behind it must have
   * higher numbers than this. `isNeeded`: what was read may not be on the disk, nothing is built on it.
   */
  repair: { copies: number; lastSequence: number; isNeeded: boolean } | undefined
}

export async function recover(target: RecoveryTarget): Promise<Recovered> {
  const { fs, state, logger } = target
  const survey = await surveyStore(target)
  const { lost } = survey
  tellDamage(logger, survey)
  await keepDamaged(target, survey)
  const read = survey.checkpoint
  if (read !== undefined) target.timeSeen(read.content.time)
  const isAgain =
    read === undefined || (await writeAgain(fs, read.path, read.bytes, [[0, read.bytes.length]]))
  const checkpoint = lost === undefined ? read?.content : await rebuild(target, survey)
  const marks: Marks = new Map(checkpoint?.partitions.map((mark) => [mark.logId, mark]))
  for (const [key, value] of checkpoint?.state ?? []) state.restore(key, value)
  for (const [key] of checkpoint?.state ?? []) {
    if (key.startsWith('topic/')) await target.topicRestored(key.slice(6), marks)
  }
  await target.asides.settle()
  const replay = await replayAll(target, survey, marks, lost === undefined)
  if (lost !== undefined) hollowKnownEnds(target)
  if (lost !== undefined) oweJournaled(target, survey, marks)
  if (lost !== undefined) tellHistory(logger, survey, target.partitions())
  for (const { path } of survey.badCheckpoints) await forget(fs, path)
  for (const path of replay.unwritable) {
    logger.warn(`${path} cannot be written to; the journal goes on in another file`)
  }
  const isSound =
    lost === undefined &&
    isAgain &&
    replay.unwritable.length === 0 &&
    !isAhead(target, marks, replay) &&
    survey.badCheckpoints.length === 0 &&
    !survey.journals.some(isDamaged)
  const copies = read === undefined ? 2 : 1
  const isNeeded = replay.unwritable.length > 0
  const repair = isSound ? undefined : { copies, lastSequence: survey.lastSequence, isNeeded }
  return { ...position(survey, replay, lost !== undefined), frames: replay.frames, repair }
}

/** A segment holds what the journal should and does not: it may not be on the disk. */
function isAhead({ partitions }: RecoveryTarget, marks: Marks, { ends }: Replay): boolean {
  return [...partitions()].some(({ logId, segments }) => {
    return segments.end > Math.max(marks.get(logId)?.recoveryOffset ?? 0, ends.get(logId) ?? 0)
  })
}

/** Frames are gone, and perhaps segments too: the state may know of records that nothing else does. */
function hollowKnownEnds({ state, partitions }: RecoveryTarget): void {
  for (const partition of partitions()) {
    const end = knownEndOf(state, partition.logId)
    if (end > partition.logEndOffset) partition.restoreHollow(end, 0)
  }
}

/** Frames are gone: what segments lack, too, may be in those that are left. */
function oweJournaled(
  { fs, codecs, partitions }: RecoveryTarget,
  { journals }: Survey,
  marks: Marks,
): void {
  // The log's own one has frames on their way to the disk by the time that this is tried again.
  let kernel: Kernel | undefined
  for (const partition of partitions()) {
    const { logId } = partition
    const { journaled = [] } = marks.get(logId) ?? {}
    if (journaled.length === 0) continue
    partition.owe(journaled, (ranges) => {
      kernel ??= new Kernel()
      return surveyedBatches({ fs, codecs, kernel }, journals, logId, ranges)
    })
  }
}

async function replayAll(
  target: RecoveryTarget,
  survey: Survey,
  marks: Marks,
  isWhole: boolean,
): Promise<Replay> {
  const { state } = target
  const stateChanged = async (key: string, value: Buffer | undefined) => {
    state.restore(key, value)
    if (!key.startsWith('topic/')) return
    await target.topicRestored(key.slice(6), marks)
    await target.asides.settle()
  }
  const sequence = Math.max(0, (survey.checkpoint?.content.sequence ?? 0) - 1)
  const replay = new Replay(
    { ...target, stateChanged: isWhole ? stateChanged : undefined, fillsGaps: !isWhole },
    sequence,
  )
  for (const journal of survey.journals) await replay.file(journal)
  const only = new Set([...replay.gaps].filter((id) => target.partition(id) !== undefined))
  if (only.size > 0) {
    const again = { ...target, stateChanged: undefined, fillsGaps: true, only }
    const filling = new Replay(again, sequence)
    for (const journal of survey.journals) await filling.file(journal)
  }
  return replay
}

/** Where the journal goes on. */
function position(
  { checkpoint, journals, files, unusable, lastSequence }: Survey,
  { resume, isLastEmpty, sequence }: Replay,
  isHistoryLost: boolean,
): Omit<Recovered, 'frames' | 'repair'> {
  const { number = 0, generation: needed } = checkpoint?.content ?? {}
  const oldest = needed ?? Math.max(1, journals[0]?.header.generation ?? 1)
  // One that has begun may come back, when its file was only not readable for once.
  const begun = checkpoint !== undefined && !checkpoint.content.isClean ? oldest : oldest - 1
  const last = Math.max(begun, ...files.map(({ generation }) => generation))
  // One that holds only the beginning of a commit is free: restarts must not add files for ever.
  const unused = resume === undefined && isLastEmpty ? journals.at(-1)?.path : undefined
  // Version 1 of the checkpoint does not say how far the numbers went.
  const isCounted = checkpoint === undefined || checkpoint.content.sequence > 0
  // Should no checkpoint come about, a number that is left out tells the next start that frames are gone.
  const skipped = isHistoryLost && journals.every(({ frames }) => frames === 0) ? 1 : 0
  return {
    checkpoint: { number, generation: oldest, content: checkpoint?.content },
    files: files.map((file) => (file.path === unused ? { ...file, generation: 0 } : file)),
    unusable,
    last: {
      // Its number is not used again: another file may be free as well, and two of one number would be
      // read in any order.
      generation: last,
      sequence: skipped + (isCounted || journals.length > 0 ? sequence : lastSequence),
    },
    resume,
  }
}

/** Copies what does not hold before anything is written over it. */
async function keepDamaged({ fs, quarantine }: RecoveryTarget, survey: Survey): Promise<void> {
  // One copy alone is what a crash leaves of a checkpoint that was being written.
  for (const { path, bytes } of survey.lost === undefined ? [] : survey.badCheckpoints) {
    await quarantine.keep(path.slice(path.lastIndexOf('/') + 1), bytes)
  }
  for (const journal of survey.journals.filter(isDamaged)) {
    const bytes = journal.bytes ?? (await readJournalBytes(fs, journal.path))
    const name = journal.path.slice(journal.path.lastIndexOf('/') + 1)
    await quarantine.keep(`${name}-generation-${journal.header.generation}`, withoutZeros(bytes))
  }
}

/**
 * A copy that the disk refuses to give now must not come back later: it may be the newer one, and the
 * journal that goes on from here would count for nothing.
 */
async function forget(fs: FileSystem, path: string): Promise<void> {
  await emptyCheckpoint(fs, path).catch((error) => {
    // The checkpoint that is written next takes its place.
    if (isBug(error)) throw error
  })
}

function isDamaged({ isHeaderLost, rot }: SurveyedJournal): boolean {
  return isHeaderLost || rot.length > 0
}

function withoutZeros(bytes: Buffer): Buffer {
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return bytes.subarray(0, end)
}
