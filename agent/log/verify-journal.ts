// Checks checkpoints and journal of a stopped store, and tells what both say together: the state, and
// which offsets the journal holds.
//
// - Every byte of the live part counts: what FORMAT.md says is 0 must be 0. What lies behind the last
//   frame of a file, and whole files that no checkpoint needs, are no part of the store.
// - A last frame that does not hold may have been torn by a power cut or damaged later: nothing tells
//   which, so it is named and not called a loss.

import type { Codecs } from '../../wasm/codecs.ts'
import { CHECKPOINT_FILES, type Checkpoint } from './checkpoint.ts'
import type { FileSystem } from './file-system.ts'
import type { Findings } from './findings.ts'
import { FRAME_HEADER_BYTES, FRAME_MAGIC, SECTOR_BYTES } from './journal.ts'
import { decodeEntries, type JournalEntry, UNKNOWN_ENTRY } from './journal-entry.ts'
import {
  CommitFrames,
  decodeJournalHeader,
  type JournalFrame,
  readFrames,
  readJournalBytes,
} from './journal-reader.ts'
import { goneText } from './recovery-report.ts'
import { type JournalHole, type Survey, type SurveyedJournal, surveyStore } from './store-survey.ts'

/** What a file header has; the rest of its sector is 0. */
const FILE_HEADER_BYTES = 24

export interface OffsetRange {
  from: number
  /** Behind the last. */
  to: number
}

export interface JournalContext {
  fs: FileSystem
  codecs: Codecs
  directory: string
  findings: Findings
  progress: (path: string, bytes: number) => void
}

export interface JournalFacts {
  checkpoint: Checkpoint | undefined
  state: Map<string, Buffer>
  /** By log id: what the journal holds, in its order, neighbours joined. */
  journaled: Map<number, OffsetRange[]>
  /** The next start takes in what the state does not know. */
  isRebuilt: boolean
}

/** Fault: STORE_MISMATCH when the store has a newer format. */
export async function checkJournal(context: JournalContext): Promise<JournalFacts> {
  const { codecs } = context
  const survey = await surveyStore({ ...context, kernel: codecs.kernel })
  checkCheckpoints(context, survey)
  const check = new JournalCheck(context, survey)
  await check.run()
  context.findings.totals.stateEntries = check.state.size
  const { state, journaled } = check
  const isRebuilt = survey.lost !== undefined
  return { checkpoint: survey.checkpoint?.content, state, journaled, isRebuilt }
}

function checkCheckpoints({ directory, findings, progress }: JournalContext, survey: Survey): void {
  const { checkpoint, badCheckpoints } = survey
  for (const { path, bytes } of badCheckpoints) {
    progress(path, bytes.length)
    // One copy may be torn by the crash that stopped the agent while it was written.
    if (checkpoint === undefined) findings.lost('checkpoint', path, 0, 'checkpoint does not hold')
    else findings.wrong('checkpoint', path, 0, 'checkpoint does not hold; the other copy does')
  }
  if (survey.lost === 'checkpoints' && badCheckpoints.length === 0) {
    const what =
      'no checkpoint is left, and the journal does not tell all: a start rebuilds the topics'
    findings.lost('checkpoint', directory, 0, `${what} from their directories; the rest is lost`)
  }
  if (checkpoint === undefined) return
  const { number } = checkpoint.content
  progress(checkpoint.path, checkpoint.bytes.length)
  const name = CHECKPOINT_FILES[number % 2]
  if (checkpoint.path !== `${directory}/${name}`) {
    findings.wrong('checkpoint', checkpoint.path, 0, `checkpoint ${number} belongs into ${name}`)
  }
}

class JournalCheck {
  readonly state = new Map<string, Buffer>()
  readonly journaled = new Map<number, OffsetRange[]>()
  readonly #context: JournalContext
  readonly #survey: Survey
  readonly #commit = new CommitFrames()
  /** Where the frames of a file end. */
  readonly #ends = new Map<string, number>()

  constructor(context: JournalContext, survey: Survey) {
    this.#context = context
    this.#survey = survey
  }

