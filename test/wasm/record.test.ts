// Record kernels against the plain encoder and decoder of agent/record.

import * as assert from 'uvu/assert'
import { encodeHeader, encodeRecord, iterateRecords } from '../../agent/record/record.ts'
import {
  CORRUPT,
  INGRESS,
  OUT_OF_ROOM,
  SCRATCH,
  WRONG_COUNT,
  WRONG_DELTA,
  WRONG_TIMESTAMP,
} from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('wasm/record')
const kernel = new Kernel()

interface Sample {
  offsetDelta: number
  timestampDelta: number
  key: Buffer | null
  value: Buffer | null
  headers: [string, Buffer | null][]
}

const NOTHING: Sample = { offsetDelta: 0, timestampDelta: 0, key: null, value: null, headers: [] }

/** Stages in INGRESS and encodes to `dst`. */
function encode(sample: Sample, dst: number, capacity: number): number {
  const headers = Buffer.concat(sample.headers.map(([key, value]) => encodeHeader(key, value)))
  const [key, value] = [sample.key ?? Buffer.alloc(0), sample.value ?? Buffer.alloc(0)]
  const valueAt = INGRESS + key.length
  const headersAt = valueAt + value.length
  kernel.u8.set(key, INGRESS)
  kernel.u8.set(value, valueAt)
  kernel.u8.set(headers, headersAt)
  return kernel.encodeRecord(
    dst,
    capacity,
    sample.offsetDelta,
    sample.timestampDelta,
    INGRESS,
    sample.key === null ? -1 : key.length,
    valueAt,
    sample.value === null ? -1 : value.length,
    headersAt,
    headers.length,
    sample.headers.length,
  )
}

function assertLikeTwin(sample: Sample): void {
  const written = encode(sample, SCRATCH, 100_000)
  const expected = encodeRecord(sample)
  assert.ok(kernel.buffer.subarray(SCRATCH, SCRATCH + written).equals(expected))
}

/** Puts bytes into SCRATCH and scans them. */
function scan(bytes: Uint8Array, count: number): number {
  kernel.u8.set(bytes, SCRATCH)
  // What lies behind would parse as more of a record if it were looked at.
  kernel.u8.fill(0, SCRATCH + bytes.length, SCRATCH + bytes.length + 64)
  return kernel.scanRecords(SCRATCH, bytes.length, count)
}

test('encodes like the twin at every value size to 2 KB, and with every other field at its edges', () => {
  for (let n = 0; n <= 2048; n++) assertLikeTwin({ ...NOTHING, value: Buffer.alloc(n, n) })
  for (let n = 0; n <= 300; n++)
    assertLikeTwin({ ...NOTHING, key: Buffer.alloc(n, n), headers: [] })
  for (const bits of [6, 7, 13, 14, 20, 21, 27, 28, 30]) {
    for (const offsetDelta of [2 ** bits - 1, 2 ** bits])
      assertLikeTwin({ ...NOTHING, offsetDelta })
  }
  assertLikeTwin({ ...NOTHING, offsetDelta: 2 ** 31 - 1 })
  for (let bits = 0; bits <= 52; bits++) {
    for (const delta of [2 ** bits - 1, 2 ** bits, 2 ** bits + 1]) {
      assertLikeTwin({ ...NOTHING, timestampDelta: delta })
      assertLikeTwin({ ...NOTHING, timestampDelta: -delta })
    }
  }
  for (const size of [8191, 8192, 8193, 50_000])
    assertLikeTwin({ ...NOTHING, value: Buffer.alloc(size) })
})

test('encodes headers, nulls and empty fields like the twin', () => {
  const some = Buffer.from('some')
  const headers: Sample['headers'] = [
    ['a', some],
    ['größe', null],
    ['', Buffer.alloc(0)],
  ]
  for (const key of [null, Buffer.alloc(0), some]) {
    for (const value of [null, Buffer.alloc(0), some]) {
      for (let n = 0; n <= headers.length; n++) {
        assertLikeTwin({ ...NOTHING, key, value, headers: headers.slice(0, n) })
      }
    }
  }
})

test('writes nothing outside its window, and refuses one byte too few', () => {
  const random = new SeededRandom(3)
  for (let i = 0; i < 2000; i++) {
    const sample: Sample = {
      offsetDelta: random.below(1000),
      timestampDelta: random.below(1000) - 500,
      key: random.chance(0.3) ? null : random.bytes(random.below(40)),
      value: random.chance(0.1) ? null : random.bytes(random.below(400)),
      headers: random.chance(0.5) ? [] : [['name', random.bytes(random.below(50))]],
    }
    const size = encodeRecord(sample).length
    kernel.u8.fill(0xa5, SCRATCH - 16, SCRATCH + size + 32)
    assert.is(encode(sample, SCRATCH, size - 1), OUT_OF_ROOM)
    assert.is(kernel.u8[SCRATCH], 0xa5)
    assert.is(encode(sample, SCRATCH, size), size)
    const outside = [
      ...kernel.u8.subarray(SCRATCH - 16, SCRATCH),
      ...kernel.u8.subarray(SCRATCH + size, SCRATCH + size + 32),
    ]
    assert.ok(outside.every((byte) => byte === 0xa5))
  }
  assert.is(encode(NOTHING, SCRATCH, 0), OUT_OF_ROOM)
})

