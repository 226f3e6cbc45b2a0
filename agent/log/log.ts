// The log of one gateway: topics, group commit, sealing, checkpoints, retention, state.
//
//   append → tail (memory) → commit (journal, durable) → seal (segment) → checkpoint → retention
//
// One process holds a store at a time. `Log.open` recovers whatever the last one left.

import { randomUUID } from 'node:crypto'
import { TAILS, TAILS_BYTES } from '../../wasm/assembly/limits.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import type { Timer } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Metrics } from '../base/telemetry.ts'
import { Arena } from './arena.ts'
import type { Checkpoint } from './checkpoint.ts'
import { Checkpointer } from './checkpointer.ts'
import { Committer, OPEN_BYTES_MAX } from './committer.ts'
import { DiskBudget } from './disk-budget.ts'
import { Journal } from './journal.ts'
import { type CompleteLogOptions, completeOptions, type LogOptions } from './log-options.ts'
import { OpenFiles } from './open-files.ts'
import type { PartitionContext, PartitionLog } from './partition-log.ts'
import { recover } from './recovery.ts'
import { Sealer } from './sealer.ts'
import { IndexCache } from './segment-index.ts'
import { parentOf } from './segment-list.ts'
import { StateStore } from './state-store.ts'
import { type LockHandle, lockStore } from './store-lock.ts'
import type { Topic, TopicSettings } from './topic.ts'
import { TopicSet } from './topic-set.ts'

const CARRY_TOTAL_BYTES_MAX = 192 * 1024
/** Sealing starts by itself when less than this share of the arena's blocks is free. */
const ARENA_FREE_SHARE = 0.25
/** Whole batches in memory, above which recovery seals what it has so far. */
const RECOVERED_BATCH_BYTES_MAX = 4 * 1024 * 1024
/** A journal write that takes longer is told. */
const STUCK_MS = 10_000
const RETENTION_EVERY_MS = 30_000

export class Log {
  readonly kernel: Kernel
  readonly codecs: Codecs
  readonly state: StateStore
  readonly #options: CompleteLogOptions
  readonly #arena: Arena
  readonly #committer: Committer
  readonly #sealer: Sealer
  readonly #files: OpenFiles
  readonly #context: PartitionContext
  readonly #topics: TopicSet
  readonly #budget: DiskBudget
  readonly #roomListeners = new Set<() => void>()
  readonly #openedAt: { wall: number; monotonic: number }
  #journal: Journal | undefined
  #checkpointer: Checkpointer | undefined
  #lock: LockHandle | undefined
  #retention: Timer | undefined
  #someoneRefused = false
  #closing: Promise<void> | undefined
  /** Random identity of this store. */
  lineage = ''

