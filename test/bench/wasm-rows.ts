// The rows with goals: each kernel beside the best native add-on, its call included.

import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { readBatchHeader } from '../../agent/record/record-batch.ts'
import {
  CODEC_LZ4,
  INDEX,
  INGRESS,
  SEAL,
  SEAL_BYTES,
  TAILS,
  TAILS_BYTES,
} from '../../wasm/assembly/limits.ts'
import { Codecs } from '../../wasm/codecs.ts'
import type { Kernel } from '../../wasm/kernel.ts'
import { type DataSet, jsonMessages } from './wasm-data.ts'
import { contest, type Row, stopwatch } from './wasm-measure.ts'
import type { Peers } from './wasm-peers.ts'
import { PlainBatch } from './wasm-plain.ts'

/** Where sources, compressed bytes and decompressed bytes lie: a third of the tails each. */
export const THIRD = (TAILS_BYTES / 3) & ~63
export const [SOURCE, PACKED, BACK] = [TAILS, TAILS + THIRD, TAILS + 2 * THIRD]

const KIB = 1024
const [START, END] = [1_763_870_000_156, 1_763_870_001_155]
/** Seals in a row between two looks at the heap; over all rounds more than 10,000. */
const SEALS = 1000

export function sizeName(bytes: number): string {
  if (bytes < KIB) return `${bytes} B`
  return bytes < KIB * KIB ? `${bytes / KIB} KiB` : `${bytes / KIB / KIB} MiB`
}

interface Bounds {
  floor?: number
  goal?: number
}

/** Times as fast, or as small, as a peer. */
export const ratio = (
  name: string,
  bounds: Bounds,
  sample: () => number,
  prepare?: () => void,
): Row => ({
  name,
  unit: '×',
  better: 'more',
  ...bounds,
  sample,
  ...(prepare === undefined ? {} : { prepare }),
})

export function crcRows(kernel: Kernel, { nodeRs, sse4 }: Peers, data: DataSet): Row[] {
  const row = (length: number, bounds: Bounds, peer: [string, (bytes: Buffer) => number]) => {
    const bytes = Buffer.from(data.bytes(length))
    const size = sizeName(length)
    return ratio(
      `CRC-32C of ${size} / ${peer[0]}`,
      bounds,
      contest(
        () => kernel.crc32c(SOURCE, length),
        () => peer[1](bytes),
      ),
      () => kernel.u8.set(bytes, SOURCE),
    )
  }
  const rows: Row[] = []
  if (nodeRs !== undefined) {
    const peer: [string, (bytes: Buffer) => number] = ['@node-rs/crc32', nodeRs.crc32c]
    rows.push(row(64, { floor: 2, goal: 3 }, peer))
    rows.push(row(KIB, { floor: 1, goal: 1.5 }, peer))
    rows.push(row(16 * KIB, { floor: 1.3, goal: 1.8 }, peer))
  }
  if (sse4 !== undefined) {
    const peer: [string, (bytes: Buffer) => number] = ['sse4_crc32', sse4.calculate]
    rows.push(row(256 * KIB, { floor: 1, goal: 1.3 }, peer))
    rows.push(row(KIB * KIB, { floor: 1, goal: 1.3 }, peer))
  }
  for (const batchBytes of [16 * KIB, KIB * KIB]) {
    const watch = stopwatch(() => kernel.crcPatch(1, SOURCE, 26, batchBytes))
    rows.push({
      name: `CRC patch of 26 B in ${sizeName(batchBytes)}`,
      unit: ' ns',
      better: 'less',
      floor: 400,
      goal: 150,
      sample: () => watch() * 1e9,
    })
  }
  return rows
}

