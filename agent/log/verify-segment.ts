// Checks one segment of a stopped store: every batch, every record, and both indexes against them.
//
// - Each byte is read once, through one window. Only when something that was synced does not hold is
//   the file looked at again, to tell exactly which offsets are lost and which are not.
// - Damage to batches is for the caller to judge, who knows whether the journal still has them.

import type { BatchScan, Codecs } from '../../wasm/codecs.ts'
import { CODEC_NONE, codecName, decompress } from '../record/compression.ts'
import { readRecord } from '../record/record.ts'
import {
  BATCH,
  BATCH_HEADER_BYTES,
  MAX_RECORDS_BYTES,
  readBatchHeader,
} from '../record/record-batch.ts'
import { isUnreadable, tryToRead } from './bad-sectors.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import { GapTracker } from './gap-tracker.ts'
import type { LostRange } from './loss.ts'
import { salvage } from './salvage.ts'
import { readScanned, type ScannedBatch } from './segment-scan.ts'
import { IndexCheck, type IndexDamage } from './verify-index.ts'

export interface SegmentDamage {
  position: number
  what: string
  /** Offsets that are hit, `to` behind the last; none when `from` = `to`. */
  from: number
  to: number
  /** Whether the log could put something else in its place. */
  isBytes: boolean
}

export interface SegmentCheck {
  /** Behind the last batch that was found. */
  nextOffset: number
  bytes: number
  batches: number
  records: number
  damages: SegmentDamage[]
  indexDamages: IndexDamage[]
  /** What hollow records stand for. */
  losses: LostRange[]
}

export interface SegmentToCheck {
  fs: FileSystem
  codecs: Codecs
  /** The path without `.log`. */
  stem: string
  baseOffset: number
  /** Below it everything was synced once, and must be there. */
  syncedOffset: number
  /** The segment is complete and synced, so its indexes must be there. */
  isFinished: boolean
}

const WINDOW_BYTES = 1 << 20
/** Of a batch that begins in one window and ends in the next. */
const LEFT_BYTES_MAX = 320 * 1024
const EMPTY = Buffer.alloc(0)

export async function checkSegment(segment: SegmentToCheck): Promise<SegmentCheck> {
  const walk = new Walk(segment)
  const { fs, stem } = segment
  const file = await tryToRead(() => fs.open(`${stem}.log`, 'read'))
  if (file === undefined) return walk.unopened()
  try {
    await walk.run(file, await file.size())
    return walk.check
  } finally {
    await file.close()
  }
}

class Walk {
  readonly check: SegmentCheck
  readonly #segment: SegmentToCheck
  readonly #indexes: IndexCheck[]

  constructor(segment: SegmentToCheck) {
    this.#segment = segment
    this.#indexes = [new IndexCheck(segment, 'offset'), new IndexCheck(segment, 'time')]
    this.check = {
      nextOffset: segment.baseOffset,
      bytes: 0,
      batches: 0,
      records: 0,
      damages: [],
      indexDamages: [],
      losses: [],
    }
  }

