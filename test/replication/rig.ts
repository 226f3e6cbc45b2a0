// A log on a simulated disk, its replicator and a fake upstream, on a clock that runs only while a
// test waits for something.

import { Logger, Metrics } from '../../agent/base/telemetry.ts'
import { Log } from '../../agent/log/log.ts'
import type { LossReason } from '../../agent/log/loss.ts'
import { hollowBatch } from '../../agent/log/made-batch.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import type { DecodedRecord } from '../../agent/record/record-batch.ts'
import { Replicator, type ReplicatorOptions } from '../../agent/replication/replicator.ts'
import { isSame, recordsOf } from '../../agent/replication/tail-proof.ts'
import { ManualClock } from '../kafka/client/manual-clock.ts'
import { codecs, kernel } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { FakeMirror, type FakeMirrorPartition } from './fake-mirror.ts'

export const TOPIC = 'gw.sensors'
const STUCK_AFTER_MS = 8_000
const LINGER_MS = 20

export interface RigOptions {
  partitions?: number
  nodes?: 1 | 2
  produceMax?: number
  whenFull?: 'block' | 'dropOldest'
  journalBytes?: number
  replicator?: Partial<ReplicatorOptions>
}

export class ReplicationRig {
  readonly mirror: FakeMirror
  readonly clock = new ManualClock()
  readonly logged: string[] = []
  #fs = new SimFileSystem(7)
  #log: Log | undefined
  #replicator: Replicator | undefined
  readonly #options: RigOptions

  private constructor(mirror: FakeMirror, options: RigOptions) {
    this.mirror = mirror
    this.#options = options
  }

  /** The store is open and has the topic; nothing is replicated before `connect`. */
  static async open(options: RigOptions = {}): Promise<ReplicationRig> {
    const { nodes = 1, produceMax = 13 } = options
    const rig = new ReplicationRig(await FakeMirror.start({ nodes, produceMax }), options)
    await rig.openStore()
    return rig
  }

  get log(): Log {
    return this.#log!
  }

  /** What the store is on. */
  get disk(): SimFileSystem {
    return this.#fs
  }

  get replicator(): Replicator {
    return this.#replicator!
  }

  async openStore(): Promise<void> {
    const opening = Log.open({
      ...{ directory: '/store', fs: this.#fs, kernel, clock: this.clock },
      logger: this.#logger(),
      metrics: new Metrics(),
      ...{ gateway: 'gw', batchBytes: 16 * 1024, commitIntervalMs: 0 },
      journalBytes: this.#options.journalBytes ?? 256 * 1024,
      randomSalt: () => 4711,
    })
    this.#log = await this.during(opening)
    if (this.log.topic(TOPIC) !== undefined) return
    const { partitions = 1, whenFull = 'block' } = this.#options
    const settings = { partitions, replicated: true, whenFull }
    await this.during(this.log.createTopic(TOPIC, settings))
  }

  connect(): void {
    this.#replicator = new Replicator({
      ...{ log: this.log, clock: this.clock, logger: this.#logger() },
      ...{ bootstrapServers: this.mirror.addresses, clientId: 'gw', tls: undefined },
      ...{ sasl: undefined, createTopics: true, replicationFactor: undefined },
      ...{ lingerMs: LINGER_MS, maxBytesPerSecond: undefined, batchBytesMax: 640 * 1024 },
      ...this.#options.replicator,
    })
    this.#replicator.start()
  }

