// Bytes that did not hold, kept for whoever wants to look: `quarantine/<name>` in the data directory.
//
// - Best effort: a disk that refuses, or a full quarantine, keeps nothing and holds up nobody.
// - A copy is durable when `keep` resolves, so the damaged place may be written over afterwards.
// - Bounded in all, copies of earlier processes included. Nothing here is ever deleted by us.
// - The same bytes under the same name are kept once: a start that is repeated adds nothing.

import { codeOf, isBug } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'

export const QUARANTINE_DIRECTORY = 'quarantine'
const LIMIT_BYTES = 64 * 1024 * 1024
/** Copies of one name whose bytes differ. */
const SAME_NAME_MAX = 8

export class Quarantine {
  readonly #fs: FileSystem
  readonly #storeDirectory: string
  readonly #directory: string
  readonly #limitBytes: number
  #usedBytes: number | undefined
  #last: Promise<unknown> = Promise.resolve()
  /** Bytes that were to be kept, and found no room. */
  refusedBytes = 0

  /** `directory`: of the store. */
  constructor(fs: FileSystem, directory: string, limitBytes: number = LIMIT_BYTES) {
    this.#fs = fs
    this.#storeDirectory = directory
    this.#directory = `${directory}/${QUARANTINE_DIRECTORY}`
    this.#limitBytes = limitBytes
  }

  /** Where the bytes are kept now; undefined when they are not. One after the other; never throws. */
  keep(name: string, bytes: Uint8Array | readonly Uint8Array[]): Promise<string | undefined> {
    const pieces = bytes instanceof Uint8Array ? [bytes] : bytes
    const kept = this.#last.then(() => this.#keep(name, pieces))
    this.#last = kept.catch(() => {})
    return kept
  }

  async #keep(name: string, pieces: readonly Uint8Array[]): Promise<string | undefined> {
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    let path: string | undefined
    try {
      this.#usedBytes ??= await this.#measure()
      // What the log itself needs goes before: never more than half of what is free.
      const { free } = await this.#fs.freeBytes(this.#storeDirectory)
      if (bytes <= Math.min(this.#limitBytes - this.#usedBytes, free / 2)) {
        await this.#fs.makeDirectory(this.#directory)
        const place = await this.#place(name, pieces, bytes)
        if (place?.isKept === true) return place.path
        path = place?.path
      }
      if (path !== undefined) {
        await this.#write(path, pieces)
        this.#usedBytes += bytes
        return path
      }
    } catch (error) {
      // Faults of the disk have a code; anything else is a bug.
      if (isBug(error)) throw error
      if (path !== undefined) await this.#fs.remove(path).catch(() => {})
    }
    this.refusedBytes += bytes
    return undefined
  }

  async #measure(): Promise<number> {
    const names = await this.#fs.list(this.#directory).catch((error) => {
      if (codeOf(error) === 'ENOENT') return []
      throw error
    })
    let bytes = 0
    for (const name of names) bytes += (await this.#fs.size(`${this.#directory}/${name}`)) ?? 0
    return bytes
  }

  /** A name that is free, or one that has these very bytes. */
  async #place(
    name: string,
    pieces: readonly Uint8Array[],
    bytes: number,
  ): Promise<{ path: string; isKept: boolean } | undefined> {
    for (let order = 1; order <= SAME_NAME_MAX; order++) {
      const path = `${this.#directory}/${name}${order === 1 ? '' : `.${order}`}`
      const size = await this.#fs.size(path)
      if (size === undefined) return { path, isKept: false }
      if (size === bytes && (await this.#isSame(path, pieces))) return { path, isKept: true }
    }
    return undefined
  }

  async #isSame(path: string, pieces: readonly Uint8Array[]): Promise<boolean> {
    const file = await this.#fs.open(path, 'read')
    try {
      let position = 0
      for (const piece of pieces) {
        const kept = Buffer.alloc(piece.length)
        await file.read(kept, position)
        if (!kept.equals(piece)) return false
        position += piece.length
      }
      return true
    } finally {
      await file.close()
    }
  }

  async #write(path: string, pieces: readonly Uint8Array[]): Promise<void> {
    const file = await this.#fs.open(path, 'exclusive')
    try {
      await file.write(pieces, 0)
      await file.sync()
    } finally {
      await file.close()
    }
    await this.#fs.syncDirectory(this.#directory)
    await this.#fs.syncDirectory(this.#storeDirectory)
  }
}
