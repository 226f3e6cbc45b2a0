// What each byte of a made store means, and so what may be lost when it changes.
//
//   a batch of a segment    its own offsets; nothing when the journal is replayed over it anyway
//   an index                nothing
//   a frame of the journal  the offsets, and the changes of state, that stand nowhere else
//   a checkpoint            no record; state that changed since the other copy was written, which is told
//   free journal space      nothing, and nobody needs to notice

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHECKPOINT_FILES, type Checkpoint, decodeCheckpoint } from '../../agent/log/checkpoint.ts'
import { FRAME_HEADER_BYTES, SECTOR_BYTES } from '../../agent/log/journal.ts'
import { decodeEntries, type JournalEntry } from '../../agent/log/journal-entry.ts'
import { readFrames } from '../../agent/log/journal-reader.ts'
import { baseOffsetOf } from '../../agent/log/segment-file.ts'
import type { TopicRecord } from '../../agent/log/topic.ts'
import { readBatchHeader } from '../../agent/record/record-batch.ts'
import { codecs, kernel } from '../support/batches.ts'
import type { MadeStore } from './made-store.ts'

export interface OffsetRange {
  partition: string
  from: number
  to: number
}

export interface Region {
  file: string
  from: number
  to: number
  what: string
  /** Offsets that are nowhere else. */
  only: OffsetRange[]
  /** State that may be another one without it. */
  keys: string[]
  /** A change must be found by `verify`. */
  isLive: boolean
  /** Nothing tells its damage from a write that a power cut tore. */
  isEnd: boolean
}

export class StoreMap {
  readonly regions: Region[] = []
  readonly checkpoint: Checkpoint
  readonly #store: MadeStore
  readonly #names = new Map<number, string>()
  /** End of the segments of a partition. */
  readonly #sealed = new Map<string, number>()