  async run(): Promise<void> {
    const { directory, findings } = this.#context
    const { checkpoint, journals, files, holes, isJournalGone } = this.#survey
    for (const [key, value] of checkpoint?.content.state ?? []) this.state.set(key, value)
    for (const { path } of files) {
      if (!journals.some((journal) => journal.path === path)) await this.#unneeded(path)
    }
    for (const journal of journals) await this.#journal(journal)
    for (const hole of holes) this.#hole(hole)
    if (isJournalGone) findings.wrong('journal', directory, 0, goneText(this.#survey))
  }

  #hole({ from, to, file, position }: JournalHole): void {
    const { directory, findings } = this.#context
    const frames = to === undefined ? `frames from ${from} on` : `frames ${from} to ${to}`
    const before = this.#survey.journals.find(({ lastWhole }) => lastWhole === from - 1)
    if (file !== undefined) findings.lost('journal', file, position, `rot: ${frames} do not hold`)
    else if (before === undefined) {
      findings.lost('journal', directory, 0, `journal: ${frames} are nowhere`)
    } else {
      const end = this.#ends.get(before.path) ?? 0
      findings.lost('journal', before.path, end, `${frames} should follow, and are nowhere`)
    }
  }

  async #unneeded(path: string): Promise<void> {
    const { fs, codecs, findings } = this.#context
    const bytes = await readJournalBytes(fs, path)
    const { kind } = decodeJournalHeader(codecs.kernel, bytes.subarray(0, SECTOR_BYTES))
    if (kind !== 'corrupt') return
    findings.note('journal', path, 0, 'header does not hold; nothing in the file is needed')
  }

  async #journal({ path, header, isHeaderLost, floor }: SurveyedJournal): Promise<void> {
    const { fs, codecs, findings, progress } = this.#context
    const bytes = await readJournalBytes(fs, path)
    if (isHeaderLost)
      findings.wrong('journal', path, 0, 'header does not hold; learnt from its frames')
    else this.#expectZeros(path, bytes, FILE_HEADER_BYTES, SECTOR_BYTES)
    let previousCrc = header.crc
    for (const outcome of readFrames(codecs.kernel, bytes, header, { floor })) {
      if (outcome.kind === 'rot') this.#commit.drop()
      if (outcome.kind === 'end') {
        this.#ends.set(path, outcome.position)
        const what = 'a write that did not get there, or was damaged since'
        if (isBegun(bytes, outcome.position, header.salt, previousCrc)) {
          findings.wrong('journal', path, outcome.position, what)
        }
      }
      if (outcome.kind !== 'frame') continue
      previousCrc = outcome.frame.crc
      this.#frame(path, bytes, outcome.frame)
    }
    progress(path, bytes.length)
  }

  #frame(path: string, bytes: Buffer, frame: JournalFrame): void {
    const { findings } = this.#context
    findings.totals.journalFrames++
    const { position, size, sequence, more, payload } = frame
    const stored = bytes.readUInt32BE(position + 24)
    const from = position + FRAME_HEADER_BYTES + stored
    this.#expectZeros(path, bytes, from, position + size)
    const entries = decodeEntries(payload)
    if (entries === undefined) findings.hopeless('journal', path, position, UNKNOWN_ENTRY)
    else this.#commit.add(sequence, entries)
    if (more) return
    for (const entry of this.#commit.take()) this.#replay(entry)
  }

  #expectZeros(path: string, bytes: Buffer, from: number, to: number): void {
    for (let position = from; position < to; position++) {
      if (bytes[position] === 0) continue
      this.#context.findings.wrong('journal', path, position, 'not 0, where nothing was written')
      return
    }
  }

  #replay(entry: JournalEntry): void {
    if (entry.kind === 'put') this.state.set(entry.key, entry.value)
    else if (entry.kind === 'delete') this.state.delete(entry.key)
    else if (entry.kind === 'records') {
      const from = entry.tailBase + entry.firstDelta
      this.#cover(entry.logId, { from, to: from + entry.count })
    } else {
      const from = entry.baseOffset
      this.#cover(entry.logId, { from, to: from + entry.bytes.readInt32BE(23) + 1 })
    }
  }

  #cover(logId: number, range: OffsetRange): void {
    const ranges = this.journaled.get(logId) ?? []
    this.journaled.set(logId, ranges)
    const last = ranges.at(-1)
    if (last !== undefined && last.to === range.from) last.to = range.to
    else ranges.push(range)
  }
}

/** Two of the three things that a frame of this chain begins with are there. */
function isBegun(bytes: Buffer, position: number, salt: number, previousCrc: number): boolean {
  if (position + FRAME_HEADER_BYTES > bytes.length) return false
  const signs = [
    bytes.readUInt32BE(position) === FRAME_MAGIC,
    bytes.readUInt32BE(position + 8) === previousCrc,
    bytes.readUInt32BE(position + 12) === salt,
  ]
  return signs.filter(Boolean).length >= 2
}
