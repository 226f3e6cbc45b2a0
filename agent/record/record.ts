// One record of a v2 batch, in plain JavaScript: for small jobs and for looking into batches. The hot
// path encodes with the kernel (wasm/assembly/record.ts has the layout).
//
// - Decoded keys, values and headers are views of the bytes they were read from, not copies.
// - Readers never look at or behind `end`; bytes that are no record are a CORRUPT_BATCH fault.

import { AgentError } from '../base/errors.ts'
import { type Cursor, readVarint, readVarlong, varintSize, writeVarint } from './varint.ts'

export type Header = [key: Buffer, value: Buffer | null]

/** A record as it lies in a batch, relative to the batch's header. */
export interface EncodedFields {
  offsetDelta: number
  timestampDelta: number
  key: Buffer | null
  value: Buffer | null
  headers: Header[]
}

/** What a record is encoded from. */
export interface RecordFields {
  offsetDelta: number
  timestampDelta: number
  key: Uint8Array | null
  value: Uint8Array | null
  headers?: readonly (readonly [key: string | Uint8Array, value: Uint8Array | null])[]
}

export function encodeRecord(record: RecordFields): Buffer {
  const { offsetDelta, timestampDelta, key, value } = record
  const headers = (record.headers ?? []).map(([name, content]) => encodeHeader(name, content))
  const body =
    1 +
    varintSize(timestampDelta) +
    varintSize(offsetDelta) +
    bytesSize(key) +
    bytesSize(value) +
    varintSize(headers.length) +
    headers.reduce((sum, header) => sum + header.length, 0)
  const buffer = Buffer.allocUnsafe(varintSize(body) + body)
  let position = writeVarint(buffer, 0, body)
  buffer[position++] = 0
  position = writeVarint(buffer, position, timestampDelta)
  position = writeVarint(buffer, position, offsetDelta)
  position = writeBytes(buffer, position, key)
  position = writeBytes(buffer, position, value)
  position = writeVarint(buffer, position, headers.length)
  for (const header of headers) {
    buffer.set(header, position)
    position += header.length
  }
  return buffer
}

/** One header as it lies in a record; several are put one behind the other. */
export function encodeHeader(key: string | Uint8Array, value: Uint8Array | null): Buffer {
  const name = typeof key === 'string' ? Buffer.from(key) : key
  const buffer = Buffer.allocUnsafe(bytesSize(name) + bytesSize(value))
  writeBytes(buffer, writeBytes(buffer, 0, name), value)
  return buffer
}

function bytesSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length
}

function writeBytes(buffer: Buffer, position: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(buffer, position, -1)
  position = writeVarint(buffer, position, bytes.length)
  buffer.set(bytes, position)
  return position + bytes.length
}

/** Decodes the record at the cursor and moves it behind the record. */
export function readRecord(buffer: Buffer, cursor: Cursor, end: number): EncodedFields {
  const size = readVarint(buffer, cursor, end)
  const recordEnd = cursor.position + size
  if (!(size > 0 && recordEnd <= end)) throw corrupt('a record has no possible length')
  cursor.position++
  const timestampDelta = readVarlong(buffer, cursor, recordEnd)
  const offsetDelta = readVarint(buffer, cursor, recordEnd)
  if (Number.isNaN(timestampDelta) || Number.isNaN(offsetDelta)) {
    throw corrupt('a record has no possible timestamp or offset')
  }
  const key = readBytes(buffer, cursor, recordEnd)
  const value = readBytes(buffer, cursor, recordEnd)
  const headers = readHeaders(buffer, cursor, recordEnd)
  if (cursor.position !== recordEnd) throw corrupt('a record is longer than its fields')
  return { offsetDelta, timestampDelta, key, value, headers }
}

/** `count` records that must fill the bytes exactly. */
export function* iterateRecords(records: Buffer, count: number): Generator<EncodedFields> {
  const cursor = { position: 0 }
  for (let i = 0; i < count; i++) yield readRecord(records, cursor, records.length)
  if (cursor.position !== records.length) throw corrupt('there are more records than announced')
}

function readBytes(buffer: Buffer, cursor: Cursor, end: number): Buffer | null {
  const length = readVarint(buffer, cursor, end)
  if (length === -1) return null
  const start = cursor.position
  if (!(length >= 0 && start + length <= end))
    throw corrupt('a key or value has no possible length')
  cursor.position = start + length
  return buffer.subarray(start, start + length)
}

function readHeaders(buffer: Buffer, cursor: Cursor, end: number): Header[] {
  const count = readVarint(buffer, cursor, end)
  // An absurd count faults at the first header that is not there.
  if (!(count >= 0)) throw corrupt('a record has no possible number of headers')
  const headers: Header[] = []
  for (let i = 0; i < count; i++) {
    const key = readBytes(buffer, cursor, end)
    if (key === null) throw corrupt('a header has no key')
    headers.push([key, readBytes(buffer, cursor, end)])
  }
  return headers
}

function corrupt(what: string): AgentError {
  return new AgentError('CORRUPT_BATCH', `a record batch is damaged: ${what}`)
}
