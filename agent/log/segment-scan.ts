// Walks the record batches of a segment file from front to back, through one window of memory.
//
// A batch is believed when its header makes sense, its offsets follow the previous batch's without
// a gap and, where asked for, its CRC-32C (bytes 21 to its end) is right. What ends a walk:
//
//   end      the last batch ends where the file ends
//   stopped  the visitor had enough
//   torn     the bytes left cannot be a whole batch: a write that did not get there
//   corrupt  a whole batch's worth of bytes that is not what was written

import { SCRATCH, SCRATCH_BYTES } from '../../wasm/assembly/limits.ts'
import type { Codecs } from '../../wasm/codecs.ts'
import { assert } from '../base/assert.ts'
import { AgentError } from '../base/errors.ts'
import {
  BATCH,
  BATCH_HEADER_BYTES,
  BATCH_PREFIX_BYTES,
  decodeRecords,
} from '../record/record-batch.ts'
import type { OpenFile } from './file-system.ts'
import { readInt64 } from './journal-entry.ts'

export interface ScannedBatch {
  position: number
  size: number
  baseOffset: number
  nextOffset: number
  maxTimestamp: number
}

/** Ends the walk by returning true. */
export type BatchVisitor = (batch: ScannedBatch) => unknown

export type ScanOutcome =
  | { kind: 'end'; position: number }
  | { kind: 'stopped'; position: number }
  | { kind: 'torn'; position: number; reason: string }
  | { kind: 'corrupt'; position: number; reason: string }

export interface ScanRange {
  from: number
  /** Where the file ends. */
  to: number
  /** Offset that the first batch must have. */
  offset: number
  /** Checks CRCs with these; without them only headers are read. */
  codecs?: Codecs
}

/** A window for checking whole batches, and one for going from header to header. */
const CRC_WINDOW_BYTES = 256 * 1024
const COPY_WINDOW_BYTES = 256 * 1024
const HEADER_WINDOW_BYTES = 16 * 1024

/** The header at `at`, if one can stand there; otherwise what is wrong with it. */
export function readScanned(bytes: Buffer, at: number, position: number): ScannedBatch | string {
  const batchLength = bytes.readInt32BE(at + BATCH.length)
  if (batchLength < BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES) return `batch length ${batchLength}`
  const magic = bytes.readInt8(at + BATCH.magic)
  if (magic !== 2) return `magic ${magic}`
  const baseOffset = readInt64(bytes, at + BATCH.baseOffset)
  if (!Number.isSafeInteger(baseOffset) || baseOffset < 0) return `base offset ${baseOffset}`
  const lastOffsetDelta = bytes.readInt32BE(at + BATCH.lastOffsetDelta)
  if (lastOffsetDelta < 0) return `last offset delta ${lastOffsetDelta}`
  return {
    position,
    size: batchLength + BATCH_PREFIX_BYTES,
    baseOffset,
    nextOffset: baseOffset + lastOffsetDelta + 1,
    maxTimestamp: readInt64(bytes, at + BATCH.maxTimestamp),
  }
}

/** The first record of one batch at or after a time, at or after an offset. */
export function firstAtTime(
  batch: Buffer,
  timestamp: number,
  fromOffset: number,
  codecs: Codecs,
): { offset: number; timestamp: number } | undefined {
  for (const record of decodeRecords(batch, codecs)) {
    if (record.offset >= fromOffset && record.timestamp >= timestamp) {
      return { offset: record.offset, timestamp: record.timestamp }
    }
  }
  return undefined
}

