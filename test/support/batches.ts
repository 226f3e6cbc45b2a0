// Record batches for tests of the log: many small ones, as a partition would hold them.

import { buildBatch } from '../../agent/record/record-batch.ts'
import { Codecs } from '../../wasm/codecs.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from './seeded-random.ts'

export const kernel = new Kernel()
export const codecs = new Codecs(kernel)

export interface MadeBatch {
  bytes: Buffer
  position: number
  baseOffset: number
  nextOffset: number
  /** Of each record. */
  timestamps: number[]
}

export interface BatchShape {
  baseOffset?: number
  recordsMax?: number
  valueBytesMax?: number
  /** Timestamps go up by 10 a record, now and then back. */
  isOrdered?: boolean
}

/** Dense batches from a seed. */
export function makeBatches(count: number, seed: number, shape: BatchShape = {}): MadeBatch[] {
  const { baseOffset = 0, recordsMax = 4, valueBytesMax = 400, isOrdered = true } = shape
  const random = new SeededRandom(seed)
  const batches: MadeBatch[] = []
  let offset = baseOffset
  let position = 0
  let time = 1000
  while (batches.length < count) {
    const timestamps = Array.from({ length: 1 + random.below(recordsMax) }, () => {
      time += isOrdered || random.chance(0.8) ? 10 : -300
      return Math.max(0, time)
    })
    const records = timestamps.map((timestamp) => ({
      timestamp,
      key: null,
      value: random.bytes(random.below(valueBytesMax + 1)),
    }))
    const bytes = buildBatch(records, { codecs, baseOffset: offset })
    const nextOffset = offset + timestamps.length
    batches.push({ bytes, position, baseOffset: offset, nextOffset, timestamps })
    offset = nextOffset
    position += bytes.length
  }
  return batches
}
