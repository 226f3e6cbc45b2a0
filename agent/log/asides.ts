// What the disk refuses to give of a partition, its directory or a segment, is set aside under another
// name: the partition goes on without it, and what is left of it can still be looked at.
//
// - A disk that was reset refuses for some seconds: it is asked for as long (bad-sectors.ts).
// - A bad block hits one partition. A disk that refuses a second one is ill as a whole: the start ends,
//   and the next one may find it well. So nothing is set aside before all of them were asked for.

import type { Clock } from '../base/clock.ts'
import { AgentError, isBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { FileSystem } from './file-system.ts'
import { parentOf } from './partition-directory.ts'

/** No partition's directory, and no segment, has such a name. */
const SUFFIX = '.unreadable'

export function isAside(name: string): boolean {
  return name.includes(SUFFIX)
}

export interface AsideContext {
  fs: FileSystem
  clock: Clock
  logger: Logger
  asides: Asides
}

export class Asides {
  readonly #context: Omit<AsideContext, 'asides'>
  /** The directory of the partition that the disk refuses. */
  #directory: string | undefined
  readonly #refused: string[] = []

  constructor(context: Omit<AsideContext, 'asides'>) {
    this.#context = context
  }

  /**
   * At a start: `path` in the directory of a partition, or the directory, is set aside by `settle`. Fault:
   * STORAGE_IO, when another partition was refused before.
   */
  refused(directory: string, path = directory): void {
    this.#directory ??= directory
    if (this.#directory !== directory) {
      const message = `the disk refuses to give ${this.#directory} and ${path}, so it is taken for ill`
      const way =
        'check the disk and its file system and start again, or move both out of the store'
      throw new AgentError('STORAGE_IO', `${message}: ${way}`, { retriable: true })
    }
    this.#refused.push(path)
  }

  /** All partitions that are known were asked for. Fault: STORAGE_IO. */
  async settle(): Promise<void> {
    for (const path of this.#refused.splice(0)) await this.setAside(path)
  }

  /** Under another name, which is durable when it resolves and is told. Fault: STORAGE_IO. */
  async setAside(path: string): Promise<void> {
    const { fs, logger } = this.#context
    const parent = parentOf(path)
    try {
      const names = new Set((await fs.list(parent)).map((name) => `${parent}/${name}`))
      let aside = path + SUFFIX
      for (let number = 2; names.has(aside); number++) aside = `${path}${SUFFIX}.${number}`
      await fs.rename(path, aside)
      await fs.syncDirectory(parent)
      logger.error(`${path} cannot be read: it is ${aside} now, and nothing uses it`)
    } catch (error) {
      // Faults of the disk have a code; anything else is a bug.
      if (isBug(error)) throw error
      const message = `${path} can neither be read nor be set aside (${String(error)})`
      const way = 'check its file system, or move it out of the store'
      throw new AgentError('STORAGE_IO', `${message}: ${way}`, { cause: error })
    }
  }
}