  async run(file: OpenFile, size: number): Promise<void> {
    const { check } = this
    check.bytes = size
    for (const index of this.#indexes) await index.load()
    for (let position = 0; ; ) {
      const stop = await this.#walk(file, position, size)
      if (stop === undefined) break
      const { syncedOffset } = this.#segment
      const from = check.nextOffset
      if (from >= syncedOffset) {
        check.damages.push({ ...stop, from, to: from, isBytes: true })
        break
      }
      position = await this.#salvage(file, stop.position, size)
      check.nextOffset = syncedOffset
      if (position >= size) break
    }
    const hasDamage = check.damages.some(({ isBytes }) => isBytes)
    for (const index of this.#indexes) {
      const damage = hasDamage ? undefined : index.finish()
      if (damage !== undefined) check.indexDamages.push(damage)
    }
  }

  /** All that the segment should have is damaged. */
  unopened(): SegmentCheck {
    const { check } = this
    const { baseOffset: from, syncedOffset } = this.#segment
    check.nextOffset = Math.max(from, syncedOffset)
    const what = 'cannot be opened; a start sets it aside'
    check.damages.push({ position: 0, what, from, to: check.nextOffset, isBytes: true })
    return check
  }

  /** Batch after batch; undefined when the last one ends where the file ends. */
  async #walk(
    file: OpenFile,
    from: number,
    size: number,
  ): Promise<{ position: number; what: string } | undefined> {
    const window = new Window(file, size)
    for (let position = from; position < size; ) {
      const stop = (what: string) => ({ position, what })
      const left = size - position
      if (left < BATCH_HEADER_BYTES) return stop(`torn: ${left} bytes`)
      const header = await window.at(position, BATCH_HEADER_BYTES)
      if (header === undefined) return stop('cannot be read')
      const batch = readScanned(header, 0, position)
      if (typeof batch === 'string') {
        return stop(header.every((byte) => byte === 0) ? 'torn: zeros' : `corrupt: ${batch}`)
      }
      if (batch.size > left) return stop(`torn: ${batch.size} bytes announced, ${left} left`)
      const expected = this.check.nextOffset
      if (batch.baseOffset !== expected) {
        return stop(`corrupt: offset ${batch.baseOffset} after ${expected - 1}`)
      }
      const bytes = await window.at(position, batch.size)
      if (bytes === undefined) return stop('cannot be read')
      const stored = bytes.readUInt32BE(BATCH.crc)
      const scan = this.#scan(bytes)
      if (scan.crc !== stored) {
        return stop(`corrupt: CRC ${scan.crc.toString(16)}, header says ${stored.toString(16)}`)
      }
      this.#batch(batch, bytes, scan)
      position += batch.size
    }
    return undefined
  }

  #scan(bytes: Buffer): BatchScan {
    return this.#segment.codecs.scanBatch(bytes, readBatchHeader(bytes), MAX_RECORDS_BYTES)
  }

  #batch(batch: ScannedBatch, bytes: Buffer, scan: BatchScan): void {
    const { check } = this
    for (const index of this.#indexes) index.see(batch)
    check.batches++
    check.nextOffset = batch.nextOffset
    const { position, baseOffset: from, nextOffset: to } = batch
    const what = this.#records(batch, bytes, scan)
    if (what !== undefined) check.damages.push({ position, what, from, to, isBytes: false })
    const epoch = bytes.readInt32BE(BATCH.leaderEpoch)
    if (epoch === 0) return
    const at = position + BATCH.leaderEpoch
    check.damages.push({ ...epochDamage(epoch), position: at, from, to: from, isBytes: false })
  }

  /** What is wrong with the records of a batch whose CRC holds. */
  #records(batch: ScannedBatch, bytes: Buffer, scan: BatchScan): string | undefined {
    const { codecs } = this.#segment
    const { count, codec, lastOffsetDelta } = readBatchHeader(bytes)
    if (count !== lastOffsetDelta + 1) return `${count} records for ${lastOffsetDelta + 1} offsets`
    const packed = bytes.subarray(BATCH.records)
    // The way of nearly all batches; what is not right is looked at again, for the right words.
    if (scan.status === 0) {
      this.check.records += count
      if (codec === CODEC_NONE) this.#seeLoss(batch, packed)
      return undefined
    }
    const inflated = decompress(codec, packed, MAX_RECORDS_BYTES, codecs)
    if (inflated.kind !== 'bytes') return `${codecName(codec)} records: ${inflated.kind}`
    const { status } = codecs.scanRecords(inflated.bytes, count)
    if (status !== 0) return `records break their format: ${status}`
    this.check.records += count
    this.#seeLoss(batch, inflated.bytes)
    return undefined
  }

  #seeLoss({ baseOffset: from, nextOffset: to }: ScannedBatch, records: Buffer): void {
    const first = readRecord(records, { position: 0 }, records.length)
    const reason = new GapTracker().take({ ...first, offset: from })
    if (reason !== undefined) this.check.losses.push({ from, to, reason })
  }

  /** From damage on to where the synced part ends; returns that position. */
  async #salvage(file: OpenFile, from: number, size: number): Promise<number> {
    const { codecs, baseOffset: offset, syncedOffset: endOffset } = this.#segment
    const found: ScannedBatch[] = []
    const end = await salvage(file, { size, offset, endOffset }, codecs, {
      good: (batch) => batch.position >= from && found.push(batch),
      damaged: ({ position, reason: what, from, to }) =>
        this.check.damages.push({ position, what: `corrupt: ${what}`, from, to, isBytes: true }),
    })
    for (const batch of found) {
      const bytes = Buffer.alloc(batch.size)
      await file.read(bytes, batch.position)
      this.#batch(batch, bytes, this.#scan(bytes))
    }
    return end
  }
}

