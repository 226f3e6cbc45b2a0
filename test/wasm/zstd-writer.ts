// Writes zstd frames by hand, from RFC 8878: what an encoder would never choose, and what is wrong.

export interface FrameOptions {
  /** Bytes of the window descriptor; without it the frame is a single segment. */
  window?: number
  dictionary?: number[]
  /** Content size and the bytes it takes: 0, 1 (single segment only), 2, 4 or 8. */
  size?: [value: number, bytes: number]
  checksum?: number[]
  /** Bits to turn over in the descriptor. */
  flip?: number
}

export function frame(options: FrameOptions, ...blocks: number[][]): Buffer {
  const [size, sizeBytes] = options.size ?? [0, options.window === undefined ? 1 : 0]
  const dictionary = options.dictionary ?? []
  let descriptor = [0, 0, 1, 0, 2, 0, 0, 0, 3][sizeBytes]! << 6
  if (options.window === undefined) descriptor |= 0x20
  if (options.checksum !== undefined) descriptor |= 4
  descriptor |= [0, 1, 2, 0, 3][dictionary.length]!
  return Buffer.from([
    ...[0x28, 0xb5, 0x2f, 0xfd, descriptor ^ (options.flip ?? 0)],
    ...(options.window === undefined ? [] : [options.window]),
    ...dictionary,
    ...word(sizeBytes === 2 ? size - 256 : size, sizeBytes),
    ...blocks.flat(),
    ...(options.checksum ?? []),
  ])
}

export function skippable(data: number[], kind = 0): Buffer {
  return Buffer.from([0x50 + kind, 0x2a, 0x4d, 0x18, ...word(data.length, 4), ...data])
}

type BlockKind = 'raw' | 'rle' | 'compressed' | 'reserved'

/** A block; `size` is that of its data when it is not given. */
export function block(
  kind: BlockKind,
  data: number[],
  { last = true, size = data.length }: { last?: boolean; size?: number } = {},
): number[] {
  const code = ['raw', 'rle', 'compressed', 'reserved'].indexOf(kind)
  return [...word((size << 3) | (code << 1) | (last ? 1 : 0), 3), ...data]
}

/** A section of raw literals. */
export function rawLiterals(bytes: ArrayLike<number>): number[] {
  return [...plainHeader(0, bytes.length), ...Array.from(bytes)]
}

/** A section of one literal, `count` times. */
export function rleLiterals(byte: number, count: number): number[] {
  return [...plainHeader(1, count), byte]
}

function plainHeader(kind: number, size: number): number[] {
  if (size < 32) return [kind | (size << 3)]
  if (size < 4096) return word(kind | 4 | (size << 4), 2)
  return word(kind | 12 | (size << 4), 3)
}

export interface Sequence {
  /** What is added to each code's value. */
  literals: number
  offset: number
  match: number
}

export interface Codes {
  literals: number
  offset: number
  match: number
}

/** Value and extra bits of a code. */
type Code = [value: number, bits: number]

const spread = (first: number, bits: number[]): Code[] => {
  let value = first
  return bits.map((count) => {
    const code: Code = [value, count]
    value += 2 ** count
    return code
  })
}

const zeros = (count: number): number[] => Array<number>(count).fill(0)

const LITERAL_LENGTHS = spread(0, [...zeros(16), 1, 1, 1, 1, 2, 2, 3, 3, 4, ...range(6, 16)])
const MATCH_LENGTHS = spread(3, [...zeros(32), 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, ...range(7, 16)])

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

export const literalLengthOf = (code: number): Code => LITERAL_LENGTHS[code]!
export const matchLengthOf = (code: number): Code => MATCH_LENGTHS[code]!

/**
 * A section of sequences that all have the same three codes: the tables are single symbols. Other
 * modes have no tables here.
 */
export function sequences(codes: Codes, list: Sequence[], modes = 0x54): number[] {
  let bits = '1'
  const put = (value: number, count: number) => {
    if (count > 0) bits += value.toString(2).padStart(count, '0')
  }
  for (const { literals, offset, match } of list) {
    put(offset, codes.offset)
    put(match, MATCH_LENGTHS[codes.match]?.[1] ?? 0)
    put(literals, LITERAL_LENGTHS[codes.literals]?.[1] ?? 0)
  }
  const tables = [codes.literals, codes.offset, codes.match].filter(
    (_, i) => ((modes >> (6 - 2 * i)) & 3) === 1,
  )
  return [...countOf(list.length), modes, ...tables, ...backward(bits)]
}

/** Bits in the order in which they are read, a 1 before them; the stream is read from its end. */
export function backward(bits: string): number[] {
  return bytesOf(bits.padStart(Math.ceil(bits.length / 8) * 8, '0'))
}

function bytesOf(bits: string): number[] {
  const bytes: number[] = []
  for (let at = bits.length; at > 0; at -= 8) bytes.push(Number.parseInt(bits.slice(at - 8, at), 2))
  return bytes
}

/** The description of a distribution over 2^log states (section 4.1.1). */
export function distribution(log: number, counts: number[]): number[] {
  // Bits as they are read: the first one last in this string.
  let bits = ''
  const put = (value: number, width: number) => {
    bits = (width === 0 ? '' : value.toString(2).padStart(width, '0')) + bits
  }
  put(log - 5, 4)
  let left = 2 ** log + 1
  for (let i = 0; i < counts.length; i++) {
    const value = counts[i]! + 1
    const width = Math.floor(Math.log2(left)) + 1
    const half = 2 ** (width - 1)
    const short = 2 * half - 1 - left
    if (value < short) put(value, width - 1)
    else put(value >= half ? value + short : value, width)
    left -= Math.abs(counts[i]!)
    if (counts[i] !== 0) continue
    let zeros = 0
    while (counts[i + 1] === 0) {
      zeros++
      i++
    }
    for (; zeros >= 3; zeros -= 3) put(3, 2)
    put(zeros, 2)
  }
  return bytesOf(bits.padStart(Math.ceil(bits.length / 8) * 8, '0'))
}

export function countOf(count: number): number[] {
  if (count < 128) return [count]
  if (count < 0x7f00) return [128 + (count >> 8), count & 255]
  return [255, ...word(count - 0x7f00, 2)]
}

/** The lowest `bytes` bytes of a number, little-endian. */
export function word(value: number, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Math.floor(value / 256 ** i) % 256)
}
