// The `.log` file of one segment: its bytes up to a size, what of it is not durable yet, and how it is
// replaced by another.
//
// - Changes come one at a time, from the segment; reads at any time, through the bounded set of open
//   files.
// - Once a sync has failed, no later sync of that file proves anything: it is written anew. What was
//   synced before is copied as it is, rot and bad sectors (as zeros) included, which are mended later;
//   what was not, and does not hold, comes from the journal.
// - A file that took the place of another is durable with its name. Until that is so, the old one may
//   come back.

import type { Codecs } from '../../wasm/codecs.ts'
import { AgentError, codeOf, isBug, unlessBug } from '../base/errors.ts'
import { tolerant } from './bad-sectors.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import type { BatchStart } from './index-pair.ts'
import type { OffsetRun } from './journal-digest.ts'
import type { JournaledBatch } from './journal-records.ts'
import type { OpenFiles } from './open-files.ts'
import { type Part, REWRITE_SUFFIX, writeRewrite } from './segment-rewrite.ts'
import { copyRange, scanBatches } from './segment-scan.ts'

export interface SegmentFileContext {
  fs: FileSystem
  codecs: Codecs
  files: OpenFiles
}

/** What the journal has of a range, ascending. */
export type Journaled = (range: OffsetRun) => Promise<readonly JournaledBatch[]>

/** Names sort as their offsets do. */
export function segmentName(baseOffset: number): string {
  return String(baseOffset).padStart(20, '0')
}

/** The base offset of `<20 digits>.log`; undefined for any other name. */
export function baseOffsetOf(fileName: string): number | undefined {
  return /^\d{20}\.log$/.test(fileName) ? Number(fileName.slice(0, 20)) : undefined
}

export class SegmentFile {
  readonly #context: SegmentFileContext
  readonly #directory: string
  readonly #baseOffset: number
  /** Bytes of whole batches, written. */
  size = 0
  /** The size is what a checkpoint said, and nobody has looked yet. */
  isEstimate = false
  isUnsynced = false
  /** Behind the last batch that is known to be on the disk. */
  synced: BatchStart
  #syncFailed = false
  /** How often it was replaced: positions of before then mean nothing any more. */
  rewrites = 0

  constructor(context: SegmentFileContext, directory: string, baseOffset: number) {
    this.#context = context
    this.#directory = directory
    this.#baseOffset = baseOffset
    this.synced = { position: 0, baseOffset }
  }

  /** The path without `.log`. Made when it is asked for: there are thousands of closed segments. */
  get stem(): string {
    return `${this.#directory}/${segmentName(this.#baseOffset)}`
  }

  get path(): string {
    return `${this.stem}.log`
  }

