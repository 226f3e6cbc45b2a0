// Releases journal files: when a generation is full, what only it holds goes to segments (large
// tails) or into the next generation (small ones), then a checkpoint says where replay begins.
//
//   roll → first commit of the new generation (carried tails, state snapshot) → frozen tails sealed
//        → segment data synced, one file at a time → their directories → checkpoint → old file free
//
// - The state in a checkpoint is the one of that first commit: nothing in it is not yet durable.
// - A partition whose segments take nothing, though there is room, holds up no other: its tails are
//   journaled again in every generation, up to half a file of them; above that it is waited for, with
//   as many journal files as there may be.
// - A checkpoint that fails (full disk) is tried again; meanwhile commits go on until the journal
//   is full, and then wait.
// - A segment whose sync fails is written anew, out of the journal where need be. While that fails, too,
//   for one partition, there is no checkpoint for any: what it sealed is in no tail to be carried.
// - What a start found in a damaged journal and nowhere else is put back first: no checkpoint otherwise.
// - What is deleted or made hollow must not come back out of the journal at the next start, which
//   believes segments up to the recovery offset only: `secure` raises it and releases nothing.

import type { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { AgentError, isBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import {
  type Checkpoint,
  checkpointPath,
  emptyCheckpoint,
  type PartitionMark,
  writeCheckpoint,
} from './checkpoint.ts'
import type { Committer } from './committer.ts'
import type { FileSystem } from './file-system.ts'
import type { Journal } from './journal.ts'
import type { OffsetRun } from './journal-digest.ts'
import { type JournaledBatch, journaledBatches } from './journal-records.ts'
import type { PartitionLog } from './partition-log.ts'
import type { MetadataFiles } from './partition-metadata.ts'
import type { Recovered } from './recovery.ts'
import type { StateStore } from './state-store.ts'

export interface CheckpointerOptions {
  fs: FileSystem
  directory: string
  codecs: Codecs
  committer: Committer
  journal: Journal
  state: StateStore
  metadata: MetadataFiles
  partitions: () => Iterable<PartitionLog>
  clock: Clock
  logger: Logger
  /** Tails up to this size are journaled again instead of sealed; and all of them together. */
  carry: {
    tailBytesMax: number
    totalBytesMax: number
    /** Of partitions whose segments take nothing: they are journaled again, whatever their size. */
    stuckBytesMax: number
  }
}

/** What has to happen before the generations below `generation` are free. */
interface Release {
  generation: number
  sequence: number
  /** Nothing of that generation is written yet. */
  isClean: boolean
  commit: number
  state: [string, Buffer][]
  sealTargets: { partition: PartitionLog; offset: number }[]
}

/** Where replay begins, and the state there. */
type Base = Pick<Checkpoint, 'generation' | 'sequence' | 'state'>

const RETRY_MS = 1000

export class Checkpointer {
  readonly #options: CheckpointerOptions
  #number: number
  #oldestNeeded: number
  /** What the last checkpoint on the disk says; undefined before there is one. */
  #last: Base | undefined
  readonly #recoveryOffsets = new Map<number, number>()
  #writing: Promise<unknown> = Promise.resolve()
  #reading: Promise<unknown> = Promise.resolve()
  /** Made when the journal is read for the first time. */
  #readingKernel: Kernel | undefined
  #isFinal = false
  #sealTargets: Release['sealTargets'] = []
  #wanted: Release | undefined
  /** Of those that were wanted before, the last whose commit is durable: the newest may wait for a file. */
  #possible: Release | undefined
  #running: Promise<void> | undefined
  /** The release under way waits for segments that take nothing: the next generation is the way out. */
  #isHeldUp = false
  #isEnding = false
  /** Of the trouble. */
  #cause: unknown
  /** Why no checkpoint can be written at the moment. */
  trouble: string | undefined

  constructor(options: CheckpointerOptions, last: Recovered['checkpoint']) {
    this.#options = options
    this.#number = last.number
    this.#oldestNeeded = last.generation
    this.#last = last.content
    for (const { logId, recoveryOffset } of last.content?.partitions ?? []) {
      this.#recoveryOffsets.set(logId, recoveryOffset)
    }
    options.journal.oldestNeeded = last.generation
  }

  /** Starts a new journal generation, waiting for the checkpoint that frees a file if need be. */
  async roll(): Promise<void> {
    const { journal, committer } = this.#options
    for (;;) {
      // Without a checkpoint on its way (after a file was given up) nothing will free one.
      const isReleasing = this.#running !== undefined
      const mayAdd = !isReleasing || this.#isHeldUp
      const isRolled = await this.#attempt('no journal file can be begun', () =>
        journal.roll(this.#oldestNeeded, mayAdd),
      )
      if (isRolled === true) break
      // A first start does not wait: whoever started it is told.
      if (isRolled === undefined && !this.#isEnding && !committer.isPatient) throw this.#cause
      if (isRolled === undefined && this.#isEnding) {
        throw new AgentError('CLOSED', this.trouble!, { cause: this.#cause })
      }
      if (isRolled === undefined) continue
      if (!isReleasing) throw new AgentError('STORAGE_IO', 'the journal has no file left')
      await Promise.race([this.#running, sleep(this.#options.clock, RETRY_MS)])
      if (this.#isHeldUp && this.#isEnding) throw new AgentError('CLOSED', 'the log is closed')
    }
    this.#carryOrFreeze()
    committer.expectCarry()
  }

  /** Releases the generations before the one that goes on, if there are any. */
  resume(): void {
    const { journal, committer } = this.#options
    if (journal.generation <= this.#oldestNeeded) return
    this.#freezeAll()
    committer.expectCarry()
  }

  /**
   * The same for a start whose first commit may want a file that only a checkpoint frees: it waits in
   * `roll`, and its state need not be waited for. All that was read is durable while nothing is appended.
   */
  releaseRead(): void {
    const { journal, state } = this.#options
    const next = journal.isBegun
      ? { generation: journal.generation, sequence: journal.firstSequence, isClean: false }
      : { generation: journal.generation + 1, sequence: journal.nextSequence, isClean: true }
    if (next.generation <= this.#oldestNeeded) return
    this.#freezeAll()
    const sealTargets = this.#sealTargets
    this.#sealTargets = []
    this.#wanted = { ...next, commit: 0, state: [...state.entries()], sealTargets }
    this.#running ??= this.#run()
  }

  /** The committer hands the first commit of a generation over: the state now is the snapshot. */
  rolled(commit: number): void {
    const { journal, state } = this.#options
    const sealTargets = this.#sealTargets
    this.#sealTargets = []
    const snapshot = [...state.entries()]
    const { generation, firstSequence: sequence } = journal
    if (this.#isDurable(this.#wanted)) this.#possible = this.#wanted
    this.#wanted = { generation, sequence, isClean: false, commit, state: snapshot, sealTargets }
    this.#running ??= this.#run()
  }

  /**
   * Seals everything that recovery has found and writes checkpoints that need no journal, before there
   * are appends. False when the disk does not let it: the journal goes on as it is, unless the checkpoint
   * is needed. Rejects when nobody knows whether such a checkpoint is on the disk: frames that it does
   * not know of would be lost.
   */
  async settle({
    copies,
    lastSequence,
    isNeeded,
  }: NonNullable<Recovered['repair']>): Promise<boolean> {
    const { fs, directory, journal, state, partitions, logger } = this.#options
    const sequence = Math.max(lastSequence + 1, journal.nextSequence)
    const next = { generation: journal.generation + 1, sequence, isClean: true }
    for (let written = 0; written < copies; written++) {
      let isSealed = written > 0
      try {
        for (const partition of partitions()) await partition.seal()
        // Refused here, nothing was written over the older copy.
        for (const partition of partitions()) await partition.putBack()
        isSealed = true
        await this.#write(() => ({ ...next, state: [...state.entries()] }))
      } catch (error) {
        // Faults of the disk have a code; anything else is a bug.
        if (isBug(error)) throw error
        if (isSealed) await emptyCheckpoint(fs, checkpointPath(directory, this.#number + 1))
        // One copy is enough: there is no other that contradicts it.
        if (written > 0) break
        const refusal = `no checkpoint after the damage: ${String(error)}`
        if (isNeeded) {
          const message = `the journal cannot be written again, and ${refusal}; make room, or use another disk`
          throw new AgentError('STORAGE_IO', message, { retriable: true, cause: error })
        }
        logger.warn(refusal)
        return false
      }
    }
    journal.goOnWith(sequence)
    return true
  }

  /** The next start takes what is below `offset` from segments, whatever the journal has. */
  async secure({ logId }: { readonly logId: number }, offset: number): Promise<void> {
    const isSecured = () => (this.#recoveryOffsets.get(logId) ?? 0) >= offset
    if (isSecured()) return
    // Before its first frame a generation is none that a checkpoint could name.
    await this.#options.committer.durable(1)
    await this.#write(() => {
      if (isSecured()) return undefined
      if (this.#last !== undefined && !this.#isFinal) return { ...this.#last, isClean: false }
      throw new AgentError('STORAGE_IO', 'no checkpoint can be written now', { retriable: true })
    })
  }

  /**
   * What the journal has of offsets above the recovery offset, where a start would take it from there.
   * Below nothing is asked for: it may be given up. One after the other: each takes much memory.
   */
  journaled(
    { logId }: { readonly logId: number },
    ranges: readonly OffsetRun[],
  ): Promise<JournaledBatch[]> {
    const batches = this.#reading.then(() => {
      const { fs, codecs, journal } = this.#options
      const recoveryOffset = this.#recoveryOffsets.get(logId) ?? 0
      const above = ranges
        .map(({ from, to }) => ({ from: Math.max(from, recoveryOffset), to }))
        .filter(({ from, to }) => from < to)
      if (above.length === 0) return []
      this.#readingKernel ??= new Kernel()
      const parts = { fs, kernel: this.#readingKernel, codecs, files: journal.neededFiles }
      return journaledBatches(parts, logId, above)
    })
    this.#reading = batches.catch(() => {})
    return batches
  }

  /** Seals everything, syncs and writes a checkpoint; for a clean shutdown, with no appends left. */
  async final(): Promise<void> {
    await this.#running
    const { journal, state, partitions, committer } = this.#options
    for (const partition of partitions()) await partition.seal()
    // State that changes while the checkpoint is written would not be in it: nobody may be told any
    // more that a change is durable.
    committer.close(new AgentError('CLOSED', 'the log is closed'))
    // Nothing of this generation is needed either: replay begins with the next one.
    const next = { generation: journal.generation + 1, sequence: journal.nextSequence }
    await this.#write(() => {
      this.#isFinal = true
      return { ...next, isClean: true, state: [...state.entries()] }
    }, true)
  }

  /** From now on nothing that fails is tried again. */
  end(): void {
    this.#isEnding = true
  }

  close(): Promise<void> {
    this.#isEnding = true
    return this.#running ?? Promise.resolve()
  }

  /** Frames that follow may need tails of generations that go: those must be in segments first. */
  #freezeAll(): void {
    this.#sealTargets = []
    for (const partition of this.#options.partitions()) {
      partition.freeze()
      this.#sealTargets.push({ partition, offset: partition.logEndOffset })
    }
  }

  #carryOrFreeze(): void {
    const { partitions, committer, carry } = this.#options
    let total = 0
    let stuckTotal = 0
    // The smallest first: each that is carried saves a segment a write and a sync.
    const bySize = [...partitions()].sort((a, b) => a.tailBytes - b.tailBytes)
    for (const partition of bySize) {
      const [tail, ...more] = partition.tails
      if (tail === undefined) continue
      const isSmall =
        tail.length <= carry.tailBytesMax && total + tail.length <= carry.totalBytesMax
      if (more.length === 0 && tail.kind === 'records' && !tail.frozen && isSmall) {
        tail.carry()
        committer.carry(partition)
        total += tail.length
        continue
      }
      const { isStuck, tailBytes } = partition
      if (isStuck && stuckTotal + tailBytes <= carry.stuckBytesMax) {
        for (const each of partition.tails) each.carry()
        committer.carry(partition)
        stuckTotal += tailBytes
        continue
      }
      partition.freeze()
      this.#sealTargets.push({ partition, offset: partition.logEndOffset })
    }
  }

  async #run(): Promise<void> {
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      await this.#release(next)
    }
    this.#running = undefined
  }

  /** The newest whose commit is durable; without any the one that waits for it. */
  #next(): Release | undefined {
    const possible = this.#possible
    this.#possible = undefined
    if (possible !== undefined && !this.#isDurable(this.#wanted)) return possible
    const wanted = this.#wanted
    this.#wanted = undefined
    return wanted
  }

  #isDurable(release: Release | undefined): boolean {
    return release !== undefined && release.commit <= this.#options.committer.durableCommit
  }

  async #release(release: Release): Promise<void> {
    const { committer } = this.#options
    try {
      await committer.durable(release.commit)
    } catch {
      // The log has failed or closed: there is nothing to release any more.
      return
    }
    for (const target of release.sealTargets) if (!(await this.#isSealed(target))) return
    for (;;) {
      const isWritten = await this.#attempt('no checkpoint can be written', async () => {
        // The last checkpoint of a log releases everything.
        await this.#write(() => (this.#isFinal ? undefined : release), true)
        return true
      })
      if (isWritten === true || this.#isEnding || committer.failure !== undefined) return
    }
  }

  /** False: that release is nothing any more. */
  async #isSealed({ partition, offset }: Release['sealTargets'][number]): Promise<boolean> {
    let isOver = false
    let wake = () => {}
    const end = () => {
      isOver = true
      wake()
    }
    partition.sealed(offset).then(end, end)
    partition.onSealRefused = () => wake()
    try {
      while (!isOver) {
        // A later generation carries what cannot be sealed, and its release frees these files, too.
        this.#isHeldUp = partition.isStuck
        const hasLater = this.#possible !== undefined || this.#isDurable(this.#wanted)
        if (partition.isStuck && hasLater) return false
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      this.#isHeldUp = false
      partition.onSealRefused = undefined
    }
    if (this.#options.committer.failure !== undefined) return false
    // A partition that was deleted meanwhile has nothing to wait for.
    return partition.isDiscarded || partition.sealedOffset >= offset
  }

  /** Undefined: the disk refused, some time has passed and it may be tried again. */
  async #attempt<T>(what: string, work: () => Promise<T>): Promise<T | undefined> {
    const { clock, logger } = this.#options
    try {
      const result = await work()
      this.trouble = undefined
      return result
    } catch (error) {
      // Faults of the disk have a code; anything else is a bug.
      if (isBug(error)) throw error
      const reason = `${what}: ${String(error)}`
      if (this.trouble === undefined) logger.error(reason)
      this.trouble = reason
      this.#cause = error
      if (!this.#isEnding) await sleep(clock, RETRY_MS)
      return undefined
    }
  }

  /** One after the other; `nextOf` is asked when its turn has come, undefined: nothing to write. */
  #write(
    nextOf: () => (Base & Pick<Checkpoint, 'isClean'>) | undefined,
    isTwice = false,
  ): Promise<void> {
    const written = this.#writing.then(async () => {
      const next = nextOf()
      if (next !== undefined) await this.#writeNow(next, isTwice)
    })
    this.#writing = written.catch(() => {})
    return written
  }

  /**
   * Before any journal space is used again: the predecessor of a checkpoint needs a generation that is
   * gone then, and would be of little help when the checkpoint rots.
   */
  async #writeTwin(content: Omit<Checkpoint, 'number'>): Promise<void> {
    const { fs, directory, codecs, logger } = this.#options
    try {
      await writeCheckpoint(fs, directory, { number: this.#number + 1, ...content }, codecs)
      this.#number++
    } catch (error) {
      if (isBug(error)) throw error
      // One is enough as long as it holds.
      logger.warn(`no second copy of the checkpoint: ${String(error)}`)
    }
  }

  /**
   * What a segment had not synced is gone, and not all of it came back from the journal: no checkpoint
   * may say that it is there. Only a start may take what is left of it, and tell what is not.
   */
  #unlessLost(error: unknown): never {
    // What the disk may give the next time is not lost.
    if (error instanceof AgentError && error.code === 'CORRUPT_STORE' && !error.retriable) {
      const message = `a sync failed, and what it was for does not read back (${String(error)})`
      const way = 'start again: what the journal has comes back from there, what it lacks is told'
      this.#options.committer.fail(
        new AgentError('STORAGE_IO', `${message}; ${way}`, { cause: error }),
      )
    }
    throw error
  }

  async #writeNow(next: Base & Pick<Checkpoint, 'isClean'>, isTwice: boolean): Promise<void> {
    const { fs, directory, codecs, partitions, clock } = this.#options
    assert(next.generation >= this.#oldestNeeded, 'checkpoints go forward')
    for (const partition of [...partitions()]) await partition.putBack()
    await this.#options.metadata.update(partitions(), next.state)
    const marks: PartitionMark[] = []
    for (const partition of [...partitions()]) {
      const synced = await partition.segments.sync().catch((error) => this.#unlessLost(error))
      marks.push({ logId: partition.logId, ...synced })
    }
    const time = clock.now()
    const { generation, sequence, isClean, state } = next
    const content = { generation, sequence, isClean, time, state, partitions: marks }
    await writeCheckpoint(fs, directory, { number: this.#number + 1, ...content }, codecs)
    this.#number++
    if (isTwice) await this.#writeTwin(content)
    this.#last = { generation, sequence, state }
    for (const { logId, recoveryOffset } of marks) this.#recoveryOffsets.set(logId, recoveryOffset)
    this.#oldestNeeded = generation
    this.#options.journal.oldestNeeded = generation
  }
}
