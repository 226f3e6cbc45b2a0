// A disk that lies as far as POSIX lets it, from a seed.
//
//   volatile                      becomes durable by              at a crash
//   bytes and size of a file      sync, or a durable write        each dirty page: kept, lost or torn
//   names: create, rename, remove syncDirectory of their parent   any prefix or subset of them is kept
//
// `crash()` is the power cut: it returns the disk as the next start finds it, and whatever the old
// program still tries on the old object fails with ECRASHED. Nothing happens but in a step: `onStep`
// is called before each operation, and again in the middle of a durable write or a sync, when the
// bytes are on their way; a simulation may call `crash()` there. Operations settle on microtasks, a
// random few later, and look at the buffers of a write only at the end.

import type { FileSystem, OpenFile, OpenMode, OpenOptions } from '../../agent/log/file-system.ts'
import { BrokenPromise } from './broken-promise.ts'
import { SeededRandom } from './seeded-random.ts'
import {
  applyChange,
  cloneDirectory,
  cloneNode,
  type PendingChange,
  SimDirectory,
  type SimNode,
  usedBytes,
} from './sim-directory.ts'
import { SimFile } from './sim-file.ts'

const DIRECT_BYTES = 512

export type SimOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'close'
  | 'list'
  | 'makeDirectory'
  | 'rename'
  | 'remove'
  | 'removeDirectory'
  | 'size'
  | 'syncDirectory'
  | 'freeBytes'

export interface SimStep {
  operation: SimOperation
  path: string
  /** The operation has done its volatile part and is about to become durable. */
  isHalfDone: boolean
}

export interface SimFaults {
  /** Bytes of all files together; more is ENOSPC, after what still fits was written. */
  capacityBytes?: number
  /** What the cache writes out as one: 4096 as Linux does, or 512. */
  pageBytes?: 512 | 4096
  onStep?: (step: SimStep) => void
  /** An operation is about to fail. */
  onFault?: (code: string, operation: SimOperation, path: string) => void
  /** Syncs say that they worked and do nothing, as a cheap card does. */
  isLying?: boolean
  /** Writes past the cache must be of whole sectors: a disk would fall back to slow ones in silence. */
  isStrict?: boolean
}

interface FailRule {
  operation: SimOperation
  code: string
  path: string
  passes: number
}

export class SimFileSystem implements FileSystem {
  /** May be changed at any time. */
  readonly faults: SimFaults
  /** Totals since the first start, crashes included. */
  readonly counts = { writes: 0, bytesWritten: 0, syncs: 0, opens: 0, openFiles: 0 }
  readonly #random: SeededRandom
  #root = new SimDirectory()
  #pending: PendingChange[] = []
  #rules: FailRule[] = []
  #hasCrashed = false

  constructor(seed: number, faults: SimFaults = {}) {
    this.#random = new SeededRandom(seed)
    this.faults = faults
  }

