// What the checkpoints and journal files of a store are worth, before anything is changed: which of
// them count, in which order, and which frames should be there and are not.
//
// - Every frame has a number. The checkpoint says with which one replay begins, each file goes on where
//   the one before it ended: a number that is left out is a hole, whatever made it.
// - The numbers of a commit that was not finished are used again, in the next file: such frames stand
//   for nothing, unless that file goes on with the commit.
// - A file whose header does not hold counts when it has frames that no other file has: the header was
//   lost. If it has none it was being begun, and nothing in it was acked.
// - Nothing here writes: a store of a newer format is refused untouched.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import type { Clock } from '../base/clock.ts'
import { readTolerantly } from './bad-sectors.ts'
import { CHECKPOINT_FILES, type Checkpoint, decodeCheckpoint } from './checkpoint.ts'
import type { FileSystem } from './file-system.ts'
import { FILES_IN_TURN, SECTOR_BYTES } from './journal.ts'
import {
  decodeJournalHeader,
  type JournalHeader,
  learnJournalHeader,
  readFrames,
  readJournalBytes,
} from './journal-reader.ts'
import { findPartitionDirectories } from './partition-directories.ts'
import { newerFormat } from './store-format.ts'

export interface SurveyedJournal {
  path: string
  header: JournalHeader
  /** The header was learnt from the frames. */
  isHeaderLost: boolean
  /** Last sequence known from before this file: at or below it nothing is rot. */
  floor: number
  frames: number
  /** Of its first and last frame; 0 without any. */
  firstSequence: number
  lastSequence: number
  /** Of the last frame that ends a commit; 0 without any. */
  lastWhole: number
  /** Where frames do not follow each other. */
  rot: { position: number; from: number; to: number }[]
  /** All of it, for whoever is next to read it: not of more files than take turns as a rule. */
  bytes: Buffer | undefined
}

/** Frames that were acked and are nowhere. */
export interface JournalHole {
  from: number
  /** The last one; undefined when nobody knows how many there were. */
  to: number | undefined
  /** The damage is inside of this file; undefined: a file is gone. */
  file: string | undefined
  position: number
}

/** What does not tell everything any more. */
export type LostHistory = 'checkpoints' | 'journal'

export interface Survey {
  checkpoint: { path: string; bytes: Buffer; content: Checkpoint } | undefined
  /** Copies that are there and do not hold, with what can be read of them. */
  badCheckpoints: { path: string; bytes: Buffer }[]
  /** What is replayed, in order. */
  journals: SurveyedJournal[]
  /** All of them, with the generation they were used for last; 0 = free. */
  files: { path: string; generation: number }[]
  /** Journal files that cannot even be opened. */
  unusable: string[]
  holes: JournalHole[]
  /**
   * The checkpoint of a clean stop needs no journal; but whoever wrote it had one, and none of that age
   * is left. What was acked after it cannot be told from nothing.
   */
  isJournalGone: boolean
  /** Of the greatest number that a frame has, or had. */
  lastSequence: number
  /** Undefined: checkpoint and journal tell everything. */
  lost: LostHistory | undefined
}

interface StoreParts {
  fs: FileSystem
  /** With it the disk is asked for some seconds. */
  clock?: Clock
  directory: string
  kernel: Kernel
  codecs: Codecs
}

interface JournalFile {
  path: string
  header: JournalHeader | undefined
}

