// Reads journal files: at recovery, in verify and in dump. Never writes.
//
// - A frame that does not hold ends the file. If a whole frame with the file's salt and a higher
//   sequence stands behind it, that is rot and not a torn end: the reader says so and goes on there.
// - A frame at or below the floor, the last sequence known from before the file, is stale, whatever
//   its salt: it is never what rot is told by.
// - A header that is lost can be learnt from the frames behind it.

import { EGRESS, SCRATCH } from '../../wasm/assembly/limits.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { readTolerantly } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import {
  FILE_MAGIC,
  FLAG_LZ4,
  FLAG_MORE,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_PAYLOAD_BYTES_MAX,
  JOURNAL_VERSION,
  SECTOR_BYTES,
} from './journal.ts'
import { type JournalEntry, readInt64 } from './journal-entry.ts'
import { STORE_FORMAT } from './store-format.ts'

const EMPTY = Buffer.alloc(0)

export interface JournalHeader {
  generation: number
  salt: number
  crc: number
}

export type HeaderOutcome =
  | ({ kind: 'header' } & JournalHeader)
  | { kind: 'unused' }
  | { kind: 'newer'; version: number }
  | { kind: 'corrupt' }

export interface JournalFrame {
  position: number
  size: number
  sequence: number
  time: number
  more: boolean
  crc: number
  previousCrc: number
  payload: Buffer
}

export type FrameOutcome =
  | { kind: 'frame'; frame: JournalFrame }
  /** Nothing valid stands here or behind: the end, `torn` when a frame was begun. */
  | { kind: 'end'; position: number; torn: boolean }
  /** Bytes that were acked once and no longer hold; reading goes on at `resume`. */
  | { kind: 'rot'; position: number; resume: number }

/** Puts the frames of a commit together, over the end of a file if need be. */
export class CommitFrames {
  #frames: { sequence: number; entries: JournalEntry[] }[] = []

  /** Frames of a commit whose last one has not come are there. */
  get isOpen(): boolean {
    return this.#frames.length > 0
  }

  /**
   * What was begun and not finished is dropped, as is a frame that was written again in a fresh file:
   * what goes on has all frames before it.
   */
  add(sequence: number, entries: JournalEntry[]): void {
    this.#frames = this.#frames.filter((frame) => frame.sequence < sequence)
    const last = this.#frames.at(-1)
    if (last !== undefined && last.sequence !== sequence - 1) this.#frames = []
    this.#frames.push({ sequence, entries })
  }

  /** All entries of the commit, whose last frame was added. */
  take(): JournalEntry[] {
    const entries = this.#frames.flatMap((frame) => frame.entries)
    this.#frames = []
    return entries
  }

  /** What was begun lies before a damaged place. */
  drop(): void {
    this.#frames = []
  }
}

/** `bytes`: the first sector. */
export function decodeJournalHeader(kernel: Kernel, bytes: Buffer): HeaderOutcome {
  if (bytes.length < SECTOR_BYTES || bytes.every((byte) => byte === 0)) return { kind: 'unused' }
  if (bytes.readUInt32BE(0) !== FILE_MAGIC) return { kind: 'corrupt' }
  kernel.u8.set(bytes.subarray(0, 20), SCRATCH)
  const crc = bytes.readUInt32BE(20)
  if (kernel.crc32c(SCRATCH, 20) !== crc) return { kind: 'corrupt' }
  const version = bytes.readUInt16BE(4)
  if (version > STORE_FORMAT) return { kind: 'newer', version }
  if (version !== JOURNAL_VERSION) return { kind: 'corrupt' }
  return { kind: 'header', generation: readInt64(bytes, 8), salt: bytes.readUInt32BE(16), crc }
}

/** What the disk does not give is zeros. */
export async function readJournalBytes(fs: FileSystem, path: string): Promise<Buffer> {
  return (await readTolerantly(fs, path)) ?? Buffer.alloc(0)
}

/**
 * The header of a file whose own does not hold, from its first frame above `floor`: the salt, and the
 * crc that its chain begins with. The generation is the caller's to find out.
 */