/** Calls `visit` for each good batch, in order, until it says true; tells how the walk ended. */
export async function scanBatches(
  file: Pick<OpenFile, 'read'>,
  range: ScanRange,
  visit: BatchVisitor,
): Promise<ScanOutcome> {
  const windowBytes = range.codecs === undefined ? HEADER_WINDOW_BYTES : CRC_WINDOW_BYTES
  // A file that was replaced since the place was looked for may end before it.
  const bytes = Math.max(0, range.to - range.from)
  const window = new ReadWindow(file, range.to, Math.min(windowBytes, bytes))
  let { from: position, offset } = range
  while (position < range.to) {
    const left = range.to - position
    if (left < BATCH_HEADER_BYTES) return { kind: 'torn', position, reason: `${left} bytes` }
    const header = await window.at(position, BATCH_HEADER_BYTES)
    if (header.length < BATCH_HEADER_BYTES)
      return { kind: 'torn', position, reason: 'file is shorter' }
    const batch = readScanned(header, 0, position)
    if (typeof batch === 'string') {
      const isBlank = header.subarray(0, BATCH_HEADER_BYTES).every((byte) => byte === 0)
      return { kind: isBlank ? 'torn' : 'corrupt', position, reason: isBlank ? 'zeros' : batch }
    }
    if (batch.size > left) {
      return { kind: 'torn', position, reason: `${batch.size} bytes announced, ${left} left` }
    }
    if (batch.baseOffset !== offset) {
      return { kind: 'corrupt', position, reason: `offset ${batch.baseOffset} after ${offset - 1}` }
    }
    if (range.codecs !== undefined) {
      const stored = header.readUInt32BE(BATCH.crc)
      const actual = await crcOf(window, batch, range.codecs)
      if (actual !== stored) {
        const reason = `CRC ${actual.toString(16)}, header says ${stored.toString(16)}`
        return { kind: 'corrupt', position, reason }
      }
    }
    position += batch.size
    offset = batch.nextOffset
    if (visit(batch) === true) return { kind: 'stopped', position }
  }
  return { kind: 'end', position }
}

/** The batches in `bytes`, which begin with `offset`: ours, so anything odd is a bug. */
export function readAll(bytes: Buffer, position: number, offset: number): ScannedBatch[] {
  const batches: ScannedBatch[] = []
  let next = offset
  let at = 0
  while (at < bytes.length) {
    assert(at + BATCH_HEADER_BYTES <= bytes.length, 'whole batches are appended')
    const batch = readScanned(bytes, at, position + at)
    assert(typeof batch !== 'string', `appended batches have good headers: ${batch}`)
    assert(batch.baseOffset === next, `offset ${batch.baseOffset} follows ${next - 1}`)
    batches.push(batch)
    at += batch.size
    next = batch.nextOffset
  }
  assert(batches.length > 0 && at === bytes.length, 'whole batches are appended')
  return batches
}

/** The batch at the start of `bytes` if it holds an offset; otherwise what is wrong. */
export function firstBatch(
  bytes: Buffer,
  position: number,
  end: number,
  offset: number,
): ScannedBatch | string {
  if (bytes.length < BATCH_HEADER_BYTES) return 'file is shorter'
  const first = readScanned(bytes, 0, position)
  if (typeof first === 'string') return first
  if (first.size > end - position) return `${first.size} bytes announced, ${end - position} left`
  const holds = first.baseOffset <= offset && offset < first.nextOffset
  return holds ? first : `offset ${first.baseOffset} instead of ${offset}`
}

/**
 * How many bytes, from the batch with `baseOffset` on, are whole batches below a limit whose CRCs
 * hold; `fault`: why the one behind them does not.
 */
export function wholeBatches(
  bytes: Buffer,
  baseOffset: number,
  limitOffset: number,
  codecs: Codecs,
): { length: number; nextOffset: number; fault: string | undefined } {
  const crcs = new BatchCrcs(bytes, codecs)
  let length = 0
  let nextOffset = baseOffset
  let fault: string | undefined
  while (length + BATCH_HEADER_BYTES <= bytes.length) {
    const size = bytes.readInt32BE(length + BATCH.length) + BATCH_PREFIX_BYTES
    const next = nextOffset + bytes.readInt32BE(length + BATCH.lastOffsetDelta) + 1
    const isBatch =
      size >= BATCH_HEADER_BYTES && next > nextOffset && bytes[length + BATCH.magic] === 2
    if (!isBatch || readInt64(bytes, length) !== nextOffset) {
      fault = `no batch of offset ${nextOffset}`
      break
    }
    if (length + size > bytes.length || next > limitOffset) break
    if (!crcs.holds(length, size)) {
      fault = `the CRC of the batch at offset ${nextOffset} does not hold`
      break
    }
    length += size
    nextOffset = next
  }
  return { length, nextOffset, fault }
}

