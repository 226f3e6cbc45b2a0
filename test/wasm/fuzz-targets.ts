// Fuzzing of everything in the kernel that reads bytes of others. Each call has a damaged frame and a
// capacity of chance; wanted is a status, or a length within the capacity, and that
//
// - nothing outside the output window and the decoder's own memory has changed, nothing was read
//   more than 15 bytes behind the source;
// - a frame whose checksum still counts gives bytes that have it, or none;
// - another kernel, with another past, says the same.

import {
  CORRUPT,
  OUT_OF_ROOM,
  SEAL,
  TAILS,
  UNSUPPORTED,
  WRONG_COUNT,
  WRONG_TIMESTAMP,
  ZSTD_DECODER,
  ZSTD_DECODER_BYTES,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { Damage } from './damage.ts'
import { atTheEnd, type Decoder, DecodeWindow, SOURCES } from './decode-window.ts'
import { contents, goldenFrames, recordsOf } from './golden-frames.ts'
import { xxh32Twin, xxh64LowTwin } from './twins.ts'
import { block, frame, rleLiterals, sequences, skippable } from './zstd-writer.ts'

/** Small frames go through in millions; what they grow to is bounded too. */
const MOST_FRAME = 1500
const MOST_OUTPUT = 8192

interface Seed {
  frame: Buffer
  /** What it holds; its length is what capacities are about. Of records: as many bytes as records. */
  bytes: Buffer
}

export const TARGETS = ['zstd', 'lz4', 'snappy', 'records'] as const
export type Target = (typeof TARGETS)[number]

export interface FuzzReport {
  frames: number
  /** Damaged frames that were read to their end all the same. */
  accepted: number
  framesPerSecond: number
}

/** Throws at the first thing that is wrong, with the frame in its message. */
export function fuzz(target: Target, frames: number, seed: number): FuzzReport {
  const kernel = new Kernel()
  const seeds = seedsOf(target, kernel)
  const random = new SeededRandom(seed)
  const pieces = seeds.map(({ frame }) => frame)
  const damage = new Damage(random, pieces, 2 * MOST_FRAME)
  const check = target === 'records' ? checkRecords(kernel) : checkDecoder(target, kernel)
  const untouched = memoryGuard(kernel)
  const start = performance.now()
  let accepted = 0
  for (let i = 0; i < frames; i++) {
    const from = seeds[random.below(seeds.length)]!
    const damaged = damage.of(from.frame)
    const most = Math.min(from.bytes.length, MOST_OUTPUT)
    const capacity = random.chance(0.7)
      ? most + (random.chance(0.5) ? 0 : random.below(40))
      : random.below(most + 1)
    try {
      if (check(damaged, capacity, from, i)) accepted++
      if (i % 100_000 === 0 || i === frames - 1) untouched()
    } catch (cause) {
      const bytes = damaged.toString('base64')
      throw new Error(`${target}, frame ${i}, capacity ${capacity}: ${bytes}`, { cause })
    }
  }
  const seconds = (performance.now() - start) / 1000
  return { frames, accepted, framesPerSecond: Math.round(frames / seconds) }
}

type Check = (frame: Buffer, capacity: number, from: Seed, index: number) => boolean

const DECODERS: Record<Exclude<Target, 'records'>, Decoder> = {
  zstd: 'zstdUnframe',
  lz4: 'lz4Unframe',
  snappy: 'snappyDecode',
}

function checkDecoder(target: Exclude<Target, 'records'>, kernel: Kernel): Check {
  const decoder = DECODERS[target]
  const window = new DecodeWindow(kernel)
  const other = new DecodeWindow()
  return (frame, capacity, from, index) => {
    const status = window.status(decoder, frame, capacity)
    if (status < UNSUPPORTED || status > capacity) throw new Error(`status ${status}`)
    if (status >= 0 && !isWhatItWas(target, frame, window.output(status), from)) {
      throw new Error('these bytes do not have the checksum of the frame')
    }
    if (index % 64 === 0) {
      const again = other.status(decoder, frame, capacity)
      const same = status < 0 || window.output(status).equals(other.output(status))
      if (again !== status || !same) throw new Error(`another kernel says ${again}, not ${status}`)
    }
    return status >= 0
  }
}

/** Where a checksum that was there is still asked for: the bytes it was made of, or others it fits. */
function isWhatItWas(target: Target, frame: Buffer, output: Buffer, from: Seed): boolean {
  if (target === 'snappy' || (from.frame[4]! & 4) === 0) return true
  if (frame.compare(from.frame, 0, 5, 0, 5) !== 0 || output.equals(from.bytes)) return true
  const sum = target === 'zstd' ? xxh64LowTwin(output) : xxh32Twin(output)
  return frame.readUInt32LE(frame.length - 4) === sum
}

function checkRecords(kernel: Kernel): Check {
  const other = new Kernel()
  return (frame, count, _, index) => {
    const at = atTheEnd(kernel, frame)
    const status = kernel.scanRecords(at, frame.length, count)
    const known = status === 0 || status === CORRUPT || status === OUT_OF_ROOM
    if (!known && (status > WRONG_COUNT || status < WRONG_TIMESTAMP)) {
      throw new Error(`status ${status}`)
    }
    const found = kernel.findRecord(at, frame.length, count)
    if (found !== CORRUPT && (found < 0 || found > frame.length)) throw new Error(`found ${found}`)
    if (index % 64 === 0) {
      other.u8.set(frame, SEAL)
      const again = other.scanRecords(SEAL, frame.length, count)
      if (again !== status) throw new Error(`another kernel says ${again}, not ${status}`)
    }
    return status === 0
  }
}

/** Compares the whole memory, but for where sources, output and the decoder's tables lie. */
function memoryGuard(kernel: Kernel): () => void {
  const before = Buffer.from(kernel.u8)
  const output = TAILS + MOST_OUTPUT + 256
  const kept: [number, number][] = [
    [0, ZSTD_DECODER],
    [ZSTD_DECODER + ZSTD_DECODER_BYTES, TAILS],
    [output, SOURCES],
  ]
  return () => {
    for (const [start, end] of kept) {
      if (kernel.buffer.compare(before, start, end, start, end) !== 0) {
        throw new Error(`a byte has changed between ${start} and ${end}`)
      }
    }
  }
}

function seedsOf(target: Target, kernel: Kernel): Seed[] {
  if (target === 'records') return recordSeeds(kernel)
  if (target === 'lz4') return ownSeeds(kernel, 'lz4Frame').flatMap((seed) => [seed, checked(seed)])
  const small = goldenFrames(target).filter(({ frame }) => frame.length <= MOST_FRAME)
  if (target !== 'zstd') return small
  const own = ownSeeds(kernel, 'zstdFrame')
  return [...small, ...small.map(unchecked), ...handmadeSeeds(), ...own]
}

/** Without a checksum more damage goes unnoticed, and further into the decoder. */
function unchecked(seed: Seed): Seed {
  if ((seed.frame[4]! & 4) === 0) return seed
  const frame = Buffer.from(seed.frame.subarray(0, seed.frame.length - 4))
  frame[4]! ^= 4
  return { frame, bytes: seed.bytes }
}

/** What the zstd command does not write: single symbols, repeated literals, several frames. */
function handmadeSeeds(): Seed[] {
  const codes = { literals: 20, offset: 2, match: 35 }
  const list = Array.from({ length: 9 }, (_, i) => ({ literals: i, offset: i % 4, match: i % 4 }))
  const data = [...rleLiterals(65, 300), ...sequences(codes, list)]
  const one = {
    frame: frame({ window: 0x38 }, block('compressed', data)),
    bytes: Buffer.alloc(700, 'A'),
  }
  const two = Buffer.concat([skippable([1, 2, 3]), one.frame, one.frame])
  return [one, { frame: two, bytes: Buffer.concat([one.bytes, one.bytes]) }]
}

const RECIPES = ['sensor 0', 'sensor 60', 'sensor 900', 'sensor 2500', 'zeros 8000', 'fives 7000']
RECIPES.push('random 300', 'digits 400', 'counters 1500', 'letters 3000', 'doubles 900')

/** Our own frames. */
function ownSeeds(kernel: Kernel, write: 'lz4Frame' | 'zstdFrame'): Seed[] {
  return RECIPES.map((recipe) => {
    const bytes = contents(recipe)
    kernel.u8.set(bytes, SEAL)
    const length = kernel[write](SEAL, bytes.length, TAILS, MOST_OUTPUT)
    return { frame: Buffer.from(kernel.u8.subarray(TAILS, TAILS + length)), bytes }
  })
}

/** The same with a content checksum added. */
function checked({ frame, bytes }: Seed): Seed {
  const sum = Buffer.alloc(4)
  sum.writeUInt32LE(xxh32Twin(bytes))
  const whole = Buffer.concat([frame, sum])
  whole[4]! |= 4
  whole[6] = xxh32Twin(whole.subarray(4, 6)) >>> 8
  return { frame: whole, bytes }
}

/** Records of the Java producer: the first few. */
function recordSeeds(kernel: Kernel): Seed[] {
  const all = recordsOf('none')
  kernel.u8.set(all, SEAL)
  return [1, 5, 12].map((count) => ({
    frame: all.subarray(0, kernel.findRecord(SEAL, all.length, count)),
    bytes: Buffer.alloc(count),
  }))
}
