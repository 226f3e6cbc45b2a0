// The log of one gateway: topics, group commit, sealing, checkpoints, retention, state.
//
//   append → tail (memory) → commit (journal, durable) → seal (segment) → checkpoint → retention
//
// One process holds a store at a time. `Log.open` recovers whatever the last one left.

import { randomUUID } from 'node:crypto'
import { TAILS, TAILS_BYTES } from '../../wasm/assembly/limits.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { AgentError, isBug } from '../base/errors.ts'
import { Arena } from './arena.ts'
import { Asides } from './asides.ts'
import { Checkpointer } from './checkpointer.ts'
import { Committer, OPEN_BYTES_MAX } from './committer.ts'
import { reserveBytesOf, segmentBytesIn } from './disk-budget.ts'
import type { FileSystem } from './file-system.ts'
import { takeFirstSteps, unlessRefused } from './first-steps.ts'
import { Journal } from './journal.ts'
import { registerLogMetrics } from './log-metrics.ts'
import { type CompleteLogOptions, completeOptions, type LogOptions } from './log-options.ts'
import { LogTime } from './log-time.ts'
import type { MeteredFileSystem } from './metered-file-system.ts'
import { OpenFiles } from './open-files.ts'
import { parentOf } from './partition-directory.ts'
import type { PartitionContext } from './partition-log.ts'
import { MetadataFiles } from './partition-metadata.ts'
import { Quarantine } from './quarantine.ts'
import { ReadAhead } from './read-ahead.ts'
import { type Recovered, recover } from './recovery.ts'
import { isNoSpace, Reserve } from './reserve.ts'
import { Retainer } from './retainer.ts'
import { Room } from './room.ts'
import { Sealer } from './sealer.ts'
import { IndexCache } from './segment-index.ts'
import { StateStore } from './state-store.ts'
import { type LockHandle, lockStore } from './store-lock.ts'
import type { Topic, TopicSettings } from './topic.ts'
import { TopicSet } from './topic-set.ts'

const CARRY_TOTAL_BYTES_MAX = 512 * 1024
/** Whole batches in memory, above which recovery seals what it has so far. */
const RECOVERED_BATCH_BYTES_MAX = 4 * 1024 * 1024
/** A journal write that takes longer is told. */
const STUCK_MS = 10_000

export class Log {
  readonly kernel: Kernel
  readonly codecs: Codecs
  readonly state: StateStore
  /** The clock that arrivals come from. */
  readonly time: LogTime
  /** What was handed to the disk since the start. */
  readonly meter: MeteredFileSystem
  readonly #options: Omit<CompleteLogOptions, 'fs'> & { fs: FileSystem }
  readonly #arena: Arena
  readonly #committer: Committer
  readonly #sealer: Sealer
  readonly #files: OpenFiles
  readonly #reserve: Reserve
  readonly #context: PartitionContext
  readonly #metadata: MetadataFiles
  readonly #topics: TopicSet
  readonly #room: Room
  readonly #retainer: Retainer
  #journal: Journal | undefined
  #checkpointer: Checkpointer | undefined
  #lock: LockHandle | undefined
  #firstSteps: Promise<void> | undefined
  #closing: Promise<void> | undefined
  /** Random identity of this store. */
  lineage = ''