/** Checks batches of one buffer, in order, out of a copy of as many as the scratch window holds. */
class BatchCrcs {
  readonly #bytes: Buffer
  readonly #codecs: Codecs
  #copied = 0
  #copiedEnd = 0

  constructor(bytes: Buffer, codecs: Codecs) {
    this.#bytes = bytes
    this.#codecs = codecs
  }

  holds(position: number, size: number): boolean {
    const stored = this.#bytes.readUInt32BE(position + BATCH.crc)
    const { kernel } = this.#codecs
    if (size > SCRATCH_BYTES) {
      const covered = this.#bytes.subarray(position + BATCH.attributes, position + size)
      return this.#codecs.crc32c(covered) === stored
    }
    if (position + size > this.#copiedEnd) {
      this.#copied = position
      this.#copiedEnd = Math.min(this.#bytes.length, position + SCRATCH_BYTES)
      kernel.u8.set(this.#bytes.subarray(position, this.#copiedEnd), SCRATCH)
    }
    const at = SCRATCH + position - this.#copied
    return kernel.crc32c(at + BATCH.attributes, size - BATCH.attributes) === stored
  }
}

/** Reads a range of one file and writes it to another, or in place once more. */
export async function copyRange(
  source: Pick<OpenFile, 'read'>,
  target: OpenFile,
  from: number,
  to: number,
  targetPosition = from,
): Promise<void> {
  const window = Buffer.allocUnsafe(Math.min(to - from, COPY_WINDOW_BYTES))
  for (let done = 0; done < to - from; ) {
    const bytes = window.subarray(0, to - from - done)
    const length = await source.read(bytes, from + done)
    if (length < bytes.length) throw shortFile(from + done + length)
    await target.write([bytes], targetPosition + done)
    done += bytes.length
  }
}

function shortFile(position: number): AgentError {
  const message = `a segment file ends at ${position} while it is copied`
  return new AgentError('CORRUPT_STORE', message, { retriable: true })
}

async function crcOf(window: ReadWindow, batch: ScannedBatch, codecs: Codecs): Promise<number> {
  const end = batch.position + batch.size
  let crc = 0
  for (let position = batch.position + BATCH.attributes; position < end; ) {
    const bytes = await window.at(position, 1)
    if (bytes.length === 0) break
    const mine = bytes.subarray(0, end - position)
    crc = codecs.crcUpdate(crc, mine)
    position += mine.length
  }
  return crc
}

/** Reads a file forward in pieces of a fixed size. */
class ReadWindow {
  readonly #file: Pick<OpenFile, 'read'>
  readonly #end: number
  readonly #bytes: Buffer
  #position = 0
  #length = 0

  constructor(file: Pick<OpenFile, 'read'>, end: number, size: number) {
    this.#file = file
    this.#end = end
    this.#bytes = Buffer.allocUnsafe(size)
  }

  /** At least `count` bytes from `position` on, fewer only at the end. Good until the next call. */
  async at(position: number, count: number): Promise<Buffer> {
    const wanted = Math.min(position + count, this.#end)
    if (position < this.#position || wanted > this.#position + this.#length) {
      const room = Math.min(this.#bytes.length, this.#end - position)
      this.#position = position
      this.#length = await this.#file.read(this.#bytes.subarray(0, room), position)
    }
    const at = position - this.#position
    return this.#bytes.subarray(at, Math.max(at, this.#length))
  }
}