  async create(): Promise<void> {
    await (await this.#context.fs.open(this.path, 'exclusive')).close()
  }

  /**
   * With the bytes that a checkpoint knows, the disk is not asked before it is read: a file that was
   * written anew since has another size. Fault, without: CORRUPT_STORE when it is missing.
   */
  async find(marked?: number): Promise<void> {
    if (marked !== undefined) {
      this.size = marked
      this.isEstimate = true
      return
    }
    const size = await this.#context.fs.size(this.path)
    if (size === undefined) throw new AgentError('CORRUPT_STORE', `${this.path} is missing`)
    this.size = size
    this.isEstimate = false
  }

  /** The size, looked up when that was not done yet. */
  async known(): Promise<number> {
    if (this.isEstimate) await this.find()
    return this.size
  }

  use<T>(work: (file: OpenFile) => Promise<T>): Promise<T> {
    return this.#context.files.use(this.path, 'write', work)
  }

  read(position: number, target: Uint8Array): Promise<number> {
    return this.use((file) => file.read(target, position))
  }

  /** As many bytes as there are below `end`. */
  async bytesAt(position: number, count: number, end?: number): Promise<Buffer> {
    const limit = end ?? (await this.known())
    const bytes = Buffer.allocUnsafe(Math.max(0, Math.min(count, limit - position)))
    return bytes.subarray(0, await this.read(position, bytes))
  }

  /** Written behind the end, not durable; after a failure the file is as it was. */
  async append(bytes: Buffer): Promise<void> {
    const position = this.size
    await this.use(async (file) => {
      this.touched()
      try {
        await file.write([bytes], position)
      } catch (error) {
        // What got through lies behind the end, where it is overwritten or cut at the next start.
        await file.truncate(position).catch(() => {})
        throw error
      }
    })
    this.size = position + bytes.length
  }

  /** It has bytes, or lacks some, that the disk may not know of. */
  touched(): void {
    this.isUnsynced = true
    this.#context.files.hold(this.path)
  }

  /**
   * What is there may only be in the page cache: the next sync takes it to the disk. `inPlace`: after it
   * was written once more, because a sync that failed leaves pages that look clean.
   */
  async writeAgain(inPlace: boolean): Promise<void> {
    this.touched()
    this.synced = { position: 0, baseOffset: this.#baseOffset }
    if (!inPlace) return
    const end = await this.known()
    await this.use((file) => copyRange(file, file, 0, end)).catch((error) => {
      // What cannot be read is damage, and told when it is asked for. A fault without a code is a bug.
      if (isBug(error)) throw error
    })
  }

  /** What lies below `end` is durable; false when the file must be replaced for that. */
  async sync(end: BatchStart): Promise<boolean> {
    const { rewrites } = this
    // Set again by a write that begins before the sync has ended.
    this.isUnsynced = false
    try {
      if (!this.#syncFailed) await this.use((file) => file.sync())
    } catch (error) {
      unlessBug(error)
      this.#syncFailed = true
    }
    if (this.#syncFailed) this.isUnsynced = true
    else if (rewrites === this.rewrites) this.synced = end
    this.release()
    return !this.#syncFailed
  }

  release(): void {
    if (!this.isUnsynced) this.#context.files.release(this.path)
  }

  /**
   * After a failed sync the pages count as clean without being on the disk, so another sync proves
   * nothing: this is to go to a fresh file that takes the name. What had not been synced and does not
   * hold comes from the journal. Fault: CORRUPT_STORE, not retriable, when that lacks some of it.
   */
  async partsAnew(nextOffset: number, journaled: Journaled): Promise<Part[]> {
    const { position: from } = this.synced
    const { end, fault } = await this.#holding()
    const parts: Part[] = [
      { kind: 'copy', from: 0, to: from },
      { kind: 'keep', from, to: end.position },
    ]
    if (fault === undefined) return parts
    let next = end.baseOffset
    for (const batch of await journaled({ from: next, to: nextOffset })) {
      if (batch.from !== next) break
      parts.push({ kind: 'batch', bytes: batch.bytes })
      next = batch.to
    }
    if (next === nextOffset) return parts
    const position = end.position
    const message = `${this.path} at ${position}: ${fault}, and the journal lacks offset ${next}`
    throw new AgentError('CORRUPT_STORE', message, { details: { path: this.path, position } })
  }

  /** How far what was not synced holds. Looked at twice: one refused read is no loss. */
  async #holding(): Promise<{ end: BatchStart; fault: string | undefined }> {
    const { codecs } = this.#context
    const { size: to } = this
    let end = this.synced
    let fault: string | undefined
    const look = async (file: OpenFile) => {
      const range = { from: end.position, to, offset: end.baseOffset, codecs }
      const outcome = await scanBatches(tolerant(file), range, ({ position, size, nextOffset }) => {
        end = { position: position + size, baseOffset: nextOffset }
      })
      fault = 'reason' in outcome ? outcome.reason : undefined
    }
    try {
      await this.use(look)
      if (fault !== undefined) await this.use(look)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
      fault = String(error)
    }
    return { end, fault }
  }

  /**
   * What takes the place of the file ends before `nextOffset`. Durable when it resolves. When it fails
   * and `rewrites` has grown, the name is not durable yet.
   */
  async replace(parts: readonly Part[], nextOffset: number): Promise<void> {
    const { fs, files, codecs } = this.#context
    const { path } = this
    const isKept = parts.some(({ kind }) => kind === 'keep' || kind === 'copy')
    const write = (file?: Pick<OpenFile, 'read'>) => writeRewrite(fs, path, file, parts, codecs)
    // A file that is gone can still be hollow as a whole.
    const size = isKept ? await this.use(write) : await write()
    await fs.rename(`${path}${REWRITE_SUFFIX}`, path)
    // Whoever reads goes on in the old file; it is closed when they are done.
    await files.forget(path)
    this.rewrites++
    this.size = size
    this.isEstimate = false
    this.synced = { position: size, baseOffset: nextOffset }
    this.#syncFailed = true
    this.touched()
    await fs.syncDirectory(this.#directory)
    this.#syncFailed = false
    this.isUnsynced = false
    this.release()
  }

  /** The files of the segment are gone when it resolves; the directory is the caller's to sync. */
  async remove(): Promise<void> {
    for (const path of [`${this.stem}.timeindex`, `${this.stem}.index`, this.path]) {
      await this.#context.fs.remove(path).catch((error) => {
        if (codeOf(error) !== 'ENOENT') throw error
      })
    }
  }

  close(): Promise<void> {
    return this.#context.files.forget(this.path)
  }
}
