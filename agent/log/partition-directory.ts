// The directory of one partition: what of its names is durable, the name above it, and how it goes with
// all that is in it.
//
// - Somebody may remove it while the log runs: then it is made again.
// - One that the disk does not list, or a file in its place, is set aside (asides.ts): the partition goes
//   on in a new directory.

import type { Clock } from '../base/clock.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import type { AsideContext } from './asides.ts'
import { tryToRead } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import { METADATA_TEMPORARY } from './partition-metadata.ts'
import { baseOffsetOf } from './segment-file.ts'
import { REWRITE_SUFFIX } from './segment-rewrite.ts'

export type Listing =
  | { kind: 'names'; names: string[] }
  | { kind: 'missing' | 'file' | 'unreadable' }

/**
 * What is in a partition's directory. Unreadable: the disk does not say, with a clock for some seconds;
 * a file: it has its name. Fault: STORAGE_IO, when this user may not read it, which is no damage.
 */
export async function listPartition(
  { fs, clock }: { fs: FileSystem; clock?: Clock },
  path: string,
): Promise<Listing> {
  try {
    const names = await tryToRead(() => fs.list(path), clock)
    return names === undefined ? { kind: 'unreadable' } : { kind: 'names', names }
  } catch (error) {
    const code = codeOf(error)
    if (code === 'ENOENT') return { kind: 'missing' }
    if (code === 'ENOTDIR') return { kind: 'file' }
    if (code !== 'EACCES' && code !== 'EPERM') throw error
    const message = `${path} cannot be listed (${code}): give it back to the user of this process`
    throw new AgentError('STORAGE_IO', message, { cause: error })
  }
}

/** The directory that holds the name of `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash < 0) return '.'
  return slash === 0 ? '/' : path.slice(0, slash)
}

export class PartitionDirectory {
  readonly path: string
  readonly #context: AsideContext
  #exists = false
  /** Its own name may not be durable. */
  isNew = false
  /** Names in it may not be durable. */
  hasNewNames = false
  #syncing: Promise<void> = Promise.resolve()

  constructor(context: AsideContext, path: string) {
    this.#context = context
    this.path = path
  }

  /**
   * What a start finds: the first offsets of the segments, ascending. What was never finished goes: the
   * file it was to replace is whole.
   */
  async findSegments(): Promise<number[]> {
    const { fs, asides } = this.#context
    const listing = await listPartition(this.#context, this.path)
    if (listing.kind === 'unreadable') asides.refused(this.path)
    if (listing.kind === 'file') await asides.setAside(this.path)
    this.#exists = listing.kind === 'names'
    if (listing.kind !== 'names') return []
    for (const name of listing.names) {
      const isUnfinished = name.endsWith(`.log${REWRITE_SUFFIX}`) || name === METADATA_TEMPORARY
      if (isUnfinished) await fs.remove(`${this.path}/${name}`)
    }
    const bases = listing.names.map(baseOffsetOf).filter((base) => base !== undefined)
    return bases.sort((a, b) => a - b)
  }

  /** Does what makes a name in it. */
  async add<T>(work: () => Promise<T>): Promise<T> {
    const hadOne = this.#exists
    await this.#make()
    try {
      return await work()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || !hadOne) throw error
      this.#exists = false
      await this.#make()
      return await work()
    } finally {
      // Not before: a sync meanwhile does not see the name.
      this.hasNewNames = true
    }
  }

  /**
   * All names that are there now are durable when it resolves: who comes while another sync goes on
   * waits for that, and for one of his own if need be. Fault: CORRUPT_STORE when they are gone.
   */
  sync(): Promise<void> {
    const synced = this.#syncing.then(() => (this.hasNewNames ? this.#sync() : undefined))
    this.#syncing = synced.catch(() => {})
    return synced
  }

  async #sync(): Promise<void> {
    const { isNew } = this
    this.hasNewNames = false
    this.isNew = false
    try {
      await this.#context.fs.syncDirectory(this.path)
      if (isNew) await this.#context.fs.syncDirectory(parentOf(this.path))
    } catch (error) {
      this.hasNewNames = true
      this.isNew ||= isNew
      if (codeOf(error) !== 'ENOENT') throw error
      throw new AgentError('CORRUPT_STORE', `${this.path} was removed`, { cause: error })
    }
  }

  async #make(): Promise<void> {
    if (this.#exists) return
    await this.#context.fs.makeDirectory(this.path)
    this.#exists = true
    this.isNew = true
  }
}

/**
 * Deletes what is in a partition's directory, and the directory; fine when it is gone. What cannot be
 * looked into is set aside: its name is free then, too.
 */
export async function removeDirectory(context: AsideContext, path: string): Promise<void> {
  const { fs, asides } = context
  const listing = await listPartition(context, path)
  if (listing.kind === 'unreadable' || listing.kind === 'file') await asides.setAside(path)
  if (listing.kind !== 'names') return
  for (const name of listing.names) {
    await fs.remove(`${path}/${name}`).catch((error) => {
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }
  await fs.removeDirectory(path)
  await fs.syncDirectory(parentOf(path))
}