export function learnJournalHeader(
  kernel: Kernel,
  bytes: Buffer,
  floor: number,
): Omit<JournalHeader, 'generation'> | undefined {
  for (let at = SECTOR_BYTES; at + FRAME_HEADER_BYTES <= bytes.length; at += SECTOR_BYTES) {
    if (bytes.readUInt32BE(at) !== FRAME_MAGIC) continue
    const salt = bytes.readUInt32BE(at + 12)
    const frame = readFrame(kernel, bytes, at, salt, false)
    if (frame !== undefined && frame.sequence > floor) return { salt, crc: frame.previousCrc }
  }
  return undefined
}

export interface FrameReading {
  /** Last sequence known from before this file. */
  floor?: number
  /** Without it the chain is followed, and payloads are empty. */
  withPayload?: boolean
}

/** The frames of one file, chained from its header. `bytes` is the whole file. */
export function* readFrames(
  kernel: Kernel,
  bytes: Buffer,
  header: Omit<JournalHeader, 'generation'>,
  { floor = 0, withPayload = true }: FrameReading = {},
): Iterable<FrameOutcome> {
  let position = SECTOR_BYTES
  let previousCrc = header.crc
  let sequence = floor
  for (;;) {
    const frame = readFrame(kernel, bytes, position, header.salt, withPayload)
    if (frame !== undefined && frame.previousCrc === previousCrc) {
      yield { kind: 'frame', frame }
      previousCrc = frame.crc
      sequence = Math.max(sequence, frame.sequence)
      position += frame.size
      continue
    }
    const from = position + SECTOR_BYTES
    const resume = findFrame(kernel, bytes, from, header.salt, sequence)
    if (resume === undefined) {
      const torn = position + 4 <= bytes.length && bytes.readUInt32BE(position) === FRAME_MAGIC
      yield { kind: 'end', position, torn }
      return
    }
    yield { kind: 'rot', position, resume: resume.position }
    position = resume.position
    previousCrc = resume.previousCrc
  }
}

function findFrame(
  kernel: Kernel,
  bytes: Buffer,
  from: number,
  salt: number,
  sequence: number,
): JournalFrame | undefined {
  for (let at = from; at + FRAME_HEADER_BYTES <= bytes.length; at += SECTOR_BYTES) {
    const frame = readFrame(kernel, bytes, at, salt, false)
    if (frame !== undefined && frame.sequence > sequence) return frame
  }
  return undefined
}

/** The frame at `position` if it holds in itself; its payload is a copy. */
function readFrame(
  kernel: Kernel,
  bytes: Buffer,
  position: number,
  salt: number,
  withPayload: boolean,
): JournalFrame | undefined {
  if (position + FRAME_HEADER_BYTES > bytes.length) return undefined
  if (bytes.readUInt32BE(position) !== FRAME_MAGIC) return undefined
  if (bytes.readUInt32BE(position + 12) !== salt) return undefined
  const stored = bytes.readUInt32BE(position + 24)
  const raw = bytes.readUInt32BE(position + 28)
  const end = position + FRAME_HEADER_BYTES + stored
  if (end > bytes.length || stored > raw || raw > FRAME_PAYLOAD_BYTES_MAX) return undefined
  kernel.u8.set(bytes.subarray(position + 8, end), SCRATCH)
  const crc = bytes.readUInt32BE(position + 4)
  if (kernel.crc32c(SCRATCH, end - position - 8) !== crc) return undefined
  const flags = bytes.readUInt8(position + 40)
  const payload = withPayload
    ? readPayload(kernel, bytes.subarray(end - stored, end), raw, flags)
    : EMPTY
  if (payload === undefined) return undefined
  return {
    position,
    size: Math.ceil((FRAME_HEADER_BYTES + stored) / SECTOR_BYTES) * SECTOR_BYTES,
    sequence: readInt64(bytes, position + 16),
    time: readInt64(bytes, position + 32),
    more: (flags & FLAG_MORE) !== 0,
    crc,
    previousCrc: bytes.readUInt32BE(position + 8),
    payload,
  }
}

function readPayload(
  kernel: Kernel,
  stored: Buffer,
  raw: number,
  flags: number,
): Buffer | undefined {
  if ((flags & FLAG_LZ4) === 0) return stored.length === raw ? Buffer.from(stored) : undefined
  // The staging region is free: nobody reads a journal that is being written.
  kernel.u8.set(stored, EGRESS)
  const length = kernel.lz4Unframe(EGRESS, stored.length, SCRATCH, raw)
  if (length !== raw) return undefined
  return Buffer.from(kernel.u8.subarray(SCRATCH, SCRATCH + raw))
}
