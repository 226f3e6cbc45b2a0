// The checkpoint: what need not be replayed. Two copies, `checkpoint-0` and `checkpoint-1`, written
// in turn, so that a torn one leaves its predecessor.
//
//   "TRCP", u16 version 2, u16 flags, u64 number, u64 first journal generation still needed,
//   i64 wall time ms, u32 state entries, u32 partitions, i64 first journal sequence still needed,
//   state entry:  u16 key length, u32 value length, key, value
//   partition:    u32 log id, i64 recovery offset, u32 segments,
//                 segment: i64 base offset, i64 arrival ms of its newest record, i32 bytes,
//                          i64 greatest timestamp
//   u32 crc of everything before
//
// Flags: 1 = a clean stop wrote it; the generation it names had not begun. Version 1 has no flags,
// no sequence and of a segment the first two fields. In every version the last four bytes are the CRC:
// only what holds can be newer.
//
// Order on disk: segment data → their directories → this file → only then is journal space reused.

import type { Codecs } from '../../wasm/codecs.ts'
import { readTolerantly } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import type { OffsetRun } from './journal-digest.ts'
import { readInt64 } from './journal-entry.ts'
import { STORE_FORMAT } from './store-format.ts'

export const CHECKPOINT_VERSION = 2
export const CHECKPOINT_FILES = ['checkpoint-0', 'checkpoint-1'] as const
const MAGIC = 0x54524350
const HEADER_BYTES = 48
const HEADER_BYTES_V1 = 40
const MARK_BYTES = 28
const MARK_BYTES_V1 = 16
const FLAG_CLEAN = 1
const UNKNOWN_BYTES = -1
const UNKNOWN_TIMESTAMP = -2
const BLOCK_BYTES = 4096

export interface SegmentMark {
  baseOffset: number
  arrival: number
  /** Up to the recovery offset; undefined: not known. */
  bytes: number | undefined
  /** Greatest of its records, −1 when none has one; undefined: not known. */
  maxTimestamp: number | undefined
}

export interface PartitionMark {
  logId: number
  /** Everything below lies in synced segments. */
  recoveryOffset: number
  segments: SegmentMark[]
  /** In memory only: what lies above was found in segments, and may not be on the disk. */
  syncedOffset?: number
  /** In memory only: what of that the journal has, though it does not have all. */
  journaled?: readonly OffsetRun[]
}

export interface Checkpoint {
  number: number
  /** Replay starts with this journal generation. */
  generation: number
  /** No frame below it is needed; 0: not known. */
  sequence: number
  /** The log was stopped: nobody has begun that generation yet. */
  isClean: boolean
  time: number
  state: [key: string, value: Buffer][]
  partitions: PartitionMark[]
}

export type CheckpointOutcome =
  | { kind: 'checkpoint'; checkpoint: Checkpoint }
  | { kind: 'missing' }
  | { kind: 'newer'; version: number }
  | { kind: 'corrupt' }

export function encodeCheckpoint(checkpoint: Checkpoint, codecs: Codecs): Buffer {
  const parts: Buffer[] = []
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32BE(MAGIC, 0)
  header.writeUInt16BE(CHECKPOINT_VERSION, 4)
  header.writeUInt16BE(checkpoint.isClean ? FLAG_CLEAN : 0, 6)
  header.writeBigUInt64BE(BigInt(checkpoint.number), 8)
  header.writeBigUInt64BE(BigInt(checkpoint.generation), 16)
  header.writeBigInt64BE(BigInt(Math.trunc(checkpoint.time)), 24)
  header.writeUInt32BE(checkpoint.state.length, 32)
  header.writeUInt32BE(checkpoint.partitions.length, 36)
  header.writeBigInt64BE(BigInt(checkpoint.sequence), 40)
  parts.push(header)
  for (const [key, value] of checkpoint.state) {
    const entry = Buffer.alloc(6 + key.length)
    entry.writeUInt16BE(key.length, 0)
    entry.writeUInt32BE(value.length, 2)
    entry.write(key, 6, 'latin1')
    parts.push(entry, value)
  }
  for (const { logId, recoveryOffset, segments } of checkpoint.partitions) {
    const entry = Buffer.alloc(16 + MARK_BYTES * segments.length)
    entry.writeUInt32BE(logId, 0)
    entry.writeBigInt64BE(BigInt(recoveryOffset), 4)
    entry.writeUInt32BE(segments.length, 12)
    for (const [index, mark] of segments.entries()) {
      const at = 16 + MARK_BYTES * index
      entry.writeBigInt64BE(BigInt(mark.baseOffset), at)
      entry.writeBigInt64BE(BigInt(Math.trunc(mark.arrival)), at + 8)
      entry.writeInt32BE(mark.bytes ?? UNKNOWN_BYTES, at + 16)
      entry.writeBigInt64BE(BigInt(mark.maxTimestamp ?? UNKNOWN_TIMESTAMP), at + 20)
    }
    parts.push(entry)
  }
  const body = Buffer.concat(parts)
  const crc = Buffer.alloc(4)
  crc.writeUInt32BE(codecs.crc32c(body))
  return Buffer.concat([body, crc])
}