/** Fault: STORE_MISMATCH when the store has a newer format. */
export async function surveyStore(parts: StoreParts): Promise<Survey> {
  const { fs, directory, kernel, codecs } = parts
  const names = await fs.list(directory)
  let newest = 0
  let checkpoint: Survey['checkpoint']
  const badCheckpoints: Survey['badCheckpoints'] = []
  for (const name of CHECKPOINT_FILES) {
    if (!names.includes(name)) continue
    const path = `${directory}/${name}`
    const bytes = (await readTolerantly(fs, path)) ?? Buffer.alloc(0)
    const outcome = decodeCheckpoint(bytes, codecs)
    if (outcome.kind === 'newer') newest = Math.max(newest, outcome.version)
    if (outcome.kind === 'corrupt') badCheckpoints.push({ path, bytes })
    if (outcome.kind !== 'checkpoint') continue
    const { checkpoint: content } = outcome
    if (checkpoint !== undefined && content.number < checkpoint.content.number) continue
    checkpoint = { path, bytes, content }
  }
  const found: JournalFile[] = []
  const unusable: string[] = []
  for (const name of names.filter((name) => /^journal-\d+$/.test(name))) {
    const path = `${directory}/${name}`
    const bytes = await readTolerantly(fs, path, SECTOR_BYTES)
    if (bytes === undefined) unusable.push(path)
    if (bytes === undefined) continue
    const outcome = decodeJournalHeader(kernel, bytes)
    if (outcome.kind === 'newer') newest = Math.max(newest, outcome.version)
    found.push({ path, header: outcome.kind === 'header' ? outcome : undefined })
  }
  if (newest > 0) throw newerFormat(newest)
  const chain = new JournalChain(parts, checkpoint?.content, found)
  await chain.follow()
  const { journals, holes, lastSequence } = chain
  const generations = new Map(journals.map(({ path, header }) => [path, header.generation]))
  const files = found.map(({ path, header }) => {
    return { path, generation: generations.get(path) ?? header?.generation ?? 0 }
  })
  const isJournalGone = checkpoint !== undefined && isGone(checkpoint.content, found)
  const damage = { badCheckpoints, unusable, holes, isJournalGone }
  const survey = { checkpoint, journals, files, lastSequence, ...damage }
  return { ...survey, lost: await lostHistory(parts, survey) }
}

function isGone({ isClean, generation }: Checkpoint, found: readonly JournalFile[]): boolean {
  if (!isClean || generation === 1) return false
  // One without a header was being begun, or is read by its frames.
  return found.every(({ header }) => header !== undefined && header.generation < generation - 1)
}

async function lostHistory(
  parts: StoreParts,
  { checkpoint, badCheckpoints, journals, holes }: Omit<Survey, 'lost'>,
): Promise<LostHistory | undefined> {
  const [hole] = holes
  const isBegun = journals.some(({ frames }) => frames > 0)
  if (checkpoint !== undefined || isBegun) {
    if (hole === undefined) return undefined
    // A store that was never checkpointed has all of it in the journal, from its first frame on.
    return checkpoint === undefined && hole.from === 1 && hole.file === undefined
      ? 'checkpoints'
      : 'journal'
  }
  const isNew = badCheckpoints.length === 0 && (await findPartitionDirectories(parts)).length === 0
  return isNew ? undefined : 'checkpoints'
}

/** Puts the files in order and counts their frames. */
class JournalChain {
  readonly journals: SurveyedJournal[] = []
  readonly holes: JournalHole[] = []
  lastSequence = 0
  readonly #parts: StoreParts
  readonly #checkpoint: Checkpoint | undefined
  readonly #found: readonly JournalFile[]

  constructor(
    parts: StoreParts,
    checkpoint: Checkpoint | undefined,
    found: readonly JournalFile[],
  ) {
    this.#parts = parts
    this.#checkpoint = checkpoint
    this.#found = found
  }

  async follow(): Promise<void> {
    const oldest = this.#checkpoint?.generation ?? 1
    let floor = await this.#floor()
    // A header that is lost is looked for only where a stale frame can be told from a live one.
    const learnFrom = floor
    floor ??= 0
    this.lastSequence = floor
    const known = this.#found.flatMap(({ path, header }) => (header ? [{ path, header }] : []))
    known.sort((a, b) => a.header.generation - b.header.generation)
    for (const { path, header } of known) {
      if (header.generation < oldest) continue
      const journal = await this.#read(path, header, floor, false)
      this.journals.push(journal)
      const old = this.journals.at(-1 - FILES_IN_TURN)
      if (old !== undefined) old.bytes = undefined
      floor = Math.max(floor, journal.lastWhole)
    }
    for (const { path, header } of this.#found) {
      if (header === undefined && learnFrom !== undefined) await this.#learn(path, learnFrom)
    }
    this.#findHoles()
  }

