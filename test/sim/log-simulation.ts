// One seeded life of a log on a disk that lies, beside a model that remembers everything.
//
// After every crash and every restart:
//   - what was acked is there, with the same bytes at the same offset; what was visible stays visible
//   - offsets are dense, and nothing is there that was not appended
//   - the state that was put together with records is there exactly when those records are; of many
//     entries that were put together all are there or none
//   - a topic whose deletion was acked is gone; one whose deletion was not is whole or gone
//   - what segments, tails and indexes answer is the same thing
// Limits are shrunk so that rolls, checkpoints, seals and splits happen every few steps.

import { AgentError } from '../../agent/base/errors.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import type { Topic } from '../../agent/log/topic.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { buildBatch } from '../../agent/record/record-batch.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import {
  checkBytes,
  checkLog,
  checkRange,
  checkTime,
  endKey,
  type ModelPartition,
  type ModelRecord,
  type Target,
  targetsOf,
} from './log-model.ts'
import { SimClock } from './sim-clock.ts'

const START = Date.UTC(2026, 0, 1)
const TOPIC_SETTINGS = { replicated: true, retentionMs: 60_000 }
const kernel = new Kernel()
const codecs = new Codecs(kernel)

export class LogSimulation {
  readonly #random: SeededRandom
  readonly #clock = new SimClock(START)
  readonly #model = new Map<string, ModelPartition>()
  readonly #sizes: {
    journalBytes: number
    batchBytes: number
    segmentBytes: number
    frameBytesMax: number
  }
  #fs: SimFileSystem
  #log: Log | undefined
  #nextValue = 0
  #boots = 0
  #crashIn = Number.POSITIVE_INFINITY
  #crashed: SimFileSystem | undefined
  /** The next crash ends the process only, not the power. */
  #isKill = false
  #puts = 0
  /** The newest put while closing that was acked. */
  #putDurable = 0
  readonly counts = { steps: 0, crashes: 0, failures: 0, restarts: 0, records: 0, reads: 0 }

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    const pageBytes = this.#random.chance(0.5) ? 512 : 4096
    this.#fs = new SimFileSystem(seed ^ 0x5eed, {
      pageBytes,
      onStep: () => {
        if (--this.#crashIn > 0) return
        this.#crashIn = Number.POSITIVE_INFINITY
        this.#crashed = this.#isKill ? this.#fs.kill() : this.#fs.crash()
      },
    })
    this.#sizes = {
      journalBytes: 32_768 << this.#random.below(2),
      batchBytes: 512 << this.#random.below(3),
      segmentBytes: 2048 << this.#random.below(3),
      frameBytesMax: this.#random.chance(0.5) ? 700 << this.#random.below(3) : 1_000_000,
    }
  }

  async run(steps: number): Promise<void> {
    await this.#open()
    this.#grow()
    while (this.counts.steps < steps) {
      this.counts.steps++
      await this.#guarded(() => this.#step())
    }
    await this.#guarded(() => this.#restartCleanly())
    this.#crashIn = Number.POSITIVE_INFINITY
    await this.#progress(this.#log!.close()).catch(() => {})
    // Nothing of this life may still run when the next simulation uses the kernel.
    for (let turns = 0; turns < 500; turns++) await undefined
  }

  /** Runs one action; when the power was cut in it, starts again and checks. */
  async #guarded(action: () => Promise<void>): Promise<void> {
    try {
      await action()
    } catch (error) {
      if (this.#crashed === undefined && !isFailure(error)) throw error
      if (this.#crashed === undefined) await this.#guarded(() => this.#restartAfterFailure())
    }
    if (this.#crashed !== undefined) await this.#restartAfterCrash()
  }

  /** The disk refused too often and the log stopped acking: the operator restarts the process. */
  async #restartAfterFailure(): Promise<void> {
    this.counts.failures++
    this.#checkNoBug()
    this.#repair()
    await this.#restartCleanly()
  }

  async #restartAfterCrash(): Promise<void> {
    this.counts.crashes++
    this.#log = undefined
    for (;;) {
      // What the dead process had begun fails on its dead disk before the next one starts: they
      // share the kernel's memory here, as no two processes do.
      this.#clock.forget()
      for (let turns = 0; turns < 500; turns++) await undefined
      this.#clock.forget()
      this.#fs = this.#crashed!
      this.#crashed = undefined
      if (this.#random.chance(0.2)) this.#crashSoon(60)
      try {
        if (this.#random.chance(0.2)) await this.#verify()
        await this.#open()
        return
      } catch (error) {
        if (this.#crashed === undefined) throw error
      }
    }
  }

  async #open(): Promise<void> {
    this.#boots++
    try {
      this.#log = await this.#progress(this.#start())
    } catch (error) {
      // A disk that fails at the start keeps the log from starting; the next try finds it well.
      if (this.#crashed !== undefined || !('code' in (error as object))) throw error
      this.#repair()
      this.#log = await this.#progress(this.#start())
    }
    this.counts.restarts++
    await checkLog(this.#log, this.#model, this.#putDurable, this.#random)
  }

  #start(): Promise<Log> {
    return Log.open({
      directory: 'store',
      fs: this.#fs,
      kernel,
      clock: this.#clock,
      logger: silentLogger,
      metrics: new Metrics(),
      gateway: 'sim',
      arenaBytes: 3 * 1024 * 1024,
      carryTailBytes: 700,
      commitIntervalMs: 0,
      healWindowMs: 10_000,
      openFilesMax: 4,
      lock: { pid: 1, startOf: async () => String(this.#boots) },
      randomSalt: () => this.#random.below(2 ** 32),
      ...this.#sizes,
    })
  }

  async #step(): Promise<void> {
    if (this.#model.size === 0) this.#grow()
    const roll = this.#random.next()
    if (roll < 0.45) this.#append()
    else if (roll < 0.6) await this.#acked()
    else if (roll < 0.65) await this.#waitABit()
    else if (roll < 0.72) await this.#readSomewhere()
    else if (roll < 0.76) await this.#seal()
    else if (roll < 0.79) await this.#split()
    else if (roll < 0.81) this.#appendBatch()
    else if (roll < 0.82) this.#appendLarge()
    else if (roll < 0.84) this.#grow()
    else if (roll < 0.85) await this.#addPartitions()
    else if (roll < 0.86) await this.#deleteTopic()
    else if (roll < 0.88) this.#replicate()
    else if (roll < 0.895) await this.#retain()
    else if (roll < 0.91) await this.#restartCleanly()
    else if (roll < 0.925) this.#failSomething()
    else if (roll < 0.93) this.#fillDisk()
    else if (roll < 0.955) this.#crashSoon(40)
    else if (roll < 0.98) this.#putMany()
    else if (roll < 0.983) this.#clock.jump(this.#random.below(2e9) - 1e9)
    else this.#clock.advance(this.#random.below(5000))
  }

  #append(): void {
    const target = this.#pick()
    if (target === undefined) return
    const { partition, model } = target
    for (let left = 1 + this.#random.below(8); left > 0; left--) {
      const size = this.#random.chance(0.05) ? this.#random.below(3000) : this.#random.below(120)
      const record = this.#newRecord(size)
      const value = Buffer.from(record.value)
      const headers = this.#random.chance(0.2) ? [['h', value.subarray(0, 5)] as const] : []
      const key = this.#random.chance(0.5) ? value.subarray(0, 4) : null
      const offset = partition.appendRecord({ ...record, key, value, headers })
      if (offset < 0) break
      if (offset !== model.records.length) throw new Error(`${partition.name}: offset ${offset}`)
      model.records.push(record)
      this.counts.records++
    }
    this.#markEnd(partition)
  }

  #appendBatch(): void {
    const target = this.#pick()
    if (target === undefined) return
    const { partition, model } = target
    const records = Array.from({ length: 1 + this.#random.below(5) }, () => this.#newRecord(80))
    const batch = buildBatch(
      records.map(({ timestamp, value }) => ({ timestamp, key: null, value: Buffer.from(value) })),
      { codecs, codec: 3 },
    )
    if (partition.appendBatch(batch) < 0) return
    model.records.push(...records)
    this.#markEnd(partition)
  }

  /** A record that no slot holds. */
  #appendLarge(): void {
    const target = this.#pick()
    if (target === undefined || this.#random.chance(0.7)) return
    const { partition, model } = target
    const record = this.#newRecord(262_000 + this.#random.below(20_000))
    const offset = partition.appendRecord({
      ...record,
      key: null,
      value: Buffer.from(record.value),
    })
    if (offset < 0) return
    model.records.push(record)
    this.#markEnd(partition)
  }

  /** So many entries at once that a commit may need several frames: all of them count, or none. */
  #putMany(): void {
    const { state } = this.#log!
    const isDelete = this.#random.chance(0.2)
    const value = Buffer.from(String(++this.#puts).padEnd(this.#random.below(60), ' '))
    for (let entry = 0; entry < 60; entry++) {
      if (isDelete) state.delete(`many/${entry}`)
      else state.put(`many/${entry}`, value)
    }
    this.#append()
  }

  /** State that must live and die with the records before it. */
  #markEnd(partition: PartitionLog): void {
    const end = Buffer.from(String(partition.logEndOffset))
    this.#log!.state.put(endKey(partition), end)
    if (this.#random.chance(0.3)) this.#log!.state.put('ride/x', end, { ride: true })
  }

  async #acked(): Promise<void> {
    const log = this.#log!
    const commit = log.openCommit
    const ends = this.#partitions().map((target) => [target, target.model.records.length] as const)
    log.requestCommit()
    await this.#progress(log.durable(commit))
    for (const [{ model }, end] of ends) model.durable = Math.max(model.durable, end)
  }

  async #waitABit(): Promise<void> {
    for (let turns = this.#random.below(60); turns > 0; turns--) await undefined
    this.#observe()
  }

  /** What is visible may never disappear. */
  #observe(): void {
    for (const { partition, model } of this.#partitions()) {
      model.durable = Math.max(model.durable, partition.highWatermark)
    }
  }

  async #readSomewhere(): Promise<void> {
    const target = this.#pick()
    if (target === undefined) return
    const { partition, model } = target
    this.#observe()
    const span = partition.highWatermark - partition.logStartOffset
    const offset = partition.logStartOffset + this.#random.below(span + 1)
    const ranges = [checkRange(partition, model, offset, offset + 20, this.#random)]
    // What is read while it is sealed or deleted is right or refused.
    if (this.#random.chance(0.2)) ranges.push(partition.seal())
    await this.#progress(Promise.all(ranges))
    const sealed = await partition.readSealed(offset, 1000)
    if (sealed.kind === 'batches') checkBytes(partition, model, sealed.bytes, true)
    const time = model.records[this.#random.below(model.records.length)]?.timestamp ?? 0
    if (this.#random.chance(0.5)) partition.freeze()
    await this.#progress(checkTime(partition, model, time))
    this.counts.reads++
  }

  async #seal(): Promise<void> {
    const target = this.#pick()
    if (target !== undefined) await this.#progress(target.partition.seal())
  }

  async #split(): Promise<void> {
    const target = this.#pick()
    if (target === undefined) return
    const { partition } = target
    const span = partition.logEndOffset - partition.sealedOffset
    if (span < 2) return
    const at = partition.sealedOffset + 1 + this.#random.below(span - 1)
    const tail = partition.tails.find(({ endOffset }) => endOffset > at)
    const mustSplit = tail?.kind === 'records' && !tail.sealing
    const splits = [partition.splitAt(at)]
    if (this.#random.chance(0.3)) splits.push(partition.splitAt(at + this.#random.below(3)))
    await this.#progress(Promise.all(splits))
    if (!mustSplit || partition.isDeleted) return
    const read = await this.#progress(partition.read(at, 1))
    if (read.kind === 'batches' && read.baseOffset !== at) {
      throw new Error(`${partition.name}: no batch begins at ${at}, where it was split`)
    }
  }

  #grow(): void {
    const log = this.#log!
    const names = ['sim.a', 'sim.b', 'sim.c']
    const name = names[this.#random.below(names.length)]!
    try {
      const partitions = 1 + this.#random.below(2)
      this.#know(log.ensureTopic(name, { ...TOPIC_SETTINGS, partitions }))
    } catch (error) {
      if (!String(error).includes('being deleted')) throw error
    }
  }

  #know(topic: Topic): void {
    for (const partition of topic.partitions) {
      const key = endKey(partition)
      if (this.#model.has(key)) continue
      this.#model.set(key, { records: [], durable: 0, start: 0, mayBeGone: false })
    }
  }

  async #addPartitions(): Promise<void> {
    const topic = this.#pick()?.partition.topic
    if (topic === undefined || topic.partitions.length > 3) return
    const added = this.#log!.addPartitions(topic.name, topic.partitions.length + 1)
    this.#know(topic)
    await this.#progress(added)
  }

  async #deleteTopic(): Promise<void> {
    const topic = this.#pick()?.partition.topic
    if (topic === undefined || this.#random.chance(0.3)) return
    const keys = topic.partitions.map(endKey)
    for (const key of keys) this.#model.get(key)!.mayBeGone = true
    const deleted = this.#log!.deleteTopic(topic.name)
    for (const key of keys) this.#log!.state.delete(key)
    if (this.#random.chance(0.3)) this.#append()
    await this.#progress(deleted)
    for (const key of keys) this.#model.delete(key)
  }

  #replicate(): void {
    const target = this.#pick()
    if (target === undefined) return
    const { partition } = target
    const span = partition.highWatermark - partition.replicatedOffset
    if (span > 0) partition.replicatedOffset += this.#random.below(span + 1)
  }

  async #retain(): Promise<void> {
    this.#clock.advance(40_000)
    await this.#progress(this.#log!.retain())
    for (const { partition, model } of this.#partitions()) model.start = partition.logStartOffset
  }

  async #restartCleanly(): Promise<void> {
    this.#observe()
    if (this.#random.chance(0.2)) this.#crashSoon(80)
    const hasFailed = this.#log!.health().reasons.some((reason) => reason.includes('acked until'))
    const closed = this.#log!.close()
    if (this.#random.chance(0.3)) this.#putWhileClosing()
    const isClean = await this.#progress(closed).then(
      () => true,
      (error) => {
        if (!(error instanceof AgentError) && !('code' in error)) throw error
        return false
      },
    )
    if (this.#crashed !== undefined) return
    if (isClean && !hasFailed) {
      for (const { model } of this.#partitions()) model.durable = model.records.length
    }
    this.#log = undefined
    if (this.#random.chance(0.3)) await this.#verify()
    await this.#open()
  }

  /** A stopped store, in whatever way, holds what was acked. */
  async #verify(): Promise<void> {
    const { findings } = await this.#progress(verifyStore(this.#fs, 'store', { kernel }))
    const fatal = findings.find((finding) => finding.fatal)
    if (fatal !== undefined) throw new Error(`${fatal.path} at ${fatal.position}: ${fatal.what}`)
  }

  /** State may still change; whoever is told that it is durable finds it at the next start. */
  #putWhileClosing(): void {
    const log = this.#log!
    const turns = this.#random.below(60)
    const put = async () => {
      for (let turn = 0; turn < turns; turn++) await undefined
      const number = ++this.#puts
      log.state.put('closing', Buffer.from(String(number)))
      await log.durable(log.openCommit)
      this.#putDurable = number
    }
    put().catch(() => {})
  }

  #crashSoon(steps: number): void {
    this.#crashIn = 1 + this.#random.below(steps)
    this.#isKill = this.#random.chance(0.3)
  }

  /** From now on hardly anything fits; whoever waits for long finds that somebody made room. */
  #fillDisk(): void {
    this.#fs.faults.capacityBytes = this.#fs.usedBytes + this.#random.below(6000)
  }

  #repair(): void {
    this.#fs.failNoMore()
    delete this.#fs.faults.capacityBytes
  }

  /** A log may stop acking because of the disk, never because of itself. */
  #checkNoBug(): void {
    const bug = this.#log!.health().reasons.find((reason) => reason.includes('invariant'))
    if (bug !== undefined) throw new Error(bug)
  }

  #failSomething(): void {
    const path = ['journal-', '.log', 'checkpoint', 'index'][this.#random.below(4)]!
    const operation = (['write', 'sync'] as const)[this.#random.below(2)]!
    const code = this.#random.chance(0.5) ? 'EIO' : 'ENOSPC'
    this.#fs.failNext(operation, { path, code, passes: this.#random.below(3) })
  }

  /** Waits for something the log does, moving time on when it waits for a retry. */
  async #progress<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    const watched = work.finally(() => (isDone = true))
    watched.catch(() => {})
    for (let turns = 0; !isDone && this.#crashed === undefined; turns++) {
      for (let i = 0; i < 50; i++) await undefined
      if (turns > 20) this.#clock.advance(1001)
      if (turns > 200) delete this.#fs.faults.capacityBytes
      if (turns > 2000) throw new Error('the log does not get on')
    }
    if (this.#crashed !== undefined) throw new AgentError('CLOSED', 'the power was cut')
    return watched
  }

  #newRecord(size: number): ModelRecord {
    const number = String(this.#nextValue++)
    const drift = this.#random.chance(0.1) ? this.#random.below(1e9) - 5e8 : 0
    return {
      timestamp: this.#clock.now() + drift,
      value: number.padStart(6, '0').padEnd(size, 'x'),
    }
  }

  #partitions(): Target[] {
    return this.#log === undefined ? [] : targetsOf(this.#log, this.#model)
  }

  #pick(): Target | undefined {
    const all = this.#partitions()
    return all[this.#random.below(all.length)]
  }
}

/** The log has failed for good and says so. */
function isFailure(error: unknown): boolean {
  return error instanceof AgentError && ['STORAGE_IO', 'CLOSED'].includes(error.code)
}
