// Finds what still holds in a damaged segment file: bad CRCs and headers, sectors that cannot be
// read, bytes that are missing or too many, a file that was cut short.
//
//   bytes     good … │ damaged   │ good … │ damaged      what is behind the end offset is not looked at
//   offsets   0 … 41 │ 42 … 57   │ 58 … 99│ 100 … end
//
// - Pieces follow each other without a gap in the file, and without a gap in offsets.
// - A batch is good when its header makes sense, its CRC holds, all of it can be read, and its
//   offsets follow the batch before it. Behind damage it may begin at any later offset of the segment.
// - The place that a damaged batch announces as its end is tried first: a payload that looks like a
//   batch counts only when there is nothing better.
// - Only reads, through whatever has `read`, and needs no log that runs.

import { SCRATCH_BYTES } from '../../wasm/assembly/limits.ts'
import type { Codecs } from '../../wasm/codecs.ts'
import { BATCH, BATCH_HEADER_BYTES, CODEC_MASK } from '../record/record-batch.ts'
import { isUnreadable } from './bad-sectors.ts'
import type { OpenFile } from './file-system.ts'
import { readScanned, type ScannedBatch } from './segment-scan.ts'

export interface SalvageRange {
  /** Bytes to look at: where the file ends. */
  size: number
  /** First offset of the segment. */
  offset: number
  /** Where the offsets of what is looked at end: the base of the segment behind it, as a rule. */
  endOffset: number
}

/** Bytes that hold no good batch, and the offsets that are missing with them (`from` = `to`: none). */
export interface Damage {
  position: number
  end: number
  from: number
  to: number
  reason: string
}

export interface SalvageSink {
  good: (batch: ScannedBatch) => unknown
  damaged: (damage: Damage) => unknown
}

const WINDOW_BYTES = 512 * 1024
const BLOCK_BYTES = 4096
const SECTOR_BYTES = 512

/** Tells every good batch and every damage, in order; returns the position where it stopped. */
export async function salvage(
  file: Pick<OpenFile, 'read'>,
  range: SalvageRange,
  codecs: Codecs,
  sink: SalvageSink,
): Promise<number> {
  const reader = new TolerantReader(file, range.size)
  let position = 0
  let offset = range.offset
  while (offset < range.endOffset) {
    const found = await goodBatch(reader, position, range, codecs)
    if (typeof found !== 'string' && found.baseOffset === offset) {
      sink.good(found)
      position += found.size
      offset = found.nextOffset
      continue
    }
    const reason =
      typeof found === 'string' ? found : `offset ${found.baseOffset} after ${offset - 1}`
    const isBehind = typeof found !== 'string' && found.baseOffset > offset
    const next =
      isBehind && (await isFollowed(reader, found, range, codecs))
        ? ([position, found.baseOffset] as const)
        : await nextGood(reader, position, offset, range, codecs)
    const [end, to] = next ?? [range.size, range.endOffset]
    sink.damaged({ position, end, from: offset, to, reason })
    position = end
    offset = to
  }
  return position
}

/** The batch at a position when all of it holds; otherwise what is wrong. Its offset is not judged. */
async function goodBatch(
  reader: TolerantReader,
  position: number,
  range: SalvageRange,
  codecs: Codecs,
): Promise<ScannedBatch | string> {
  const left = range.size - position
  if (left < BATCH_HEADER_BYTES) return left === 0 ? 'the file ends' : `${left} bytes`
  const header = await reader.at(position, BATCH_HEADER_BYTES)
  if (!reader.isReadable(position, position + BATCH_HEADER_BYTES)) return 'cannot be read'
  const batch = readScanned(header, 0, position)
  if (typeof batch === 'string') return batch
  if (batch.size > left) return `${batch.size} bytes announced, ${left} left`
  if (!isInside(batch, range)) return `offsets ${batch.baseOffset} to ${batch.nextOffset - 1}`
  const stored = header.readUInt32BE(BATCH.crc)
  const end = position + batch.size
  const actual = await reader.crc(position + BATCH.attributes, end, codecs)
  if (!reader.isReadable(position, end)) return 'cannot be read'
  return actual === stored
    ? batch
    : `CRC ${actual.toString(16)}, header says ${stored.toString(16)}`
}

/**
 * Whether a good batch is where its offset says: bytes may be missing just before it. No CRC covers the
 * offset, which may be what is damaged: what comes behind it tells.
 */
async function isFollowed(
  reader: TolerantReader,
  { position, size, nextOffset }: ScannedBatch,
  range: SalvageRange,
  codecs: Codecs,
): Promise<boolean> {
  const behind = await goodBatch(reader, position + size, range, codecs)
  return (typeof behind === 'string' ? range.endOffset : behind.baseOffset) === nextOffset
}

/** Where the next good batch begins, and its offset. */
async function nextGood(
  reader: TolerantReader,
  position: number,
  offset: number,
  range: SalvageRange,
  codecs: Codecs,
): Promise<[position: number, offset: number] | undefined> {
  const header = await reader.at(position, BATCH_HEADER_BYTES)
  const announced = header.length < BATCH_HEADER_BYTES ? '' : readScanned(header, 0, position)
  if (typeof announced !== 'string' && announced.baseOffset === offset) {
    const behind = await goodBatch(reader, position + announced.size, range, codecs)
    if (typeof behind !== 'string' && behind.baseOffset === announced.nextOffset) {
      return [behind.position, behind.baseOffset]
    }
  }
  for (let from = position + 1; ; ) {
    const at = await reader.nextMagic(from + BATCH.magic)
    if (at === undefined) return undefined
    from = at - BATCH.magic
    const candidate = await reader.at(from, BATCH_HEADER_BYTES)
    if (candidate.length < BATCH_HEADER_BYTES) return undefined
    if (isPlausible(candidate, from, offset, range)) {
      const batch = await goodBatch(reader, from, range, codecs)
      if (typeof batch !== 'string') return [from, batch.baseOffset]
    }
    from++
  }
}

