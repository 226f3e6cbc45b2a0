// The directory of one partition: what of its names is durable, the name above it, and how it goes with
// all that is in it. Somebody may remove it while the log runs: then it is made again.

import { AgentError, codeOf } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'

/** The directory that holds the name of `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash < 0) return '.'
  return slash === 0 ? '/' : path.slice(0, slash)
}

export class PartitionDirectory {
  readonly path: string
  readonly #fs: FileSystem
  #exists = false
  /** Its own name may not be durable. */
  isNew = false
  /** Names in it may not be durable. */
  hasNewNames = false

  constructor(fs: FileSystem, path: string) {
    this.#fs = fs
    this.path = path
  }

  /** The names in it, in any order; undefined when there is no such directory. */
  async list(): Promise<string[] | undefined> {
    const names = await this.#fs.list(this.path).catch((error) => {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    })
    this.#exists = names !== undefined
    return names
  }

  /** Does what makes a name in it. */
  async add<T>(work: () => Promise<T>): Promise<T> {
    const hadOne = this.#exists
    await this.#make()
    this.hasNewNames = true
    try {
      return await work()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || !hadOne) throw error
      this.#exists = false
      await this.#make()
      return work()
    }
  }

  /** Names are durable when it resolves. Fault: CORRUPT_STORE when they are gone. */
  async sync(): Promise<void> {
    this.hasNewNames = false
    try {
      await this.#fs.syncDirectory(this.path)
      if (this.isNew) await this.#fs.syncDirectory(parentOf(this.path))
      this.isNew = false
    } catch (error) {
      this.hasNewNames = true
      if (codeOf(error) !== 'ENOENT') throw error
      throw new AgentError('CORRUPT_STORE', `${this.path} was removed`, { cause: error })
    }
  }

  async #make(): Promise<void> {
    if (this.#exists) return
    await this.#fs.makeDirectory(this.path)
    this.#exists = true
    this.isNew = true
  }
}

/** Deletes what is in a partition's directory, and the directory; fine when it is gone. */
export async function removeDirectory(fs: FileSystem, path: string): Promise<void> {
  const names = await fs.list(path).catch((error) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (names === undefined) return
  for (const name of names) {
    await fs.remove(`${path}/${name}`).catch((error) => {
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }
  await fs.removeDirectory(path)
  await fs.syncDirectory(parentOf(path))
}
