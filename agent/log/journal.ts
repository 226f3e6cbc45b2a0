// The write-ahead journal: preallocated files, used in turn, one frame a write, one sync a frame.
//
//   journal-<n>    file header (512 B) | frame | frame | … each frame starts at a multiple of 512
//   file header    "TRJH", u16 version 1, u16 0, u64 generation, u32 salt, u32 crc of the 20 bytes
//   frame header   "TRJF", u32 crc, u32 crc of the frame before, u32 salt, u64 sequence,
//   (48 B)         u32 stored length, u32 raw length, i64 wall time ms, u8 flags, 7 × 0; payload
//
// The frame's crc covers everything behind it, payload included. A frame lives only when its salt is
// the file's, its crc holds, and it names the crc of its predecessor (the header's, for the first):
// no stale frame of an earlier use and no payload that looks like a frame can come alive.
// Flags: 1 = payload is an LZ4 frame, 2 = the commit goes on in the next frame.
// Frames never share a 512-byte sector, so writing one cannot tear another that was acked.

import { EGRESS, EGRESS_BYTES } from '../../wasm/assembly/limits.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { assert } from '../base/assert.ts'
import { AgentError, isBug } from '../base/errors.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import { writeInt64 } from './journal-entry.ts'
import { isNoSpace } from './reserve.ts'

export const JOURNAL_VERSION = 1
export const SECTOR_BYTES = 512
export const FRAME_HEADER_BYTES = 48
/** Payload bytes of one frame before compression; a frame must fit the staging region. */
export const FRAME_PAYLOAD_BYTES_MAX = EGRESS_BYTES - 64 * 1024
export const FILE_MAGIC = 0x54524a48
export const FRAME_MAGIC = 0x54524a46
export const FLAG_LZ4 = 1
export const FLAG_MORE = 2
/** Up to this a payload is stored as it is: with its header it fills one sector in any case. */
const COMPRESS_ABOVE_BYTES = SECTOR_BYTES - FRAME_HEADER_BYTES
/**
 * Two take turns; more only while one that failed to sync waits for the checkpoint to release it, or
 * in the place of one that is bad.
 */
export const FILES_IN_TURN = 2
const FILES_MAX = 8
/** A frame is on the disk when its write returns, and costs no more than its own sectors. */
const FRAMES = { durable: true, direct: true } as const

/** Where the next frame goes and what it follows. */
export interface JournalPosition {
  file: string
  generation: number
  salt: number
  position: number
  previousCrc: number
  /** Sequence of the generation's first frame. */
  firstSequence: number
}

export interface JournalOptions {
  fs: FileSystem
  directory: string
  kernel: Kernel
  /** Size of one preallocated file. */
  fileBytes: number
  /** Payload of one frame, as the committer cuts them. */
  frameBytesMax: number
  randomSalt: () => number
  /** Files that could not even be opened. */
  unusable?: readonly string[]
  /** No file took a frame; true when it may be tried again, some time having passed. */
  again?: (error: unknown) => Promise<boolean>
}

interface JournalFile {
  path: string
  /** 0 = never used. */
  generation: number
  handle: OpenFile
  /** All of it is on the disk: writing in it needs no more room. */
  isWhole: boolean
  /** Did not take its header or first frame, and not for want of room: others are used before it. */
  isBad: boolean
}

export class Journal {
  readonly #options: JournalOptions
  readonly #files: JournalFile[] = []
  #current: JournalFile | undefined
  #generation = 0
  #salt = 0
  #position = 0
  #previousCrc = 0
  #sequence = 1
  #firstSequence = 1
  /** Generations below need not be kept: a checkpoint has what they have. */
  oldestNeeded = 1

  private constructor(options: JournalOptions) {
    this.#options = options
  }