function manyRecords(count: number): { bytes: Buffer; starts: number[]; times: number[] } {
  const random = new SeededRandom(count)
  const starts: number[] = []
  const times: number[] = []
  const parts: Buffer[] = []
  let position = 0
  for (let offsetDelta = 0; offsetDelta < count; offsetDelta++) {
    const timestampDelta = random.below(100_000) - 50_000
    const value = random.bytes(random.below(200))
    const headers: Sample['headers'] = random.chance(0.3) ? [['h', random.bytes(3)]] : []
    const part = encodeRecord({ offsetDelta, timestampDelta, key: null, value, headers })
    starts.push(position)
    times.push(timestampDelta)
    parts.push(part)
    position += part.length
  }
  return { bytes: Buffer.concat(parts), starts, times }
}

test('scans good records, remembers the greatest timestamp delta', () => {
  for (const count of [1, 2, 100, 1000]) {
    const { bytes, times } = manyRecords(count)
    assert.is(scan(bytes, count), 0)
    assert.is(kernel.scanMaxTimestamp(), Math.max(...times))
  }
  assert.is(scan(encodeRecord({ ...NOTHING, timestampDelta: -7 }), 1), 0)
  assert.is(kernel.scanMaxTimestamp(), -7)
  for (let bits = 0; bits <= 52; bits++) {
    for (const timestampDelta of [2 ** bits + 1, -(2 ** bits) - 1]) {
      assert.is(scan(encodeRecord({ ...NOTHING, timestampDelta }), 1), 0)
      assert.is(kernel.scanMaxTimestamp(), timestampDelta)
    }
  }
})

test('scans records whose numbers have any size, up to the end of the window', () => {
  for (const bits of [0, 5, 6, 7, 12, 13, 14, 19, 20, 21]) {
    const [some, none] = [Buffer.alloc(2 ** bits), Buffer.alloc(0)]
    for (const [key, value] of [
      [some, none],
      [null, some],
      [none, null],
      [some, some],
    ] as const) {
      const bytes = encodeRecord({ ...NOTHING, timestampDelta: -(2 ** bits), key, value })
      assert.is(scan(bytes, 1), 0, `${bits} bits`)
      assert.is(kernel.scanMaxTimestamp(), -(2 ** bits))
      for (const cut of [1, 2, 3]) assert.is(scan(bytes.subarray(0, -cut), 1), CORRUPT)
    }
  }
  // Offset deltas of three bytes.
  const { bytes } = manyRecords(9000)
  assert.is(scan(bytes, 9000), 0)
  assert.is(scan(bytes, 8999), WRONG_COUNT)
})

test('what lies behind the window changes nothing', () => {
  const random = new SeededRandom(8)
  const { bytes } = manyRecords(3)
  for (let round = 0; round < 3000; round++) {
    const damaged = Buffer.from(bytes)
    if (random.chance(0.5)) damaged[random.below(bytes.length)] = random.below(256)
    const length = random.chance(0.5) ? bytes.length : random.below(bytes.length)
    const statuses = [0, 0xff, 0x80, 1].map((behind) => {
      kernel.u8.fill(behind, SCRATCH, SCRATCH + bytes.length + 64)
      kernel.u8.set(damaged.subarray(0, length), SCRATCH)
      return kernel.scanRecords(SCRATCH, length, 3)
    })
    assert.is(new Set(statuses).size, 1, `seed 8, round ${round}: ${statuses}`)
  }
})

