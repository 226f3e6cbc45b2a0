// The slice of the log that ingest uses. The tests put a log behind it whose commits stall, fail and
// forget what was not durable.

import type { TopicSettings } from '../log/topic.ts'

export interface IngestPartition {
  /** The disk has no room for this one since then, monotonic; undefined: it has. */
  readonly fullSince: number | undefined
  /** Pointers into kernel memory; the offset, or −1: no room, nothing happened. */
  append(
    timestamp: number,
    key: number,
    keyLength: number,
    value: number,
    valueLength: number,
    headers: number,
    headersLength: number,
    headersCount: number,
  ): number
}

export interface IngestTopic {
  readonly name: string
  readonly partitions: readonly IngestPartition[]
}

export interface IngestState {
  get(key: string): Buffer | undefined
  /** The value is kept, not copied. */
  put(key: string, value: Uint8Array, options?: { ride: boolean }): void
  delete(key: string, options?: { ride: boolean }): void
  entries(prefix?: string): Iterable<[string, Buffer]>
}

export interface IngestLog {
  readonly kernel: { readonly u8: Uint8Array; readonly buffer: Buffer }
  readonly state: IngestState
  /** Where arrivals come from. */
  readonly time: { now(): number; readonly isSynchronized: boolean }
  topics(): Iterable<IngestTopic>
  topic(name: string): IngestTopic | undefined
  ensureTopic(name: string, settings: TopicSettings): IngestTopic
  readonly openCommit: number
  readonly durableCommit: number
  onCommit(listener: (durableCommit: number) => void): () => void
  durable(commit: number): Promise<void>
  onRoom(listener: () => void): () => void
}
