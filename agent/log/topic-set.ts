// All topics of a log and their partitions, kept in step with the state store:
//
//   topic/<name>                JSON: id, settings, log ids of the partitions
//   start/<log id>              log start offset, decimal
//   acked/<log id>             when the upstream acked what, owned by the retainer
//   repl/<log id>               replication cursor, owned by the replicator; its first field counts
//   deleted/<topic>-<partition> a directory that is still to be removed
//   store/next-log-id           log ids are never used twice

import { assert } from '../base/assert.ts'
import { AgentError } from '../base/errors.ts'
import type { PartitionMark } from './checkpoint.ts'
import type { Committer } from './committer.ts'
import { ackedOffset } from './known-end.ts'
import { removeDirectory } from './partition-directory.ts'
import { type PartitionContext, PartitionLog } from './partition-log.ts'
import type { MetadataFiles } from './partition-metadata.ts'
import type { StateStore } from './state-store.ts'
import {
  checkPartitions,
  checkTopicName,
  isBygone,
  newTopicId,
  Topic,
  type TopicRecord,
  type TopicSettings,
} from './topic.ts'

/** State of one log id, whoever it belongs to: it goes with its partition. */
const PREFIXES_OF_A_LOG = ['start/', 'acked/', 'repl/', 'repl/sent/', 'hollow/', 'lost/'] as const

export class TopicSet {
  readonly #context: PartitionContext
  readonly #state: StateStore
  readonly #committer: Committer
  readonly #metadata: MetadataFiles
  readonly #topics = new Map<string, Topic>()
  readonly #byLogId = new Map<number, PartitionLog>()
  /** By name: what the journal has deleted while it was replayed, the last one. */
  readonly #orphans = new Map<string, Topic>()
  #nextLogId = 1

  constructor(
    context: PartitionContext,
    state: StateStore,
    committer: Committer,
    metadata: MetadataFiles,
  ) {
    this.#context = context
    this.#metadata = metadata
    this.#state = state
    this.#committer = committer
  }

  all(): Iterable<Topic> {
    return this.#topics.values()
  }

