// Group commit: everything appended since the last one becomes durable with one journal write for
// all partitions; then high watermarks move and the listeners (acks) run.
//
// - One commit is in flight at a time. `openCommit` is the number of the next one: what is appended
//   or put in state now is durable when `durableCommit` has reached it.
// - A commit starts at once when none is in flight: whatever comes meanwhile shares the next one, so
//   a slow disk makes larger commits by itself. The pacer may hold it back for a moment.
// - What a commit holds is fixed in one turn, before anything is awaited: what is appended while it is
//   written belongs to the next one, with its state.
// - A commit larger than a frame takes several; recovery applies all of them or none.
// - When the journal fails even in a fresh file, nothing is acked until it takes frames again; a log
//   that is new or ends does not wait for that: `failure` stays set.
// - A listener that throws is a bug, and ends the process: it says nothing about the journal.

import { SCRATCH } from '../../wasm/assembly/limits.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { AgentError, isBug } from '../base/errors.ts'
import type { Histogram } from '../base/telemetry.ts'
import { CommitPacer } from './commit-pacer.ts'
import type { Journal } from './journal.ts'
import {
  BATCH_HEADER_BYTES,
  RECORDS_HEADER_BYTES,
  stateEntryBytes,
  writeBatchHeader,
  writeRecordsHeader,
  writeStateEntry,
} from './journal-entry.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Tail } from './tail.ts'

/** Appends wait for the next commit above this, so that a commit fits one frame as a rule. */
export const OPEN_BYTES_MAX = 1_179_648
const RETRY_MS = 1000

export interface CommitterOptions {
  kernel: Kernel
  clock: Clock
  /** Appends wait for the next commit above this: OPEN_BYTES_MAX, or less for a small journal. */
  openBytesMax: number
  /** Entries go to another frame above this. */
  frameBytesMax: number
  /** Least time between the beginnings of two commits; auto: what the pacer finds. */
  commitIntervalMs: number | 'auto'
  duration: Histogram
  /** Called when the journal file is full: starts the next generation, or waits until it can. */
  roll: () => Promise<void>
  /** The state has just been handed to the first commit of a generation. */
  rolled: (commit: number) => void
  /** After every commit, once high watermarks have moved and before the listeners run. */
  committed: (partitions: readonly PartitionLog[]) => void
  /** The journal gave up a file that could not be written: what it holds must go to segments. */
  abandoned: () => void
  /** The journal takes nothing, for now. */
  troubled: (trouble: string) => void
  failed: (failure: AgentError) => void
}

interface Waiter {
  commit: number
  resolve: () => void
  reject: (error: AgentError) => void
}

export class Committer {
  readonly #options: CommitterOptions
  #journal: Journal | undefined
  #dirty: PartitionLog[] = []
  #state: [key: string, value: Buffer | undefined][] = []
  #stateBytes = 0
  readonly #riding = new Map<string, Buffer | undefined>()
  readonly #listeners = new Set<(durableCommit: number) => void>()
  #waiters: Waiter[] = []
  readonly #pacer: CommitPacer
  #running = false
  #hasWork = false
  #carryPending = false
  openCommit = 1
  durableCommit = 0
  /** Record and state bytes waiting for the next commit. */
  openBytes = 0
  failure: AgentError | undefined
  /** Why nothing is acked at the moment. */
  trouble: string | undefined
  /** What the journal does not take is tried again; a first start or an end does not wait for that. */
  isPatient = false

  constructor(options: CommitterOptions) {
    this.#options = options
    this.#pacer = new CommitPacer(options.clock, options.commitIntervalMs)
  }

  /** How long the journal write in flight has taken, milliseconds; 0 when none is. */
  get writingMs(): number {
    const isWriting = this.openCommit - this.durableCommit > 1
    return isWriting ? this.#pacer.sinceBegin : 0
  }

  start(journal: Journal): void {
    this.#journal = journal
  }

  hasRoomFor(bytes: number): boolean {
    if (this.failure !== undefined) return false
    // One entry larger than the limit has a commit of its own: it must not be refused for ever.
    return this.openBytes === 0 || this.openBytes + bytes <= this.#options.openBytesMax
  }