  private constructor(options: LogOptions) {
    this.#options = completeOptions(options)
    const { clock, logger, metrics, fs, directory, arenaBytes } = this.#options
    this.#openedAt = { wall: clock.now(), monotonic: clock.monotonic() }
    this.kernel = options.kernel ?? new Kernel()
    this.codecs = new Codecs(this.kernel)
    this.#arena = new Arena(TAILS, Math.min(arenaBytes, TAILS_BYTES))
    this.#files = new OpenFiles(fs, this.#options.openFilesMax)
    this.#sealer = new Sealer(clock, logger, () => this.#offerRoom())
    this.state = new StateStore((key, value, ride) =>
      this.#committer.stateChanged(key, value, ride),
    )
    this.#committer = this.#createCommitter()
    this.#budget = new DiskBudget({
      fs,
      directory,
      limits: this.#options.disk,
      clock,
      usedBytes: () => this.diskBytes,
      changed: (isFull) => this.#diskChanged(isFull),
    })
    this.#context = this.#createContext()
    this.#topics = new TopicSet(this.#context, this.state, this.#committer)
    this.#registerMetrics(metrics)
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
    if (this.#closing !== undefined || this.#budget.isFull) return false
    return this.#committer.hasRoomFor(1024) && this.#arena.freeBlocks > 0
  }

  /** Bytes of segments and journal files. */
  get diskBytes(): number {
    let bytes = this.#journal?.diskBytes ?? 0
    for (const partition of this.#topics.partitions()) bytes += partition.segments.bytes
    return bytes
  }

  get diskBudgetBytes(): number {
    return this.#budget.budgetBytes
  }

  /** Bytes handed to the file system since the start: journal, segments, indexes, checkpoints. */
  get writtenBytes(): number {
    let bytes = (this.#journal?.writtenBytes ?? 0) + (this.#checkpointer?.writtenBytes ?? 0)
    for (const partition of this.#topics.partitions()) bytes += partition.segments.writtenBytes
    return bytes
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
    this.#roomListeners.add(listener)
    return () => this.#roomListeners.delete(listener)
  }

  health(): { ok: boolean; reasons: string[] } {
    const reasons: string[] = []
    if (this.#committer.failure !== undefined) reasons.push(this.#committer.failure.message)
    const stuckMs = this.#committer.writingMs
    if (stuckMs > STUCK_MS)
      reasons.push(`no commit for ${Math.round(stuckMs / 1000)} s: slow disk?`)
    if (this.#sealer.trouble !== undefined) reasons.push(this.#sealer.trouble)
    if (this.#checkpointer?.trouble !== undefined) reasons.push(this.#checkpointer.trouble)
    if (this.#budget.reason !== undefined) reasons.push(this.#budget.reason)
    return { ok: reasons.length === 0, reasons }
  }

  /** Commits, seals, checkpoints and releases the lock. Appends must have stopped. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      // Appends are refused from now on.
      this.#closing = Promise.resolve().then(() => this.#close())
    }
    return this.#closing
  }

  /** Deletes what retention allows; called by itself every half minute. */
  async retain(): Promise<void> {
    const { clock, healWindowMs } = this.#options
    // A wall clock that jumps while we run makes nothing old.
    const now = this.#openedAt.wall + clock.monotonic() - this.#openedAt.monotonic
    for (const topic of this.#topics.all()) {
      const { retentionMs, retentionBytes, replicated } = topic.settings
      for (const partition of topic.partitions) {
        const limits = { retentionMs, retentionBytes, healWindowMs, now }
        const replicatedOffset = replicated ? partition.replicatedOffset : undefined
        const start = partition.segments.expire({ ...limits, replicatedOffset })
        if (start === undefined || partition.isDeleted) continue
        partition.logStartOffset = start
        this.#topics.saveStart(partition)
        await this.durable(this.openCommit)
        await partition.segments.removeBelow(start)
      }
    }
  }

  async #open(gateway: string | undefined): Promise<void> {
    const { fs, directory, clock, logger, journalBytes, randomSalt } = this.#options
    await fs.makeDirectory(directory)
    await fs.syncDirectory(parentOf(directory))
    this.#lock = await lockStore(fs, directory, this.#options.lock)
    const started = clock.monotonic()
    const recovered = await recover({
      fs,
      directory,
      kernel: this.kernel,
      codecs: this.codecs,
      logger,
      state: this.state,
      topicRestored: (name, checkpoint) => this.#topicRestored(name, checkpoint),
      partition: (logId) => this.#topics.byLogId(logId),
      relieve: () => this.#relieveAll(),
    })
    this.#topics.finishRecovery()
    this.#checkGateway(gateway)
    const { frameBytesMax } = this.#options
    const { kernel } = this
    const options = { fs, directory, kernel, fileBytes: journalBytes, frameBytesMax, randomSalt }
    const { files, last, resume, checkpoint } = recovered
    const journal = await Journal.open(options, files, last, resume)
    this.#journal = journal
    this.#checkpointer = this.#createCheckpointer(journal, checkpoint)
    this.#committer.start(journal)
    if (resume === undefined) await this.#checkpointer.roll()
    else this.#checkpointer.resume()
    this.#identify(gateway)
    this.#committer.request()
    await this.durable(this.openCommit)
    await this.#topics.removeDeleted()
    for (const partition of this.#topics.partitions()) {
      await partition.segments.removeBelow(partition.logStartOffset)
    }
    await this.#budget.start(() => journal.writtenBytes)
    this.#scheduleRetention()
    const took = Math.round(clock.monotonic() - started)
    logger.debug('store recovered', { frames: recovered.frames, ms: took })
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

  async #topicRestored(name: string, checkpoint: Checkpoint | undefined): Promise<void> {
    for (const partition of await this.#topics.restore(name)) {
      const mark = checkpoint?.partitions.find(({ logId }) => logId === partition.logId)
      const end = await partition.segments.open(mark?.recoveryOffset ?? 0, mark?.segments ?? [])
      partition.logStartOffset = this.#topics.savedStart(partition) ?? 0
      partition.restoreEnd(Math.max(end, partition.logStartOffset))
    }
  }

  #createCommitter(): Committer {
    const { clock, commitIntervalMs, metrics, logger, journalBytes } = this.#options
    return new Committer({
      kernel: this.kernel,
      clock,
      openBytesMax: Math.min(OPEN_BYTES_MAX, Math.floor(journalBytes / 4)),
      frameBytesMax: this.#options.frameBytesMax,
      commitIntervalMs: commitIntervalMs === 'auto' ? 0 : commitIntervalMs,
      duration: metrics.histogram(
        'tributary_fsync_duration_seconds',
        'One journal write and sync.',
      ),
      roll: () => this.#checkpointer!.roll(),
      rolled: (commit) => this.#checkpointer!.rolled(commit),
      committed: () => {
        if (this.#arena.freeBlocks < this.#arenaReserve) this.#relieve()
        this.#offerRoom()
      },
      abandoned: () => this.#checkpointer!.resume(),
      failed: (failure) => {
        logger.error(failure.message)
        for (const partition of this.#topics.partitions()) partition.fail(failure)
      },
    })
  }

  #createContext(): PartitionContext {
    const { clock, fs, directory, batchBytes, segmentBytes } = this.#options
    return {
      kernel: this.kernel,
      codecs: this.codecs,
      arena: this.#arena,
      clock,
      fs,
      files: this.#files,
      directory,
      committer: this.#committer,
      indexCache: new IndexCache(this.kernel),
      batchBytes,
      segmentBytes,
      batchTailBytes: 0,
      isBlocked: () => this.#budget.isFull || this.#closing !== undefined,
      refused: (reason) => {
        this.#someoneRefused = true
        if (reason === 'arena') this.#relieve()
      },
      sealable: (partition) => this.#sealer.enqueue(partition),
    }
  }

  #createCheckpointer(
    journal: Journal,
    last: { number: number; generation: number },
  ): Checkpointer {
    const { fs, directory, clock, logger, carryTailBytes, journalBytes } = this.#options
    const totalBytesMax = Math.min(CARRY_TOTAL_BYTES_MAX, Math.floor(journalBytes / 8))
    const options = {
      fs,
      directory,
      codecs: this.codecs,
      committer: this.#committer,
      journal,
      state: this.state,
      partitions: () => this.#topics.partitions(),
      clock,
      logger,
      carry: { tailBytesMax: carryTailBytes, totalBytesMax },
    }
    return new Checkpointer(options, last)
  }

  get #arenaReserve(): number {
    return Math.max(2, Math.floor((this.#arena.bytes / 262_144) * ARENA_FREE_SHARE))
  }

  /** Freezes the largest tails until enough of the arena is on its way to a segment. */
  #relieve(): void {
    const wanted = this.#arena.bytes * ARENA_FREE_SHARE
    let coming = 0
    const open: PartitionLog[] = []
    for (const partition of this.#topics.partitions()) {
      const last = partition.tails.at(-1)
      for (const tail of partition.tails)
        if (tail.kind === 'records' && tail.frozen) coming += tail.slotBytes
      if (last !== undefined && !last.frozen) open.push(partition)
    }
    open.sort((a, b) => b.tailBytes - a.tailBytes)
    for (const partition of open) {
      if (coming >= wanted) return
      coming += partition.tailBytes
      partition.freeze()
    }
  }

  async #relieveAll(): Promise<void> {
    const isShort = this.#arena.freeBlocks < this.#arenaReserve
    if (!isShort && this.#context.batchTailBytes < RECOVERED_BATCH_BYTES_MAX) return
    for (const partition of this.#topics.partitions()) await partition.seal()
  }

  #diskChanged(isFull: boolean): void {
    const { logger } = this.#options
    if (isFull) logger.error(`${this.#budget.reason}; nothing is acked until there is room`)
    else logger.info('the disk has room again')
    this.#offerRoom()
  }

  #offerRoom(): void {
    if (!this.#someoneRefused) return
    if (!this.hasRoom) {
      // What was sealed left no block wholly free: more must go, or nobody ever hears of room.
      if (this.#arena.freeBlocks === 0) this.#relieve()
      return
    }
    this.#someoneRefused = false
    for (const listener of this.#roomListeners) listener()
  }

  #scheduleRetention(): void {
    if (this.#closing !== undefined) return
    this.#retention = this.#options.clock.after(RETENTION_EVERY_MS, () => {
      this.retain()
        .catch((error) => this.#options.logger.warn('retention failed', { error: String(error) }))
        .finally(() => this.#scheduleRetention())
    })
  }

  #registerMetrics(metrics: Metrics): void {
    const gauge = (name: string, help: string, read: () => number) =>
      metrics.observed('gauge', `tributary_${name}`, help, read)
    metrics.observed(
      'counter',
      'tributary_disk_written_bytes_total',
      'Bytes handed to the disk.',
      () => this.writtenBytes,
    )
    metrics.observed(
      'counter',
      'tributary_log_payload_bytes_total',
      'Bytes of keys and values.',
      () => this.payloadBytes,
    )
    gauge('disk_used_bytes', 'Segments and journal.', () => this.diskBytes)
    gauge('disk_budget_bytes', 'What they may use.', () =>
      Number.isFinite(this.diskBudgetBytes) ? this.diskBudgetBytes : 0,
    )
    gauge('arena_used_bytes', 'Slots of tails.', () => this.#arena.usedBytes)
  }

  get payloadBytes(): number {
    let bytes = 0
    for (const partition of this.#topics.partitions()) bytes += partition.payloadBytesTotal
    return bytes
  }

  async #close(): Promise<void> {
    const failures: unknown[] = []
    this.#sealer.end()
    this.#checkpointer?.end()
    await this.#checkpointFinally().catch((error) => failures.push(error))
    await this.#release(failures)
  }

  /** Lets go of everything, whatever fails on the way. */
  async #release(failures: unknown[]): Promise<void> {
    this.#budget.close()
    this.#retention?.cancel()
    const attempt = async (step: () => Promise<unknown> | undefined) => {
      await Promise.resolve(step()).catch((error) => failures.push(error))
    }
    const closed = new AgentError('CLOSED', 'the log is closed')
    this.#committer.close(closed)
    for (const partition of this.#topics.partitions()) partition.fail(closed)
    await attempt(() => this.#checkpointer?.close())
    await attempt(() => this.#sealer.close())
    for (const partition of this.#topics.partitions()) {
      await attempt(() => partition.segments.close())
    }
    await attempt(() => this.#files.close())
    await attempt(() => this.#journal?.close())
    await attempt(() => this.#lock?.release())
    // What was acked is in the journal whatever failed here.
    if (failures.length > 0) throw failures[0]
  }

  async #checkpointFinally(): Promise<void> {
    if (this.#committer.failure !== undefined || this.#checkpointer === undefined) return
    this.#committer.request()
    await this.durable(this.openCommit)
    await this.#checkpointer.final()
  }
}
