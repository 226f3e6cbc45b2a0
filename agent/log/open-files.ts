// A bounded set of open files, by path: what is used least recently is closed first.
//
// - A file in use, or held because it has writes that no sync has confirmed, is never closed: a
//   descriptor opened after a failed write-back might not be told of it. So the limit can be
//   exceeded by what is held and in use at one moment, and by nothing else.
// - A forgotten file leaves the set at once and is closed when its last user is done.

import { assert } from '../base/assert.ts'
import type { FileSystem, OpenFile } from './file-system.ts'

interface Entry {
  file: Promise<OpenFile>
  users: number
  isForgotten: boolean
}

export class OpenFiles {
  readonly #fileSystem: FileSystem
  readonly #limit: number
  /** In order of use, oldest first. */
  readonly #entries = new Map<string, Entry>()
  readonly #held = new Set<string>()

  constructor(fileSystem: FileSystem, limit: number) {
    assert(limit > 0, 'at least one file can be open')
    this.#fileSystem = fileSystem
    this.#limit = limit
  }

  get count(): number {
    return this.#entries.size
  }

  /** Runs `work` on the open file, which stays open until then. `create` makes it when absent. */
  async use<T>(
    path: string,
    mode: 'write' | 'create',
    work: (file: OpenFile) => Promise<T>,
  ): Promise<T> {
    const entry = this.#entry(path, mode)
    entry.users++
    try {
      return await work(await entry.file)
    } finally {
      entry.users--
      if (entry.isForgotten && entry.users === 0) await closeQuietly(entry)
    }
  }

  /** Once it is open, a file stays open until `release`. */
  hold(path: string): void {
    this.#held.add(path)
  }

  release(path: string): void {
    this.#held.delete(path)
  }

  /** For a file that is about to be removed or renamed. */
  async forget(path: string): Promise<void> {
    const entry = this.#entries.get(path)
    this.#held.delete(path)
    if (entry === undefined) return
    this.#entries.delete(path)
    entry.isForgotten = true
    if (entry.users === 0) await closeQuietly(entry)
  }

  async close(): Promise<void> {
    for (const path of [...this.#entries.keys()]) await this.forget(path)
  }

  #entry(path: string, mode: 'write' | 'create'): Entry {
    let entry = this.#entries.get(path)
    if (entry === undefined) {
      const opened = { file: this.#open(path, mode), users: 0, isForgotten: false }
      // A file that cannot be opened is tried again at its next use.
      opened.file.catch(() => {
        if (this.#entries.get(path) === opened) this.#entries.delete(path)
      })
      entry = opened
    } else {
      this.#entries.delete(path)
    }
    this.#entries.set(path, entry)
    return entry
  }

  async #open(path: string, mode: 'write' | 'create'): Promise<OpenFile> {
    // Chosen before the new file is in the set, which is before anything is awaited.
    const excess = this.#entries.size - this.#limit + 1
    const idle = [...this.#entries].filter(
      ([other, { users }]) => users === 0 && !this.#held.has(other),
    )
    const surplus = idle.slice(0, Math.max(0, excess))
    await Promise.all(surplus.map(([other]) => this.forget(other)))
    return this.#fileSystem.open(path, mode)
  }
}

async function closeQuietly(entry: Entry): Promise<void> {
  // Nothing unsynced is in it, or its owner gave it up: the error of a close tells nobody anything.
  await entry.file.then((file) => file.close()).catch(() => {})
}
