// What a group commit is made of: the entries inside a journal frame's payload. All big-endian.
//
//   records  u8 1, u32 log id, i64 tail base offset, i64 tail base timestamp, i64 max timestamp,
//            u32 first offset delta, u32 count, u32 length, encoded records
//   batch    u8 2, u32 log id, i64 base offset, u32 length, one whole record batch
//   put      u8 3, u16 key length, u32 value length, key, value
//   delete   u8 4, u16 key length, key
//
// Numbers of eight bytes are written as two halves: no BigInt on the way to the disk.

export const RECORDS_HEADER_BYTES = 1 + 4 + 8 + 8 + 8 + 4 + 4 + 4
export const BATCH_HEADER_BYTES = 1 + 4 + 8 + 4
export const PUT_HEADER_BYTES = 1 + 2 + 4
export const DELETE_HEADER_BYTES = 1 + 2

/** Of a frame that holds, and whose entries nobody here knows. */
export const UNKNOWN_ENTRY =
  'unknown journal entry: another program wrote it, and no start of this one goes past it; use that one'

const TYPE_RECORDS = 1
const TYPE_BATCH = 2
const TYPE_PUT = 3
const TYPE_DELETE = 4

export interface RecordsEntry {
  kind: 'records'
  logId: number
  tailBase: number
  baseTimestamp: number
  maxTimestamp: number
  firstDelta: number
  count: number
  bytes: Buffer
}

export type JournalEntry =
  | RecordsEntry
  | { kind: 'batch'; logId: number; baseOffset: number; bytes: Buffer }
  | { kind: 'put'; key: string; value: Buffer }
  | { kind: 'delete'; key: string }

export function writeInt64(view: DataView, position: number, value: number): void {
  const high = Math.floor(value / 4294967296)
  view.setInt32(position, high)
  view.setUint32(position + 4, value - high * 4294967296)
}

export function readInt64(view: DataView | Buffer, position: number): number {
  if (view instanceof DataView) {
    return view.getInt32(position) * 4294967296 + view.getUint32(position + 4)
  }
  return view.readInt32BE(position) * 4294967296 + view.readUInt32BE(position + 4)
}

/** Writes the header of a records entry; the caller puts `length` bytes of records behind it. */
export function writeRecordsHeader(
  view: DataView,
  position: number,
  entry: Omit<RecordsEntry, 'kind' | 'bytes'>,
  length: number,
): number {
  view.setUint8(position, TYPE_RECORDS)
  view.setUint32(position + 1, entry.logId)
  writeInt64(view, position + 5, entry.tailBase)
  writeInt64(view, position + 13, entry.baseTimestamp)
  writeInt64(view, position + 21, entry.maxTimestamp)
  view.setUint32(position + 29, entry.firstDelta)
  view.setUint32(position + 33, entry.count)
  view.setUint32(position + 37, length)
  return position + RECORDS_HEADER_BYTES
}

export function writeBatchHeader(
  view: DataView,
  position: number,
  logId: number,
  baseOffset: number,
  length: number,
): number {
  view.setUint8(position, TYPE_BATCH)
  view.setUint32(position + 1, logId)
  writeInt64(view, position + 5, baseOffset)
  view.setUint32(position + 13, length)
  return position + BATCH_HEADER_BYTES
}

/** A state change as bytes; `value` undefined is a delete. */
export function writeStateEntry(
  target: Buffer,
  position: number,
  key: string,
  value: Buffer | undefined,
): number {
  target.writeUInt16BE(key.length, position + 1)
  if (value === undefined) {
    target.writeUInt8(TYPE_DELETE, position)
    target.write(key, position + DELETE_HEADER_BYTES, 'latin1')
    return position + DELETE_HEADER_BYTES + key.length
  }
  target.writeUInt8(TYPE_PUT, position)
  target.writeUInt32BE(value.length, position + 3)
  target.write(key, position + PUT_HEADER_BYTES, 'latin1')
  value.copy(target, position + PUT_HEADER_BYTES + key.length)
  return position + PUT_HEADER_BYTES + key.length + value.length
}

export function stateEntryBytes(key: string, value: Buffer | undefined): number {
  return value === undefined
    ? DELETE_HEADER_BYTES + key.length
    : PUT_HEADER_BYTES + key.length + value.length
}

/** The entries of one payload, in order; undefined when the bytes are no such thing. */
export function decodeEntries(payload: Buffer): JournalEntry[] | undefined {
  const entries: JournalEntry[] = []
  let position = 0
  while (position < payload.length) {
    const decoded = decodeEntry(payload, position)
    if (decoded === undefined || decoded.end > payload.length) return undefined
    entries.push(decoded.entry)
    position = decoded.end
  }
  return entries
}

function decodeEntry(
  payload: Buffer,
  position: number,
): { entry: JournalEntry; end: number } | undefined {
  const left = payload.length - position
  switch (payload[position]) {
    case TYPE_RECORDS: {
      if (left < RECORDS_HEADER_BYTES) return undefined
      const start = position + RECORDS_HEADER_BYTES
      const end = start + payload.readUInt32BE(position + 37)
      const entry: JournalEntry = {
        kind: 'records',
        logId: payload.readUInt32BE(position + 1),
        tailBase: readInt64(payload, position + 5),
        baseTimestamp: readInt64(payload, position + 13),
        maxTimestamp: readInt64(payload, position + 21),
        firstDelta: payload.readUInt32BE(position + 29),
        count: payload.readUInt32BE(position + 33),
        bytes: payload.subarray(start, end),
      }
      return { entry, end }
    }
    case TYPE_BATCH: {
      if (left < BATCH_HEADER_BYTES) return undefined
      const start = position + BATCH_HEADER_BYTES
      const end = start + payload.readUInt32BE(position + 13)
      const logId = payload.readUInt32BE(position + 1)
      const baseOffset = readInt64(payload, position + 5)
      return {
        entry: { kind: 'batch', logId, baseOffset, bytes: payload.subarray(start, end) },
        end,
      }
    }
    case TYPE_PUT: {
      if (left < PUT_HEADER_BYTES) return undefined
      const keyEnd = position + PUT_HEADER_BYTES + payload.readUInt16BE(position + 1)
      const end = keyEnd + payload.readUInt32BE(position + 3)
      const key = payload.toString('latin1', position + PUT_HEADER_BYTES, keyEnd)
      // Copied: state outlives the frame it came in.
      return { entry: { kind: 'put', key, value: Buffer.from(payload.subarray(keyEnd, end)) }, end }
    }
    case TYPE_DELETE: {
      if (left < DELETE_HEADER_BYTES) return undefined
      const end = position + DELETE_HEADER_BYTES + payload.readUInt16BE(position + 1)
      const key = payload.toString('latin1', position + DELETE_HEADER_BYTES, end)
      return { entry: { kind: 'delete', key }, end }
    }
    default:
      return undefined
  }
}