  async disconnect(): Promise<void> {
    await this.during(this.#replicator?.close() ?? Promise.resolve())
    this.#replicator = undefined
  }

  /** A clean stop and start of store and replicator. */
  async restart(): Promise<void> {
    await this.stop()
    await this.openStore()
    this.connect()
  }

  /** Cuts the power of the store, and starts it again. */
  async crash(): Promise<void> {
    const fs = this.#fs.crash()
    await this.disconnect()
    await this.during(this.log.close().catch(() => {}))
    this.#fs = fs
    await this.openStore()
    this.connect()
  }

  /** A store that has never seen anything, before the same upstream. */
  async replaceStore(): Promise<void> {
    await this.disconnect()
    await this.during(this.log.close())
    this.#fs = new SimFileSystem(8)
    await this.openStore()
  }

  /** In the order of the agent. */
  async stop(): Promise<void> {
    this.log.end()
    await this.disconnect()
    await this.during(this.log.close())
  }

  async close(): Promise<void> {
    await this.stop()
    await this.mirror.stop()
  }

  partition(partition = 0): PartitionLog {
    return this.log.topic(TOPIC)!.partitions[partition]!
  }

  mirrorPartition(partition = 0): FakeMirrorPartition {
    return this.mirror.partition(TOPIC, partition)
  }

  state(partition = 0): string {
    return this.replicator.stateOf(this.partition(partition))?.state ?? 'none'
  }

  reason(partition = 0): string {
    return this.replicator.stateOf(this.partition(partition))?.reason ?? ''
  }

  /** Appends durable records `<tag>-0 …`, and seals them as one batch when told so. */
  async append(
    tag: string,
    count: number,
    options: { partition?: number; seal?: boolean } = {},
  ): Promise<void> {
    const partition = this.partition(options.partition)
    for (let order = 0; order < count; order++) {
      const offset = partition.appendRecord({
        timestamp: this.clock.now() + order,
        key: Buffer.from(`key-${order % 3}`),
        value: Buffer.from(`${tag}-${order}`),
        headers: [['source', Buffer.from(tag)]],
      })
      if (offset < 0) throw new Error('no room in the log')
    }
    await this.during(this.log.durable(this.log.openCommit))
    if (options.seal) await this.during(partition.seal())
  }

  /** Hollow records instead of `count` lost ones, as recovery puts them there. */
  async appendHollow(count: number, reason: LossReason): Promise<void> {
    const log = this.partition()
    for (const to = log.logEndOffset + count; log.logEndOffset < to; ) {
      const range = { from: log.logEndOffset, to, reason }
      if (log.appendBatch(hollowBatch(range, this.clock.now(), codecs)) < 0) {
        throw new Error('no room in the log')
      }
    }
    await this.during(this.log.durable(this.log.openCommit))
    await this.during(log.seal())
  }

  /** Lets the clock and the loop run until the condition holds. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const started = performance.now()
    while (!condition()) {
      if (performance.now() - started > STUCK_AFTER_MS) {
        const { state, reason } = this.replicator.stateOf(this.partition()) ?? {}
        throw new Error(`not so: ${what} (${state}: ${reason})\n${this.logged.join('')}`)
      }
      await this.turn()
    }
  }

  /** One turn of the loop, and one millisecond. */
  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.clock.advance(1)
  }

  async during<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    const end = () => (isDone = true)
    work.then(end, end)
    while (!isDone) await this.turn()
    return work
  }

  replicated(partition = 0): Promise<void> {
    const log = this.partition(partition)
    return this.until(
      `partition ${partition} is replicated`,
      () => log.highWatermark > 0 && log.replicatedOffset === log.highWatermark,
    )
  }

  /** All records of a partition of the store. */
  async records(partition = 0): Promise<DecodedRecord[]> {
    const log = this.partition(partition)
    let found: DecodedRecord[] = []
    let offset = log.logStartOffset
    while (offset < log.highWatermark) {
      const read = await this.during(log.read(offset, 1 << 20))
      if (read.kind !== 'batches') throw new Error(`${read.kind} at ${offset}`)
      const records = recordsOf(read.bytes, codecs, offset, log.highWatermark)
      if (typeof records === 'number') throw new Error(`unreadable at ${records}`)
      found = found.concat(records)
      offset = read.nextOffset
    }
    return found
  }

  /** What is not the same on both sides, record for record; empty when all is. */
  async differences(partition = 0): Promise<string[]> {
    const ours = await this.records(partition)
    const theirs = this.mirrorPartition(partition).records
    const found = ours
      .filter((record, index) => theirs[index] === undefined || !isSame(record, theirs[index]!))
      .map(({ offset }) => `offset ${offset}`)
    if (theirs.length !== ours.length) found.push(`${theirs.length} upstream, ${ours.length} here`)
    return found
  }

  #logger(): Logger {
    const write = (line: string) => void this.logged.push(line)
    return new Logger({ level: 'info', format: 'text', write, now: () => this.clock.now() })
  }
}
