// A topic: its identity, its settings and its partitions. Its record is in the state store under
// `topic/<name>`, so it is durable with the commit that holds it.

import { randomUUID } from 'node:crypto'
import { CODEC_LZ4, CODEC_NONE, CODEC_ZSTD } from '../../wasm/assembly/limits.ts'
import { AgentError } from '../base/errors.ts'
import type { PartitionLog } from './partition-log.ts'

export interface TopicSettings {
  partitions: number
  /** Goes upstream: its name has the gateway's prefix. */
  replicated: boolean
  /** Milliseconds by arrival time; undefined = for ever. */
  retentionMs?: number | undefined
  /** Bytes per partition, as in Kafka; undefined = no limit. */
  retentionBytes?: number | undefined
  /** Of sealed batches; undefined = zstd. */
  compression?: 'zstd' | 'lz4' | 'none' | undefined
  whenFull?: 'block' | 'dropOldest' | undefined
  /** What a Kafka client has set: a file that speaks of all topics does not change it. */
  asked?: readonly AskedSetting[] | undefined
}

export type AskedSetting = 'compression' | 'retentionMs' | 'retentionBytes'

/** What is stored of a topic. Log ids are never used twice, so a recreated topic is another one. */
export interface TopicRecord {
  id: string
  settings: TopicSettings
  logIds: number[]
}

/** Of all topics that a state tells of, by name. */
export function topicRecords(
  state: Iterable<readonly [key: string, value: Buffer]>,
): Map<string, TopicRecord> {
  const topics = new Map<string, TopicRecord>()
  for (const [key, value] of state) {
    if (key.startsWith('topic/')) topics.set(key.slice(6), JSON.parse(value.toString()))
  }
  return topics
}

export const PARTITIONS_MAX = 1000
const NAME_PATTERN = /^[a-zA-Z0-9._-]{1,249}$/
/** Their partitions' directories would have the names of the store's own files. */
const RESERVED_NAMES: readonly string[] = ['journal', 'checkpoint']

const CODECS = { none: CODEC_NONE, lz4: CODEC_LZ4, zstd: CODEC_ZSTD } as const

export class Topic {
  readonly name: string
  readonly id: string
  settings: TopicSettings
  readonly partitions: PartitionLog[] = []

  constructor(name: string, id: string, settings: TopicSettings) {
    this.name = name
    this.id = id
    this.settings = settings
  }

  get replicated(): boolean {
    return this.settings.replicated
  }

  /** Of the batches that are sealed here; those of producers keep theirs. */
  get codec(): (typeof CODECS)[keyof typeof CODECS] {
    return CODECS[this.settings.compression ?? 'zstd']
  }

  toRecord(): TopicRecord {
    const logIds = this.partitions.map((partition) => partition.logId)
    return { id: this.id, settings: this.settings, logIds }
  }
}

export function newTopicId(): string {
  return randomUUID()
}

/** Kafka's own rules for names, and one of ours: a name is also a directory. */
export function isTopicName(name: string): boolean {
  const isDots = name === '.' || name === '..'
  return NAME_PATTERN.test(name) && !isDots && !RESERVED_NAMES.includes(name)
}

/** Fault: INPUT_TOPIC. */
export function checkTopicName(name: string): void {
  if (isTopicName(name)) return
  const shown = JSON.stringify(name.slice(0, 80))
  const rule = RESERVED_NAMES.includes(name)
    ? 'a file of the store has this name'
    : 'use up to 249 of a-z A-Z 0-9 . _ - and not only dots'
  throw new AgentError('INPUT_TOPIC', `${shown} cannot be a topic: ${rule}`)
}

export function checkPartitions(name: string, count: number): void {
  if (Number.isInteger(count) && count >= 1 && count <= PARTITIONS_MAX) return
  throw new AgentError('INPUT_TOPIC', `${name}: ${count} partitions; use 1 to ${PARTITIONS_MAX}`)
}

/**
 * Gone before the checkpoint was written, which has a mark for every partition that was there: log ids
 * rise, and are never used twice. What has its name, and its directory, may be another topic.
 */
export function isBygone({ logIds }: TopicRecord, marks: ReadonlyMap<number, unknown>): boolean {
  const [first = 0] = logIds
  return !marks.has(first) && [...marks.keys()].some((logId) => logId > first)
}
