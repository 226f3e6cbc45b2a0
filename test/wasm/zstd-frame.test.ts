// zstd frames that the kernel writes, read by an independent decoder and by the zstd command.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Encoder } from 'cbor-x'
import { decompress } from 'fzstd'
import * as assert from 'uvu/assert'
import {
  OUT_OF_ROOM,
  SEAL,
  SEAL_BYTES,
  TAILS,
  TAILS_BYTES,
  ZSTD_ENCODER,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { requirePeer } from '../support/peers.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { sensorBytes } from './twins.ts'

const test = suite('wasm/zstd-frame')
const kernel = new Kernel()

/** What a frame costs at most above its content: header, and the header of each block. */
const overhead = (length: number): number => 16 + 3 * Math.ceil(length / 2 ** 17)

function compress(bytes: Uint8Array, on = kernel): Buffer {
  const [target, capacity] =
    bytes.length + overhead(bytes.length) <= SEAL_BYTES
      ? [SEAL, SEAL_BYTES]
      : [TAILS + bytes.length + 16, TAILS_BYTES - bytes.length - 16]
  on.u8.set(bytes, TAILS)
  const written = on.zstdFrame(TAILS, bytes.length, target, capacity)
  assert.ok(written > 0 && written <= bytes.length + overhead(bytes.length), `${written} bytes`)
  return Buffer.from(on.u8.subarray(target, target + written))
}

function assertRead(bytes: Buffer, what: string): Buffer {
  const frame = compress(bytes)
  assert.ok(bytes.equals(decompress(frame, new Uint8Array(bytes.length))), what)
  return frame
}

function cborBytes(length: number): Buffer {
  const random = new SeededRandom(length)
  const encoder = new Encoder({ useRecords: false, useFloat32: 0 })
  const parts: Buffer[] = []
  for (let size = 0; size < length; size += parts[parts.length - 1]!.length) {
    const time = 1763870000156 + parts.length * 17
    const temp = Math.round(2000 + random.next() * 500) / 100
    parts.push(
      Buffer.from(
        encoder.encode({ device: random.below(64), ts: time, temp, ok: random.below(2) }),
      ),
    )
  }
  return Buffer.concat(parts).subarray(0, length)
}

/** Random bytes between long and short repeats of what came before. */
function repeatingBytes(length: number): Buffer {
  const random = new SeededRandom(length)
  const bytes = random.bytes(length)
  let position = random.below(40)
  while (position < length) {
    const distance = 1 + random.below(Math.max(1, random.chance(0.5) ? position : position & 63))
    const size = 3 + random.below(random.chance(0.1) ? 3000 : 40)
    const stop = Math.min(length, position + size)
    if (distance <= position) {
      for (; position < stop; position++) bytes[position] = bytes[position - distance]!
    }
    position += random.below(30)
  }
  return bytes
}

/** Symbols of which each is half as frequent as the one before: the deepest Huffman trees. */
function steepBytes(length: number): Buffer {
  const random = new SeededRandom(length)
  return random.bytes(length).map(() => Math.floor(-Math.log2(1 - random.next()))) as Buffer
}

const SAMPLES: Record<string, (length: number) => Buffer> = {
  sensor: sensorBytes,
  cbor: cborBytes,
  random: (length) => new SeededRandom(length).bytes(length),
  zeros: (length) => Buffer.alloc(length),
  'two symbols': (length) => {
    const random = new SeededRandom(length)
    return random.bytes(length).map((byte) => 65 + (byte & 1)) as Buffer
  },
  repeating: repeatingBytes,
  steep: steepBytes,
}

for (const [kind, make] of Object.entries(SAMPLES)) {
  test(`every size to 4 KB is read back: ${kind}`, () => {
    const whole = make(4096)
    for (let length = 0; length <= 4096; length++) {
      assertRead(whole.subarray(4096 - length), `${length}`)
    }
  })

  test(`sizes around the edges of blocks and of header forms are read back: ${kind}`, () => {
    const whole = make(2 ** 20)
    for (const length of [65_791, 65_792, 131_070, 131_071, 131_072, 131_073, 131_074, 262_144]) {
      assertRead(whole.subarray(0, length), `${length}`)
    }
    assertRead(whole, 'a mebibyte')
  })
}

test('100,000 short inputs of random make are read back', () => {
  const random = new SeededRandom(100_000)
  for (let i = 0; i < 20_000; i++) {
    const alphabet = 1 + random.below(random.chance(0.5) ? 4 : 256)
    const bytes = Buffer.alloc(1 + random.below(100), random.below(256))
    for (let n = random.below(bytes.length); n > 0; n--) {
      bytes[random.below(bytes.length)] = random.below(alphabet)
    }
    // Each cut at five lengths.
    for (let cut = 0; cut < 5; cut++) {
      assertRead(bytes.subarray(0, Math.max(0, bytes.length - cut)), `${i} less ${cut}`)
    }
  }
})

test('more sequences than a block may have begin another block', () => {
  const random = new SeededRandom(3)
  const words = Array.from({ length: 40 }, () => random.bytes(6))
  // Seven bytes a sequence: a byte of chance, and a word that was there before.
  const bytes = Buffer.concat(
    Array.from({ length: 18_700 }, () => [random.bytes(1), words[random.below(40)]!]).flat(),
  )
  assert.ok(bytes.length < 2 ** 17)
  const forms = formsOf(assertRead(bytes, 'words of six bytes'))
  assert.is(forms.filter((form) => form === 'compressed block').length, 2)
})

test('the longest literals and the longest matches of a block are read back', () => {
  const random = new SeededRandom(2)
  for (const literals of [0, 1, 2, 63, 64, 65_535, 65_536, 65_537, 70_000, 131_060, 131_072]) {
    const bytes = Buffer.concat([random.bytes(literals), Buffer.alloc(2 ** 17 - literals, 9)])
    assertRead(bytes, `${literals} literals`)
    assertRead(Buffer.concat([bytes, bytes.subarray(0, 66_000), bytes]), `${literals}, three times`)
  }
})

test('tables of the last block are used again, and forgotten when a block is stored', () => {
  const random = new SeededRandom(4)
  const block = 2 ** 17
  const parts = [sensorBytes(2 * block), random.bytes(block), sensorBytes(block), cborBytes(block)]
  assertRead(Buffer.concat([...parts, Buffer.alloc(block), ...parts]), 'mixed blocks')
})

test('an input beyond 8 MiB says its window, and matches within it', () => {
  const bytes = Buffer.concat([sensorBytes(2 ** 20), ...Array(9).fill(cborBytes(2 ** 20))])
  const frame = assertRead(bytes, '10 MiB')
  assert.is(frame[4], 0x80)
  assert.is(frame[5], 13 << 3)
  assert.is(frame.readUInt32LE(6), bytes.length)
})

test('no match reaches farther back than the window that a frame says', () => {
  const noise = new SeededRandom(6).bytes(2 ** 16)
  const apart = (distance: number) =>
    assertRead(
      Buffer.concat([noise, Buffer.alloc(distance - noise.length), noise]),
      `${distance} bytes apart`,
    )
  const twice = 2 * noise.length
  assert.ok(apart(2 ** 23 - 2 ** 17).length < twice * 0.6, 'found again')
  assert.ok(apart(2 ** 23 + 2 ** 17).length > twice, 'out of reach')
})

test('what a stored block would have repeated is not among the last offsets', () => {
  const random = new SeededRandom(7)
  const stored = random.bytes(2 ** 17)
  // A match too short to pay for its section, 60 bytes behind; then another one as far.
  stored.copy(stored, 100, 40, 48)
  const period = random.bytes(60)
  const bytes = Buffer.concat([stored, Buffer.alloc(1000, period)])
  const frame = assertRead(bytes, 'the same offset in the next block')
  assert.equal(
    formsOf(frame).filter((form) => form.endsWith('block')),
    ['stored block', 'compressed block'],
  )
})

/** What the format lets an encoder choose, as found in the blocks of a frame. */
function formsOf(frame: Buffer): string[] {
  const forms: string[] = []
  const sizeBytes = [1, 2, 4][frame[4]! >> 6]!
  let position = 5 + sizeBytes
  for (let last = 0; last === 0; ) {
    const header = frame.readUIntLE(position, 3)
    const kind = (header >> 1) & 3
    last = header & 1
    position += 3
    forms.push(['stored block', 'repeated block', 'compressed block'][kind]!)
    if (kind === 2) forms.push(...sectionsOf(frame.subarray(position, position + (header >> 3))))
    position += kind === 1 ? 1 : header >> 3
  }
  assert.is(position, frame.length)
  return forms
}

function sectionsOf(block: Buffer): string[] {
  const type = block[0]! & 3
  const format = (block[0]! >> 2) & 3
  const bits = [10, 10, 14, 18][format]!
  const word = Number(block.readBigUInt64LE(0) >> 4n)
  const packed = Math.floor(word / 2 ** bits) % 2 ** bits
  const headerBytes = type < 2 ? [1, 2, 1, 3][format]! : [3, 3, 4, 5][format]!
  const regenerated = type < 2 && format % 2 === 0 ? block[0]! >> 3 : word % 2 ** (bits + 2)
  const length = type === 0 ? regenerated % 2 ** [5, 12, 5, 20][format]! : type === 1 ? 1 : packed
  const forms = [`literals of type ${type}`]
  if (type > 1) forms.push(format === 0 ? 'one stream' : 'four streams')
  if (type === 2) forms.push(block[headerBytes]! < 128 ? 'packed weights' : 'plain weights')
  const count = block[headerBytes + length]!
  if (count === 0) return [...forms, 'no sequences']
  const modes = block[headerBytes + length + (count < 128 ? 1 : 2)]!
  for (const shift of [6, 4, 2]) forms.push(`table of mode ${(modes >> shift) & 3}`)
  return forms
}

test('every form that the format offers an encoder occurs', () => {
  const seen = new Set<string>()
  for (const make of Object.values(SAMPLES)) {
    for (const length of [100, 200, 1000, 5000, 300_000]) {
      for (const form of formsOf(compress(make(length)))) seen.add(form)
    }
  }
  // A second block of which all is in the first one, but for one byte again and again.
  const random = new SeededRandom(5)
  const chunk = random.bytes(256).map((byte) => byte & 127)
  const parts = Array.from({ length: 30 }, (_, i) => {
    const from = ((i * 7 + 3) % 31) * 8
    return [...chunk.subarray(from, from + 8), 255]
  })
  const bytes = Buffer.concat([
    ...Array(512).fill(chunk),
    Buffer.from(parts.flat()),
    Buffer.alloc(16, 255),
  ])
  assertRead(bytes, 'one literal again and again')
  for (const form of formsOf(compress(bytes))) seen.add(form)
  const literals = [0, 1, 2, 3].map((type) => `literals of type ${type}`)
  const modes = [0, 1, 2, 3].map((mode) => `table of mode ${mode}`)
  const blocks = ['stored block', 'repeated block', 'compressed block', 'no sequences']
  const streams = ['one stream', 'four streams', 'packed weights', 'plain weights']
  assert.equal([...seen].sort(), [...literals, ...modes, ...blocks, ...streams].sort())
})

test('incompressible data costs the headers only, a run next to nothing', () => {
  assert.is(compress(SAMPLES.random!(100_000)).length, 100_000 + 9 + 3)
  assert.is(compress(SAMPLES.zeros!(100_000)).length, 9 + 3 + 1)
  assert.ok(compress(sensorBytes(16_384)).length < 16_384 / 6)
  assert.ok(compress(cborBytes(16_384)).length < 16_384 / 3)
})

test('whatever the capacity, it is the same frame or OUT_OF_ROOM, and nothing else is touched', () => {
  const inputs = [sensorBytes(3000), cborBytes(900), repeatingBytes(700), steepBytes(600)]
  inputs.push(SAMPLES.random!(300), Buffer.from('a'), Buffer.alloc(100, 7))
  // Compressed, these save a few bytes only: what is short of room must not be stored instead.
  inputs.push(Buffer.concat([SAMPLES.random!(200), SAMPLES.random!(18)]))
  for (const alike of [9, 10, 12, 16, 24]) {
    inputs.push(Buffer.concat([SAMPLES.random!(200), SAMPLES.random!(200).subarray(0, alike)]))
  }
  for (const bytes of inputs) {
    const frame = compress(bytes)
    for (let capacity = 0; capacity <= frame.length + 64; capacity++) {
      kernel.u8.fill(0xa5, SEAL - 32, SEAL + capacity + 64)
      const written = kernel.zstdFrame(TAILS, bytes.length, SEAL, capacity)
      assertCanaries(capacity)
      // The writer looks up to 32 bytes ahead of what it writes.
      if (written === OUT_OF_ROOM) assert.ok(capacity < frame.length + 32, `${capacity} is enough`)
      else assert.ok(kernel.buffer.subarray(SEAL, SEAL + written).equals(frame), `${capacity}`)
    }
  }
})

function assertCanaries(capacity: number): void {
  const before = kernel.u8.subarray(SEAL - 32, SEAL)
  const behind = kernel.u8.subarray(SEAL + capacity, SEAL + capacity + 64)
  if (before.some((byte) => byte !== 0xa5)) throw new Error('written before the window')
  if (behind.some((byte) => byte !== 0xa5)) throw new Error(`written behind ${capacity}`)
}

test('behind the wrap of the epoch an empty table entry is not taken for a match', () => {
  const fresh = new Kernel()
  const bytes = sensorBytes(3000)
  const expected = compress(bytes, fresh)
  for (const before of [1, 2999, 3000, 3001, 4000, 6001]) {
    fresh.view.setUint32(ZSTD_ENCODER, 2 ** 32 - before, true)
    for (let i = 0; i < 3; i++) assert.equal(compress(bytes, fresh), expected)
    assert.ok(fresh.view.getUint32(ZSTD_ENCODER, true) < 2 ** 31, 'it has wrapped')
  }
})

test('the zstd command reads our frames', () => {
  const zstd = requirePeer('zstd')
  if (zstd === undefined) return
  const folder = mkdtempSync(join(tmpdir(), 'tributary-zstd-'))
  try {
    const inputs = new Map<string, Buffer>()
    for (const [kind, make] of Object.entries(SAMPLES)) {
      for (const length of [0, 1, 100, 255, 256, 1000, 16_384, 65_792, 131_073, 300_000]) {
        inputs.set(join(folder, `${kind} ${length}`), make(length))
      }
    }
    for (const [path, bytes] of inputs) writeFileSync(`${path}.zst`, compress(bytes))
    execFileSync(zstd, ['-dq', ...[...inputs.keys()].map((path) => `${path}.zst`)])
    for (const [path, bytes] of inputs) assert.ok(readFileSync(path).equals(bytes), path)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.run()