test('tells a wrong count, a wrong delta, a wrong timestamp and damage apart', () => {
  const { bytes, starts } = manyRecords(10)
  assert.is(scan(bytes, 9), WRONG_COUNT)
  assert.is(scan(bytes, 11), WRONG_COUNT)
  assert.is(scan(bytes, 0), WRONG_COUNT)
  assert.is(scan(bytes, 2 ** 31 - 1), WRONG_COUNT)
  assert.is(scan(bytes.subarray(starts[1]), 9), WRONG_DELTA)
  assert.is(scan(bytes.subarray(0, -1), 10), CORRUPT)
  // Attributes of a record are unused and must be 0.
  assert.is(scan(Buffer.from([12, 1, 0, 0, 1, 1, 0]), 1), CORRUPT)
  assert.is(scan(Buffer.from([12, 0, 0, 0, 1, 1, 0]), 1), 0)
  // A timestamp delta of 2^62, of ten bytes, of eleven.
  const far = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80]
  assert.is(scan(Buffer.from([30, 0, ...far, 1, 0, 1, 1, 0]), 1), WRONG_TIMESTAMP)
  assert.is(scan(Buffer.from([30, 0, ...far, 2, 0, 1, 1, 0]), 1), CORRUPT)
  assert.is(scan(Buffer.from([32, 0, ...far, 0x80, 1, 0, 1, 1, 0]), 1), CORRUPT)
  // An offset delta of 2^31 is not 0, though its low 32 bits in zig-zag are.
  assert.is(scan(Buffer.from([20, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 1, 0]), 1), CORRUPT)
  // Lengths: key −2, headers −1, a header without key, a record longer and shorter than its fields.
  assert.is(scan(Buffer.from([12, 0, 0, 0, 3, 1, 0]), 1), CORRUPT)
  assert.is(scan(Buffer.from([12, 0, 0, 0, 1, 1, 1]), 1), CORRUPT)
  assert.is(scan(Buffer.from([16, 0, 0, 0, 1, 1, 2, 1, 1]), 1), CORRUPT)
  assert.is(scan(Buffer.from([14, 0, 0, 0, 1, 1, 0, 0]), 1), CORRUPT)
  assert.is(scan(Buffer.from([10, 0, 0, 0, 1, 1, 0]), 1), CORRUPT)
  assert.is(scan(Buffer.from([0]), 1), CORRUPT)
})

test('judges damaged records as the plain decoder does', () => {
  const random = new SeededRandom(4)
  const { bytes } = manyRecords(20)
  const plainly = (damaged: Buffer): boolean => {
    try {
      let next = 0
      for (const { offsetDelta } of iterateRecords(damaged, 20))
        if (offsetDelta !== next++) return false
      return true
    } catch {
      return false
    }
  }
  let [good, bad] = [0, 0]
  for (let i = 0; i < 10_000; i++) {
    const damaged = Buffer.from(bytes)
    damaged[random.below(bytes.length)] = random.below(256)
    const status = scan(damaged, 20)
    // The plain decoder ignores a record's attributes.
    const attributes = [...recordStarts(damaged)].some((at) => damaged[at + 1] !== 0)
    if (attributes) continue
    assert.is(status === 0, plainly(damaged), `seed 4, round ${i}`)
    status === 0 ? good++ : bad++
  }
  assert.ok(good > 1000 && bad > 500, `${good} good, ${bad} bad`)
})

/** Positions of the attributes minus one, as far as lengths lead. */
function* recordStarts(bytes: Buffer): Generator<number> {
  for (let at = 0; at < bytes.length; ) {
    let [size, shift, next] = [0, 1, at]
    do {
      size += (bytes[next]! & 0x7f) * shift
      shift *= 128
    } while (bytes[next++]! > 0x7f && next < bytes.length)
    yield next - 1
    at = next + Math.floor(size / 2)
  }
}

test('finds the first record at or behind an offset delta', () => {
  const { bytes, starts } = manyRecords(300)
  kernel.u8.set(bytes, SCRATCH)
  for (let delta = 0; delta < 300; delta++) {
    assert.is(kernel.findRecord(SCRATCH, bytes.length, delta), starts[delta])
  }
  assert.is(kernel.findRecord(SCRATCH, bytes.length, -5), 0)
  assert.is(kernel.findRecord(SCRATCH, bytes.length, 300), bytes.length)
  assert.is(kernel.findRecord(SCRATCH, 0, 0), 0)
  // Deltas may have gaps, as in a tail that was split.
  const gap = [3, 9].map((offsetDelta) => encodeRecord({ ...NOTHING, offsetDelta }))
  kernel.u8.set(Buffer.concat(gap), SCRATCH)
  assert.is(kernel.findRecord(SCRATCH, 14, 4), 7)
})

test('finding says CORRUPT where a record does not parse', () => {
  const { bytes, starts } = manyRecords(5)
  kernel.u8.set(bytes, SCRATCH)
  kernel.u8[SCRATCH + starts[3]!] = 0xff
  kernel.u8.fill(0xff, SCRATCH + starts[3]!, SCRATCH + starts[3]! + 6)
  assert.is(kernel.findRecord(SCRATCH, bytes.length, 3), CORRUPT)
  assert.is(kernel.findRecord(SCRATCH, bytes.length, 2), starts[2])
  kernel.u8.set(bytes, SCRATCH)
  assert.is(kernel.findRecord(SCRATCH, bytes.length - 1, 9), CORRUPT)
})

test.run()
