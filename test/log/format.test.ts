// FORMAT.md against the code and against golden files: what is written there is what is on disk.
//
// The page's tables of bytes are read here and decode the golden files, so that a table that is wrong
// fails like code that is wrong.

import { existsSync, readFileSync } from 'node:fs'
import * as assert from 'uvu/assert'
import * as checkpoint from '../../agent/log/checkpoint.ts'
import * as journal from '../../agent/log/journal.ts'
import * as entry from '../../agent/log/journal-entry.ts'
import {
  decodeJournalHeader,
  type FrameOutcome,
  readFrames,
} from '../../agent/log/journal-reader.ts'
import * as segmentIndex from '../../agent/log/segment-index.ts'
import * as state from '../../agent/log/state-store.ts'
import { STORE_FORMAT } from '../../agent/log/store-format.ts'
import {
  CHECKPOINT,
  FRAMES,
  JOURNAL_BYTES,
  SALT,
  writeGoldenStore,
} from '../golden/store/golden-store.ts'
import { codecs, kernel } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('format')

const page = readFileSync('agent/log/FORMAT.md', 'utf8')
const journalBytes = readFileSync('test/golden/store/journal-v1.bin')
const checkpointBytes = readFileSync('test/golden/store/checkpoint-v2.bin')
const oldCheckpointBytes = readFileSync('test/golden/store/checkpoint-v1.bin')

interface Row {
  position: number
  /** Undefined: up to the end. */
  bytes: number | undefined
  field: string
}

/** The cells of the first table behind a heading. */
function tableBehind(heading: string): string[][] {
  const lines = page.slice(page.indexOf(`\n${heading}`)).split('\n')
  const first = lines.findIndex((line) => line.startsWith('|'))
  const rows: string[][] = []
  for (const line of lines.slice(first)) {
    if (!line.startsWith('|')) break
    rows.push(
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )
  }
  return rows.slice(2)
}

function layout(heading: string): Row[] {
  return tableBehind(heading).map(([position, bytes, text]) => ({
    position: Number(position),
    bytes: bytes === '' ? undefined : Number(bytes),
    field: text!.replace(/[:;,].*/, ''),
  }))
}

/** Reads one number where the page says it stands. */
function fieldAt(heading: string, field: string, bytes: Buffer, base: number): number {
  const row = layout(heading).find((candidate) => candidate.field === field)
  assert.ok(row?.bytes, `${heading} has no field "${field}"`)
  const at = base + row.position
  if (row.bytes === 8) return Number(bytes.readBigInt64BE(at))
  return bytes.readUIntBE(at, row.bytes)
}

const LAYOUTS: Record<string, number | undefined> = {
  '### `.log`': 61,
  '### `.index`': segmentIndex.OFFSET_ENTRY_BYTES,
  '### `.timeindex`': segmentIndex.TIME_ENTRY_BYTES,
  '### Journal file header': journal.SECTOR_BYTES,
  '### Frame': journal.FRAME_HEADER_BYTES,
  '#### `records`': entry.RECORDS_HEADER_BYTES,
  '#### `batch`': entry.BATCH_HEADER_BYTES,
  '#### `put`': entry.PUT_HEADER_BYTES,
  '#### `delete`': entry.DELETE_HEADER_BYTES,
  '### Checkpoint header': 48,
  '### Checkpoint state entry': 6,
  '### Checkpoint partition': 16,
  '### Checkpoint segment': 28,
}

test('every table of bytes is without a gap and as long as the code says', () => {
  for (const [heading, length] of Object.entries(LAYOUTS)) {
    let end = 0
    for (const { position, bytes, field } of layout(heading)) {
      assert.is(position, end, `${heading}: ${field}`)
      end += bytes ?? 0
    }
    assert.is(end, length, heading)
  }
})

test('every number of the page is the one of the code, and none is missing', () => {
  const { FILE_MAGIC, FRAME_MAGIC, FLAG_LZ4, FLAG_MORE, FRAME_PAYLOAD_BYTES_MAX } = journal
  const { JOURNAL_VERSION, SECTOR_BYTES, FRAME_HEADER_BYTES } = journal
  const { RECORDS_HEADER_BYTES, BATCH_HEADER_BYTES, PUT_HEADER_BYTES, DELETE_HEADER_BYTES } = entry
  const { STATE_KEY_BYTES_MAX, STATE_VALUE_BYTES_MAX } = state
  const { OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES } = segmentIndex
  const code: Record<string, number> = {
    JOURNAL_VERSION,
    FILE_MAGIC,
    FRAME_MAGIC,
    SECTOR_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_PAYLOAD_BYTES_MAX,
    FLAG_LZ4,
    FLAG_MORE,
    RECORDS_HEADER_BYTES,
    BATCH_HEADER_BYTES,
    PUT_HEADER_BYTES,
    DELETE_HEADER_BYTES,
    STORE_FORMAT,
    CHECKPOINT_VERSION: checkpoint.CHECKPOINT_VERSION,
    STATE_KEY_BYTES_MAX,
    STATE_VALUE_BYTES_MAX,
    OFFSET_ENTRY_BYTES,
    TIME_ENTRY_BYTES,
  }
  const written = tableBehind('## Numbers').map(([name, value]) => [
    name!.replaceAll('`', ''),
    Number(value),
  ])
  assert.equal(Object.fromEntries(written), code)
})

