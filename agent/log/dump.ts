// The files of a store as lines for people: segments, indexes, journals, checkpoints, metadata.
//
// Reads a few batches or one journal at a time. What does not hold is shown as a line, never thrown.

import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { AgentError, codeOf, isBug } from '../base/errors.ts'
import { codecName } from '../record/compression.ts'
import { BATCH, decodeRecords, readBatchHeader } from '../record/record-batch.ts'
import { readTolerantly } from './bad-sectors.ts'
import { readCheckpoint } from './checkpoint.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import { GapTracker } from './gap-tracker.ts'
import { SECTOR_BYTES } from './journal.ts'
import { decodeEntries, type JournalEntry } from './journal-entry.ts'
import {
  decodeJournalHeader,
  learnJournalHeader,
  readFrames,
  readJournalBytes,
} from './journal-reader.ts'
import type { LossReason } from './loss.ts'
import { decodeMetadata, METADATA_FILE } from './partition-metadata.ts'
import { baseOffsetOf } from './segment-file.ts'
import {
  type IndexKind,
  OFFSET_ENTRY_BYTES,
  readIndexEntry,
  TIME_ENTRY_BYTES,
} from './segment-index.ts'
import { type ScannedBatch, scanBatches } from './segment-scan.ts'

const SHOWN_BYTES_MAX = 200
/** So many batches are checked in one go before they are shown. */
const GROUP_BATCHES = 64

/** The lines of one file, told by its name. Fault: INPUT_USAGE when it is no file of a store. */
export async function* dumpFile(fs: FileSystem, path: string): AsyncGenerator<string> {
  const name = path.slice(path.lastIndexOf('/') + 1)
  const codecs = new Codecs(new Kernel())
  const baseOffset = baseOffsetOf(name.replace(/\.(index|timeindex)$/, '.log'))
  if ((await fs.size(path)) === undefined) throw usage(`${path} does not exist`)
  if (baseOffset !== undefined && name.endsWith('.log')) {
    yield* dumpSegment(fs, path, baseOffset, codecs)
  } else if (baseOffset !== undefined) {
    yield* dumpIndex(fs, path, baseOffset, name.endsWith('.index') ? 'offset' : 'time')
  } else if (/^journal-\d+$/.test(name)) yield* dumpJournal(fs, path, codecs)
  else if (/^checkpoint-\d+$/.test(name)) yield* dumpCheckpoint(fs, path, codecs)
  else if (name === METADATA_FILE) yield* dumpMetadata(fs, path, codecs)
  else throw usage(`${path} is no segment, index, journal, checkpoint or ${METADATA_FILE}`)
}

async function* dumpSegment(
  fs: FileSystem,
  path: string,
  baseOffset: number,
  codecs: Codecs,
): AsyncGenerator<string> {
  const file = await fs.open(path, 'read')
  try {
    const to = await file.size()
    let [from, offset] = [0, baseOffset]
    for (;;) {
      const group: ScannedBatch[] = []
      const range = { from, to, offset, codecs }
      const outcome = await scanBatches(file, range, (batch) => group.push(batch) === GROUP_BATCHES)
      for (const batch of group) {
        yield* dumpBatch(file, batch, codecs)
        offset = batch.nextOffset
      }
      from = outcome.position
      if (outcome.kind === 'stopped') continue
      if (outcome.kind !== 'end') yield `position ${from} ${outcome.kind}: ${outcome.reason}`
      return
    }
  } finally {
    await file.close()
  }
}

async function* dumpBatch(
  file: OpenFile,
  { position, size }: ScannedBatch,
  codecs: Codecs,
): AsyncGenerator<string> {
  const bytes = Buffer.alloc(size)
  await file.read(bytes, position)
  const reason = hollowReason(bytes, codecs)
  yield batchLine(bytes, position) + (reason === undefined ? '' : `, hollow (${reason})`)
  // All of them are alike.
  if (reason === undefined) yield* recordLines(bytes, codecs)
}

/** Why the records that a batch stands for are lost; undefined when it holds its own. */
function hollowReason(batch: Buffer, codecs: Codecs): LossReason | undefined {
  try {
    for (const record of decodeRecords(batch, codecs)) return new GapTracker().take(record)
  } catch (error) {
    if (isBug(error)) throw error
  }
  return undefined
}

function batchLine(bytes: Buffer, position: number): string {
  const header = readBatchHeader(bytes)
  const { baseOffset, lastOffsetDelta, count, size, codec, producerId } = header
  const producer =
    producerId < 0n
      ? ''
      : `, producer ${producerId} epoch ${header.producerEpoch} sequence ${header.baseSequence}`
  return (
    `position ${position} batch ${baseOffset} to ${baseOffset + lastOffsetDelta}: ` +
    `${count} records, ${size} bytes, ${codecName(codec)}, crc ${hex32(header.crc)}, ` +
    `times ${timeText(header.baseTimestamp)} to ${timeText(header.maxTimestamp)}${producer}`
  )
}

function* recordLines(batch: Buffer, codecs: Codecs): Generator<string> {
  try {
    for (const { offset, timestamp, key, value, headers } of decodeRecords(batch, codecs)) {
      const pairs = headers.map(([name, content]) => `${shown(name)}=${shown(content)}`)
      const rest = pairs.length === 0 ? '' : ` headers ${pairs.join(' ')}`
      yield `  ${offset} ${timeText(timestamp)} key ${shown(key)} value ${shown(value)}${rest}`
    }
  } catch (error) {
    if (isBug(error)) throw error
    yield `  unreadable records: ${codeOf(error)}`
  }
}