/** Up to four: speed beside lz4-napi and C, ratio and decompression beside C. */
export function lz4Rows(
  kernel: Kernel,
  { lz4Napi, lz4 }: Peers,
  data: DataSet,
  length: number,
): Row[] {
  const name = `${data.name} ${sizeName(length)}`
  const bytes = Buffer.from(data.bytes(length))
  const load = () => kernel.u8.set(bytes, SOURCE)
  load()
  const size = kernel.lz4Frame(SOURCE, length, PACKED, THIRD)
  const ours = () => kernel.lz4Frame(SOURCE, length, PACKED, THIRD)
  const rows: Row[] = []
  if (lz4Napi !== undefined) {
    const peer = () => lz4Napi.compressSync(bytes)
    const title = `LZ4 frame of ${name} / lz4-napi`
    rows.push(ratio(title, { floor: 1.2, goal: 1.6 }, contest(ours, peer), load))
  }
  if (lz4 === undefined) return rows
  const output = Buffer.alloc(lz4.encodeBound(length))
  const peer = () => lz4.encodeBlock(bytes, output)
  const theirs = lz4.encodeBlock(bytes, output)
  rows.push(
    ratio(`LZ4 frame of ${name} / C`, { floor: 0.75, goal: 0.95 }, contest(ours, peer), load),
  )
  rows.push(ratio(`LZ4 ratio of ${name} / C, level 1`, { floor: 1, goal: 1 }, () => theirs / size))
  // The same block for both; C takes it as it is, we in a frame around it.
  const block = Buffer.from(output.subarray(0, theirs))
  const frame = frameOf(kernel, block)
  const back = Buffer.alloc(length)
  const decompress = contest(
    () => kernel.lz4Unframe(PACKED, frame.length, BACK, THIRD),
    () => lz4.decodeBlock(block, back),
  )
  const title = `LZ4 decompress ${name} / C`
  const place = () => kernel.u8.set(frame, PACKED)
  rows.push(ratio(title, { floor: 0.45, goal: 0.7 }, decompress, place))
  return rows
}

/** A frame of one block, of 4 MiB at most. */
function frameOf(kernel: Kernel, block: Buffer): Buffer {
  const frame = Buffer.alloc(11 + block.length + 4)
  frame.writeUInt32LE(0x184d2204, 0)
  frame.set([0x60, 0x70], 4)
  kernel.u8.set(frame.subarray(4, 6), BACK)
  frame[6] = kernel.xxh32(BACK, 2) >>> 8
  frame.writeUInt32LE(block.length, 7)
  frame.set(block, 11)
  return frame
}

/** Records encoded where they stay, sealed once; beside plain JavaScript with add-ons. */
export function sealRows(kernel: Kernel, peers: Peers): Row[] {
  const messages = jsonMessages(1000)
  const key = Buffer.from('sensors/th-0281')
  const places: number[] = []
  const load = () => {
    let at = SOURCE
    kernel.u8.set(key, INGRESS)
    for (const [i, message] of messages.entries()) {
      kernel.u8.set(message, at)
      places[i] = at
      at += message.length
    }
  }
  load()
  const seal = () => {
    let end = PACKED
    for (let i = 0; i < 1000; i++) {
      const { length } = messages[i]!
      end += kernel.encodeRecord(end, 512, i, i, INGRESS, key.length, places[i]!, length, 0, 0, 0)
    }
    const size = end - PACKED
    kernel.sealBatch(PACKED, size, SEAL, SEAL_BYTES, CODEC_LZ4, 0, 999, START, END, 1000)
  }
  const watch = stopwatch(seal)
  const rows: Row[] = [
    {
      name: 'seal 1000 × 128 B, LZ4',
      unit: ' M/s',
      better: 'more',
      floor: 5,
      goal: 8,
      prepare: load,
      sample: () => 1e-3 / watch(),
    },
  ]
  const { lz4Napi, nodeRs } = peers
  if (lz4Napi !== undefined && nodeRs !== undefined) {
    const plain = new PlainBatch(lz4Napi, nodeRs)
    const theirs = () => plain.seal(messages, key, START)
    const title = 'seal 1000 × 128 B / JavaScript, lz4-napi, @node-rs/crc32'
    rows.push(ratio(title, { floor: 2.5, goal: 4 }, contest(seal, theirs), load))
  }
  rows.push(heapRow(kernel, seal))
  return rows
}

