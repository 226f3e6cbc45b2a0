// `partition.metadata` in each partition's directory: what the state says of its topic, once more, so
// that a store whose checkpoints are both gone can be put together from its directories.
//
//   one line of JSON: version, topic, topicId, partition, logIds, settings, gateway, lineage
//   one line: CRC-32C of the first, eight hex digits
//
// - `logIds` are those of all partitions of the topic, as runs [first, count]: one file that is left
//   knows the others.
// - Written at checkpoints when missing or changed, to a temporary name that is synced and renamed. It
//   is a copy: a disk that refuses it holds up no checkpoint, and the next one tries again.
// - Read only in a rebuild, and to see whether it must be written.

import type { Codecs } from '../../wasm/codecs.ts'
import { codeOf, isBug } from '../base/errors.ts'
import { readTolerantly } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import type { PartitionLog } from './partition-log.ts'
import type { StateStore } from './state-store.ts'
import { type TopicRecord, type TopicSettings, topicRecords } from './topic.ts'

export const METADATA_FILE = 'partition.metadata'
export const METADATA_VERSION = 1
/** Removed at a start: it was never finished. */
export const METADATA_TEMPORARY = `${METADATA_FILE}.new`
/** Written together: their syncs share one commit of the file system. */
const TOGETHER = 64

export interface PartitionMetadata {
  topic: string
  topicId: string
  partition: number
  logIds: number[]
  settings: TopicSettings
  gateway: string | undefined
  lineage: string | undefined
}

export function encodeMetadata(metadata: PartitionMetadata, codecs: Codecs): Buffer {
  const { topic, topicId, partition, logIds, settings, gateway, lineage } = metadata
  const json = JSON.stringify({
    version: METADATA_VERSION,
    topic,
    topicId,
    partition,
    logIds: runsOf(logIds),
    settings,
    gateway,
    lineage,
  })
  return Buffer.from(`${json}\n${crcLine(Buffer.from(json), codecs)}\n`)
}

/** Undefined when it does not hold, or is newer. */
export function decodeMetadata(bytes: Buffer, codecs: Codecs): PartitionMetadata | undefined {
  const end = bytes.indexOf('\n')
  const json = bytes.subarray(0, Math.max(0, end))
  if (end < 0 || bytes.toString('latin1', end + 1) !== `${crcLine(json, codecs)}\n`)
    return undefined
  const { version, logIds, ...metadata } = JSON.parse(json.toString())
  if (version !== METADATA_VERSION) return undefined
  const ids = (logIds as [number, number][]).flatMap(([first, count]) =>
    Array.from({ length: count }, (_, index) => first + index),
  )
  return { gateway: undefined, lineage: undefined, ...metadata, logIds: ids }
}