test('every state key of the code is on the page', () => {
  const keys = tableBehind('## State').map(([key]) => key!.replaceAll('`', ''))
  const owners = tableBehind('## State').map(([, , owner]) => owner!.replaceAll('`', ''))
  for (const [order, owner] of owners.entries()) {
    const [prefix] = keys[order]!.split('/')
    assert.ok(readFileSync(owner, 'utf8').includes(`${prefix}/`), `${owner} has no ${prefix}/`)
  }
  // The store's own head comment names the prefixes; every one of them has a row here.
  const known = new Set(keys.map((key) => `${key.split('/')[0]}/`))
  const head = readFileSync('agent/log/state-store.ts', 'utf8').match(/owned by prefix: (.*)/)
  for (const prefix of head![1]!.trim().split(' ')) assert.ok(known.has(prefix), prefix)
})

test('a golden journal is read as it was written', () => {
  const header = decodeJournalHeader(kernel, journalBytes.subarray(0, journal.SECTOR_BYTES))
  if (header.kind !== 'header') throw new Error(`the golden journal is ${header.kind}`)
  assert.is(header.generation, 7)
  assert.is(header.salt, SALT)
  const outcomes: FrameOutcome[] = [...readFrames(kernel, journalBytes, header)]
  assert.is(outcomes.length, FRAMES.length + 1)
  for (const [order, expected] of FRAMES.entries()) {
    const outcome = outcomes[order]!
    if (outcome.kind !== 'frame') throw new Error(`frame ${order} is ${outcome.kind}`)
    const { sequence, time, more, payload } = outcome.frame
    assert.is(sequence, order + 1)
    assert.is(time, expected.time)
    assert.is(more, expected.more)
    assert.equal(entry.decodeEntries(payload), expected.entries)
  }
  assert.is(outcomes.at(-1)!.kind, 'end')
})

test('a golden checkpoint is read as it was written', () => {
  const outcome = checkpoint.decodeCheckpoint(checkpointBytes, codecs)
  assert.equal(outcome, { kind: 'checkpoint', checkpoint: CHECKPOINT })
})

test('a golden checkpoint of version 1 is read, with what it does not say', () => {
  const outcome = checkpoint.decodeCheckpoint(oldCheckpointBytes, codecs)
  const unknown = { bytes: undefined, maxTimestamp: undefined }
  const partitions = CHECKPOINT.partitions.map((partition) => ({
    ...partition,
    segments: partition.segments.map((segment) => ({ ...segment, ...unknown })),
  }))
  const expected = { ...CHECKPOINT, sequence: 0, isClean: false, partitions }
  assert.equal(outcome, { kind: 'checkpoint', checkpoint: expected })
})

test('the same content makes the same bytes', async () => {
  const fs = new SimFileSystem(1)
  await fs.makeDirectory('store')
  await writeGoldenStore(fs, 'store')
  const made = await bytesOf(fs, 'store/journal-0')
  assert.is(made.length, JOURNAL_BYTES)
  // The last frame is compressed, and nothing promises how well.
  const compressedAt = journal.SECTOR_BYTES * 4
  assert.equal(made.subarray(0, compressedAt), journalBytes.subarray(0, compressedAt))
  assert.equal(await bytesOf(fs, 'store/checkpoint-1'), checkpointBytes)
})

test('the tables of the page read the golden journal', () => {
  const { SECTOR_BYTES } = journal
  const header = (field: string) => fieldAt('### Journal file header', field, journalBytes, 0)
  assert.is(header('magic'), journal.FILE_MAGIC)
  assert.is(header('version'), 1)
  assert.is(header('generation'), 7)
  assert.is(header('salt'), SALT)
  assert.is(header('crc'), codecs.crc32c(journalBytes.subarray(0, 20)))
  let position = SECTOR_BYTES
  let previous = header('crc')
  for (const [order, { time, more }] of FRAMES.entries()) {
    const frame = (field: string) => fieldAt('### Frame', field, journalBytes, position)
    const stored = frame('stored length')
    const end = position + journal.FRAME_HEADER_BYTES + stored
    assert.is(frame('magic'), journal.FRAME_MAGIC)
    assert.is(frame('crc'), codecs.crc32c(journalBytes.subarray(position + 8, end)))
    assert.is(frame('previous crc'), previous)
    assert.is(frame('salt'), SALT)
    assert.is(frame('sequence'), order + 1)
    assert.is(frame('wall time'), time)
    assert.is(frame('flags'), (more ? 2 : 0) | (stored < frame('raw length') ? 1 : 0))
    previous = frame('crc')
    position += Math.ceil((end - position) / SECTOR_BYTES) * SECTOR_BYTES
  }
  assert.ok(journalBytes.subarray(position).every((byte) => byte === 0))
})

