// Random zstd frames, and what a plain execution of RFC 8878 makes of them.

import type { SeededRandom } from '../support/seeded-random.ts'
import {
  block,
  type Codes,
  frame,
  literalLengthOf,
  matchLengthOf,
  rawLiterals,
  rleLiterals,
  type Sequence,
  sequences,
} from './zstd-writer.ts'

const WINDOW_128K = 0x38
const MOST_BLOCK = 131_072
const MOST_BLOCKS = 4

/** Bytes first, then blocks of sequences: each block with codes and literals of its own. */
export function randomZstdFrame(random: SeededRandom): { frame: Buffer; bytes: Buffer } {
  const output = new Output(random)
  const blocks = [block('raw', [...output.bytes], { last: false })]
  for (let left = random.below(MOST_BLOCKS); left >= 0; left--) {
    const wide = random.chance(0.1)
    const codes = {
      literals: random.below(wide ? 36 : 20),
      offset: random.below(12),
      match: random.below(wide ? 53 : 40),
    }
    const list: Sequence[] = []
    const literals: Buffer[] = []
    const same = random.chance(0.3) ? random.below(256) : -1
    const start = output.bytes.length
    for (let n = 1 + random.below(random.chance(0.05) ? 40_000 : 200); n > 0; n--) {
      const sequence = randomSequence(random, codes)
      const run = literalLengthOf(codes.literals)[0] + sequence.literals
      const size = matchLengthOf(codes.match)[0] + sequence.match
      if (output.bytes.length - start + run + size > MOST_BLOCK) break
      const fresh = same < 0 ? random.bytes(run) : Buffer.alloc(run, same)
      if (!output.add(fresh, 2 ** codes.offset + sequence.offset, size)) continue
      list.push(sequence)
      literals.push(fresh)
    }
    if (list.length === 0) continue
    const all = Buffer.concat(literals)
    const section = same < 0 ? rawLiterals(all) : rleLiterals(same, all.length)
    blocks.push(block('compressed', [...section, ...sequences(codes, list)], { last: false }))
  }
  blocks.push(block('raw', []))
  return { frame: frame({ window: WINDOW_128K }, ...blocks), bytes: output.bytes }
}

function randomSequence(random: SeededRandom, codes: Codes): Sequence {
  return {
    literals: random.below(2 ** literalLengthOf(codes.literals)[1]),
    offset: random.below(2 ** codes.offset),
    match: random.below(2 ** matchLengthOf(codes.match)[1]),
  }
}

class Output {
  readonly #room = Buffer.alloc((MOST_BLOCKS + 1) * MOST_BLOCK)
  #length: number
  #recent: Recent = [1, 4, 8]

  constructor(random: SeededRandom) {
    this.#length = 1 + random.below(3000)
    this.#room.set(random.bytes(this.#length))
  }

  get bytes(): Buffer {
    return this.#room.subarray(0, this.#length)
  }

  /** Literals and a match, if it reaches nothing that is not there. */
  add(literals: Buffer, value: number, size: number): boolean {
    const [distance, recent] = resolve(value, literals.length, this.#recent)
    if (distance < 1 || distance > this.#length + literals.length) return false
    this.#recent = recent
    this.#room.set(literals, this.#length)
    const at = this.#length + literals.length
    for (let i = at; i < at + size; i++) this.#room[i] = this.#room[i - distance]!
    this.#length = at + size
    return true
  }
}

type Recent = [number, number, number]

/** The distance that an offset value means, and the recent ones after it (section 3.1.1.5). */
function resolve(value: number, run: number, recent: Recent): [number, Recent] {
  const [first, second, third] = recent
  if (value > 3) return [value - 3, [value - 3, first, second]]
  const which = run === 0 ? value + 1 : value
  if (which === 1) return [first, recent]
  if (which === 2) return [second, [second, first, third]]
  if (which === 3) return [third, [third, first, second]]
  return [first - 1, [first - 1, first, second]]
}