  private constructor(options: LogOptions) {
    const complete = completeOptions(options)
    this.time = new LogTime(complete)
    this.meter = complete.fs
    this.#reserve = new Reserve({
      fs: this.meter,
      directory: complete.directory,
      bytes: reserveBytesOf(complete.disk),
      clock: this.time,
      spent: () => void this.#room.look(),
    })
    this.#options = { ...complete, clock: this.time, fs: this.#reserve }
    const { clock, logger, metrics, fs, arenaBytes } = this.#options
    this.kernel = options.kernel ?? new Kernel()
    this.codecs = new Codecs(this.kernel)
    this.#arena = new Arena(TAILS, Math.min(arenaBytes, TAILS_BYTES))
    this.#files = new OpenFiles(fs, this.#options.openFilesMax)
    this.#sealer = new Sealer(clock, logger, () => this.#room.offer())
    this.state = new StateStore((key, value, ride) =>
      this.#committer.stateChanged(key, value, ride),
    )
    this.#committer = this.#createCommitter()
    this.#room = this.#createRoom()
    this.#context = this.#createContext()
    this.#metadata = new MetadataFiles(this.#context, this.codecs, this.state)
    this.#topics = new TopicSet(this.#context, this.state, this.#committer, this.#metadata)
    this.#retainer = new Retainer({
      topics: this.#topics,
      state: this.state,
      committer: this.#committer,
      time: this.time,
      logger,
      healWindowMs: this.#options.healWindowMs,
      segmentBytes: () => this.#context.segmentBytes,
      secure: (partition, offset) => this.#checkpointer!.secure(partition, offset),
    })
    registerLogMetrics(metrics, this)
  }

  /** Takes the store's lock and recovers. Faults: STORE_IN_USE, STORE_MISMATCH, CORRUPT_STORE, I/O. */
  static async open(options: LogOptions): Promise<Log> {
    const log = new Log(options)
    try {
      await log.#open(options.gateway)
    } catch (error) {
      log.#closing = log.#release([])
      await log.#closing.catch(() => {})
      throw error
    }
    return log
  }

  get openCommit(): number {
    return this.#committer.openCommit
  }

  get durableCommit(): number {
    return this.#committer.durableCommit
  }

  /** False: append returns −1 for everything. */
  get hasRoom(): boolean {
    return this.#room.hasAny
  }

  /** Bytes of everything in the data directory. */
  get diskBytes(): number {
    return this.#room.use.bytes
  }

  /** What they may come to: the stricter of the budget and what must stay free. */
  get diskBudgetBytes(): number {
    return this.#room.limitBytes
  }

  /** Partitions that take nothing because the disk is full. */
  get fullPartitions(): number {
    return this.#room.fullCount
  }

  get payloadBytes(): number {
    let bytes = 0
    for (const partition of this.#topics.partitions()) bytes += partition.payloadBytesTotal
    return bytes
  }

  get arenaUsedBytes(): number {
    return this.#arena.usedBytes
  }

  topics(): Iterable<Topic> {
    return this.#topics.all()
  }

  topic(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  /** Durable when it resolves. Fault: INPUT_TOPIC (name, count, exists already). */
  async createTopic(name: string, settings: TopicSettings): Promise<Topic> {
    const topic = this.#topics.create(name, settings)
    await this.durable(this.openCommit)
    return topic
  }

  /** Usable at once; its creation is durable with or before its first records. */
  ensureTopic(name: string, settings: TopicSettings): Topic {
    return this.#topics.get(name) ?? this.#topics.create(name, settings)
  }

  /** Durable when it resolves. Partitions are only ever added. */
  async addPartitions(name: string, count: number): Promise<void> {
    this.#topics.addPartitions(name, count)
    await this.durable(this.openCommit)
  }

  /** Changes what can change of a topic: everything but its partitions. Durable when it resolves. */
  async alterTopic(name: string, settings: Omit<TopicSettings, 'partitions'>): Promise<void> {
    this.#topics.alter(name, settings)
    await this.durable(this.openCommit)
  }

  /** Durable when it resolves, its files gone. */
  async deleteTopic(name: string): Promise<void> {
    await this.#topics.delete(name)
  }

  /** A commit starts soon, for state that only rides along. */
  requestCommit(): void {
    this.#committer.request()
  }

  /** Called once per finished commit, after high watermarks have moved. */
  onCommit(listener: (durableCommit: number) => void): () => void {
    return this.#committer.onCommit(listener)
  }

  /** Resolves when that commit is on disk; rejects when the log has failed or closed. */
  durable(commit: number): Promise<void> {
    return this.#committer.durable(commit)
  }

  /** Called when there is room again after an append was refused. */
  onRoom(listener: () => void): () => void {
    return this.#room.onRoom(listener)
  }

  health(): { ok: boolean; reasons: string[] } {
    const reasons: string[] = []
    const { failure, trouble } = this.#committer
    if (failure !== undefined) reasons.push(failure.message)
    if (trouble !== undefined) reasons.push(trouble)
    const stuckMs = this.#committer.writingMs
    if (stuckMs > STUCK_MS)
      reasons.push(`no commit for ${Math.round(stuckMs / 1000)} s: slow disk?`)
    if (this.#sealer.trouble !== undefined) reasons.push(this.#sealer.trouble)
    if (this.#checkpointer?.trouble !== undefined) reasons.push(this.#checkpointer.trouble)
    if (this.#room.reason !== undefined) reasons.push(this.#room.reason)
    for (const { trouble } of this.#topics.partitions()) {
      if (trouble !== undefined) reasons.push(trouble)
    }
    return { ok: reasons.length === 0, reasons }
  }

  /**
   * Appends are refused from now on, and what the disk refuses is not tried again: whoever waits for it
   * is told. So nobody who must end before the log does waits for room.
   */
  end(): void {
    this.#room.end()
    this.#tryNoMore()
  }

  /** Commits, seals, checkpoints and releases the lock. Appends must have stopped. */
  close(): Promise<void> {
    this.end()
    this.#closing ??= Promise.resolve().then(() => this.#close())
    return this.#closing
  }

  /** Deletes what retention allows; called by itself every half minute. */
  retain(): Promise<void> {
    return this.#retainer.retain()
  }

  #tryNoMore(): void {
    this.#committer.isPatient = false
    this.#sealer.end()
    this.#checkpointer?.end()
  }

  async #open(gateway: string | undefined): Promise<void> {
    const { fs, directory, clock, logger, lock, journalBytes, randomSalt } = this.#options
    await fs.makeDirectory(directory)
    await fs.syncDirectory(parentOf(directory))
    this.#lock = await lockStore(fs, directory, { device: this.meter.disk, ...lock })
    const started = clock.monotonic()
    const recovered = await recover({
      ...this.#context,
      gateway,
      topicRestored: (name, marks) => this.#topics.restoreFrom(name, marks),
      partition: (logId) => this.#topics.byLogId(logId),
      partitions: () => this.#topics.partitions(),
      timeSeen: (time) => this.time.restored(time),
      relieve: () => this.#relieveAll(),
    })
    this.time.opened()
    this.#topics.finishRecovery()
    this.#checkGateway(gateway)
    const { frameBytesMax } = this.#options
    const { kernel } = this
    const { files, unusable, last, resume, checkpoint, repair } = recovered
    const limits = { fileBytes: journalBytes, frameBytesMax, unusable }
    const again = (error: unknown) => this.#committer.again(error)
    const options = { fs, directory, kernel, ...limits, randomSalt, again }
    const journal = await Journal.open(options, files, last, resume)
    this.#journal = journal
    this.#checkpointer = this.#createCheckpointer(journal, checkpoint)
    this.#committer.start(journal)
    const isSettled = repair !== undefined && (await this.#settle(repair))
    const isNew = this.state.get('store/lineage') === undefined
    // Its first commit may want a file that only a checkpoint frees.
    const mayWantFile = repair === undefined && !journal.hasFreeFile && (journal.isBegun || !resume)
    if (mayWantFile && !isNew) this.#checkpointer.releaseRead()
    else if (resume !== undefined && !isSettled) this.#checkpointer.resume()
    // Otherwise the first commit does it, which may have to wait; a new log has nothing to be served.
    else if (isNew) await this.#checkpointer.roll()
    this.#committer.isPatient = !isNew
    if (!this.#options.retains) this.#tryNoMore()
    this.#identify(gateway)
    this.#committer.request()
    const [committer, topics, sealer] = [this.#committer, this.#topics, this.#sealer]
    const steps = takeFirstSteps({ committer, topics, sealer, logger })
    this.#firstSteps = steps.catch(() => {})
    await unlessRefused(steps, { clock, logger, isWell: () => this.health().ok })
    await this.#room.start(() => this.meter.writtenBytes)
    if (this.#options.retains) this.#retainer.start()
    this.#committer.isPatient = this.#options.retains
    const took = Math.round(clock.monotonic() - started)
    logger.debug('store recovered', { frames: recovered.frames, ms: took })
  }

  /** After damage: true when a checkpoint has all that is left, and no journal is needed. */
  async #settle(repair: NonNullable<Recovered['repair']>): Promise<boolean> {
    this.#sealer.end()
    try {
      return await this.#checkpointer!.settle(repair)
    } finally {
      this.#sealer.goOn()
    }
  }

  #checkGateway(gateway: string | undefined): void {
    const stored = this.state.get('store/gateway')?.toString()
    if (gateway !== undefined && stored !== undefined && stored !== gateway) {
      const message = `gateway is "${stored}" in the store, "${gateway}" in the file`
      throw new AgentError('STORE_MISMATCH', message)
    }
  }

  #identify(gateway: string | undefined): void {
    if (gateway !== undefined && this.state.get('store/gateway') === undefined) {
      this.state.put('store/gateway', Buffer.from(gateway))
    }
    this.lineage = this.state.get('store/lineage')?.toString() ?? randomUUID()
    if (this.state.get('store/lineage') === undefined) {
      this.state.put('store/lineage', Buffer.from(this.lineage))
    }
  }

  #createCommitter(): Committer {
    const { clock, commitIntervalMs, metrics, logger, journalBytes } = this.#options
    return new Committer({
      kernel: this.kernel,
      clock,
      openBytesMax: Math.min(OPEN_BYTES_MAX, Math.floor(journalBytes / 4)),
      frameBytesMax: this.#options.frameBytesMax,
      commitIntervalMs,
      duration: metrics.histogram(
        'tributary_fsync_duration_seconds',
        'One journal write and sync.',
      ),
      roll: () => this.#checkpointer!.roll(),
      rolled: (commit) => this.#checkpointer!.rolled(commit),
      committed: () => this.#room.committed(),
      abandoned: () => this.#checkpointer!.resume(),
      troubled: (trouble) => logger.error(trouble),
      failed: (failure) => {
        logger.error(failure.message)
        for (const partition of this.#topics.partitions()) partition.fail(failure)
        this.#options.failed(failure)
      },
    })
  }

  #createRoom(): Room {
    const { directory, clock, logger, disk, segmentBytes } = this.#options
    return new Room({
      arena: this.#arena,
      committer: this.#committer,
      partitions: () => this.#topics.partitions(),
      journalBytes: () => this.#journal?.diskBytes ?? 0,
      directory,
      limits: disk,
      reserve: this.#reserve,
      clock,
      logger,
      relieve: (shortage, shareBytes) => this.#retainer.relieve(shortage, shareBytes),
      sized: (spaceBytes) => {
        this.#context.segmentBytes = segmentBytesIn(spaceBytes, segmentBytes)
      },
    })
  }

  #createContext(): PartitionContext {
    const { clock, logger, fs, directory, batchBytes, segmentBytes } = this.#options
    return {
      kernel: this.kernel,
      codecs: this.codecs,
      arena: this.#arena,
      clock,
      fs,
      files: this.#files,
      directory,
      committer: this.#committer,
      state: this.state,
      logger,
      asides: new Asides({ fs, clock, logger }),
      quarantine: new Quarantine(fs, directory),
      indexCache: new IndexCache(this.kernel),
      readAhead: new ReadAhead(),
      batchBytes,
      segmentBytes,
      batchTailBytes: 0,
      isBlocked: () => this.#room.isBlocked,
      refused: (reason) => this.#room.refused(reason),
      sealable: (partition) => this.#sealer.enqueue(partition),
      secure: (partition, offset) => this.#checkpointer!.secure(partition, offset),
      journaled: (partition, ranges) => this.#checkpointer!.journaled(partition, ranges),
    }
  }

  #createCheckpointer(journal: Journal, last: Recovered['checkpoint']): Checkpointer {
    const { fs, directory, clock, logger, carryTailBytes, journalBytes } = this.#options
    const totalBytesMax = Math.min(CARRY_TOTAL_BYTES_MAX, Math.floor(journalBytes / 8))
    const options = {
      fs,
      directory,
      codecs: this.codecs,
      committer: this.#committer,
      journal,
      state: this.state,
      metadata: this.#metadata,
      partitions: () => this.#topics.partitions(),
      clock,
      logger,
      carry: {
        tailBytesMax: carryTailBytes,
        totalBytesMax,
        stuckBytesMax: Math.floor(journalBytes / 2),
      },
    }
    return new Checkpointer(options, last)
  }

  /** While recovering. A disk that takes nothing is not waited for: there is room once this runs. */
  async #relieveAll(): Promise<void> {
    const isLarge = this.#context.batchTailBytes >= RECOVERED_BATCH_BYTES_MAX
    if (!this.#room.isArenaShort && (!isLarge || this.#sealer.trouble !== undefined)) return
    this.#sealer.end()
    try {
      for (const partition of this.#topics.partitions()) await partition.seal()
    } catch (error) {
      if (isBug(error)) throw error
      for (const partition of this.#topics.partitions()) partition.condense()
    } finally {
      this.#sealer.goOn()
    }
  }

  async #close(): Promise<void> {
    const failures: unknown[] = []
    await this.#checkpointFinally().catch((error) => failures.push(error))
    await this.#release(failures)
  }

  /** Lets go of everything, whatever fails on the way. */
  async #release(failures: unknown[]): Promise<void> {
    this.#room.end()
    const attempt = async (step: () => Promise<unknown> | undefined) => {
      await Promise.resolve(step()).catch((error) => failures.push(error))
    }
    const closed = new AgentError('CLOSED', 'the log is closed')
    this.#committer.close(closed)
    for (const partition of this.#topics.partitions()) partition.fail(closed)
    await attempt(() => this.#room.close())
    await attempt(() => this.#retainer.close())
    await attempt(() => this.#checkpointer?.close())
    await attempt(() => this.#sealer.close())
    await attempt(() => this.#firstSteps)
    for (const partition of this.#topics.partitions()) {
      await attempt(() => partition.segments.close())
    }
    await attempt(() => this.#files.close())
    await attempt(() => this.#journal?.close())
    await attempt(() => this.#lock?.release())
    // What was acked is in the journal whatever failed here; where there was no room for more, that is
    // how it is meant.
    const faults = failures.filter((failure) => !isNoSpace(failure))
    if (faults.length > 0) throw faults[0]
    if (failures.length > 0) {
      const { logger } = this.#options
      logger.warn('stopped on a full disk: what segments had no room for stays in the journal')
    }
  }

  async #checkpointFinally(): Promise<void> {
    if (this.#committer.failure !== undefined || this.#checkpointer === undefined) return
    this.#committer.request()
    await this.durable(this.openCommit)
    await this.#checkpointer.final()
  }
}