  partitions(): Iterable<PartitionLog> {
    return this.#byLogId.values()
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name)
  }

  byLogId(logId: number): PartitionLog | undefined {
    return this.#byLogId.get(logId)
  }

  create(name: string, settings: TopicSettings): Topic {
    checkTopicName(name)
    checkPartitions(name, settings.partitions)
    if (this.#topics.has(name)) throw new AgentError('INPUT_TOPIC', `${name} exists already`)
    for (const [key] of this.#state.entries('deleted/')) {
      if (!key.startsWith(`deleted/${name}-`)) continue
      throw new AgentError('INPUT_TOPIC', `${name} is being deleted`, { retriable: true })
    }
    const topic = new Topic(name, newTopicId(), settings)
    this.#topics.set(name, topic)
    this.#grow(topic, settings.partitions)
    return topic
  }

  addPartitions(name: string, count: number): void {
    const topic = this.#known(name)
    checkPartitions(name, count)
    const have = topic.partitions.length
    if (count < have) {
      const message = `${name} has ${have} partitions; Kafka cannot remove any. Use a new topic`
      throw new AgentError('INPUT_TOPIC', message)
    }
    if (count > have) this.#grow(topic, count)
  }

  alter(name: string, settings: Omit<TopicSettings, 'partitions'>): void {
    const topic = this.#known(name)
    topic.settings = { ...settings, partitions: topic.partitions.length }
    this.#save(topic)
  }

  async delete(name: string): Promise<void> {
    const topic = this.#known(name)
    this.#topics.delete(name)
    this.#state.delete(`topic/${name}`)
    for (const partition of topic.partitions) {
      partition.isDeleted = true
      for (const prefix of PREFIXES_OF_A_LOG) this.#state.delete(`${prefix}${partition.logId}`)
      this.#state.put(`deleted/${partition.name}`, Buffer.alloc(0))
    }
    // Until then the topic may come back: a checkpoint must seal and sync what it has.
    await this.#committer.durable(this.#committer.openCommit)
    for (const partition of topic.partitions) {
      this.#byLogId.delete(partition.logId)
      partition.discard(gone(partition))
    }
    await this.#metadata.idle()
    for (const partition of topic.partitions) {
      await partition.segments.removeAll()
      this.#state.delete(`deleted/${partition.name}`)
    }
  }

  /** Of directories whose deletion has begun. */
  deletedKeys(): string[] {
    return [...this.#state.entries('deleted/')].map(([key]) => key)
  }

  /** Removes directories whose deletion a crash interrupted. */
  async removeDeleted(keys: readonly string[]): Promise<void> {
    for (const { partitions } of this.#orphans.values()) {
      for (const partition of partitions) await partition.segments.close()
    }
    this.#orphans.clear()
    for (const key of keys) {
      await removeDirectory(this.#context, `${this.#context.directory}/${key.slice(8)}`)
      this.#state.delete(key)
    }
  }

  saveStart(partition: PartitionLog): void {
    this.#state.put(`start/${partition.logId}`, Buffer.from(String(partition.logStartOffset)))
  }

  savedStart(partition: PartitionLog): number | undefined {
    const start = this.#state.get(`start/${partition.logId}`)
    return start === undefined ? undefined : Number(start.toString())
  }

  /**
   * Brings one topic in line with its state entry, and opens what is new of it. The journal may go back
   * behind the state in the checkpoint, and that behind the files: what it deletes and makes again is
   * still the same, what is older than a topic that is there was deleted long ago.
   */
  async restoreFrom(name: string, marks: ReadonlyMap<number, PartitionMark>): Promise<void> {
    const stored = this.#state.get(`topic/${name}`)
    const record = stored && (JSON.parse(stored.toString()) as TopicRecord)
    for (const partition of await this.#restore(name, record, marks)) {
      const { recoveryOffset = 0, segments = [], syncedOffset } = marks.get(partition.logId) ?? {}
      const end = await partition.segments.open(recoveryOffset, segments, syncedOffset)
      partition.logStartOffset = this.savedStart(partition) ?? 0
      partition.restoreEnd(Math.max(end, partition.logStartOffset))
    }
  }

  /** Returns the partitions that are new. */
  async #restore(
    name: string,
    record: TopicRecord | undefined,
    marks: ReadonlyMap<number, PartitionMark>,
  ): Promise<PartitionLog[]> {
    const known = this.#topics.get(name) ?? this.#orphans.get(name)
    if (record === undefined) this.#orphan(name)
    if (record === undefined || isBygone(record, marks)) return []
    if (known !== undefined && known.id !== record.id) {
      // What has the name now was made when the files of the one before it were gone: the journal has
      // all of it.
      this.#orphan(name)
      await this.#discard(known)
    }
    const topic = known?.id === record.id ? known : new Topic(name, record.id, record.settings)
    topic.settings = record.settings
    this.#orphans.delete(name)
    this.#topics.set(name, topic)
    for (const partition of topic.partitions) this.#byLogId.set(partition.logId, partition)
    const added: PartitionLog[] = []
    for (const logId of record.logIds.slice(topic.partitions.length)) {
      added.push(this.#addPartition(topic, logId))
    }
    return added
  }

  /** It comes back, or is gone at the end of the journal. */
  #orphan(name: string): void {
    const topic = this.#topics.get(name)
    if (topic === undefined) return
    this.#topics.delete(name)
    this.#orphans.set(name, topic)
    for (const { logId } of topic.partitions) this.#byLogId.delete(logId)
  }

  async #discard({ partitions }: Topic): Promise<void> {
    for (const partition of partitions) {
      partition.discard(gone(partition))
      await partition.segments.removeAll()
    }
  }

  /** Once the whole state is there. */
  finishRecovery(): void {
    for (const { partitions } of this.#orphans.values()) {
      for (const partition of partitions) partition.discard(gone(partition))
    }
    this.#nextLogId = Number(this.#state.get('store/next-log-id')?.toString() ?? 1)
    for (const partition of this.partitions()) {
      assert(partition.logId < this.#nextLogId, 'log ids are counted')
      partition.logStartOffset = this.savedStart(partition) ?? 0
      partition.restoreLosses()
      const acked = ackedOffset(this.#state, partition.logId)
      partition.replicatedOffset = acked ?? partition.replicatedOffset
      // The replicator knows more when it is there; until then nothing that was sent may go.
      const sent = this.#state.get(`repl/sent/${partition.logId}`)?.toString()
      const unknown = acked === undefined ? 0 : partition.highWatermark
      const lease = sent === undefined ? unknown : Number(sent)
      partition.pinnedOffset = Math.min(lease, partition.highWatermark)
    }
  }

  #known(name: string): Topic {
    const topic = this.#topics.get(name)
    if (topic === undefined) throw new AgentError('INPUT_TOPIC', `there is no topic ${name}`)
    return topic
  }

  #grow(topic: Topic, count: number): void {
    while (topic.partitions.length < count) this.#addPartition(topic, this.#nextLogId++)
    topic.settings = { ...topic.settings, partitions: count }
    this.#state.put('store/next-log-id', Buffer.from(String(this.#nextLogId)))
    this.#save(topic)
  }

  #save(topic: Topic): void {
    this.#state.put(`topic/${topic.name}`, Buffer.from(JSON.stringify(topic.toRecord())))
  }

  #addPartition(topic: Topic, logId: number): PartitionLog {
    const partition = new PartitionLog(this.#context, topic, topic.partitions.length, logId)
    topic.partitions.push(partition)
    this.#byLogId.set(logId, partition)
    return partition
  }
}

function gone({ name }: PartitionLog): AgentError {
  return new AgentError('CLOSED', `${name} was deleted`)
}
