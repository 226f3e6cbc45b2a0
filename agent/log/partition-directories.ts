// Which directories of a store are a partition's, whatever the state says of them.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Clock } from '../base/clock.ts'
import type { FileSystem } from './file-system.ts'
import { listPartition } from './partition-directory.ts'
import { type PartitionMetadata, readMetadata } from './partition-metadata.ts'
import { baseOffsetOf } from './segment-file.ts'
import { isTopicName, PARTITIONS_MAX } from './topic.ts'

/** A directory that is a partition's, by its name and by what is in it. */
export interface FoundDirectory {
  name: string
  topic: string
  partition: number
  /** First offsets of its segments, ascending. */
  bases: number[]
  metadata: PartitionMetadata | undefined
}

interface StoreParts {
  fs: FileSystem
  /** With it the disk is asked for some seconds. */
  clock?: Clock
  /** Of the store. */
  directory: string
  codecs: Codecs
}

export async function findPartitionDirectories(parts: StoreParts): Promise<FoundDirectory[]> {
  const found: FoundDirectory[] = []
  for (const name of await parts.fs.list(parts.directory)) {
    const directory = await partitionDirectory(parts, name)
    if (directory !== undefined) found.push(directory)
  }
  return found
}

/** Undefined when it is none, or nothing of it can be read. */
export async function partitionDirectory(
  parts: StoreParts,
  name: string,
): Promise<FoundDirectory | undefined> {
  const { fs, directory, codecs } = parts
  const [, topic = '', number = ''] = /^(.+)-(0|[1-9]\d{0,3})$/.exec(name) ?? []
  const partition = Number(number)
  if (!isTopicName(topic) || partition >= PARTITIONS_MAX) return undefined
  const path = `${directory}/${name}`
  const listing = await listPartition(parts, path)
  const names = listing.kind === 'names' ? listing.names : []
  const read = await readMetadata(fs, path, codecs).catch(() => undefined)
  const metadata = read?.topic === topic && read.partition === partition ? read : undefined
  const bases = names.map(baseOffsetOf).filter((base) => base !== undefined)
  if (bases.length === 0 && metadata === undefined) return undefined
  bases.sort((a, b) => a - b)
  return { name, topic, partition, bases, metadata }
}
