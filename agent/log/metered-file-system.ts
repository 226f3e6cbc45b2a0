// Counts what the log hands to its disk: bytes and syncs, by kind of file.
//
//   journal      journal-<n>                         a durable write is one sync
//   segment      <offset>.log, also while rewritten
//   index        <offset>.index, <offset>.timeindex
//   checkpoint   checkpoint-<n>
//   other        the rest, and the syncs of directories
//
// - Counted when it is asked for: what fails half way counts whole.
// - The device writes whole pages and the file system's own journal: only its counter knows those.
// - Adds no promise of its own: a write stays the one promise of the file system below.

import type { FileSystem, OpenFile, OpenMode, OpenOptions } from './file-system.ts'

export const FILE_KINDS = ['journal', 'segment', 'index', 'checkpoint', 'other'] as const
export type FileKind = (typeof FILE_KINDS)[number]

interface Meter {
  writtenBytes: number
  syncs: number
}

export class MeteredFileSystem implements FileSystem {
  /** What is counted. */
  readonly disk: FileSystem
  readonly #meters: Record<FileKind, Meter>
  readonly list: FileSystem['list']
  readonly makeDirectory: FileSystem['makeDirectory']
  readonly rename: FileSystem['rename']
  readonly remove: FileSystem['remove']
  readonly removeDirectory: FileSystem['removeDirectory']
  readonly size: FileSystem['size']
  readonly freeBytes: FileSystem['freeBytes']

  constructor(fs: FileSystem) {
    this.disk = fs
    const meter = () => ({ writtenBytes: 0, syncs: 0 })
    this.#meters = {
      journal: meter(),
      segment: meter(),
      index: meter(),
      checkpoint: meter(),
      other: meter(),
    }
    this.list = (path) => fs.list(path)
    this.makeDirectory = (path) => fs.makeDirectory(path)
    this.rename = (from, to) => fs.rename(from, to)
    this.remove = (path) => fs.remove(path)
    this.removeDirectory = (path) => fs.removeDirectory(path)
    this.size = (path) => fs.size(path)
    this.freeBytes = (path) => fs.freeBytes(path)
  }

  /** Since the start. */
  of(kind: FileKind): Readonly<Meter> {
    return this.#meters[kind]
  }

  get writtenBytes(): number {
    return FILE_KINDS.reduce((sum, kind) => sum + this.#meters[kind].writtenBytes, 0)
  }

  get syncs(): number {
    return FILE_KINDS.reduce((sum, kind) => sum + this.#meters[kind].syncs, 0)
  }

  async open(path: string, mode: OpenMode, options?: OpenOptions): Promise<OpenFile> {
    const file = await this.disk.open(path, mode, options)
    return new MeteredFile(file, this.#meters[kindOf(path)], options?.durable === true)
  }

  syncDirectory(path: string): Promise<void> {
    this.#meters.other.syncs++
    return this.disk.syncDirectory(path)
  }
}

class MeteredFile implements OpenFile {
  readonly #file: OpenFile
  readonly #meter: Meter
  readonly #isDurable: boolean

  constructor(file: OpenFile, meter: Meter, isDurable: boolean) {
    this.#file = file
    this.#meter = meter
    this.#isDurable = isDurable
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#file.read(target, position)
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    for (const buffer of buffers) this.#meter.writtenBytes += buffer.length
    if (this.#isDurable) this.#meter.syncs++
    return this.#file.write(buffers, position)
  }

  sync(): Promise<void> {
    this.#meter.syncs++
    return this.#file.sync()
  }

  truncate(size: number): Promise<void> {
    return this.#file.truncate(size)
  }

  size(): Promise<number> {
    return this.#file.size()
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

function kindOf(path: string): FileKind {
  const name = path.slice(path.lastIndexOf('/') + 1)
  if (name.startsWith('journal-')) return 'journal'
  if (name.startsWith('checkpoint-')) return 'checkpoint'
  if (name.includes('.log')) return 'segment'
  return name.includes('index') ? 'index' : 'other'
}
