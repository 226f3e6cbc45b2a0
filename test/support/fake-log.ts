// The slice of the log that ingest uses, in memory, with commits that a test controls.
//
// - `auto`: every change is committed at the next turn of the loop. Without it `commit()` does it.
// - `stall()` keeps commits from ending, `full` makes appends find no room, `fail()` is a dead disk.
// - `crash()` gives the log as the disk knows it: only what a commit made durable.

import type {
  IngestLog,
  IngestPartition,
  IngestState,
  IngestTopic,
} from '../../agent/ingest/ingest-log.ts'
import type { TopicSettings } from '../../agent/log/topic.ts'
import { readVarint } from '../../agent/record/varint.ts'
import { Kernel } from '../../wasm/kernel.ts'

export interface FakeRecord {
  timestamp: number
  key: string | null
  value: Buffer | null
  headers: Record<string, string>
  commit: number
}

export class FakePartition implements IngestPartition {
  records: FakeRecord[] = []
  fullSince: number | undefined
  /** Appends that found no room. */
  refusals = 0
  readonly #log: FakeLog

  constructor(log: FakeLog) {
    this.#log = log
  }

  append(
    timestamp: number,
    key: number,
    keyLength: number,
    value: number,
    valueLength: number,
    headers: number,
    headersLength: number,
    headersCount: number,
  ): number {
    if (this.#log.full || this.fullSince !== undefined) {
      this.refusals++
      return -1
    }
    const { buffer } = this.#log.kernel
    const bytes = (at: number, length: number) => Buffer.from(buffer.subarray(at, at + length))
    this.records.push({
      timestamp,
      key: keyLength < 0 ? null : bytes(key, keyLength).toString(),
      value: valueLength < 0 ? null : bytes(value, valueLength),
      headers: readHeaders(bytes(headers, headersLength), headersCount),
      commit: this.#log.openCommit,
    })
    this.#log.changed()
    return this.records.length - 1
  }
}

function readHeaders(bytes: Buffer, count: number): Record<string, string> {
  const cursor = { position: 0 }
  const text = (): string => {
    const length = readVarint(bytes, cursor, bytes.length)
    cursor.position += length
    return bytes.toString('utf8', cursor.position - length, cursor.position)
  }
  const headers: Record<string, string> = {}
  for (let i = 0; i < count; i++) {
    const name = text()
    headers[name] = text()
  }
  if (cursor.position !== bytes.length) throw new Error('headers do not fill their bytes')
  return headers
}

export class FakeTopic implements IngestTopic {
  readonly name: string
  readonly settings: TopicSettings
  readonly partitions: FakePartition[]

  constructor(log: FakeLog, name: string, settings: TopicSettings) {
    this.name = name
    this.settings = settings
    this.partitions = Array.from({ length: settings.partitions }, () => new FakePartition(log))
  }
}

class FakeState implements IngestState {
  readonly live = new Map<string, Buffer>()
  readonly durable = new Map<string, Buffer>()
  #open: [key: string, value: Buffer | undefined][] = []
  readonly #log: FakeLog

  constructor(log: FakeLog) {
    this.#log = log
  }

  get(key: string): Buffer | undefined {
    return this.live.get(key)
  }

  put(key: string, value: Uint8Array, options = { ride: false }): void {
    const bytes = Buffer.from(value)
    this.live.set(key, bytes)
    this.#open.push([key, bytes])
    if (!options.ride) this.#log.changed()
  }

  delete(key: string, options = { ride: false }): void {
    if (!this.live.delete(key)) return
    this.#open.push([key, undefined])
    if (!options.ride) this.#log.changed()
  }

  *entries(prefix = ''): Iterable<[string, Buffer]> {
    for (const entry of this.live) if (entry[0].startsWith(prefix)) yield entry
  }

  /** Takes what the commit that begins now holds; the returned function makes it durable. */
  take(): () => void {
    const changes = this.#open
    this.#open = []
    return () => {
      for (const [key, value] of changes) {
        if (value === undefined) this.durable.delete(key)
        else this.durable.set(key, value)
      }
    }
  }
}

let kernel: Kernel | undefined

export class FakeLog implements IngestLog {
  /** One for all logs of a process: they are used one after the other. */
  readonly kernel = (kernel ??= new Kernel())
  readonly state = new FakeState(this)
  readonly #topics = new Map<string, FakeTopic>()
  readonly #listeners = new Set<(durableCommit: number) => void>()
  readonly #roomListeners = new Set<() => void>()
  #waiters: { commit: number; resolve: () => void; reject: (error: Error) => void }[] = []
  #isScheduled = false
  #isStalled = false
  time = { now: () => Date.UTC(2026, 0, 1), isSynchronized: true }
  auto = true
  full = false
  openCommit = 1
  durableCommit = 0

  topics(): Iterable<FakeTopic> {
    return this.#topics.values()
  }

  topic(name: string): FakeTopic | undefined {
    return this.#topics.get(name)
  }

  ensureTopic(name: string, settings: TopicSettings): FakeTopic {
    let topic = this.#topics.get(name)
    if (topic === undefined) {
      topic = new FakeTopic(this, name, settings)
      this.#topics.set(name, topic)
      this.changed()
    }
    return topic
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name)
  }

  /** All records of a topic, partition by partition. */
  records(name: string): FakeRecord[] {
    return (this.#topics.get(name)?.partitions ?? []).flatMap(({ records }) => records)
  }

  values(name: string): string[] {
    return this.records(name).map(({ value }) => String(value))
  }

  onCommit(listener: (durableCommit: number) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onRoom(listener: () => void): () => void {
    this.#roomListeners.add(listener)
    return () => this.#roomListeners.delete(listener)
  }

  durable(commit: number): Promise<void> {
    if (commit <= this.durableCommit) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ commit, resolve, reject }))
  }

  changed(): void {
    if (!this.auto || this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      if (!this.#isStalled) this.commit()
    })
  }

  /** One whole commit: what was appended or put before is durable, and the listeners know. */
  commit(): void {
    const apply = this.state.take()
    const commit = this.openCommit++
    apply()
    this.durableCommit = commit
    for (const listener of this.#listeners) listener(commit)
    const due = this.#waiters.filter((waiter) => waiter.commit <= commit)
    this.#waiters = this.#waiters.filter((waiter) => waiter.commit > commit)
    for (const { resolve } of due) resolve()
  }

  stall(): void {
    this.#isStalled = true
  }

  resume(): void {
    this.#isStalled = false
    this.commit()
  }

  makeRoom(): void {
    this.full = false
    for (const listener of this.#roomListeners) listener()
  }

  fail(): void {
    this.#isStalled = true
    for (const { reject } of this.#waiters) reject(new Error('the disk failed'))
    this.#waiters = []
  }

  /** What a restart finds: this log is dead from now on. */
  crash(): FakeLog {
    const after = new FakeLog()
    after.time = this.time
    after.openCommit = this.durableCommit + 1
    after.durableCommit = this.durableCommit
    for (const topic of this.#topics.values()) {
      const copy = after.ensureTopic(topic.name, topic.settings)
      for (const [index, { records }] of topic.partitions.entries()) {
        copy.partitions[index]!.records = records.filter(
          ({ commit }) => commit <= this.durableCommit,
        )
      }
    }
    for (const [key, value] of this.state.durable) {
      after.state.live.set(key, value)
      after.state.durable.set(key, value)
    }
    this.#listeners.clear()
    this.#roomListeners.clear()
    this.#isStalled = true
    return after
  }
}