/** One that begins at the very end offset is where the caller's own judgement begins. */
function isInside({ baseOffset, nextOffset }: ScannedBatch, { endOffset }: SalvageRange): boolean {
  return nextOffset <= endOffset || baseOffset === endOffset
}

/** Cheap, and false for nearly every place that holds no batch. */
function isPlausible(
  header: Buffer,
  position: number,
  offset: number,
  range: SalvageRange,
): boolean {
  const batch = readScanned(header, 0, position)
  if (typeof batch === 'string' || batch.size > Math.min(SCRATCH_BYTES, range.size - position)) {
    return false
  }
  if (batch.baseOffset < offset || !isInside(batch, range)) return false
  const count = header.readInt32BE(BATCH.count)
  const codec = header.readInt16BE(BATCH.attributes) & CODEC_MASK
  return count === batch.nextOffset - batch.baseOffset && codec <= 4
}

/** Reads forward through one window; what cannot be read is zeros, and known. */
class TolerantReader {
  readonly #file: Pick<OpenFile, 'read'>
  readonly #size: number
  readonly #unreadable = new Set<number>()
  #window: Buffer
  #position = 0
  #length = 0

  constructor(file: Pick<OpenFile, 'read'>, size: number) {
    this.#file = file
    this.#size = size
    this.#window = Buffer.allocUnsafe(Math.min(WINDOW_BYTES, size))
  }

  /** As many bytes from a position on, fewer only at the end. Good until the next call. */
  async at(position: number, count: number): Promise<Buffer> {
    const end = Math.min(position + count, this.#size)
    if (position >= end) return this.#window.subarray(0, 0)
    if (position < this.#position || end > this.#position + this.#length) await this.#load(position)
    const at = position - this.#position
    return this.#window.subarray(at, at + end - position)
  }

  /** Whether the bytes that were asked for were all there. */
  isReadable(from: number, to: number): boolean {
    if (this.#unreadable.size === 0) return true
    for (let sector = Math.floor(from / SECTOR_BYTES); sector * SECTOR_BYTES < to; sector++) {
      if (this.#unreadable.has(sector)) return false
    }
    return true
  }

  async crc(from: number, to: number, codecs: Codecs): Promise<number> {
    let crc = 0
    for (let position = from; position < to; ) {
      await this.at(position, 1)
      const at = position - this.#position
      const mine = this.#window.subarray(at, Math.min(at + to - position, this.#length))
      crc = codecs.crcUpdate(crc, mine)
      position += mine.length
    }
    return crc
  }

  /** Position of the next byte that could be a batch's magic. */
  async nextMagic(from: number): Promise<number | undefined> {
    for (let position = from; position < this.#size; ) {
      await this.at(position, 1)
      const found = this.#window.subarray(0, this.#length).indexOf(2, position - this.#position)
      if (found >= 0) return this.#position + found
      position = this.#position + this.#length
    }
    return undefined
  }

  async #load(position: number): Promise<void> {
    // On a sector's border, so that what cannot be read is known by its sector.
    this.#position = position - (position % SECTOR_BYTES)
    this.#length = Math.min(this.#window.length, this.#size - this.#position)
    await this.#fill(this.#position, this.#window.subarray(0, this.#length), BLOCK_BYTES)
  }

  /** Goes down to blocks, and in a bad block to sectors. */
  async #fill(
    position: number,
    target: Buffer,
    pieceBytes: number,
    isSecond = false,
  ): Promise<void> {
    try {
      const length = await this.#file.read(target, position)
      if (length === target.length) return
      // The file is shorter than was said.
      this.#giveUp(position + length, target.subarray(length))
    } catch (error) {
      if (!isUnreadable(error)) throw error
      if (target.length <= SECTOR_BYTES) {
        // A cable that was loose for once must not cost what is there.
        if (isSecond) this.#giveUp(position, target)
        else await this.#fill(position, target, pieceBytes, true)
        return
      }
      for (let at = 0; at < target.length; ) {
        const aligned = pieceBytes - ((position + at) % pieceBytes)
        const piece = target.subarray(at, at + aligned)
        const smaller = pieceBytes === BLOCK_BYTES ? SECTOR_BYTES : pieceBytes
        await this.#fill(position + at, piece, smaller)
        at += piece.length
      }
    }
  }

  #giveUp(position: number, target: Buffer): void {
    target.fill(0)
    const end = position + target.length
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) {
      this.#unreadable.add(sector)
    }
  }
}

/** The bytes of a range; zeros where the disk does not give them. */
export async function readTolerantly(
  file: Pick<OpenFile, 'read'>,
  from: number,
  to: number,
): Promise<Buffer> {
  const bytes = Buffer.alloc(to - from)
  const reader = new TolerantReader(file, to)
  for (let position = from; position < to; position += SECTOR_BYTES) {
    const piece = await reader.at(position, SECTOR_BYTES)
    piece.copy(bytes, position - from)
  }
  return bytes
}
