// The decoder of zstd frames against the zstd command, frames made by hand, and damage.

import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import {
  CONSTANTS,
  CORRUPT,
  CRC_ADVANCE,
  OUT_OF_ROOM,
  UNSUPPORTED,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { requirePeer } from '../support/peers.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { DecodeWindow } from './decode-window.ts'
import { contents, goldenFrames, recordsOf } from './golden-frames.ts'
import { sensorBytes, xxh64LowTwin } from './twins.ts'
import { randomZstdFrame } from './zstd-random.ts'
import {
  backward,
  block,
  type Codes,
  distribution,
  frame,
  rawLiterals,
  rleLiterals,
  type Sequence,
  sequences,
  skippable,
  word,
} from './zstd-writer.ts'

const test = suite('wasm/zstd-unframe')
const window = new DecodeWindow()
/** The descriptor of 128 MiB. */
const LARGEST_WINDOW = 17 << 3
const golden = goldenFrames('zstd')

const decode = (bytes: Uint8Array, capacity?: number) =>
  window.decode('zstdUnframe', bytes, capacity)

function assertSame(actual: Buffer | number, expected: Uint8Array, what: string): void {
  if (typeof actual === 'number') assert.unreachable(`${what}: status ${actual}`)
  else assert.ok(actual.equals(expected), `${what}: other bytes`)
}

const HELLO = [...Buffer.from('hello')]
const hello = block('raw', HELLO)

test('golden frames hold what they should, with just enough room too', () => {
  for (const { name, frame, bytes } of golden) {
    assertSame(decode(frame), bytes, name)
    assertSame(decode(frame, bytes.length), bytes, `${name}, exactly`)
  }
})

test("a Java producer's batch holds the records of its plain one", () => {
  assertSame(decode(recordsOf('zstd')), recordsOf('none'), 'records')
})

test('every capacity too small is OUT_OF_ROOM', () => {
  for (const { name, frame, bytes } of golden) {
    const step = 1 + (bytes.length >> 8)
    for (let capacity = bytes.length - 1; capacity >= 0; capacity -= step) {
      assert.is(window.status('zstdUnframe', frame, capacity), OUT_OF_ROOM, `${name}: ${capacity}`)
    }
  }
})

test('every cut is CORRUPT, and so is a byte more', () => {
  for (const { name, frame } of golden) {
    for (let cut = 0; cut < frame.length; cut += 1 + (frame.length >> 8)) {
      assert.is(decode(frame.subarray(0, cut)), CORRUPT, `${name}: ${cut}`)
    }
    assert.is(decode(Buffer.concat([frame, Buffer.alloc(1)])), CORRUPT, name)
  }
})

test('a wrong byte never gives other bytes where there is a checksum', () => {
  const random = new SeededRandom(4)
  for (const { name, frame, bytes } of golden) {
    if ((frame[4]! & 4) === 0) continue
    for (let i = 0; i < 100; i++) {
      const damaged = Buffer.from(frame)
      damaged[random.below(frame.length)]! ^= 1 << random.below(8)
      const output = decode(damaged, bytes.length + 100)
      if (typeof output !== 'number') assertSame(output, bytes, `${name}, harmless`)
    }
  }
})

test('a fresh kernel says the same as one that has read all frames', () => {
  for (const { name, frame, bytes } of golden.slice(0, 8)) {
    assertSame(new DecodeWindow().decode('zstdUnframe', frame), bytes, name)
  }
})

test('frames follow each other, and what is skippable is skipped', () => {
  const { frame: first, bytes } = golden.find(({ bytes }) => bytes.length === 1000)!
  const parts = [
    skippable([]),
    first,
    skippable([1, 2, 3], 15),
    frame({ size: [5, 1] }, hello),
    first,
  ]
  const expected = Buffer.concat([bytes, Buffer.from(HELLO), bytes])
  const all = Buffer.concat(parts)
  assertSame(decode(all), expected, 'five frames')
  assertSame(decode(all, expected.length), expected, 'five frames, exactly')
  assert.is(decode(all, expected.length - 1), OUT_OF_ROOM)
  assert.is(decode(all.subarray(0, all.length - 1)), CORRUPT)
  assertSame(decode(skippable([9])), Buffer.alloc(0), 'nothing')
  assert.is(decode(skippable([9]).subarray(0, 8)), CORRUPT)
  assert.is(decode(Buffer.alloc(0)), CORRUPT)
})

test('a match does not reach into the frame before', () => {
  const codes = { literals: 1, offset: 3, match: 0 }
  const list = [{ literals: 0, offset: 0, match: 0 }]
  // One literal, then a match five behind.
  const reaching = block('compressed', [...rawLiterals([65]), ...sequences(codes, list)])
  const before = frame({ size: [5, 1] }, hello)
  assert.is(decode(frame({ window: 0 }, reaching)), CORRUPT)
  assert.is(decode(Buffer.concat([before, frame({ window: 0 }, reaching)])), CORRUPT)
  const within = frame({ window: 0 }, block('raw', HELLO, { last: false }), reaching)
  assertSame(decode(within), Buffer.from('helloAell'), 'the same frame')
})

test('headers of every form', () => {
  const bytes = Buffer.from(HELLO)
  const long = sensorBytes(300)
  const longBlock = block('raw', [...long])
  assertSame(decode(frame({ size: [5, 1] }, hello)), bytes, 'one byte of size')
  assertSame(decode(frame({ size: [300, 2] }, longBlock)), long, 'two bytes')
  assertSame(decode(frame({ size: [5, 4] }, hello)), bytes, 'four bytes')
  assertSame(decode(frame({ size: [5, 8] }, hello)), bytes, 'eight bytes')
  assertSame(decode(frame({ window: 0, size: [5, 8] }, hello)), bytes, 'window and size')
  assertSame(decode(frame({ window: LARGEST_WINDOW }, hello)), bytes, 'the largest window')
  assertSame(decode(frame({ window: 0 }, longBlock)), long, 'the smallest window')
  assertSame(decode(frame({ window: 0, flip: 16 }, hello)), bytes, 'the unused bit')
  assertSame(decode(frame({ size: [0, 1] }, block('raw', []))), Buffer.alloc(0), 'nothing')
  assert.is(decode(frame({ size: [6, 1] }, hello)), CORRUPT)
  assert.is(decode(frame({ window: 0, size: [4, 4] }, hello)), CORRUPT)
  assert.is(decode(frame({ size: [2 ** 40, 8] }, hello)), OUT_OF_ROOM)
  assert.is(decode(frame({ window: 0, flip: 8 }, hello)), CORRUPT)
})

test('windows of more than 128 MiB, which no broker reads, are UNSUPPORTED', () => {
  const good = frame({ window: 0 }, hello)
  for (const window of [LARGEST_WINDOW + 1, 18 << 3, 255]) {
    const wide = frame({ window }, hello)
    assert.is(decode(wide), UNSUPPORTED)
    assert.is(decode(Buffer.concat([good, wide])), UNSUPPORTED, 'a second frame')
    assert.is(decode(frame({ window, size: [5, 4] }, hello)), UNSUPPORTED, 'a size does not help')
  }
})

test('dictionaries and old formats are UNSUPPORTED, what is not zstd is CORRUPT', () => {
  for (const bytes of [1, 2, 4]) {
    const none = Array<number>(bytes).fill(0)
    assertSame(decode(frame({ window: 0, dictionary: none }, hello)), Buffer.from(HELLO), 'none')
    const some = [...none.slice(1), 7]
    assert.is(decode(frame({ window: 0, dictionary: some }, hello)), UNSUPPORTED)
  }
  const old = frame({ size: [5, 1] }, hello)
  for (let version = 0; version < 8; version++) {
    old[0] = 0x20 + version
    assert.is(decode(old), UNSUPPORTED)
  }
  old[0] = 0x29
  assert.is(decode(old), CORRUPT)
  assert.is(decode(frame({ size: [5, 1] }, hello).subarray(4)), CORRUPT)
})

test('checksums are compared', () => {
  // xxHash-64 of nothing is ef46db3751d8e999.
  const sum = [0x99, 0xe9, 0xd8, 0x51]
  assertSame(
    decode(frame({ window: 0, checksum: sum }, block('raw', []))),
    Buffer.alloc(0),
    'empty',
  )
  for (let i = 0; i < 4; i++) {
    const wrong = sum.map((byte, at) => (at === i ? byte ^ 1 : byte))
    assert.is(decode(frame({ window: 0, checksum: wrong }, block('raw', []))), CORRUPT)
  }
  // One that ends in 0, as what lies behind the source does.
  let n = 0
  while (xxh64LowTwin(Buffer.from(`${n}`)) >= 2 ** 24) n++
  const digits = Buffer.from(`${n}`)
  const checksum = word(xxh64LowTwin(digits), 4)
  const cut = frame({ window: 0, checksum }, block('raw', [...digits]))
  assertSame(decode(cut), digits, 'whole')
  assert.is(decode(cut.subarray(0, cut.length - 1)), CORRUPT)
})

test('blocks are held to their bounds', () => {
  const rle = (size: number, last = true) => block('rle', [65], { size, last })
  assertSame(
    decode(frame({ window: LARGEST_WINDOW }, rle(131_072))),
    Buffer.alloc(131_072, 'A'),
    '128 KiB',
  )
  assert.is(decode(frame({ window: LARGEST_WINDOW }, rle(131_073))), CORRUPT)
  assertSame(decode(frame({ window: 1 }, rle(1152))), Buffer.alloc(1152, 'A'), 'window')
  assert.is(decode(frame({ window: 1 }, rle(1153))), CORRUPT)
  assert.is(decode(frame({ size: [5, 1] }, rle(6))), CORRUPT)
  // Of a single segment, compressed to more than there is.
  assert.is(
    decode(frame({ size: [5, 1] }, block('compressed', [...rawLiterals(HELLO), 0]))),
    CORRUPT,
  )
  assert.is(decode(frame({ window: 0 }, block('reserved', HELLO))), CORRUPT)
  assert.is(decode(frame({ window: 0 }, block('compressed', []))), CORRUPT)
  // Compressed ones too: 1024 literals, and a match that goes beyond.
  const grown = (match: number) => {
    const codes = { literals: 1, offset: 0, match: 40 }
    const list = [{ literals: 0, offset: 0, match }]
    return block('compressed', [...rleLiterals(65, 1024 - 70), ...sequences(codes, list)])
  }
  // Offset code 0 is the last offset: 1 at first.
  assertSame(decode(frame({ window: 0 }, grown(3))), Buffer.alloc(1024, 'A'), 'as far as it goes')
  assert.is(decode(frame({ window: 0 }, grown(4))), CORRUPT)
  assert.is(decode(frame({ window: 0 }, grown(4)), 1023), OUT_OF_ROOM)
})

test('what a block inherits must be there', () => {
  // Five literals of a tree of two symbols, with it and without.
  const stream = backward('110101')
  const tree = [128, 0x10]
  const coded = [...word(2 | (5 << 4) | (3 << 14), 3), ...tree, ...stream, 0]
  const treeless = [...word(3 | (5 << 4) | (1 << 14), 3), ...stream, 0]
  const first = block('compressed', coded, { last: false })
  const second = block('compressed', treeless)
  const literals = Buffer.from([1, 0, 1, 0, 1])
  assertSame(
    decode(frame({ window: 0 }, first, second)),
    Buffer.concat([literals, literals]),
    'a tree for two blocks',
  )
  const alone = frame({ window: 0 }, second)
  assert.is(new DecodeWindow().decode('zstdUnframe', alone), CORRUPT)
  const before = frame({ window: 0 }, block('compressed', coded))
  assertSame(decode(before), literals, 'a tree for one')
  assert.is(decode(Buffer.concat([before, alone])), CORRUPT, 'a frame before')
  const codes = { literals: 1, offset: 0, match: 0 }
  const list = [{ literals: 0, offset: 0, match: 0 }]
  const data = [...rawLiterals([65]), ...sequences(codes, list)]
  const good = frame({ window: 0 }, block('compressed', data))
  assertSame(decode(good), Buffer.from('AAAA'), 'one symbol')
  for (const modes of [0xd4, 0x74, 0x5c]) {
    const repeat = [...rawLiterals([65]), ...sequences(codes, list, modes)]
    const history = block('raw', HELLO, { last: false })
    const bad = frame({ window: 0 }, history, block('compressed', repeat))
    assert.is(new DecodeWindow().decode('zstdUnframe', bad), CORRUPT, 'nothing before')
    assert.is(decode(Buffer.concat([good, bad])), CORRUPT, 'a frame before')
  }
  const again = [...rawLiterals([66]), 1, 0xfc, 1]
  const both = frame(
    { window: 0 },
    block('compressed', data, { last: false }),
    block('compressed', again),
  )
  assertSame(decode(both), Buffer.from('AAAABBBB'), 'the same symbol again')
})

test('sequences are held to their bounds', () => {
  const one = (codes: Codes, sequence: Sequence, literals = 4, modes = 0x54) => {
    const data = [...rawLiterals(Array(literals).fill(65)), ...sequences(codes, [sequence], modes)]
    return decode(frame({ window: 0 }, block('compressed', data)))
  }
  const zero = { literals: 0, offset: 0, match: 0 }
  assertSame(one({ literals: 4, offset: 0, match: 0 }, zero), Buffer.alloc(7, 'A'), 'good')
  assert.is(one({ literals: 5, offset: 0, match: 0 }, zero), CORRUPT)
  assert.is(one({ literals: 4, offset: 0, match: 0 }, zero, 4, 0x55), CORRUPT)
  assert.is(one({ literals: 36, offset: 0, match: 0 }, zero), CORRUPT)
  assert.is(one({ literals: 4, offset: 32, match: 0 }, zero), CORRUPT)
  assert.is(one({ literals: 4, offset: 0, match: 53 }, zero), CORRUPT)
  // Offset 4 (value 7) reaches the first literal, 5 is beyond.
  const far = (offset: number) => one({ literals: 4, offset: 2, match: 0 }, { ...zero, offset })
  assertSame(far(3), Buffer.alloc(7, 'A'), 'offset 4')
  assert.is(one({ literals: 4, offset: 3, match: 0 }, zero), CORRUPT)
  for (let offset = 4; offset < 32; offset++) {
    assert.is(one({ literals: 4, offset, match: 0 }, zero), CORRUPT)
  }
  // With no literals, value 3 is one less than the last offset: 0 at first.
  const codes = { literals: 0, offset: 1, match: 0 }
  assert.is(one(codes, { ...zero, offset: 1 }), CORRUPT)
  // Bits left over, or too few; and no end of bits.
  const good = [...rawLiterals([65]), 1, 0x54, 1, 0, 0]
  const bits = (...stream: number[]) =>
    decode(frame({ window: 0 }, block('compressed', [...good, ...stream])))
  assertSame(bits(1), Buffer.from('AAAA'), 'no bits')
  for (const stream of [[], [0], [2], [0, 1], [1, 0]]) assert.is(bits(...stream), CORRUPT)
  const none = [...rawLiterals([65]), 0]
  assertSame(decode(frame({ window: 0 }, block('compressed', none))), Buffer.from('A'), 'none')
  assert.is(decode(frame({ window: 0 }, block('compressed', [...none, 0]))), CORRUPT)
})

test('trees and tables are held to their bounds', () => {
  // Two symbols of one bit: weight 1 is given, the other follows. Five literals from stream 10101.
  const stream = backward('110101')
  const coded = (tree: number[], size = 5) => {
    const packed = tree.length + stream.length
    const header = word(2 | (size << 4) | (packed << 14), 3)
    return decode(frame({ window: 0 }, block('compressed', [...header, ...tree, ...stream, 0])))
  }
  assertSame(coded([128, 0x10]), Buffer.from([1, 0, 1, 0, 1]), 'two symbols')
  assert.is(coded([128, 0x10], 4), CORRUPT)
  assert.is(coded([128, 0x10], 6), CORRUPT)
  assert.is(coded([128, 0x10], 0), CORRUPT)
  const nothing = [...word(2 | (3 << 14), 3), 128, 0x10, 1, 0]
  assert.is(decode(frame({ window: 0 }, block('compressed', nothing))), CORRUPT)
  const wrong: Record<string, number[]> = {
    'no weight': [128, 0x00],
    'no pair of longest codes': [128, 0x20],
    'a sum that no weight completes': [130, 0x21, 0x20],
    'a code of 12 bits': [128, 0xc0],
    'weights behind the end': [255, 0x11],
    'coded weights behind the end': [60, 0x11],
    'a table of 2^7 states': [3, 0x02, 0x11, 0x01],
    'no coded weights': [0],
  }
  for (const [what, tree] of Object.entries(wrong)) assert.is(coded(tree), CORRUPT, what)
})

test('literals beyond 128 KiB are refused before they are made', () => {
  // 200,000 times the same code of one bit, in four streams: it would fill the memory behind LITERALS.
  const tree = [193, ...Array<number>(32).fill(0), 0x01]
  const stream = [...Array<number>(6250).fill(0), 1]
  const lengths = [1, 2, 3].flatMap(() => word(stream.length, 2))
  const data = [...tree, ...lengths, ...stream, ...stream, ...stream, ...stream]
  const section = word(0x0e + 200_000 * 16 + data.length * 2 ** 22, 5)
  const kernel = new Kernel()
  const behind = () => Buffer.from(kernel.u8.subarray(CRC_ADVANCE, CONSTANTS))
  const before = behind()
  const packed = frame({ window: LARGEST_WINDOW }, block('compressed', [...section, ...data, 0]))
  assert.is(new DecodeWindow(kernel).decode('zstdUnframe', packed), CORRUPT)
  assert.ok(behind().equals(before), 'nothing was written behind the literals')
  const fitting = [...word(0x0e + 100_000 * 16 + (data.length - 12_500) * 2 ** 22, 5), ...tree]
  const half = [...Array<number>(3125).fill(0), 1]
  fitting.push(...[1, 2, 3].flatMap(() => word(half.length, 2)), ...half, ...half, ...half, ...half)
  const good = frame({ window: LARGEST_WINDOW }, block('compressed', [...fitting, 0]))
  assertSame(decode(good), Buffer.alloc(100_000, 'A'), 'half as many')
})

test('four streams for fewer symbols than make four shares are refused before they are read', () => {
  // Each stream is long enough to fill the memory behind LITERALS, were it read to its end.
  const tree = [193, ...Array<number>(32).fill(0), 0x01]
  const stream = [...Array<number>(30_000).fill(0), 1]
  const lengths = [1, 2, 3].flatMap(() => word(stream.length, 2))
  const data = [...tree, ...lengths, ...stream, ...stream, ...stream, ...stream]
  const kernel = new Kernel()
  const before = Buffer.from(kernel.u8.subarray(CRC_ADVANCE, CONSTANTS))
  for (const size of [1, 2, 3, 5]) {
    const section = word(0x0e + size * 16 + data.length * 2 ** 22, 5)
    const packed = frame({ window: 0x50 }, block('compressed', [...section, ...data, 0]))
    assert.is(new DecodeWindow(kernel).decode('zstdUnframe', packed), CORRUPT, `${size}`)
    assert.ok(before.equals(kernel.u8.subarray(CRC_ADVANCE, CONSTANTS)), `${size}: nothing written`)
  }
})

test('described tables are held to their bounds', () => {
  // One of three tables is described, the others have one symbol; the stream is the first state.
  const read = (modes: number, log: number, counts: number[], cut = 0) => {
    const table = distribution(log, counts)
    const tables = [[1], [0], [0]]
    tables[[0x94, 0x64, 0x58].indexOf(modes)] = table.slice(0, table.length - cut)
    const data = [
      ...rawLiterals([65]),
      1,
      modes,
      ...tables.flat(),
      ...backward('1'.padEnd(log + 1, '0')),
    ]
    return decode(frame({ window: 0 }, block('compressed', data)))
  }
  const only = (log: number, symbol: number) => [...Array<number>(symbol).fill(0), 2 ** log]
  const AAAA = Buffer.from('AAAA')
  // All states lead to the symbol: one literal, the last offset, a match of three.
  for (const log of [5, 6, 9]) assertSame(read(0x94, log, only(log, 1)), AAAA, `lengths, ${log}`)
  for (const log of [5, 8]) assertSame(read(0x64, log, only(log, 0)), AAAA, `offsets, ${log}`)
  for (const log of [5, 9]) assertSame(read(0x58, log, only(log, 0)), AAAA, `matches, ${log}`)
  assert.is(read(0x94, 10, only(10, 1)), CORRUPT, 'too many states')
  assert.is(read(0x64, 9, only(9, 0)), CORRUPT, 'too many states')
  assert.is(read(0x58, 10, only(10, 0)), CORRUPT, 'too many states')
  // As many symbols as there are, of which the first state is not the last; then one more.
  const rare = (first: number, symbols: number) => {
    const most = Array<number>(symbols).fill(0)
    most[first] = 31
    most[symbols - 1] = -1
    return most
  }
  assertSame(read(0x94, 5, rare(1, 36)), AAAA, '36 lengths')
  assertSame(read(0x64, 5, rare(0, 32)), AAAA, '32 offsets')
  assertSame(read(0x58, 5, rare(0, 53)), AAAA, '53 matches')
  assert.is(read(0x94, 5, rare(1, 37)), CORRUPT, 'zeros to a length too many')
  assert.is(read(0x64, 5, rare(0, 33)), CORRUPT, 'zeros to an offset too many')
  assert.is(read(0x58, 5, rare(0, 54)), CORRUPT, 'zeros to a match too many')
  assert.is(read(0x94, 5, rare(1, 40)), CORRUPT, 'zeros far beyond')
  const ones = [1, ...Array<number>(31).fill(1)]
  assert.is(read(0x64, 6, [32, ...ones.slice(0, 31), 1]), CORRUPT, 'an offset too many')
  for (const cut of [1, 2]) assert.is(read(0x94, 5, rare(1, 36), cut), CORRUPT, 'cut')
})

test('random sequences of every code do what they say', () => {
  const random = new SeededRandom(12)
  for (let i = 0; i < 100; i++) {
    const { frame, bytes } = randomZstdFrame(random)
    assertSame(decode(frame, bytes.length), bytes, `frame ${i}`)
    assertSame(decode(frame, bytes.length + 100), bytes, `frame ${i}, with room`)
    if (bytes.length > 0) assert.is(decode(frame, bytes.length - 1), OUT_OF_ROOM)
  }
})

const FORMS = [
  ['-1'],
  ['-3', '--no-check'],
  ['-9', '--no-content-size'],
  ['-19'],
  ['--ultra', '-22', '--long=27'],
  ['--fast=5'],
]

test('frames of the zstd command of many sizes to 4 KB', () => {
  if (requirePeer('zstd') === undefined) return
  const whole = sensorBytes(4096)
  for (const [i, options] of FORMS.entries()) {
    const step = [17, 101, 101, 401, 1365, 101][i]!
    const sizes = Array.from({ length: Math.ceil(4097 / step) }, (_, n) => n * step)
    withFrames(
      options,
      sizes.map((size) => whole.subarray(0, size)),
    )
  }
})

test('frames of the zstd command at the edges of blocks', () => {
  if (requirePeer('zstd') === undefined) return
  const kinds = ['sensor', 'random', 'fives', 'doubles']
  const bytes = kinds.flatMap((kind) =>
    [131_071, 131_072, 131_073].map((length) => contents(`${kind} ${length}`)),
  )
  for (const options of [['-1'], ['-3'], ['--fast=5']]) withFrames(options, bytes)
  withFrames(['-3'], [contents('sensor 262145'), contents('letters 1048577')])
})

test('frames of the zstd command of measurements', () => {
  const plant = join(process.env.TRIBUTARY_DATA ?? '../shared/data', 'thermal-solar-plant')
  if (!existsSync(plant)) {
    console.log(`skipped: no data in ${plant} (set TRIBUTARY_DATA)`)
    return
  }
  if (requirePeer('zstd') === undefined) return
  const name = readdirSync(plant).find((name) => name.endsWith('.csv'))!
  const bytes = readFileSync(join(plant, name))
  for (const options of [['-1'], ['-9'], ['--fast=5']]) withFrames(options, [bytes])
  withFrames(['-19', '--long=27'], [bytes.subarray(0, 30_000)])
})

/** One call of the command for many contents, each in a file of its own. */
function withFrames(options: string[], all: Uint8Array[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-zstd-'))
  try {
    mkdirSync(join(folder, 'packed'))
    const names = all.map((_, i) => join(folder, String(i)))
    for (const [i, bytes] of all.entries()) writeFileSync(names[i]!, bytes)
    execFileSync('zstd', ['-q', ...options, '--output-dir-flat', join(folder, 'packed'), ...names])
    for (const [i, bytes] of all.entries()) {
      const packed = readFileSync(join(folder, 'packed', `${i}.zst`))
      assertSame(decode(packed, bytes.length), bytes, `${options.join(' ')}, ${bytes.length}`)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test.run()