/** Undefined when there is none that holds. */
export async function readMetadata(
  fs: FileSystem,
  directory: string,
  codecs: Codecs,
): Promise<PartitionMetadata | undefined> {
  const bytes = await readTolerantly(fs, `${directory}/${METADATA_FILE}`).catch((error) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
  return bytes && decodeMetadata(bytes, codecs)
}

interface Stale {
  partition: PartitionLog
  directory: string
  bytes: Buffer
}

export class MetadataFiles {
  readonly #fs: FileSystem
  readonly #directory: string
  readonly #codecs: Codecs
  readonly #state: StateStore
  /** By log id: what is on the disk. */
  readonly #written = new Map<number, Buffer>()
  #running: Promise<void> = Promise.resolve()

  /** `directory`: of the store. */
  constructor(
    { fs, directory }: { fs: FileSystem; directory: string },
    codecs: Codecs,
    state: StateStore,
  ) {
    this.#fs = fs
    this.#directory = directory
    this.#codecs = codecs
    this.#state = state
  }

  /**
   * Writes what is missing or out of date, by `state`: what is not durable yet may never have been, and
   * its log ids go to others then. Never rejects for the disk's sake.
   */
  update(
    partitions: Iterable<PartitionLog>,
    state: Iterable<readonly [key: string, value: Buffer]>,
  ): Promise<void> {
    this.#running = this.#update([...partitions], topicRecords(state))
    return this.#running
  }

  /** Resolves when nothing is being written: a directory may be removed. */
  idle(): Promise<void> {
    return this.#running.catch(() => {})
  }

  async #update(
    partitions: readonly PartitionLog[],
    topics: ReadonlyMap<string, TopicRecord>,
  ): Promise<void> {
    const present = new Set(partitions.map(({ logId }) => logId))
    for (const logId of this.#written.keys()) if (!present.has(logId)) this.#written.delete(logId)
    let stale: Stale[] = []
    for (const partition of partitions) {
      const { topic, logId } = partition
      const record = topics.get(topic.name)
      if (record?.id !== topic.id || !record.logIds.includes(logId)) continue
      const bytes = encodeMetadata(this.#metadataOf(partition, record), this.#codecs)
      if (this.#written.get(logId)?.equals(bytes) || partition.isDeleted) continue
      stale.push({ partition, directory: `${this.#directory}/${partition.name}`, bytes })
      if (stale.length < TOGETHER) continue
      await this.#writeAll(stale)
      stale = []
    }
    await this.#writeAll(stale)
  }

  #metadataOf(
    { topic, partition }: PartitionLog,
    { id: topicId, logIds, settings }: TopicRecord,
  ): PartitionMetadata {
    return {
      topic: topic.name,
      topicId,
      partition,
      logIds,
      settings,
      gateway: this.#state.get('store/gateway')?.toString(),
      lineage: this.#state.get('store/lineage')?.toString(),
    }
  }

  async #writeAll(stale: readonly Stale[]): Promise<void> {
    const written = await this.#each(stale, (entry) => this.#write(entry))
    const synced = await this.#each(written, ({ directory }) => this.#sync(directory))
    const named = await this.#each(synced, async ({ directory }) => {
      await this.#fs.rename(`${directory}/${METADATA_TEMPORARY}`, `${directory}/${METADATA_FILE}`)
      await this.#fs.syncDirectory(directory)
      return true
    })
    for (const { partition, bytes } of named) this.#written.set(partition.logId, bytes)
  }

  /** Those of them that `work` says true for. What the disk refuses leaves nothing half made. */
  async #each(
    entries: readonly Stale[],
    work: (entry: Stale) => Promise<boolean>,
  ): Promise<Stale[]> {
    const done: Stale[] = []
    for (const entry of entries) {
      try {
        if (await work(entry)) done.push(entry)
      } catch (error) {
        // Faults of the disk have a code; anything else is a bug.
        if (isBug(error)) throw error
        await this.#fs.remove(`${entry.directory}/${METADATA_TEMPORARY}`).catch(() => {})
      }
    }
    return done
  }

  /** False when it is there already, or nobody needs it any more. */
  async #write({ partition, directory, bytes }: Stale): Promise<boolean> {
    const known = await readTolerantly(this.#fs, `${directory}/${METADATA_FILE}`).catch(absent)
    if (known?.equals(bytes)) this.#written.set(partition.logId, bytes)
    if (known?.equals(bytes) || partition.isDeleted) return false
    await this.#fs.makeDirectory(directory)
    await this.#writeTemporary(directory, bytes)
    return true
  }

  async #writeTemporary(directory: string, bytes: Buffer): Promise<void> {
    const file = await this.#fs.open(`${directory}/${METADATA_TEMPORARY}`, 'create')
    try {
      await file.truncate(0)
      await file.write([bytes], 0)
    } finally {
      await file.close()
    }
  }

  async #sync(directory: string): Promise<boolean> {
    const file = await this.#fs.open(`${directory}/${METADATA_TEMPORARY}`, 'write')
    try {
      await file.sync()
    } finally {
      await file.close()
    }
    return true
  }
}

function absent(error: unknown): undefined {
  if (codeOf(error) !== 'ENOENT') throw error
  return undefined
}

function crcLine(json: Buffer, codecs: Codecs): string {
  return codecs.crc32c(json).toString(16).padStart(8, '0')
}

function runsOf(logIds: readonly number[]): [first: number, count: number][] {
  const runs: [first: number, count: number][] = []
  for (const logId of logIds) {
    const last = runs.at(-1)
    if (last !== undefined && last[0] + last[1] === logId) last[1]++
    else runs.push([logId, 1])
  }
  return runs
}
