// Checks one segment of a stopped store: every batch and record, and both indexes against them.
//
// An index is never a reason to worry: the log makes it again. Damage to batches is for the caller
// to judge, who knows whether the journal still has them.

import type { Codecs } from '../../wasm/codecs.ts'
import { codecName, decompress } from '../record/compression.ts'
import { BATCH, MAX_RECORDS_BYTES, readBatchHeader } from '../record/record-batch.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import {
  type IndexKind,
  OFFSET_ENTRY_BYTES,
  readIndexEntry,
  TIME_ENTRY_BYTES,
} from './segment-index.ts'
import { readScanned, type ScannedBatch, scanBatches } from './segment-scan.ts'

interface SegmentDamage {
  path: string
  position: number
  what: string
  /** First offset that is hit; undefined for an index. */
  offset: number | undefined
}

export interface SegmentCheck {
  /** Behind the last batch that was found. */
  nextOffset: number
  bytes: number
  batches: number
  records: number
  damages: SegmentDamage[]
}

export interface SegmentToCheck {
  fs: FileSystem
  codecs: Codecs
  /** The path without `.log`. */
  stem: string
  baseOffset: number
  /** The segment is complete and synced, so its indexes must be there. */
  isFinished: boolean
}

/** So many batches are checked for their offsets and CRCs before their records are looked at. */
const GROUP_BATCHES = 256

export async function checkSegment(segment: SegmentToCheck): Promise<SegmentCheck> {
  const path = `${segment.stem}.log`
  const file = await segment.fs.open(path, 'read')
  try {
    const check: SegmentCheck = {
      nextOffset: segment.baseOffset,
      bytes: await file.size(),
      batches: 0,
      records: 0,
      damages: [],
    }
    const offsets = new IndexCheck(segment, 'offset')
    const times = new IndexCheck(segment, 'time')
    for (const index of [offsets, times]) check.damages.push(...(await index.load()))
    await checkBatches(segment, file, path, check, (batch) => {
      offsets.see(batch)
      times.see(batch)
    })
    for (const index of [offsets, times]) check.damages.push(...index.rest())
    return check
  } finally {
    await file.close()
  }
}

async function checkBatches(
  { codecs, baseOffset }: SegmentToCheck,
  file: OpenFile,
  path: string,
  check: SegmentCheck,
  see: (batch: ScannedBatch) => void,
): Promise<void> {
  let [from, offset] = [0, baseOffset]
  for (;;) {
    const group: ScannedBatch[] = []
    const range = { from, to: check.bytes, offset, codecs }
    const outcome = await scanBatches(file, range, (batch) => {
      see(batch)
      return group.push(batch) === GROUP_BATCHES
    })
    for (const batch of group) {
      const { records, what } = await checkRecords(file, batch, codecs)
      check.batches++
      check.records += records
      offset = check.nextOffset = batch.nextOffset
      if (what === undefined) continue
      check.damages.push({ path, position: batch.position, what, offset: batch.baseOffset })
    }
    from = outcome.position
    if (outcome.kind === 'end') return
    if (outcome.kind === 'stopped') continue
    check.damages.push({ path, position: from, what: `${outcome.kind}: ${outcome.reason}`, offset })
    const behind = outcome.kind === 'corrupt' ? await batchBehind(file, from, offset) : undefined
    if (behind === undefined) return
    ;[from, offset] = [behind.position, behind.baseOffset]
    check.nextOffset = offset
  }
}

/** Where a walk can go on when only the records of the batch at `position` are damaged. */
async function batchBehind(
  file: OpenFile,
  position: number,
  offset: number,
): Promise<{ position: number; baseOffset: number } | undefined> {
  const header = Buffer.alloc(BATCH.records)
  await file.read(header, position)
  const batch = readScanned(header, 0, position)
  if (typeof batch === 'string' || batch.baseOffset !== offset) return undefined
  return { position: position + batch.size, baseOffset: batch.nextOffset }
}

async function checkRecords(
  file: OpenFile,
  batch: ScannedBatch,
  codecs: Codecs,
): Promise<{ records: number; what: string | undefined }> {
  const bytes = Buffer.alloc(batch.size)
  await file.read(bytes, batch.position)
  const { count, codec, lastOffsetDelta } = readBatchHeader(bytes)
  if (count !== lastOffsetDelta + 1) {
    return { records: 0, what: `${count} records for ${lastOffsetDelta + 1} offsets` }
  }
  const inflated = decompress(codec, bytes.subarray(BATCH.records), MAX_RECORDS_BYTES, codecs)
  if (inflated.kind !== 'bytes') {
    return { records: 0, what: `${codecName(codec)} records: ${inflated.kind}` }
  }
  const { status } = codecs.scanRecords(inflated.bytes, count)
  return {
    records: count,
    what: status === 0 ? undefined : `records break their format: ${status}`,
  }
}

/** The entries of one index, ticked off as their batches come by. */
class IndexCheck {
  readonly #segment: SegmentToCheck
  readonly #kind: IndexKind
  readonly #path: string
  /** Last offset of the batch → the entry's other column and where the entry stands. */
  readonly #entries = new Map<number, { value: number; position: number }>()
  readonly #wrong: SegmentDamage[] = []
  #maxTimestamp = -1

  constructor(segment: SegmentToCheck, kind: IndexKind) {
    this.#segment = segment
    this.#kind = kind
    this.#path = `${segment.stem}.${kind === 'offset' ? 'index' : 'timeindex'}`
  }

  async load(): Promise<SegmentDamage[]> {
    const { fs, isFinished, baseOffset } = this.#segment
    const size = await fs.size(this.#path)
    if (size === undefined) return isFinished ? [this.#damage(0, 'missing')] : []
    const file = await fs.open(this.#path, 'read')
    const bytes = Buffer.alloc(size)
    try {
      await file.read(bytes, 0)
    } finally {
      await file.close()
    }
    const entryBytes = this.#kind === 'offset' ? OFFSET_ENTRY_BYTES : TIME_ENTRY_BYTES
    let before = { key: -1, value: -1 }
    for (let position = 0; position + entryBytes <= size; position += entryBytes) {
      const entry = readIndexEntry(this.#kind, bytes, position)
      if (entry.key <= before.key || entry.value <= before.value) {
        return [this.#damage(position, 'entries do not rise')]
      }
      before = entry
      const [relative, value] =
        this.#kind === 'offset' ? [entry.key, entry.value] : [entry.value, entry.key]
      this.#entries.set(baseOffset + relative, { value, position })
    }
    return size % entryBytes === 0 ? [] : [this.#damage(size, 'half an entry')]
  }

  see(batch: ScannedBatch): void {
    this.#maxTimestamp = Math.max(this.#maxTimestamp, batch.maxTimestamp)
    const lastOffset = batch.nextOffset - 1
    const entry = this.#entries.get(lastOffset)
    if (entry === undefined) return
    this.#entries.delete(lastOffset)
    const actual = this.#kind === 'offset' ? batch.position : this.#maxTimestamp
    if (entry.value === actual) return
    this.#wrong.push(this.#damage(entry.position, `says ${entry.value} instead of ${actual}`))
  }

  /** Wrong entries, and those that no batch came for. */
  rest(): SegmentDamage[] {
    const [stray] = this.#entries
    if (stray !== undefined) {
      const [offset, { position }] = stray
      this.#wrong.push(
        this.#damage(position, `${this.#entries.size} entries without a batch, first ${offset}`),
      )
    }
    return this.#wrong
  }

  #damage(position: number, what: string): SegmentDamage {
    return { path: this.#path, position, what, offset: undefined }
  }
}