  /** The last sequence that is not needed; undefined when nothing says so. */
  async #floor(): Promise<number | undefined> {
    const checkpoint = this.#checkpoint
    if (checkpoint === undefined) return 0
    if (checkpoint.sequence > 0) return checkpoint.sequence - 1
    // Version 1 does not say. What the files have says at least how high the numbers went.
    let floor: number | undefined
    for (const { path, header } of this.#found) {
      if (header === undefined) continue
      const { firstSequence, lastSequence } = await this.#read(path, header, 0, false)
      if (header.generation === checkpoint.generation) floor = firstSequence - 1
      this.lastSequence = Math.max(this.lastSequence, lastSequence)
    }
    return floor
  }

  async #learn(path: string, floor: number): Promise<void> {
    const { fs, kernel } = this.#parts
    const learnt = learnJournalHeader(kernel, await readJournalBytes(fs, path), floor)
    if (learnt === undefined) return
    const journal = await this.#read(path, { ...learnt, generation: 0 }, floor, true)
    const { firstSequence, lastSequence } = journal
    const isKnown = this.journals.some(
      (other) => other.firstSequence <= firstSequence && other.lastWhole >= lastSequence,
    )
    if (isKnown) return
    const behind = this.journals.findIndex(
      (other, order) =>
        other.firstSequence >= firstSequence ||
        this.journals.slice(order).every(({ frames }) => frames === 0),
    )
    const place = behind < 0 ? this.journals.length : behind
    const [before, after] = [this.journals[place - 1], this.journals[place]]
    const first = this.#checkpoint?.generation ?? Math.max(1, (after?.header.generation ?? 2) - 1)
    journal.header.generation = before === undefined ? first : before.header.generation + 1
    journal.bytes = undefined
    this.journals.splice(place, 0, journal)
  }

  async #read(
    path: string,
    header: JournalHeader,
    floor: number,
    isHeaderLost: boolean,
  ): Promise<SurveyedJournal> {
    const { fs, kernel } = this.#parts
    const facts = { path, header, isHeaderLost, floor }
    const bytes = await readJournalBytes(fs, path)
    const counts = { frames: 0, firstSequence: 0, lastSequence: 0, lastWhole: 0 }
    const journal = { ...facts, ...counts, rot: [], bytes }
    const rot: SurveyedJournal['rot'] = journal.rot
    let position = -1
    for (const outcome of readFrames(kernel, bytes, header, { floor, withPayload: false })) {
      if (outcome.kind === 'rot') position = outcome.position
      if (outcome.kind !== 'frame') continue
      const { sequence, more } = outcome.frame
      if (position >= 0) rot.push({ position, from: journal.lastSequence + 1, to: sequence - 1 })
      position = -1
      if (journal.frames++ === 0) journal.firstSequence = sequence
      journal.lastSequence = sequence
      if (!more) journal.lastWhole = sequence
    }
    return journal
  }

  #findHoles(): void {
    const checkpoint = this.#checkpoint
    // A checkpoint of version 1 names a generation, and no frame.
    const knowsFirst = checkpoint === undefined || checkpoint.sequence > 0
    let expected = checkpoint?.sequence || (knowsFirst ? 1 : 0)
    let previous = 0
    for (const journal of this.journals) {
      const { path, header, frames, firstSequence, lastSequence, rot } = journal
      this.lastSequence = Math.max(this.lastSequence, lastSequence)
      if (frames === 0) continue
      if (expected === 0 && header.generation === checkpoint?.generation) expected = firstSequence
      const [first] = rot
      const isInside = first !== undefined && first.to === firstSequence - 1
      // The frame whose write failed may stand in both files.
      const goesOn = [previous, previous + 1].includes(firstSequence) && !isInside
      if (firstSequence > expected && !goesOn) {
        const at = isInside ? { file: path, position: first.position } : NOWHERE
        this.holes.push({ from: expected, to: firstSequence - 1, ...at })
      }
      for (const { position, from, to } of isInside ? rot.slice(1) : rot) {
        this.holes.push({ from, to, file: path, position })
      }
      expected = Math.max(expected, journal.lastWhole + 1)
      previous = lastSequence
    }
    const isMissing = checkpoint !== undefined && checkpoint.sequence > 0 && !checkpoint.isClean
    if (isMissing && this.journals.every(({ frames }) => frames === 0)) {
      this.holes.push({ from: checkpoint.sequence, to: undefined, ...NOWHERE })
    }
  }
}

const NOWHERE = { file: undefined, position: 0 }
