// A disk with a partition of any size on it that nobody has stored: each byte of its segments is made
// from its place when it is read.
//
//   segment i   `batches` batches of one size; true headers, true CRCs, true records
//   indexes     the entries Kafka would make: one for each batch but the first
//   all else    on the simulated disk below
//
// The event times go forward from segment to segment, but every `backEvery`th lies an hour back, as the
// backlog of a device that was offline does. All that is opened, read and asked for is counted.

import type { FileSystem, OpenFile } from '../../agent/log/file-system.ts'
import { segmentName } from '../../agent/log/segment-file.ts'
import { OFFSET_ENTRY_BYTES, TIME_ENTRY_BYTES } from '../../agent/log/segment-index.ts'
import { BATCH, buildBatch } from '../../agent/record/record-batch.ts'
import { codecs } from './batches.ts'
import type { SimFileSystem } from './sim-file-system.ts'

export interface GeneratedShape {
  /** The partition's directory. */
  directory: string
  segments: number
  batches: number
  recordsPerBatch: number
  valueBytes: number
}

export interface DiskCounts {
  opens: number
  reads: number
  bytesRead: number
  sizes: number
  lists: number
}

const FIRST_TIME = Date.UTC(2026, 0, 1)
const BACK_MS = 3_600_000
const BACK_EVERY = 7

export class GeneratedDisk implements FileSystem {
  /** Of the generated files alone. */
  readonly counts: DiskCounts = { opens: 0, reads: 0, bytesRead: 0, sizes: 0, lists: 0 }
  readonly batchBytes: number
  readonly #below: SimFileSystem
  readonly #shape: GeneratedShape
  readonly #template: Buffer
  readonly #stems = new Map<string, number>()
  readonly #crcs = new Map<number, number>()
  readonly #removed = new Set<string>()

  constructor(below: SimFileSystem, shape: GeneratedShape) {
    this.#below = below
    this.#shape = shape
    const records = Array.from({ length: shape.recordsPerBatch }, (_, order) => ({
      timestamp: FIRST_TIME + order,
      key: null,
      value: Buffer.alloc(shape.valueBytes, order),
    }))
    this.#template = buildBatch(records, { codecs })
    this.batchBytes = this.#template.length
    for (let order = 0; order < shape.segments; order++) {
      this.#stems.set(segmentName(this.baseOffsetOf(order)), order)
    }
  }

  get recordsPerSegment(): number {
    return this.#shape.batches * this.#shape.recordsPerBatch
  }

  get segmentBytes(): number {
    return this.#shape.batches * this.batchBytes
  }

  get records(): number {
    return this.#shape.segments * this.recordsPerSegment
  }

  baseOffsetOf(segment: number): number {
    return segment * this.recordsPerSegment
  }

  /** Event time of any record. */
  timeOf(offset: number): number {
    const { recordsPerBatch } = this.#shape
    return this.#batchTime(Math.floor(offset / recordsPerBatch)) + (offset % recordsPerBatch)
  }

  maxTimeOf(segment: number): number {
    return this.timeOf(this.baseOffsetOf(segment + 1) - 1)
  }

  /** Offset of the first record that is not older; there must be one. */
  firstAtTime(timestamp: number): number {
    let segment = 0
    while (this.maxTimeOf(segment) < timestamp) segment++
    const first = this.timeOf(this.baseOffsetOf(segment))
    return this.baseOffsetOf(segment) + Math.max(0, timestamp - first)
  }

  forgetBatches(): void {
    this.#crcs.clear()
  }

  forgetCounts(): void {
    Object.assign(this.counts, { opens: 0, reads: 0, bytesRead: 0, sizes: 0, lists: 0 })
  }

  open: FileSystem['open'] = async (path, mode, options) => {
    const found = this.#find(path)
    if (found === undefined) return this.#below.open(path, mode, options)
    this.counts.opens++
    return this.#file(found.segment, found.suffix)
  }