  constructor(store: MadeStore) {
    this.#store = store
    const copies = CHECKPOINT_FILES.filter((name) => store.files.includes(name)).map((name) => {
      const outcome = decodeCheckpoint(this.#bytes(name), codecs)
      if (outcome.kind !== 'checkpoint')
        throw new Error(`${name} of the made store: ${outcome.kind}`)
      return outcome.checkpoint
    })
    this.checkpoint = copies.sort((a, b) => b.number - a.number)[0]!
    for (const [key, value] of store.served.state) {
      if (!key.startsWith('topic/')) continue
      const { logIds } = JSON.parse(Buffer.from(value, 'hex').toString()) as TopicRecord
      for (const [order, logId] of logIds.entries()) {
        this.#names.set(logId, `${key.slice(6)}-${order}`)
      }
    }
    for (const file of store.files) if (file.endsWith('.log')) this.#segment(file)
    this.#journals()
    for (const file of store.files) {
      if (this.regions.some((region) => region.file === file)) continue
      this.#add({ file, from: 0, to: this.#bytes(file).length, what: file.replace(/.*[./]/, '') })
    }
  }

  at(file: string, position: number): Region {
    return this.regions.find(
      (region) => region.file === file && region.from <= position && position < region.to,
    )!
  }

  /** What may be lost when a whole file is gone. */
  wholeFile(file: string): Region {
    const mine = this.regions.filter((region) => region.file === file)
    return {
      ...mine[0]!,
      what: `all of it`,
      only: mine.flatMap(({ only }) => only),
      keys: mine.flatMap(({ keys }) => keys),
      isLive: mine.some(({ isLive }) => isLive),
      isEnd: mine.some(({ isEnd }) => isEnd),
    }
  }

  #bytes(file: string): Buffer {
    return readFileSync(join(this.#store.directory, file))
  }

  #add(region: Partial<Region> & Pick<Region, 'file' | 'from' | 'to' | 'what'>): void {
    this.regions.push({ only: [], keys: [], isLive: true, isEnd: false, ...region })
  }

  #segment(file: string): void {
    const [partition = '', name = ''] = file.split('/')
    const bytes = this.#bytes(file)
    const logId = [...this.#names].find(([, known]) => known === partition)![0]
    const mark = this.checkpoint.partitions.find((candidate) => candidate.logId === logId)
    if (baseOffsetOf(name) === undefined) throw new Error(`${file} is no segment`)
    for (let from = 0; from < bytes.length; ) {
      const { baseOffset, lastOffsetDelta, size } = readBatchHeader(bytes, from)
      const range = { partition, from: baseOffset, to: baseOffset + lastOffsetDelta + 1 }
      const isSynced = range.from < (mark?.recoveryOffset ?? 0)
      // Outside the CRC, as in Kafka, and of no use to us: nothing is lost with it.
      const epoch = { from: from + 12, to: from + 16, what: 'the leader epoch of a batch' }
      const only = isSynced ? [range] : []
      const what = `batch ${range.from} to ${range.to - 1}${isSynced ? '' : ', in the journal too'}`
      this.#add({ file, from, to: from + 12, what, only })
      this.#add({ file, ...epoch })
      this.#add({ file, from: from + 16, to: from + size, what, only })
      from += size
      this.#sealed.set(partition, Math.max(this.#sealed.get(partition) ?? 0, range.to))
    }
  }

  #journals(): void {
    const frames: { region: Region; entries: JournalEntry[]; sequence: number }[] = []
    for (const file of this.#store.files.filter((name) => /^journal-\d+$/.test(name))) {
      const bytes = this.#bytes(file)
      const header = {
        generation: Number(bytes.readBigUInt64BE(8)),
        salt: bytes.readUInt32BE(16),
        crc: bytes.readUInt32BE(20),
      }
      const isLive = header.generation >= this.checkpoint.generation
      this.#add({ file, from: 0, to: SECTOR_BYTES, what: 'the file header', isLive })
      let end = SECTOR_BYTES
      for (const outcome of isLive ? readFrames(kernel, bytes, header) : []) {
        if (outcome.kind === 'rot') throw new Error(`${file} of the made store is rotten`)
        if (outcome.kind === 'end') continue
        const { position: from, size, sequence, payload } = outcome.frame
        end = from + size
        const padding = from + FRAME_HEADER_BYTES + bytes.readUInt32BE(from + 24)
        this.#add({ file, from, to: padding, what: `frame ${sequence}` })
        const region = this.regions.at(-1)!
        this.#add({ file, from: padding, to: end, what: `the zeros behind frame ${sequence}` })
        frames.push({ region, entries: decodeEntries(payload)!, sequence })
      }
      this.#add({ file, from: end, to: bytes.length, what: 'free space', isLive: false })
    }
    const last = Math.max(...frames.map(({ sequence }) => sequence))
    for (const frame of frames) {
      frame.region.isEnd = frame.sequence === last
      const others = frames.filter((other) => other !== frame).flatMap(({ entries }) => entries)
      const elsewhere = others.flatMap((entry) => this.#rangeOf(entry) ?? [])
      for (const entry of frame.entries) {
        if (entry.kind === 'put' || entry.kind === 'delete') frame.region.keys.push(entry.key)
        const range = this.#rangeOf(entry)
        if (range !== undefined) frame.region.only.push(...this.#missing(range, elsewhere))
      }
    }
  }

  #rangeOf(entry: JournalEntry): OffsetRange | undefined {
    if (entry.kind === 'put' || entry.kind === 'delete') return undefined
    const partition = this.#names.get(entry.logId)!
    if (entry.kind === 'records') {
      const from = entry.tailBase + entry.firstDelta
      return { partition, from, to: from + entry.count }
    }
    const to = entry.baseOffset + entry.bytes.readInt32BE(23) + 1
    return { partition, from: entry.baseOffset, to }
  }

  /** Each offset of a range that no segment and none of these ranges has. */
  #missing(range: OffsetRange, elsewhere: readonly OffsetRange[]): OffsetRange[] {
    const { partition } = range
    const found: OffsetRange[] = []
    for (let offset = range.from; offset < range.to; offset++) {
      const isSealed = offset < (this.#sealed.get(partition) ?? 0)
      const has = (other: OffsetRange) =>
        other.partition === partition && other.from <= offset && offset < other.to
      if (!isSealed && !elsewhere.some(has)) found.push({ partition, from: offset, to: offset + 1 })
    }
    return found
  }
}