function epochDamage(epoch: number): { what: string } {
  return { what: `leader epoch ${epoch} instead of 0` }
}

/**
 * Reads a file forward, the next window while this one is being checked; a batch larger than a window
 * is read by itself.
 */
class Window {
  readonly #file: OpenFile
  readonly #size: number
  #bytes: Buffer = EMPTY
  #position = 0
  #ahead: { position: number; buffer: Buffer; length: Promise<number> } | undefined
  /** Behind what `#bytes` is a part of, the one that is free for the next window. */
  #buffers: [Buffer, Buffer] = [EMPTY, EMPTY]

  constructor(file: OpenFile, size: number) {
    this.#file = file
    this.#size = size
  }

  /** Good until the next call; undefined when the disk does not give them. */
  async at(position: number, count: number): Promise<Buffer | undefined> {
    if (position < this.#position || position + count > this.#position + this.#bytes.length) {
      const isThere = (await this.#moveOn(position, count)) || (await this.#read(position, count))
      if (!isThere) return undefined
      this.#readAhead()
    }
    const at = position - this.#position
    return this.#bytes.subarray(at, at + count)
  }

  /** To what was read ahead, with what is left of this window before it. */
  async #moveOn(position: number, count: number): Promise<boolean> {
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead === undefined) return false
    const length = await ahead.length
    const left = ahead.position - position
    if (position < this.#position || left < 0 || left > LEFT_BYTES_MAX || left + length < count) {
      return false
    }
    const start = LEFT_BYTES_MAX - left
    this.#bytes.copy(ahead.buffer, start, position - this.#position)
    this.#bytes = ahead.buffer.subarray(start, LEFT_BYTES_MAX + length)
    this.#position = position
    this.#buffers.reverse()
    return true
  }

  async #read(position: number, count: number): Promise<boolean> {
    const size = Math.min(Math.max(WINDOW_BYTES, count), this.#size - position)
    const wanted = this.#buffer(0, size).subarray(0, size)
    this.#position = position
    this.#bytes = EMPTY
    let length: number
    try {
      length = await this.#file.read(wanted, position)
    } catch (error) {
      if (!isUnreadable(error)) throw error
      // The bad place may lie behind what is wanted.
      length = await this.#file.read(wanted.subarray(0, count), position).catch(() => 0)
    }
    this.#bytes = wanted.subarray(0, length)
    return length >= count
  }

  /** What it is refused is read again by whoever wants it, and told. */
  #readAhead(): void {
    const position = this.#position + this.#bytes.length
    const size = Math.min(WINDOW_BYTES, this.#size - position)
    if (size <= 0) return
    const buffer = this.#buffer(1, LEFT_BYTES_MAX + size)
    const wanted = buffer.subarray(LEFT_BYTES_MAX, LEFT_BYTES_MAX + size)
    const length = this.#file.read(wanted, position).catch(() => 0)
    this.#ahead = { position, buffer, length }
  }

  #buffer(at: 0 | 1, size: number): Buffer {
    if (this.#buffers[at].length < size) this.#buffers[at] = Buffer.allocUnsafe(size)
    return this.#buffers[at]
  }
}