  list: FileSystem['list'] = async (path) => {
    if (path !== this.#shape.directory) return this.#below.list(path)
    this.counts.lists++
    const suffixes = ['log', 'index', 'timeindex']
    const made = [...this.#stems.keys()].flatMap((stem) => suffixes.map((s) => `${stem}.${s}`))
    const left = made.filter((name) => !this.#removed.has(`${path}/${name}`))
    return [...left, ...(await this.#below.list(path))].sort()
  }

  size: FileSystem['size'] = async (path) => {
    const found = this.#find(path)
    if (found === undefined) return this.#below.size(path)
    this.counts.sizes++
    return this.#sizeOf(found.suffix)
  }

  remove: FileSystem['remove'] = async (path) => {
    if (this.#find(path) === undefined) return this.#below.remove(path)
    this.#removed.add(path)
  }

  makeDirectory: FileSystem['makeDirectory'] = (path) => this.#below.makeDirectory(path)
  rename: FileSystem['rename'] = (from, to) => this.#below.rename(from, to)
  removeDirectory: FileSystem['removeDirectory'] = (path) => this.#below.removeDirectory(path)
  syncDirectory: FileSystem['syncDirectory'] = (path) => this.#below.syncDirectory(path)
  freeBytes: FileSystem['freeBytes'] = (path) => this.#below.freeBytes(path)

  #find(path: string): { segment: number; suffix: string } | undefined {
    const { directory } = this.#shape
    if (!path.startsWith(`${directory}/`) || this.#removed.has(path)) return undefined
    const [stem = '', suffix = ''] = path.slice(directory.length + 1).split('.')
    const segment = this.#stems.get(stem)
    return segment === undefined ? undefined : { segment, suffix }
  }

  #sizeOf(suffix: string): number {
    if (suffix === 'log') return this.segmentBytes
    const entries = this.#shape.batches - 1
    if (suffix === 'index') return entries * OFFSET_ENTRY_BYTES
    return entries * TIME_ENTRY_BYTES
  }

  #file(segment: number, suffix: string): OpenFile {
    const { counts } = this
    return {
      read: async (target, position) => {
        const length = Math.max(0, Math.min(target.length, this.#sizeOf(suffix) - position))
        counts.reads++
        counts.bytesRead += length
        const bytes = Buffer.from(target.buffer, target.byteOffset, length)
        if (suffix === 'log') this.#fillLog(segment, bytes, position)
        else this.#index(segment, suffix).copy(bytes, 0, position)
        return length
      },
      // What stands there is written once more at a start: the bytes are those that would be made.
      write: async () => {},
      sync: async () => {},
      truncate: async () => {},
      size: async () => this.#sizeOf(suffix),
      close: async () => {},
    }
  }

  #fillLog(segment: number, target: Buffer, position: number): void {
    for (let at = 0; at < target.length; ) {
      const order = Math.floor((position + at) / this.batchBytes)
      const inside = (position + at) % this.batchBytes
      const length = Math.min(this.batchBytes - inside, target.length - at)
      const batch = segment * this.#shape.batches + order
      this.#template.copy(target, at, inside, inside + length)
      if (inside < BATCH.records) {
        this.#header(batch).copy(target, at, inside, Math.min(BATCH.records, inside + length))
      }
      at += length
    }
  }

  #header(batch: number): Buffer {
    const header = Buffer.from(this.#template.subarray(0, BATCH.records))
    const time = this.#batchTime(batch)
    header.writeBigInt64BE(BigInt(batch * this.#shape.recordsPerBatch), BATCH.baseOffset)
    header.writeBigInt64BE(BigInt(time), BATCH.baseTimestamp)
    header.writeBigInt64BE(BigInt(time + this.#shape.recordsPerBatch - 1), BATCH.maxTimestamp)
    let crc = this.#crcs.get(batch)
    if (crc === undefined) {
      const head = codecs.crc32c(header.subarray(BATCH.attributes))
      crc = codecs.crcUpdate(head, this.#template.subarray(BATCH.records))
      this.#crcs.set(batch, crc)
    }
    header.writeUInt32BE(crc, BATCH.crc)
    return header
  }

  #batchTime(batch: number): number {
    const segment = Math.floor(batch / this.#shape.batches)
    const back = segment % BACK_EVERY === BACK_EVERY - 1 ? BACK_MS : 0
    return FIRST_TIME + batch * this.#shape.recordsPerBatch - back
  }

  #index(segment: number, suffix: string): Buffer {
    const { batches, recordsPerBatch } = this.#shape
    const bytes = Buffer.alloc(this.#sizeOf(suffix))
    for (let order = 1; order < batches; order++) {
      const lastOffset = (order + 1) * recordsPerBatch - 1
      if (suffix === 'index') {
        bytes.writeInt32BE(lastOffset, (order - 1) * OFFSET_ENTRY_BYTES)
        bytes.writeInt32BE(order * this.batchBytes, (order - 1) * OFFSET_ENTRY_BYTES + 4)
      } else {
        const time = this.timeOf(this.baseOffsetOf(segment) + lastOffset)
        bytes.writeBigInt64BE(BigInt(time), (order - 1) * TIME_ENTRY_BYTES)
        bytes.writeInt32BE(lastOffset, (order - 1) * TIME_ENTRY_BYTES + 8)
      }
    }
    return bytes
  }
}
