// What journal files say, without a log to apply it to: the state after them, and which offsets of
// which partition they hold.

import type { Kernel } from '../../wasm/kernel.ts'
import type { FileSystem } from './file-system.ts'
import type { JournalEntry } from './journal-entry.ts'
import { CommitFrames, readFrames, readJournalBytes } from './journal-reader.ts'
import { entriesOf } from './replay.ts'
import type { JournalHole, SurveyedJournal } from './store-survey.ts'
import type { TopicRecord } from './topic.ts'

/** `to` is the offset behind the last one. */
export interface OffsetRun {
  from: number
  to: number
}

const TOPIC = 'topic/'

export class JournalDigest {
  readonly state: Map<string, Buffer>
  /** Topics that are gone at the end: name → one with a higher log id may have been made after it. */
  readonly deleted = new Map<string, number>()
  lastLogId = 0
  /** Of the first frame. */
  firstTime: number | undefined
  readonly #fs: FileSystem
  readonly #kernel: Kernel
  readonly #commit = new CommitFrames()
  /** Sequences of the frames behind a hole. */
  readonly #behindHoles: ReadonlySet<number>
  /** By log id; ascending, neighbours joined. */
  readonly #runs = new Map<number, OffsetRun[]>()

  constructor(
    { fs, kernel }: { fs: FileSystem; kernel: Kernel },
    state: Iterable<[key: string, value: Buffer]>,
    holes: readonly JournalHole[],
  ) {
    this.#fs = fs
    this.#kernel = kernel
    this.state = new Map(state)
    this.#behindHoles = new Set(holes.map(({ to = Number.POSITIVE_INFINITY }) => to + 1))
    for (const [key, value] of this.state) this.#see(key, value)
  }

  /** Offsets that records are there for. */
  runs(logId: number): readonly OffsetRun[] {
    return this.#runs.get(logId) ?? []
  }

  async read({ path, header, floor }: SurveyedJournal): Promise<void> {
    const bytes = await readJournalBytes(this.#fs, path)
    for (const outcome of readFrames(this.#kernel, bytes, header, { floor })) {
      if (outcome.kind === 'rot') this.#commit.drop()
      if (outcome.kind !== 'frame') continue
      const { frame } = outcome
      this.firstTime ??= frame.time
      if (this.#behindHoles.has(frame.sequence)) this.#hole()
      this.#commit.add(frame.sequence, entriesOf(path, frame))
      if (frame.more) continue
      for (const entry of this.#commit.take()) this.#apply(entry)
    }
  }

  /** Topics whose deletion is told by something else. */
  forget(isGone: (record: TopicRecord) => boolean): void {
    for (const [key, value] of this.state) {
      if (!key.startsWith(TOPIC)) continue
      const record = JSON.parse(value.toString()) as TopicRecord
      if (!isGone(record)) continue
      this.state.delete(key)
      this.deleted.set(key.slice(TOPIC.length), record.logIds[0]!)
    }
  }

  /** What is missing may have made a topic again. */
  #hole(): void {
    for (const [topic, logId] of this.deleted) {
      if (logId === Number.POSITIVE_INFINITY) this.deleted.set(topic, this.lastLogId)
    }
  }

  #apply(entry: JournalEntry): void {
    switch (entry.kind) {
      case 'put':
        this.state.set(entry.key, entry.value)
        this.#see(entry.key, entry.value)
        break
      case 'delete':
        if (entry.key.startsWith(TOPIC)) {
          this.deleted.set(entry.key.slice(TOPIC.length), Number.POSITIVE_INFINITY)
        }
        this.state.delete(entry.key)
        break
      case 'records': {
        const from = entry.tailBase + entry.firstDelta
        this.#cover(entry.logId, { from, to: from + entry.count })
        break
      }
      case 'batch': {
        const from = entry.baseOffset
        this.#cover(entry.logId, { from, to: from + entry.bytes.readInt32BE(23) + 1 })
      }
    }
  }

  #see(key: string, value: Buffer): void {
    if (key === 'store/next-log-id') {
      this.lastLogId = Math.max(this.lastLogId, Number(value.toString()) - 1)
    }
    if (!key.startsWith(TOPIC)) return
    this.deleted.delete(key.slice(TOPIC.length))
    const { logIds } = JSON.parse(value.toString()) as TopicRecord
    this.lastLogId = Math.max(this.lastLogId, ...logIds)
  }

  #cover(logId: number, { from, to }: OffsetRun): void {
    this.lastLogId = Math.max(this.lastLogId, logId)
    const runs = this.#runs.get(logId) ?? []
    this.#runs.set(logId, runs)
    const last = runs.at(-1)
    // A tail that is carried over to the next file is there twice.
    if (last === undefined || from > last.to) runs.push({ from, to })
    else if (from >= last.from) last.to = Math.max(last.to, to)
    else runs.push({ from, to })
  }
}