  /** Records of `partition` are in its tails and not yet in a commit. */
  appended(partition: PartitionLog, bytes: number): void {
    this.openBytes += bytes
    this.#pacer.add()
    if (!partition.dirty) {
      partition.dirty = true
      this.#dirty.push(partition)
    }
    if (!this.#hasWork) this.request()
  }

  stateChanged(key: string, value: Buffer | undefined, ride: boolean): void {
    if (ride) {
      this.#riding.set(key, value)
      return
    }
    // A riding change of the same key is older: it must not overwrite this one.
    this.#riding.delete(key)
    this.#state.push([key, value])
    const bytes = stateEntryBytes(key, value)
    this.#stateBytes += bytes
    this.openBytes += bytes
    this.#pacer.add()
    if (!this.#hasWork) this.request()
  }

  /** Journals this partition's small tails again in the next commit, for a new generation. */
  carry(partition: PartitionLog): void {
    if (partition.dirty) return
    partition.dirty = true
    this.#dirty.push(partition)
  }

  /** A commit starts soon even if there is nothing but riding state. */
  request(): void {
    this.#hasWork = true
    if (this.#running || this.#journal === undefined || this.failure !== undefined) return
    this.#running = true
    this.#options.clock.soon(() => {
      this.#run().catch((error) => {
        // Faults of the disk have a code. Anything else is a bug, which must not look like one.
        if (!isBug(error)) return this.#giveUp(error)
        this.#options.clock.soon(() => {
          throw error
        })
      })
    })
  }

  onCommit(listener: (durableCommit: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves when commit `commit` is on disk; rejects when it never will be. */
  durable(commit: number): Promise<void> {
    if (commit <= this.durableCommit) return Promise.resolve()
    if (this.failure !== undefined) return Promise.reject(this.failure)
    return new Promise((resolve, reject) => this.#waiters.push({ commit, resolve, reject }))
  }

  /** The journal took nothing: true when it may be tried again, after a while. */
  async again(error: unknown): Promise<boolean> {
    const { clock, troubled } = this.#options
    const mayWait = () => this.isPatient && this.failure === undefined
    if (!mayWait()) return false
    const isNew = this.trouble === undefined
    this.trouble = `the journal cannot be written (${String(error)}): nothing is acked until it can`
    if (isNew) troubled(this.trouble)
    await sleep(clock, RETRY_MS)
    return mayWait()
  }

  /** Ends all waiting; nothing is committed after it. */
  close(error: AgentError): void {
    this.failure ??= error
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.failure)
  }

  /** Nothing is acked from now on: only a restart helps. */
  fail(failure: AgentError): void {
    if (this.failure !== undefined) return
    this.close(failure)
    this.#options.failed(failure)
  }

  /** The next commit is the first of a generation. */
  expectCarry(): void {
    this.#carryPending = true
    this.request()
  }

  async #run(): Promise<void> {
    while (this.#hasWork && this.failure === undefined) {
      const pause = this.#pacer.wait()
      if (pause !== undefined) {
        await pause
        // Closed meanwhile.
        if (this.failure !== undefined) break
      }
      const journal = this.#journal
      assert(journal !== undefined, 'a commit runs on an open journal')
      // One that is larger than a whole file makes that file longer.
      if (!journal.hasRoomFor(this.#pendingBytes())) await this.#options.roll()
      this.#pacer.begin()
      await this.#commit(journal)
    }
    this.#running = false
  }

  /** Payload bytes of the next commit if it began now. */
  #pendingBytes(): number {
    let bytes = this.#stateBytes
    for (const [key, value] of this.#riding) bytes += stateEntryBytes(key, value)
    for (const { tails } of this.#dirty) for (const tail of tails) bytes += pendingBytes(tail)
    return bytes
  }

  async #commit(journal: Journal): Promise<void> {
    const { clock } = this.#options
    const number = this.openCommit++
    const state = this.#state
    const partitions = this.#dirty
    this.#state = []
    this.#stateBytes = 0
    this.#dirty = []
    this.openBytes = 0
    this.#hasWork = false
    for (const entry of this.#riding) state.push(entry)
    this.#riding.clear()
    if (this.#carryPending) {
      this.#carryPending = false
      this.#options.rolled(number)
    }
    const time = clock.now()
    const { generation } = journal
    const frames = this.#encode(state, partitions)
    await this.#write(journal, frames, time)
    this.trouble = undefined
    this.#options.duration.observe(this.#pacer.end() / 1000)
    this.#announce(number, partitions, time)
    if (journal.generation !== generation) this.#options.abandoned()
  }

  /** A commit is on the disk: what follows from it cannot undo that, so it must not throw. */
  #announce(number: number, partitions: readonly PartitionLog[], time: number): void {
    try {
      for (const partition of partitions) partition.markDurable(time)
      this.durableCommit = number
      this.#options.committed(partitions)
      for (const listener of this.#listeners) listener(number)
    } catch (cause) {
      const message = `broken invariant: what follows a commit never throws (${String(cause)})`
      throw new Error(message, { cause })
    }
    this.#settle(number)
  }

  /** Puts all entries behind each other in the scratch window; the frames when it takes several. */
  #encode(
    state: readonly [key: string, value: Buffer | undefined][],
    partitions: readonly PartitionLog[],
  ): number | Buffer[] {
    const { kernel, frameBytesMax } = this.#options
    const frames: Buffer[] = []
    let position = SCRATCH
    const cut = () => {
      frames.push(Buffer.from(kernel.u8.subarray(SCRATCH, position)))
      position = SCRATCH
    }
    const makeRoom = (bytes: number) => {
      if (position > SCRATCH && position + bytes > SCRATCH + frameBytesMax) cut()
    }
    for (const [key, value] of state) {
      makeRoom(stateEntryBytes(key, value))
      position = writeStateEntry(kernel.buffer, position, key, value)
    }
    for (const partition of partitions) {
      partition.dirty = false
      for (const tail of partition.tails) {
        const bytes = pendingBytes(tail)
        if (bytes === 0) continue
        makeRoom(bytes)
        position = writeTail(kernel, position, partition.logId, tail)
      }
      partition.committingOffset = partition.logEndOffset
    }
    if (frames.length === 0) return position - SCRATCH
    cut()
    return frames
  }

  async #write(journal: Journal, frames: number | Buffer[], time: number): Promise<void> {
    if (typeof frames === 'number') return journal.append(SCRATCH, frames, time, false)
    for (const [index, frame] of frames.entries()) {
      this.#options.kernel.u8.set(frame, SCRATCH)
      await journal.append(SCRATCH, frame.length, time, index < frames.length - 1)
    }
  }

  #settle(number: number): void {
    if (this.#waiters.length === 0) return
    const left: Waiter[] = []
    for (const waiter of this.#waiters) {
      if (waiter.commit <= number) waiter.resolve()
      else left.push(waiter)
    }
    this.#waiters = left
  }

  #giveUp(cause: unknown): void {
    const message = `the journal cannot be written (${String(cause)}): nothing is acked until a restart`
    this.#running = false
    this.fail(new AgentError('STORAGE_IO', message, { cause }))
  }
}

function pendingBytes(tail: Tail): number {
  if (tail.kind === 'batch') return tail.journaled ? 0 : BATCH_HEADER_BYTES + tail.bytes.length
  return tail.journaledCount === tail.count
    ? 0
    : RECORDS_HEADER_BYTES + tail.length - tail.journaledLength
}

function writeTail(kernel: Kernel, position: number, logId: number, tail: Tail): number {
  if (tail.kind === 'batch') {
    const length = tail.bytes.length
    const start = writeBatchHeader(kernel.view, position, logId, tail.baseOffset, length)
    kernel.u8.set(tail.bytes, start)
    tail.markJournaled()
    return start + length
  }
  const length = tail.length - tail.journaledLength
  const start = writeRecordsHeader(
    kernel.view,
    position,
    {
      logId,
      tailBase: tail.baseOffset,
      baseTimestamp: tail.baseTimestamp,
      maxTimestamp: tail.maxTimestamp,
      firstDelta: tail.journaledCount,
      count: tail.count - tail.journaledCount,
    },
    length,
  )
  const source = tail.slot + tail.journaledLength
  kernel.u8.copyWithin(start, source, source + length)
  tail.markJournaled()
  return start + length
}