  /** Cuts the power. The returned object is the disk at the next start; this one is dead. */
  crash(): SimFileSystem {
    if (this.#hasCrashed) throw new Error('this simulated disk has crashed already')
    this.#hasCrashed = true
    const next = new SimFileSystem(this.#random.below(2 ** 32), this.faults)
    Object.assign(next.counts, this.counts, { openFiles: 0 })
    const keep = this.#random.below(this.#pending.length + 1)
    const isPrefix = this.#random.chance(0.5)
    this.#pending.forEach((change, order) => {
      if (isPrefix ? order < keep : this.#random.chance(0.5)) applyChange(change)
    })
    this.#settle(this.#root, new Set())
    next.#root = this.#root
    this.#root = new SimDirectory()
    return next
  }

  /** Kills the process: what it wrote is all there, durable or not; what it still tries fails. */
  kill(): SimFileSystem {
    if (this.#hasCrashed) throw new Error('this simulated disk has crashed already')
    this.#hasCrashed = true
    const next = new SimFileSystem(this.#random.below(2 ** 32), this.faults)
    Object.assign(next.counts, this.counts, { openFiles: 0 })
    next.#root = this.#root
    next.#pending = this.#pending
    this.#root = new SimDirectory()
    this.#pending = []
    return next
  }

  /** The same disk once more, without faults and in no hurry: what happens to it is not real. */
  clone(seed: number): SimFileSystem {
    const { pageBytes } = this.faults
    const copy = new SimFileSystem(seed, pageBytes === undefined ? {} : { pageBytes })
    const copies = new Map<SimNode, SimNode>()
    copy.#root = cloneDirectory(this.#root, copies)
    const moved = (end: PendingChange['gone']) =>
      end && {
        directory: cloneDirectory(end.directory, copies),
        name: end.name,
        node: cloneNode(end.node, copies),
      }
    for (const { gone, come } of this.#pending) {
      const [from, to] = [moved(gone), moved(come)]
      copy.#pending.push({ ...(from && { gone: from }), ...(to && { come: to }) })
    }
    return copy
  }

  /** Bytes of all files. */
  get usedBytes(): number {
    return usedBytes(this.#root)
  }

  /** The next operation of this kind (on a path holding `path`, after `passes` good ones) fails. */
  failNext(
    operation: SimOperation,
    options: { code?: string; path?: string; passes?: number } = {},
  ): void {
    const { code = 'EIO', path = '', passes = 0 } = options
    this.#rules.push({ operation, code, path, passes })
  }

  /** Forgets every failNext that has not come true. */
  failNoMore(): void {
    this.#rules = []
  }

  /** Flips bits of one byte, as a worn flash cell does. */
  rot(path: string, position: number, mask = 0x01): void {
    this.#file(path).rot(position, mask)
  }

  /** Reads that touch the sector of this byte fail with EIO until it is written again. */
  spoil(path: string, position: number): void {
    this.#file(path).spoil(position)
  }

  /** The file is gone, its name too, as after a bad repair by somebody else. */
  lose(path: string): void {
    const { directory, name } = this.#parent(path)
    directory.entries.delete(name)
    directory.durable.delete(name)
    // Also when its name was on its way: what is lost does not come with the next power cut.
    this.#pending = this.#pending.filter(
      ({ come }) => come?.directory !== directory || come.name !== name,
    )
  }

  /** The file ends here. */
  shorten(path: string, size: number): void {
    const file = this.#file(path)
    file.truncate(size)
    file.sync()
  }

  /** The whole of a file as programs see it now, past all faults and steps. */
  contents(path: string): Buffer {
    const file = this.#file(path)
    const bytes = Buffer.alloc(file.size)
    file.read(bytes, 0)
    return bytes
  }

  /** Every file, past all faults and steps. */
  paths(): string[] {
    const found: string[] = []
    const visit = (directory: SimDirectory, path: string) => {
      for (const [name, node] of directory.entries) {
        if (node.kind === 'file') found.push(`${path}/${name}`)
        else visit(node, `${path}/${name}`)
      }
    }
    visit(this.#root, '')
    return found.sort()
  }

  async open(path: string, mode: OpenMode, options: OpenOptions = {}): Promise<OpenFile> {
    await this.#step('open', path)
    const { directory, name } = this.#parent(path)
    let file = directory.entries.get(name)
    if (file !== undefined && mode === 'exclusive') throw systemError('EEXIST', 'open', path)
    if (file === undefined) {
      if (mode === 'read' || mode === 'write') throw systemError('ENOENT', 'open', path)
      file = new SimFile()
      this.#put(directory, name, file)
    }
    if (file.kind === 'directory') throw systemError('EISDIR', 'open', path)
    this.counts.opens++
    this.counts.openFiles++
    return this.#handle(file, path, mode, options)
  }

  async list(path: string): Promise<string[]> {
    await this.#step('list', path)
    return [...this.#directory(path).entries.keys()].sort()
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#step('makeDirectory', path)
    let directory = this.#root
    for (const name of partsOf(path)) {
      let child = directory.entries.get(name)
      if (child === undefined) {
        child = new SimDirectory()
        this.#put(directory, name, child)
      }
      if (child.kind === 'file') throw systemError('ENOTDIR', 'mkdir', path)
      directory = child
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step('rename', to)
    const source = this.#parent(from)
    const target = this.#parent(to)
    const node = source.directory.entries.get(source.name)
    if (node === undefined) throw systemError('ENOENT', 'rename', from)
    source.directory.entries.delete(source.name)
    target.directory.entries.set(target.name, node)
    this.#pending.push({ gone: { ...source, node }, come: { ...target, node } })
  }

  async remove(path: string): Promise<void> {
    await this.#step('remove', path)
    const { directory, name } = this.#parent(path)
    const node = directory.entries.get(name)
    if (node === undefined) throw systemError('ENOENT', 'unlink', path)
    if (node.kind === 'directory') throw systemError('EISDIR', 'unlink', path)
    this.#unlink(directory, name)
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#step('removeDirectory', path)
    const { directory, name } = this.#parent(path)
    if (this.#directory(path).entries.size > 0) throw systemError('ENOTEMPTY', 'rmdir', path)
    this.#unlink(directory, name)
  }

  async size(path: string): Promise<number | undefined> {
    await this.#step('size', path)
    const node = this.#find(path)
    return node?.kind === 'file' ? node.size : undefined
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#step('syncDirectory', path)
    const directory = this.#directory(path)
    if (this.faults.isLying) return
    const concerns = ({ gone, come }: PendingChange) =>
      gone?.directory === directory || come?.directory === directory
    for (const change of this.#pending) if (concerns(change)) applyChange(change)
    this.#pending = this.#pending.filter((change) => !concerns(change))
  }

  async freeBytes(path: string): Promise<{ free: number; total: number }> {
    await this.#step('freeBytes', path)
    const total = this.faults.capacityBytes ?? 2 ** 40
    return { free: Math.max(0, total - usedBytes(this.#root)), total }
  }

  #handle(file: SimFile, path: string, mode: OpenMode, options: OpenOptions): OpenFile {
    const { durable = false, direct = false } = options
    let isOpen = true
    const step = async (operation: SimOperation, failHalfWay?: () => void) => {
      await this.#step(operation, path, failHalfWay)
      if (!isOpen) throw systemError('EBADF', operation, path)
    }
    const makeDurable = async (operation: SimOperation) => {
      await this.#settleLater()
      this.#announce({ operation, path, isHalfDone: true })
      if (!this.faults.isLying) file.sync()
    }
    return {
      read: async (target, position) => {
        await step('read')
        if (!file.isReadable(position, target.length)) throw systemError('EIO', 'read', path)
        return file.read(target, position)
      },
      write: async (buffers, position) => {
        if (direct && this.faults.isStrict) checkDirect(buffers, position, path)
        await step('write', () => {
          const bytes = Buffer.concat(buffers)
          file.write(bytes.subarray(0, this.#random.below(bytes.length + 1)), position)
          if (durable) file.failSync(this.#random)
        })
        if (mode === 'read') throw systemError('EBADF', 'write', path)
        this.#write(file, Buffer.concat(buffers), position, path)
        if (durable) await makeDurable('write')
      },
      sync: async () => {
        await step('sync', () => file.failSync(this.#random))
        this.counts.syncs++
        await makeDurable('sync')
      },
      truncate: async (size) => {
        await step('truncate')
        if (mode === 'read') throw systemError('EINVAL', 'ftruncate', path)
        file.truncate(size)
      },
      size: async () => {
        await step('size')
        return file.size
      },
      close: async () => {
        await step('close')
        isOpen = false
        this.counts.openFiles--
      },
    }
  }

  #write(file: SimFile, bytes: Buffer, position: number, path: string): void {
    let count = bytes.length
    const { capacityBytes } = this.faults
    if (capacityBytes !== undefined) {
      const room = file.size + Math.max(0, capacityBytes - usedBytes(this.#root))
      count = Math.max(0, Math.min(count, room - position))
    }
    this.counts.writes++
    this.counts.bytesWritten += count
    if (count > 0) file.write(bytes.subarray(0, count), position)
    if (count === bytes.length) return
    this.faults.onFault?.('ENOSPC', 'write', path)
    throw systemError('ENOSPC', 'write', path)
  }

  async #step(operation: SimOperation, path: string, failHalfWay?: () => void): Promise<void> {
    this.#announce({ operation, path, isHalfDone: false })
    await this.#settleLater()
    if (this.#hasCrashed) throw systemError('ECRASHED', operation, path)
    const rule = this.#rules.find(
      (rule) => rule.operation === operation && path.includes(rule.path),
    )
    if (rule === undefined || rule.passes-- > 0) return
    this.#rules.splice(this.#rules.indexOf(rule), 1)
    failHalfWay?.()
    this.faults.onFault?.(rule.code, operation, path)
    throw systemError(rule.code, operation, path)
  }

  #announce(step: SimStep): void {
    if (!this.#hasCrashed) this.faults.onStep?.(step)
    if (this.#hasCrashed) throw systemError('ECRASHED', step.operation, step.path)
  }

  async #settleLater(): Promise<void> {
    for (let turns = this.#random.below(4); turns >= 0; turns--) await undefined
    if (this.#hasCrashed) throw systemError('ECRASHED', 'wait', '')
  }

  #put(directory: SimDirectory, name: string, node: SimNode): void {
    directory.entries.set(name, node)
    this.#pending.push({ come: { directory, name, node } })
  }

  #unlink(directory: SimDirectory, name: string): void {
    const node = directory.entries.get(name)!
    directory.entries.delete(name)
    this.#pending.push({ gone: { directory, name, node } })
  }

  #settle(directory: SimDirectory, seen: Set<SimNode>): void {
    directory.entries = new Map(directory.durable)
    for (const node of directory.entries.values()) {
      if (seen.has(node)) continue
      seen.add(node)
      if (node.kind === 'file') node.crash(this.#random, this.faults.pageBytes ?? 4096)
      else this.#settle(node, seen)
    }
  }

  #find(path: string): SimNode | undefined {
    let node: SimNode | undefined = this.#root
    for (const name of partsOf(path)) {
      node = node?.kind === 'directory' ? node.entries.get(name) : undefined
    }
    return node
  }

  #file(path: string): SimFile {
    const node = this.#find(path)
    if (node?.kind !== 'file') throw systemError('ENOENT', 'find', path)
    return node
  }

  #directory(path: string): SimDirectory {
    const node = this.#find(path)
    if (node === undefined) throw systemError('ENOENT', 'scandir', path)
    if (node.kind === 'file') throw systemError('ENOTDIR', 'scandir', path)
    return node
  }

  #parent(path: string): { directory: SimDirectory; name: string } {
    const parts = partsOf(path)
    const name = parts.pop()
    if (name === undefined) throw systemError('EISDIR', 'open', path)
    return { directory: this.#directory(parts.join('/')), name }
  }
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.')
}

/** What O_DIRECT asks for. */
function checkDirect(buffers: readonly Uint8Array[], position: number, path: string): void {
  const [buffer, ...more] = buffers
  const isAligned = [buffer?.byteOffset, buffer?.length, position].every(
    (number) => number !== undefined && number % DIRECT_BYTES === 0,
  )
  if (isAligned && more.length === 0) return
  throw new BrokenPromise(`a direct write of ${path} at ${position} is not of whole sectors`)
}

function systemError(code: string, operation: string, path: string): Error {
  // Nobody looks where it comes from, and there are many: finding out takes longest of all.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  const error = Object.assign(new Error(`${code}: ${operation} '${path}'`), { code })
  Error.stackTraceLimit = stackTraceLimit
  return error
}