  /** Opens what recovery found; without `resume` the first frame needs a `roll`. */
  static async open(
    options: JournalOptions,
    found: { path: string; generation: number }[],
    last: { generation: number; sequence: number },
    resume: JournalPosition | undefined,
  ): Promise<Journal> {
    const journal = new Journal(options)
    journal.#generation = last.generation
    journal.#sequence = last.sequence + 1
    // A process that ended while it made a file may have left a name that no sync has seen.
    await options.fs.syncDirectory(options.directory)
    for (const { path, generation } of found) {
      const handle = await options.fs.open(path, 'write', FRAMES)
      const isWhole = (await handle.size()) >= options.fileBytes
      journal.#files.push({ path, generation, handle, isWhole, isBad: false })
    }
    if (resume !== undefined) {
      journal.#current = journal.#files.find((file) => file.path === resume.file)
      assert(journal.#current !== undefined, 'the journal resumes in a file that was read')
      journal.#salt = resume.salt
      journal.#position = resume.position
      journal.#previousCrc = resume.previousCrc
      journal.#firstSequence = resume.firstSequence
    }
    return journal
  }

  /** Number of the newest use of a file; 0 before the first. */
  get generation(): number {
    return this.#generation
  }

  /** Of the first frame of this generation: no earlier one is needed once its files are free. */
  get firstSequence(): number {
    return this.#firstSequence
  }

  /** Of the next frame. */
  get nextSequence(): number {
    return this.#sequence
  }

  /** Numbers in between stand in frames that are not needed any more. The next frame needs a `roll`. */
  goOnWith(sequence: number): void {
    assert(sequence >= this.#sequence, 'sequences rise')
    this.#sequence = sequence
    this.#current = undefined
  }

  /** Whether it goes on in a file that has frames already. */
  get isBegun(): boolean {
    return this.#current !== undefined && this.#sequence > this.#firstSequence
  }

  /** Whether a `roll` needs neither a checkpoint nor one more file. */
  get hasFreeFile(): boolean {
    return this.#files.some(({ generation, isBad }) => generation < this.oldestNeeded && !isBad)
  }

  /** Those that no checkpoint stands for, in order. */
  get neededFiles(): { path: string; generation: number }[] {
    const needed = this.#files.filter(({ generation }) => generation >= this.oldestNeeded)
    return needed
      .map(({ path, generation }) => ({ path, generation }))
      .sort((a, b) => a.generation - b.generation)
  }

  /** Bytes of all files, free ones included. */
  get diskBytes(): number {
    return this.#files.length * this.#options.fileBytes
  }

  /** True when a commit of `bytes` fits the current file even if it does not compress. */
  hasRoomFor(bytes: number): boolean {
    if (this.#current === undefined) return false
    // Two frames behind each other hold more than one may.
    const frames = 1 + Math.floor((2 * bytes) / this.#options.frameBytesMax)
    const overhead = frames * (FRAME_HEADER_BYTES + SECTOR_BYTES)
    return this.#position + bytes + overhead <= this.#options.fileBytes
  }

  /**
   * Starts the next generation in a file that is free below `oldestNeeded`; false when none is.
   * `mayAdd`: no checkpoint is on its way to free one, so there may be more files than two.
   */
  async roll(oldestNeeded: number, mayAdd: boolean): Promise<boolean> {
    const file = await this.#freeFile(oldestNeeded, mayAdd)
    if (file === undefined) return false
    try {
      // Left short by a process that ended, or a disk that was full, while it was made.
      if (!file.isWhole) await this.#fill(file.path)
      file.isWhole = true
      await this.#begin(file)
    } catch (error) {
      file.isBad = !isNoSpace(error)
      throw error
    }
    return true
  }

  /**
   * One bad place must not stop everything for ever, so a bad file is taken only when there is nothing
   * else: it may have been the disk as a whole, which is well again.
   */
  async #freeFile(oldestNeeded: number, mayAdd: boolean): Promise<JournalFile | undefined> {
    const free = this.#files.filter(({ generation }) => generation < oldestNeeded)
    const good = free.find(({ isBad }) => !isBad)
    if (good !== undefined) return good
    const inTurn = FILES_IN_TURN + this.#files.filter(({ isBad }) => isBad).length
    const forgive = () => {
      for (const bad of free) bad.isBad = false
    }
    const limit = mayAdd ? FILES_MAX : Math.min(inTurn, FILES_MAX)
    const fresh = await this.#createFile(limit).catch((error) => {
      forgive()
      throw error
    })
    if (fresh !== undefined || !mayAdd) return fresh
    forgive()
    return free[0]
  }

  /** Writes a header; durable when it resolves. */
  async #begin(file: JournalFile): Promise<void> {
    // A header that failed may be on the disk all the same: its number is never used again.
    const generation = ++this.#generation
    const salt = this.#options.randomSalt() >>> 0
    const header = Buffer.alloc(SECTOR_BYTES)
    header.writeUInt32BE(FILE_MAGIC, 0)
    header.writeUInt16BE(JOURNAL_VERSION, 4)
    header.writeBigUInt64BE(BigInt(generation), 8)
    header.writeUInt32BE(salt, 16)
    const { kernel } = this.#options
    kernel.u8.set(header.subarray(0, 20), EGRESS)
    const crc = kernel.crc32c(EGRESS, 20)
    header.writeUInt32BE(crc, 20)
    kernel.u8.set(header, EGRESS)
    await file.handle.write([kernel.u8.subarray(EGRESS, EGRESS + SECTOR_BYTES)], 0)
    file.generation = generation
    file.isBad = false
    this.#current = file
    this.#salt = salt
    this.#previousCrc = crc
    this.#position = SECTOR_BYTES
    this.#firstSequence = this.#sequence
  }