export function decodeCheckpoint(bytes: Buffer, codecs: Codecs): CheckpointOutcome {
  if (bytes.length === 0) return { kind: 'missing' }
  if (bytes.length < HEADER_BYTES_V1 + 4) return { kind: 'corrupt' }
  if (bytes.readUInt32BE(0) !== MAGIC) return { kind: 'corrupt' }
  const body = bytes.subarray(0, bytes.length - 4)
  if (codecs.crc32c(body) !== bytes.readUInt32BE(body.length)) return { kind: 'corrupt' }
  const version = bytes.readUInt16BE(4)
  if (version > STORE_FORMAT) return { kind: 'newer', version }
  const state: Checkpoint['state'] = []
  let position = version === 1 ? HEADER_BYTES_V1 : HEADER_BYTES
  for (let left = body.readUInt32BE(32); left > 0; left--) {
    const keyEnd = position + 6 + body.readUInt16BE(position)
    const end = keyEnd + body.readUInt32BE(position + 2)
    state.push([
      body.toString('latin1', position + 6, keyEnd),
      Buffer.from(body.subarray(keyEnd, end)),
    ])
    position = end
  }
  const partitions: PartitionMark[] = []
  for (let left = body.readUInt32BE(36); left > 0; left--) {
    const segments: SegmentMark[] = []
    const markBytes = version === 1 ? MARK_BYTES_V1 : MARK_BYTES
    const end = position + 16 + markBytes * body.readUInt32BE(position + 12)
    for (let at = position + 16; at < end; at += markBytes) {
      segments.push(readMark(body, at, version))
    }
    const recoveryOffset = readInt64(body, position + 4)
    partitions.push({ logId: body.readUInt32BE(position), recoveryOffset, segments })
    position = end
  }
  const checkpoint: Checkpoint = {
    number: readInt64(body, 8),
    generation: readInt64(body, 16),
    sequence: version === 1 ? 0 : readInt64(body, 40),
    isClean: version > 1 && (body.readUInt16BE(6) & FLAG_CLEAN) !== 0,
    time: readInt64(body, 24),
    state,
    partitions,
  }
  return { kind: 'checkpoint', checkpoint }
}

function readMark(body: Buffer, at: number, version: number): SegmentMark {
  const [baseOffset, arrival] = [readInt64(body, at), readInt64(body, at + 8)]
  if (version === 1) return { baseOffset, arrival, bytes: undefined, maxTimestamp: undefined }
  const [bytes, timestamp] = [body.readInt32BE(at + 16), readInt64(body, at + 20)]
  return {
    baseOffset,
    arrival,
    bytes: bytes === UNKNOWN_BYTES ? undefined : bytes,
    maxTimestamp: timestamp === UNKNOWN_TIMESTAMP ? undefined : timestamp,
  }
}

/** What the disk refuses to give is damage like any other. */
export async function readCheckpoint(
  fs: FileSystem,
  path: string,
  codecs: Codecs,
): Promise<CheckpointOutcome> {
  if ((await fs.size(path)) === undefined) return { kind: 'missing' }
  const bytes = await readTolerantly(fs, path)
  return bytes === undefined ? { kind: 'corrupt' } : decodeCheckpoint(bytes, codecs)
}

/** Durable when it resolves, the name included. */
export async function writeCheckpoint(
  fs: FileSystem,
  directory: string,
  checkpoint: Checkpoint,
  codecs: Codecs,
): Promise<void> {
  const path = checkpointPath(directory, checkpoint.number)
  const bytes = encodeCheckpoint(checkpoint, codecs)
  const file = await fs.open(path, 'create')
  try {
    // In its place: the room it had is not given to others before. And in whole blocks, which a disk
    // can put elsewhere when it could not read them.
    const padding = Buffer.alloc((BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES)
    await file.write([bytes, padding], 0)
    await file.truncate(bytes.length)
    await file.sync()
  } catch (error) {
    // An empty copy is none; half of one would be told as damage.
    await file.truncate(0).catch(() => {})
    throw error
  } finally {
    await file.close()
  }
  await fs.syncDirectory(directory)
}

/** There is no copy there any more, whatever was; durable when it resolves. */
export async function emptyCheckpoint(fs: FileSystem, path: string): Promise<void> {
  const file = await fs.open(path, 'create')
  try {
    await file.truncate(0)
    await file.sync()
  } finally {
    await file.close()
  }
}

export function checkpointPath(directory: string, number: number): string {
  return `${directory}/${CHECKPOINT_FILES[number % 2]}`
}
