// One seeded life of a log on a disk that lies, beside a model that remembers everything.
//
// After every crash and every restart:
//   - what was acked is there, with the same bytes at the same offset; what was visible stays visible
//   - offsets are dense, and nothing is there that was not appended
//   - the state that was put together with records is there exactly when those records are
//   - what segments, tails and indexes answer is the same thing
// Limits are shrunk so that rolls, checkpoints, seals and splits happen every few steps.

import { AgentError } from '../../agent/base/errors.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { buildBatch, decodeRecords } from '../../agent/record/record-batch.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { SimClock } from './sim-clock.ts'

interface ModelRecord {
  timestamp: number
  value: string
}

interface ModelPartition {
  records: ModelRecord[]
  /** Everything below was durable once. */
  durable: number
  start: number
}

const START = Date.UTC(2026, 0, 1)
const TOPIC_SETTINGS = { replicated: true, retentionMs: 60_000 }
const kernel = new Kernel()
const codecs = new Codecs(kernel)

export class LogSimulation {
  readonly #random: SeededRandom
  readonly #clock = new SimClock(START)
  readonly #model = new Map<string, ModelPartition>()
  readonly #sizes: { journalBytes: number; batchBytes: number; segmentBytes: number }
  #fs: SimFileSystem
  #log: Log | undefined
  #nextValue = 0
  #boots = 0
  #crashIn = Number.POSITIVE_INFINITY
  #crashed: SimFileSystem | undefined
  readonly counts = { steps: 0, crashes: 0, failures: 0, restarts: 0, records: 0, reads: 0 }

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    const pageBytes = this.#random.chance(0.5) ? 512 : 4096
    this.#fs = new SimFileSystem(seed ^ 0x5eed, {
      pageBytes,
      onStep: () => {
        if (--this.#crashIn > 0) return
        this.#crashIn = Number.POSITIVE_INFINITY
        this.#crashed = this.#fs.crash()
      },
    })
    this.#sizes = {
      journalBytes: 32_768 << this.#random.below(2),
      batchBytes: 512 << this.#random.below(3),
      segmentBytes: 2048 << this.#random.below(3),
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
    this.#fs.failNoMore()
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
      if (this.#random.chance(0.2)) this.#crashIn = 1 + this.#random.below(60)
      try {
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
      this.#fs.failNoMore()
      this.#log = await this.#progress(this.#start())
    }
    this.counts.restarts++
    await this.#checkAll()
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
    else if (roll < 0.82) this.#appendBatch()
    else if (roll < 0.85) this.#grow()
    else if (roll < 0.88) this.#replicate()
    else if (roll < 0.9) await this.#retain()
    else if (roll < 0.91) await this.#restartCleanly()
    else if (roll < 0.93) this.#failSomething()
    else if (roll < 0.97) this.#crashIn = 1 + this.#random.below(40)
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

  /** State that must live and die with the records before it. */
  #markEnd(partition: PartitionLog): void {
    const end = Buffer.from(String(partition.logEndOffset))
    this.#log!.state.put(`end/${partition.name}`, end)
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
    await this.#checkRange(partition, model, offset, offset + 20)
    const sealed = await partition.readSealed(offset, 1000)
    if (sealed.kind === 'batches') this.#checkBytes(partition, model, sealed.bytes)
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
    await this.#progress(partition.splitAt(at))
  }

  #grow(): void {
    const log = this.#log!
    const names = ['sim.a', 'sim.b', 'sim.c']
    const name = names[this.#random.below(names.length)]!
    const topic = log.ensureTopic(name, {
      ...TOPIC_SETTINGS,
      partitions: 1 + this.#random.below(2),
    })
    for (const { name: partition } of topic.partitions) {
      if (!this.#model.has(partition)) {
        this.#model.set(partition, { records: [], durable: 0, start: 0 })
      }
    }
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
    const hasFailed = this.#log!.health().reasons.some((reason) => reason.includes('acked until'))
    const isClean = await this.#progress(this.#log!.close()).then(
      () => true,
      (error) => {
        if (!(error instanceof AgentError) && !('code' in error)) throw error
        return false
      },
    )
    if (this.#crashed !== undefined) return
    if (isClean && !hasFailed)
      for (const { model } of this.#partitions()) model.durable = model.records.length
    this.#log = undefined
    await this.#open()
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

  #partitions(): { partition: PartitionLog; model: ModelPartition }[] {
    const found: { partition: PartitionLog; model: ModelPartition }[] = []
    for (const topic of this.#log?.topics() ?? []) {
      for (const partition of topic.partitions) {
        const model = this.#model.get(partition.name)
        if (model === undefined) throw new Error(`${partition.name} was never created`)
        found.push({ partition, model })
      }
    }
    return found
  }

  #pick(): { partition: PartitionLog; model: ModelPartition } | undefined {
    const all = this.#partitions()
    return all[this.#random.below(all.length)]
  }

  async #checkAll(): Promise<void> {
    const found = new Set<string>()
    for (const { partition, model } of this.#partitions()) {
      const { name, logEndOffset } = partition
      found.add(name)
      if (logEndOffset < model.durable) {
        throw new Error(`${name}: acked to ${model.durable}, recovered to ${logEndOffset}`)
      }
      if (logEndOffset > model.records.length) throw new Error(`${name}: invented records`)
      if (partition.highWatermark !== logEndOffset) throw new Error(`${name}: not all is visible`)
      const end = this.#log!.state.get(`end/${name}`)?.toString() ?? '0'
      if (Number(end) !== logEndOffset)
        throw new Error(`${name}: state ${end}, log ${logEndOffset}`)
      model.records.length = logEndOffset
      model.durable = logEndOffset
      model.start = partition.logStartOffset
      await this.#checkRange(partition, model, partition.logStartOffset, logEndOffset)
    }
    for (const [name, model] of this.#model) {
      if (found.has(name)) continue
      if (model.durable > 0) throw new Error(`${name} is gone with ${model.durable} records`)
      this.#model.delete(name)
    }
  }

  async #checkRange(
    partition: PartitionLog,
    model: ModelPartition,
    from: number,
    to: number,
  ): Promise<void> {
    let offset = from
    while (offset < Math.min(to, partition.highWatermark)) {
      const read = await partition.read(offset, 1 + this.#random.below(4000))
      if (read.kind !== 'batches') throw new Error(`${partition.name}@${offset}: ${read.kind}`)
      if (read.nextOffset <= offset) throw new Error(`${partition.name}@${offset} does not go on`)
      const last = this.#checkBytes(partition, model, read.bytes)
      if (last + 1 !== read.nextOffset)
        throw new Error(`${partition.name}: next ${read.nextOffset}`)
      offset = read.nextOffset
    }
  }

  #checkBytes(partition: PartitionLog, model: ModelPartition, bytes: Buffer): number {
    let last = -1
    for (let at = 0; at < bytes.length; ) {
      const batch = bytes.subarray(at, at + bytes.readInt32BE(at + 8) + 12)
      if (codecs.crc32c(batch.subarray(21)) !== batch.readUInt32BE(17)) {
        throw new Error(`${partition.name}: a batch with a wrong CRC was served`)
      }
      for (const record of decodeRecords(batch, codecs)) {
        const expected = model.records[record.offset]
        const isSame =
          expected?.value === record.value?.toString() && expected?.timestamp === record.timestamp
        if (!isSame) {
          throw new Error(
            `${partition.name}@${record.offset}: ${record.value} instead of ${expected?.value}`,
          )
        }
        if (last >= 0 && record.offset !== last + 1) throw new Error(`${partition.name}: a gap`)
        last = record.offset
      }
      at += batch.length
    }
    return last
  }
}

/** The log has failed for good and says so. */
function isFailure(error: unknown): boolean {
  return error instanceof AgentError && ['STORAGE_IO', 'CLOSED'].includes(error.code)
}
