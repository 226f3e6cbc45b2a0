// The port to the disk: everything the log reads or writes goes through a FileSystem.
//
// Positions are explicit, no handle has a cursor. A write takes all of its buffers or throws, and
// may read them (views of WASM memory included) until its promise settles, so the caller leaves
// them alone until then. Faults are the system's own errors with their `code` (ENOENT, ENOSPC, EIO
// …): only the caller knows what one of them means to its file.
//
// What is durable: bytes after `sync` (or after a write to a file opened `durable`), names after
// `syncDirectory` of the directory that holds them. Nothing else is, and after a failed `sync`
// nothing written to that file since the last good one may be assumed, not even after another one.

import { constants, write } from 'node:fs'
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rmdir,
  stat,
  statfs,
  unlink,
} from 'node:fs/promises'
import { codeOf } from '../base/errors.ts'

/** read, or read-write of a file that: exists / is made when absent / must not exist yet. */
export type OpenMode = 'read' | 'write' | 'create' | 'exclusive'

export interface OpenOptions {
  /** O_DSYNC: a write returns when its bytes, and the size they need, are on disk. */
  durable?: boolean
  /**
   * O_DIRECT: writes go past the page cache, so that a small one does not cost the device a whole
   * page. Each is one buffer of kernel memory; address, length and position are multiples of 512.
   * Where the disk or its file system will not have that, it writes as ever.
   */
  direct?: boolean
}

export interface OpenFile {
  /** Fills `target`; the number of bytes read is smaller only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>
  /** Written when it resolves; durable only when the file was opened so. */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>
  /** Durable when it resolves (fdatasync). */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface FileSystem {
  /** Never truncates; a new file is readable by its owner only. */
  open(path: string, mode: OpenMode, options?: OpenOptions): Promise<OpenFile>
  /** The names in a directory, sorted. */
  list(path: string): Promise<string[]>
  /** Makes the parents as well; fine when it is there already. */
  makeDirectory(path: string): Promise<void>
  /** Replaces `to` in one step. */
  rename(from: string, to: string): Promise<void>
  remove(path: string): Promise<void>
  /** The directory must be empty. */
  removeDirectory(path: string): Promise<void>
  /** Bytes of a file; undefined when there is none. */
  size(path: string): Promise<number | undefined>
  /** Makes names created, renamed or removed in this directory durable. */
  syncDirectory(path: string): Promise<void>
  /** Bytes an ordinary user may still write, and the size of the volume. */
  freeBytes(path: string): Promise<{ free: number; total: number }>
}

const OPEN_FLAGS: Record<OpenMode, number> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT,
  exclusive: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
}
/** Linux alone has it. */
const O_DIRECT = constants.O_DIRECT ?? 0
const FILE_MODE = 0o600
const DIRECTORY_MODE = 0o700

export const nodeFileSystem: FileSystem = {
  async open(path, mode, options = {}) {
    const flags = OPEN_FLAGS[mode] | (options.durable === true ? constants.O_DSYNC : 0)
    const plain = () => open(path, flags, FILE_MODE)
    if (options.direct !== true) return new NodeFile(await plain())
    try {
      return new NodeFile(await open(path, flags | O_DIRECT, FILE_MODE), plain)
    } catch (error) {
      if (codeOf(error) !== 'EINVAL') throw error
      return new NodeFile(await plain())
    }
  },

  async list(path) {
    return (await readdir(path)).sort()
  },

  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE })
  },

  rename,
  remove: unlink,
  removeDirectory: (path) => rmdir(path),

  async size(path) {
    try {
      return (await stat(path)).size
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  },

  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },

  async freeBytes(path) {
    const { bavail, blocks, bsize } = await statfs(path)
    return { free: bavail * bsize, total: blocks * bsize }
  },
}

class NodeFile implements OpenFile {
  #handle: FileHandle
  /** Opens the same file again for writes through the page cache. */
  #plain: (() => Promise<FileHandle>) | undefined

  constructor(handle: FileHandle, plain?: () => Promise<FileHandle>) {
    this.#handle = handle
    this.#plain = plain
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    let done = 0
    while (done < target.length) {
      const { bytesRead } = await this.#handle.read(
        target,
        done,
        target.length - done,
        position + done,
      )
      if (bytesRead === 0) break
      done += bytesRead
    }
    return done
  }

  write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const written = this.#write(buffers, position)
    const plain = this.#plain
    return plain === undefined
      ? written
      : written.catch((error) => this.#writePlain(error, plain, buffers, position))
  }

  async #writePlain(
    error: unknown,
    plain: () => Promise<FileHandle>,
    buffers: readonly Uint8Array[],
    position: number,
  ): Promise<void> {
    // Sectors of 4096 bytes, for one, take no fewer.
    if (codeOf(error) !== 'EINVAL') throw error
    const direct = this.#handle
    this.#handle = await plain()
    this.#plain = undefined
    await direct.close()
    return this.#write(buffers, position)
  }

  async #write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    let rest = buffers.filter((buffer) => buffer.length > 0)
    let at = position
    if (rest.length === 1) {
      // The commit's own path: a third cheaper than the handle's promises.
      const written = await writeOnce(this.#handle.fd, rest[0]!, at)
      if (written === rest[0]!.length) return
      rest = unwritten(rest, written)
      at += written
    }
    while (rest.length > 0) {
      const { bytesWritten } = await this.#handle.writev(rest, at)
      if (bytesWritten === 0) throw stalledWrite(at)
      at += bytesWritten
      rest = unwritten(rest, bytesWritten)
    }
  }

  sync(): Promise<void> {
    return this.#handle.datasync()
  }

  truncate(size: number): Promise<void> {
    return this.#handle.truncate(size)
  }

  async size(): Promise<number> {
    return (await this.#handle.stat()).size
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

function writeOnce(fd: number, buffer: Uint8Array, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, buffer, 0, buffer.length, position, (error, written) => {
      if (error === null) resolve(written)
      else reject(error)
    })
  })
}

/** What is left of `buffers` after their first `written` bytes: a system may write less than asked. */
export function unwritten(buffers: readonly Uint8Array[], written: number): Uint8Array[] {
  let skip = written
  let first = 0
  while (first < buffers.length && skip >= buffers[first]!.length) {
    skip -= buffers[first]!.length
    first++
  }
  const rest = buffers.slice(first)
  if (skip > 0) rest[0] = rest[0]!.subarray(skip)
  return rest
}

function stalledWrite(position: number): Error {
  return Object.assign(new Error(`EIO: the disk takes no bytes at position ${position}, write`), {
    code: 'EIO',
  })
}
