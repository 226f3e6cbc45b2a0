// The state of a log whose checkpoints and journal do not tell all of it any more: what they do tell,
// completed by the partitions' directories.
//
//   state       the checkpoint that holds, if any, then every frame that is left, in order
//   topics      partition.metadata says what the state does not: the newer of the two counts, by log
//               ids, which are never used twice. A directory that nothing tells of becomes a topic of
//               its name, under a log id of its own
//   recovery    from where on the journal holds what the segments hold: only there a segment may be
//   offsets     cut. Without such a place everything in the segments is believed, and what the journal
//               has of it is noted, for what does not hold (journal-salvage.ts)
//
// What comes out is a checkpoint that was never written; the journal's records are replayed upon it.
// Reads only.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Checkpoint, PartitionMark } from './checkpoint.ts'
import type { FileSystem } from './file-system.ts'
import { JournalDigest } from './journal-digest.ts'
import { knownEndOf } from './known-end.ts'
import { type FoundDirectory, findPartitionDirectories } from './partition-directories.ts'
import type { PartitionMetadata } from './partition-metadata.ts'
import { recoveryOffsetOf } from './recovery-offset.ts'
import type { Survey } from './store-survey.ts'
import { isBygone, newTopicId, type TopicRecord, topicRecords } from './topic.ts'

export interface RebuildParts {
  fs: FileSystem
  clock: Clock
  directory: string
  kernel: Kernel
  codecs: Codecs
  logger: Logger
  /** What the gateway is called, when the store does not say. */
  gateway: string | undefined
}

export async function rebuild(parts: RebuildParts, survey: Survey): Promise<Checkpoint> {
  const base = survey.checkpoint?.content
  const digest = new JournalDigest(parts, base?.state ?? [], survey.holes)
  for (const journal of survey.journals) await digest.read(journal)
  const marks = new Map(base?.partitions.map((mark) => [mark.logId, mark]))
  digest.forget((record) => isBygone(record, marks))
  const directories = await findPartitionDirectories(parts)
  const topics = new TopicRebuild(parts, digest, directories)
  topics.run()
  const partitions: PartitionMark[] = []
  for (const { logId, directory, isLimited } of topics.partitions()) {
    const mark = marks.get(logId)
    const runs = digest.runs(logId)
    const bases = directory?.bases ?? []
    const path = `${parts.directory}/${directory?.name}`
    const synced = mark?.recoveryOffset ?? 0
    const end = Math.max(synced, await recoveryOffsetOf(parts, path, bases, runs))
    // What the journal has behind the segments is no loss.
    const hasMore = runs.some(({ to }) => to > end)
    const recoveryOffset = hasMore ? end : Math.max(end, knownEndOf(digest.state, logId))
    const segments = mark?.segments ?? []
    // Where retention has been may be told by nothing but the files that are left.
    const first = bases[0] ?? (synced > 0 ? 0 : (runs[0]?.from ?? 0))
    const known = Number(digest.state.get(`start/${logId}`)?.toString() ?? 0)
    const isExpired = mark === undefined || isLimited
    if (first > known && isExpired) digest.state.set(`start/${logId}`, Buffer.from(String(first)))
    const kept = segments.filter(({ baseOffset }) => !isExpired || baseOffset >= first)
    const journaled = runs
      .map(({ from, to }) => ({ from: Math.max(from, synced), to: Math.min(to, recoveryOffset) }))
      .filter(({ from, to }) => from < to)
    partitions.push({ logId, recoveryOffset, segments: kept, syncedOffset: synced, journaled })
  }
  return {
    number: base?.number ?? 0,
    generation: base?.generation ?? 1,
    sequence: base?.sequence ?? 0,
    isClean: false,
    time: base?.time ?? digest.firstTime ?? 0,
    state: [...digest.state],
    partitions,
  }
}

/** Brings what the state says of topics and what the directories say together, in the state. */
class TopicRebuild {
  readonly #parts: RebuildParts
  readonly #digest: JournalDigest
  readonly #directories: Map<string, FoundDirectory[]>
  /** By log id: the topic that has it, as the state says. */
  readonly #owners = new Map<number, string>()
  #nextLogId: number

  constructor(parts: RebuildParts, digest: JournalDigest, directories: readonly FoundDirectory[]) {
    this.#parts = parts
    this.#digest = digest
    this.#directories = new Map(directories.map(({ topic }) => [topic, []]))
    for (const directory of directories) this.#directories.get(directory.topic)!.push(directory)
    for (const [topic, { logIds }] of topicRecords(digest.state)) {
      for (const logId of logIds) this.#owners.set(logId, topic)
    }
    const stored = Number(digest.state.get('store/next-log-id')?.toString() ?? 1)
    const ids = directories.flatMap(({ metadata }) => metadata?.logIds ?? [])
    this.#nextLogId = Math.max(stored, digest.lastLogId + 1, ...ids.map((id) => id + 1))
  }