test('the tables of the page read the entries of a golden frame', () => {
  const base = 3 * journal.SECTOR_BYTES + journal.FRAME_HEADER_BYTES
  const gone = (field: string) => fieldAt('#### `delete`', field, journalBytes, base)
  assert.is(gone('type'), 4)
  const batchAt = base + entry.DELETE_HEADER_BYTES + gone('key length')
  const batch = (field: string) => fieldAt('#### `batch`', field, journalBytes, batchAt)
  assert.is(batch('type'), 2)
  assert.is(batch('log id'), 2)
  assert.is(batch('base offset'), 5_000_000_000)
  const bytes = journalBytes.subarray(batchAt + entry.BATCH_HEADER_BYTES)
  const inside = (field: string) => fieldAt('### `.log`', field, bytes, 0)
  assert.is(inside('base offset'), 5_000_000_000)
  assert.is(inside('magic'), 2)
  assert.is(inside('number of records'), 2)
})

test('the tables of the page read the golden checkpoint', () => {
  const bytes = checkpointBytes
  const header = (field: string) => fieldAt('### Checkpoint header', field, bytes, 0)
  assert.is(header('version'), 2)
  assert.is(header('flags'), 1)
  assert.is(header('sequence'), CHECKPOINT.sequence)
  assert.is(header('number'), CHECKPOINT.number)
  assert.is(header('generation'), CHECKPOINT.generation)
  assert.is(header('wall time'), CHECKPOINT.time)
  let position = 48
  for (let left = header('state entries'); left > 0; left--) {
    const key = fieldAt('### Checkpoint state entry', 'key length', bytes, position)
    position += 6 + key + fieldAt('### Checkpoint state entry', 'value length', bytes, position)
  }
  assert.is(header('partitions'), 2)
  position += 16
  const partition = (field: string) => fieldAt('### Checkpoint partition', field, bytes, position)
  assert.is(partition('log id'), 1)
  assert.is(partition('recovery offset'), 5_000_000_123)
  assert.is(partition('segments'), 2)
  position += 16
  const segment = (field: string) => fieldAt('### Checkpoint segment', field, bytes, position)
  const [first] = CHECKPOINT.partitions[1]!.segments
  assert.is(segment('bytes'), first!.bytes)
  assert.is(segment('greatest timestamp'), first!.maxTimestamp)
  position += 28
  assert.is(segment('base offset'), 4_999_999_999)
  assert.is(bytes.readUInt32BE(position + 28), codecs.crc32c(bytes.subarray(0, position + 28)))
  assert.is(bytes.length, position + 32)
})

test('the format of a store is the greatest version of its files', () => {
  const { CHECKPOINT_VERSION } = checkpoint
  assert.is(STORE_FORMAT, Math.max(CHECKPOINT_VERSION, journal.JOURNAL_VERSION))
  const versions = tableBehind('## Versions').map(([file, version]) => [file, version])
  assert.equal(versions.slice(0, 2), [
    ['`journal-<n>`', String(journal.JOURNAL_VERSION)],
    ['`checkpoint-0`, `checkpoint-1`', String(CHECKPOINT_VERSION)],
  ])
  for (const version of Array.from({ length: CHECKPOINT_VERSION }, (_, index) => index + 1)) {
    assert.ok(existsSync(`test/golden/store/checkpoint-v${version}.bin`), `version ${version}`)
  }
})

test('a newer version is believed when its checksum holds, and is damage when it does not', () => {
  const newer = Buffer.from(checkpointBytes)
  newer.writeUInt16BE(STORE_FORMAT + 1, 4)
  assert.equal(checkpoint.decodeCheckpoint(newer, codecs), { kind: 'corrupt' })
  newer.writeUInt32BE(codecs.crc32c(newer.subarray(0, -4)), newer.length - 4)
  const expected = { kind: 'newer', version: STORE_FORMAT + 1 }
  assert.equal(checkpoint.decodeCheckpoint(newer, codecs), expected)
  const sector = Buffer.from(journalBytes.subarray(0, journal.SECTOR_BYTES))
  sector.writeUInt16BE(STORE_FORMAT + 1, 4)
  assert.equal(decodeJournalHeader(kernel, sector), { kind: 'corrupt' })
  sector.writeUInt32BE(codecs.crc32c(sector.subarray(0, 20)), 20)
  assert.equal(decodeJournalHeader(kernel, sector), expected)
})

async function bytesOf(fs: SimFileSystem, path: string): Promise<Buffer> {
  const file = await fs.open(path, 'read')
  const bytes = Buffer.alloc(await file.size())
  await file.read(bytes, 0)
  await file.close()
  return bytes
}

test.run()