  /**
   * Writes one frame whose payload lies at `source` in kernel memory. Durable when it resolves.
   * After a failed write the pages may read back clean without being on disk, so the file is given
   * up: the same frame goes to a fresh generation, again and again for as long as `again` says so.
   */
  async append(source: number, length: number, time: number, more: boolean): Promise<void> {
    assert(length <= FRAME_PAYLOAD_BYTES_MAX, 'a frame fits its staging region')
    const stored = this.#stage(source, length)
    try {
      await this.#write(stored, length, time, more)
    } catch (error) {
      const frame = Buffer.from(
        this.#options.kernel.u8.subarray(EGRESS, EGRESS + FRAME_HEADER_BYTES + stored),
      )
      await this.#appendElsewhere(error, frame, () => this.#write(stored, length, time, more))
    }
  }

  /** Everything before this frame is durable in the old file, so that stays until a checkpoint. */
  async #appendElsewhere(cause: unknown, frame: Buffer, write: () => Promise<void>): Promise<void> {
    const { kernel, again = async () => false } = this.#options
    let error = cause
    for (let isFirst = true; ; isFirst = false) {
      // Faults of the disk have a code; anything else is a bug.
      if (isBug(error) || (!isFirst && !(await again(error)))) throw error
      let fresh: JournalFile | undefined
      try {
        if (!(await this.roll(this.oldestNeeded, true))) {
          throw new AgentError('STORAGE_IO', 'the journal has no file left')
        }
        fresh = this.#current
        kernel.u8.set(frame, EGRESS)
        await write()
        return
      } catch (next) {
        error = next
        // It holds nothing that was acked. All of it that counts is written again when it is used again.
        if (fresh === undefined) continue
        fresh.generation = 0
        fresh.isBad = !isNoSpace(next)
      }
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.handle.close()
  }

  /** Puts the payload behind the place of its header; returns its stored length. */
  #stage(source: number, length: number): number {
    const { kernel } = this.#options
    const target = EGRESS + FRAME_HEADER_BYTES
    if (length > COMPRESS_ABOVE_BYTES) {
      const stored = kernel.lz4Frame(
        source,
        length,
        target,
        EGRESS_BYTES - FRAME_HEADER_BYTES - SECTOR_BYTES,
      )
      if (stored > 0 && stored < length) return stored
    }
    kernel.u8.copyWithin(target, source, source + length)
    return length
  }

  async #write(stored: number, raw: number, time: number, more: boolean): Promise<void> {
    const { kernel } = this.#options
    const { view, u8 } = kernel
    const at = EGRESS
    view.setUint32(at, FRAME_MAGIC)
    view.setUint32(at + 8, this.#previousCrc)
    view.setUint32(at + 12, this.#salt)
    writeInt64(view, at + 16, this.#sequence)
    view.setUint32(at + 24, stored)
    view.setUint32(at + 28, raw)
    writeInt64(view, at + 32, time)
    view.setUint32(at + 40, 0)
    view.setUint32(at + 44, 0)
    view.setUint8(at + 40, (stored < raw ? FLAG_LZ4 : 0) | (more ? FLAG_MORE : 0))
    const crc = kernel.crc32c(at + 8, FRAME_HEADER_BYTES - 8 + stored)
    view.setUint32(at + 4, crc)
    const size = sectors(FRAME_HEADER_BYTES + stored)
    u8.fill(0, at + FRAME_HEADER_BYTES + stored, at + size)
    assert(this.#current !== undefined, 'the journal was rolled before its first frame')
    await this.#current.handle.write([u8.subarray(at, at + size)], this.#position)
    this.#position += size
    this.#previousCrc = crc
    this.#sequence++
  }

  /** Makes one more file of zeros, on disk with its name; undefined when there are `limit`. */
  async #createFile(limit: number): Promise<JournalFile | undefined> {
    const { fs, directory, unusable = [] } = this.#options
    if (this.#files.length >= limit) return undefined
    const taken = new Set([...unusable, ...this.#files.map((file) => file.path)])
    let number = 0
    while (taken.has(`${directory}/journal-${number}`)) number++
    const path = `${directory}/journal-${number}`
    // A beginning of it would only take the room that others need.
    const { free } = await fs.freeBytes(directory)
    if (free < this.#options.fileBytes) {
      const needs = `${path} needs ${this.#options.fileBytes} bytes`
      throw new AgentError('STORAGE_FULL', `${needs}, its disk has ${free}; make room on it`)
    }
    try {
      await this.#fill(path)
    } catch (error) {
      await fs.remove(path).catch(() => {})
      throw error
    }
    await fs.syncDirectory(directory)
    const handle = await fs.open(path, 'write', FRAMES)
    const file = { path, generation: 0, handle, isWhole: true, isBad: false }
    this.#files.push(file)
    return file
  }

  /** Zeros to its full size: a disk that is full later has this room for us. */
  async #fill(path: string): Promise<void> {
    const { fs, fileBytes } = this.#options
    const blank = await fs.open(path, 'create')
    try {
      const zeros = Buffer.alloc(Math.min(fileBytes, 1 << 20))
      for (let position = 0; position < fileBytes; position += zeros.length) {
        await blank.write([zeros.subarray(0, fileBytes - position)], position)
      }
      await blank.sync()
    } finally {
      await blank.close()
    }
  }
}

function sectors(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES
}