/** What a seal leaves on the JavaScript heap or beside it, over a thousand of them. */
function heapRow(kernel: Kernel, seal: () => void): Row {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  return {
    name: 'JavaScript bytes per seal, and growth of the arena',
    unit: ' B',
    better: 'less',
    floor: 0,
    goal: 0,
    sample: () => {
      const arena = kernel.memory.buffer.byteLength
      const bytes = heapBytes(collect, () => repeat(seal)) - heapBytes(collect, () => {})
      return Math.max(0, Math.floor(bytes / SEALS)) + kernel.memory.buffer.byteLength - arena
    },
  }
}

function repeat(work: () => void): void {
  for (let i = 0; i < SEALS; i++) work()
}

/** What is allocated meanwhile, as long as nothing is collected. */
function heapBytes(collect: () => void, work: () => void): number {
  collect()
  const before = process.memoryUsage()
  work()
  const after = process.memoryUsage()
  return after.heapUsed - before.heapUsed + after.arrayBuffers - before.arrayBuffers
}

/** A batch of others, judged: CRC, decompression, every record; told, without a goal. */
export function scanRows(kernel: Kernel, { lz4Napi, nodeRs }: Peers): Row[] {
  if (lz4Napi === undefined || nodeRs === undefined) return []
  const codecs = new Codecs(kernel)
  const plain = new PlainBatch(lz4Napi, nodeRs)
  const batch = plain.seal(jsonMessages(1000), Buffer.from('sensors/th-0281'), START)
  const header = readBatchHeader(batch)
  const ours = () => codecs.scanBatch(batch, header, THIRD)
  const theirs = () => plain.check(batch)
  if (ours().status !== 0 || !theirs()) throw new Error('a good batch is taken for a bad one')
  const title = 'check a batch of 1000 × 128 B / JavaScript, lz4-napi, @node-rs/crc32'
  return [ratio(title, {}, contest(ours, theirs))]
}

/** Against a binary search over a DataView: told, without a goal. */
export function indexRows(kernel: Kernel): Row[] {
  return [100, 10_000].map((count) => {
    const view = new DataView(new ArrayBuffer(count * 8))
    for (let i = 0; i < count; i++) view.setInt32(i * 8, i * 37)
    const bytes = new Uint8Array(view.buffer)
    const search = (wanted: number): number => {
      let [low, high] = [0, count]
      while (low < high) {
        const middle = (low + high) >>> 1
        if (view.getInt32(middle * 8) <= wanted) low = middle + 1
        else high = middle
      }
      return low - 1
    }
    let [a, b] = [0, 0]
    const step = 7919
    return ratio(
      `index search of ${count} entries / JavaScript`,
      {},
      contest(
        () => kernel.searchOffsetIndex(INDEX, count, (a = (a + step) % (count * 37))),
        () => search((b = (b + step) % (count * 37))),
      ),
      () => kernel.u8.set(bytes, INDEX),
    )
  })
}

export function startRows(): Row[] {
  const wasm = fileURLToPath(new URL('../../wasm/kernel.wasm', import.meta.url))
  const script = fileURLToPath(new URL('./cold-start.ts', import.meta.url))
  return [
    {
      name: 'size of kernel.wasm',
      unit: ' KiB',
      better: 'less',
      floor: 64,
      goal: 64,
      sample: () => statSync(wasm).size / KIB,
    },
    {
      name: 'cold start: compile, instantiate, tables',
      unit: ' ms',
      better: 'less',
      floor: 10,
      goal: 5,
      sample: () => {
        const arguments_ = [...process.execArgv, script]
        const { stdout } = spawnSync(process.execPath, arguments_, { encoding: 'utf8' })
        return Number(stdout)
      },
    },
  ]
}