  run(): void {
    this.#restoreNames()
    for (const [topic, directories] of this.#directories) {
      const record = this.#recordOf(topic, directories)
      if (record === undefined) continue
      const settings = { ...record.settings, partitions: record.logIds.length }
      const stored = Buffer.from(JSON.stringify({ ...record, settings }))
      this.#digest.state.set(`topic/${topic}`, stored)
      // Nobody can have made it while directories of another one were still being removed.
      for (const { name } of directories) this.#digest.state.delete(`deleted/${name}`)
    }
    this.#digest.state.set('store/next-log-id', Buffer.from(String(this.#nextLogId)))
  }

  *partitions(): Iterable<{
    logId: number
    directory: FoundDirectory | undefined
    isLimited: boolean
  }> {
    for (const [topic, { logIds, settings }] of topicRecords(this.#digest.state)) {
      const { retentionMs, retentionBytes, whenFull } = settings
      const isLimited =
        retentionMs !== undefined || retentionBytes !== undefined || whenFull === 'dropOldest'
      const directories = this.#directories.get(topic) ?? []
      for (const [partition, logId] of logIds.entries()) {
        const directory = directories.find((candidate) => candidate.partition === partition)
        yield { logId, directory, isLimited }
      }
    }
  }

  #restoreNames(): void {
    const { state } = this.#digest
    for (const { metadata } of [...this.#directories.values()].flat()) {
      const { gateway, lineage } = metadata ?? {}
      if (gateway !== undefined && !state.has('store/gateway'))
        state.set('store/gateway', Buffer.from(gateway))
      if (lineage !== undefined && !state.has('store/lineage'))
        state.set('store/lineage', Buffer.from(lineage))
    }
  }

  /** What the state is to say of a topic; undefined: what it says already. */
  #recordOf(topic: string, directories: readonly FoundDirectory[]): TopicRecord | undefined {
    const { logger } = this.#parts
    const stored = this.#digest.state.get(`topic/${topic}`)?.toString()
    const known = stored === undefined ? undefined : (JSON.parse(stored) as TopicRecord)
    const newest = newestOf(directories.filter(({ metadata }) => !this.#isTaken(topic, metadata)))
    const deleted = this.#digest.deleted.get(topic)
    if (newest !== undefined && deleted !== undefined && known === undefined) {
      // Its deletion is known; one that was made later has log ids of its own.
      if (newest.logIds[0]! <= deleted) return undefined
    }
    if (newest === undefined) {
      if (known !== undefined || deleted !== undefined) return undefined
      if (directories.every(({ bases }) => bases.length === 0)) return undefined
      logger.error(
        `${topic}: nothing says what it was but ${directories.length} directories of segments; it ` +
          'goes on as a new topic of this name with the records that are there',
      )
      return this.#invent(topic, directories)
    }
    const { topicId: id, settings, logIds } = newest
    if (known === undefined || logIds[0]! > known.logIds[0]!) return { id, settings, logIds }
    // The same: partitions are only ever added.
    if (known.id !== id || logIds.length <= known.logIds.length) return undefined
    return { id, settings: known.settings, logIds }
  }

  /** Its creation was never durable: another topic of the state has got one of these log ids. */
  #isTaken(topic: string, metadata: PartitionMetadata | undefined): boolean {
    return (metadata?.logIds ?? []).some((id) => (this.#owners.get(id) ?? topic) !== topic)
  }

  #invent(topic: string, directories: readonly FoundDirectory[]): TopicRecord {
    const gateway = this.#digest.state.get('store/gateway')?.toString() ?? this.#parts.gateway
    const partitions = 1 + Math.max(...directories.map(({ partition }) => partition))
    const replicated = gateway !== undefined && topic.startsWith(`${gateway}.`)
    const logIds = Array.from({ length: partitions }, () => this.#nextLogId++)
    return { id: newTopicId(), settings: { partitions, replicated }, logIds }
  }
}

/** Log ids are never used twice: the newest topic of a name has the highest. */
function newestOf(directories: readonly FoundDirectory[]): PartitionMetadata | undefined {
  let newest: PartitionMetadata | undefined
  for (const { metadata } of directories) {
    if (metadata?.logIds[0] === undefined) continue
    const [first, mine] = [metadata.logIds[0], newest?.logIds[0] ?? -1]
    const isLonger = first === mine && metadata.logIds.length > newest!.logIds.length
    if (first > mine || isLonger) newest = metadata
  }
  return newest
}