async function* dumpIndex(
  fs: FileSystem,
  path: string,
  baseOffset: number,
  kind: IndexKind,
): AsyncGenerator<string> {
  const bytes = await readJournalBytes(fs, path)
  const entryBytes = kind === 'offset' ? OFFSET_ENTRY_BYTES : TIME_ENTRY_BYTES
  let at = 0
  for (; at + entryBytes <= bytes.length; at += entryBytes) {
    const { key, value } = readIndexEntry(kind, bytes, at)
    yield kind === 'offset'
      ? `offset ${baseOffset + key} position ${value}`
      : `time ${timeText(key)} offset ${baseOffset + value}`
  }
  if (at < bytes.length) yield `position ${at} half an entry`
}

async function* dumpJournal(fs: FileSystem, path: string, codecs: Codecs): AsyncGenerator<string> {
  const { kernel } = codecs
  const bytes = await readJournalBytes(fs, path)
  const header = decodeJournalHeader(kernel, bytes.subarray(0, SECTOR_BYTES))
  if (header.kind === 'header') {
    yield `generation ${header.generation}, salt ${hex32(header.salt)}`
  } else {
    yield `header ${header.kind}${header.kind === 'newer' ? `: format ${header.version}` : ''}`
  }
  if (header.kind === 'unused' || header.kind === 'newer') return
  const chain = header.kind === 'header' ? header : learnJournalHeader(kernel, bytes, 0)
  if (chain === undefined) return
  if (header.kind !== 'header') yield `salt ${hex32(chain.salt)}, learnt from the first frame`
  for (const outcome of readFrames(kernel, bytes, chain)) {
    if (outcome.kind === 'rot') yield `position ${outcome.position} rot up to ${outcome.resume}`
    if (outcome.kind === 'end')
      yield `position ${outcome.position} ${outcome.torn ? 'torn' : 'end'}`
    if (outcome.kind !== 'frame') continue
    const { position, sequence, size, time, more, payload } = outcome.frame
    const goesOn = more ? ', goes on' : ''
    yield `position ${position} frame ${sequence}: ${size} bytes, ${timeText(time)}${goesOn}`
    const entries = decodeEntries(payload)
    if (entries === undefined) yield '  unknown entry'
    for (const entry of entries ?? []) yield `  ${entryText(entry, codecs)}`
  }
}

function entryText(entry: JournalEntry, codecs: Codecs): string {
  switch (entry.kind) {
    case 'records': {
      const first = entry.tailBase + entry.firstDelta
      const last = first + entry.count - 1
      return `log ${entry.logId} records ${first} to ${last}, ${entry.bytes.length} bytes`
    }
    case 'batch': {
      const last = entry.baseOffset + entry.bytes.readInt32BE(BATCH.lastOffsetDelta)
      const reason = hollowReason(entry.bytes, codecs)
      const hollow = reason === undefined ? '' : `, hollow (${reason})`
      const bytes = `${entry.bytes.length} bytes`
      return `log ${entry.logId} batch ${entry.baseOffset} to ${last}, ${bytes}${hollow}`
    }
    case 'put':
      return `put ${entry.key} = ${shown(entry.value)}`
    case 'delete':
      return `delete ${entry.key}`
  }
}

async function* dumpCheckpoint(
  fs: FileSystem,
  path: string,
  codecs: Codecs,
): AsyncGenerator<string> {
  const outcome = await readCheckpoint(fs, path, codecs)
  if (outcome.kind !== 'checkpoint') {
    yield `checkpoint ${outcome.kind}`
    return
  }
  const { number, generation, sequence, isClean, time, state, partitions } = outcome.checkpoint
  const from = `journal from generation ${generation}, frame ${sequence}`
  yield `checkpoint ${number}, ${timeText(time)}, ${from}${isClean ? ', clean stop' : ''}`
  for (const { logId, recoveryOffset, segments } of partitions) {
    yield `log ${logId} recovery offset ${recoveryOffset}`
    for (const { baseOffset, arrival } of segments) {
      yield `  segment ${baseOffset} arrival ${timeText(arrival)}`
    }
  }
  for (const [key, value] of state) yield `state ${key} = ${shown(value)}`
}

async function* dumpMetadata(fs: FileSystem, path: string, codecs: Codecs): AsyncGenerator<string> {
  const bytes = await readTolerantly(fs, path)
  const metadata = bytes && decodeMetadata(bytes, codecs)
  if (metadata === undefined) {
    yield 'metadata does not hold'
    return
  }
  for (const [name, value] of Object.entries(metadata)) yield `${name} ${JSON.stringify(value)}`
}

function timeText(ms: number): string {
  const isDate = Number.isFinite(ms) && Math.abs(ms) <= 8.64e15 && ms >= 0
  return isDate ? new Date(ms).toISOString() : String(ms)
}

/** Text in quotes where it is text, hex where it is not, cut where it is long. */
function shown(bytes: Buffer | null): string {
  if (bytes === null) return 'null'
  const head = bytes.subarray(0, SHOWN_BYTES_MAX)
  const text = head.toString('utf8')
  const isText = !/[\p{Cc}\ufffd]/u.test(text)
  const cut = bytes.length > head.length ? `… (${bytes.length} bytes)` : ''
  return (isText ? JSON.stringify(text) : `0x${head.toString('hex')}`) + cut
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, '0')
}

function usage(message: string): AgentError {
  return new AgentError('INPUT_USAGE', message)
}
