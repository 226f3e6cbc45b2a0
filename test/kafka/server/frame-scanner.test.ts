import * as assert from 'uvu/assert'
import { FrameScanner } from '../../../agent/kafka/server/frame-scanner.ts'
import { RequestMemory } from '../../../agent/kafka/server/request-memory.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { suite } from '../../support/suite.ts'

const test = suite('frame scanner and request memory')

function framed(body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

/** Every frame that is whole, with large ones begun as a connection would. */
function drain(scanner: FrameScanner): Buffer[] {
  const frames: Buffer[] = []
  for (;;) {
    const next = scanner.next()
    if (next.kind === 'frame') frames.push(next.bytes)
    else if (next.kind === 'large') scanner.begin(next.size)
    else return frames
  }
}

test('frames come out the same however the stream is cut', () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = new SeededRandom(seed)
    const bodies = Array.from({ length: 30 }, () =>
      random.bytes(random.chance(0.1) ? random.below(5000) : random.below(20)),
    )
    const stream = Buffer.concat(bodies.map(framed))
    const scanner = new FrameScanner(6000)
    const found: Buffer[] = []
    for (let position = 0; position < stream.length; ) {
      const size = 1 + random.below(random.chance(0.5) ? 8 : 900)
      scanner.push(stream.subarray(position, position + size))
      position += size
      if (random.chance(0.7)) found.push(...drain(scanner))
    }
    found.push(...drain(scanner))
    assert.equal(found, bodies, `seed ${seed}`)
    assert.is(scanner.isInside, false)
  }
})

test('a frame in one chunk is a view of it, a cut one is announced before any memory is taken', () => {
  const scanner = new FrameScanner(100)
  const chunk = framed(Buffer.from('hello'))
  scanner.push(chunk)
  const [frame] = drain(scanner)
  assert.is(frame!.buffer, chunk.buffer)
  scanner.push(chunk.subarray(0, 6))
  assert.equal(scanner.next(), { kind: 'large', size: 5 })
  assert.equal(scanner.next(), { kind: 'large', size: 5 })
  scanner.begin(5)
  assert.equal(scanner.next(), { kind: 'more' })
  assert.is(scanner.isInside, true)
})

test('sizes that are negative or above the limit are refused', () => {
  for (const size of [-1, -(2 ** 31), 101, 2 ** 31 - 1]) {
    const scanner = new FrameScanner(100)
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(size)
    scanner.push(bytes.subarray(0, 1))
    assert.equal(scanner.next(), { kind: 'more' })
    scanner.push(bytes.subarray(1))
    assert.equal(scanner.next(), { kind: 'refused', size })
  }
})

test('memory is given in turn, and nobody overtakes a large request', () => {
  const memory = new RequestMemory(100)
  const given: string[] = []
  assert.is(
    memory.reserve(60, () => {}),
    true,
  )
  assert.is(
    memory.reserve(50, () => given.push('b')),
    false,
  )
  assert.is(
    memory.reserve(10, () => given.push('c')),
    false,
  )
  assert.equal(given, [])
  memory.release(60)
  assert.equal(given, ['b', 'c'])
  assert.is(memory.used, 60)
})

test('who leaves the queue makes place for those behind', () => {
  const memory = new RequestMemory(100)
  const given: string[] = []
  memory.reserve(60, () => {})
  const leaving = () => given.push('leaving')
  memory.reserve(50, leaving)
  memory.reserve(40, () => given.push('next'))
  memory.forget(leaving)
  assert.equal(given, ['next'])
  assert.is(memory.used, 100)
})

test('a request above the whole limit is let in alone', () => {
  const memory = new RequestMemory(100)
  assert.is(
    memory.reserve(500, () => {}),
    true,
  )
  assert.is(
    memory.reserve(1, () => {}),
    false,
  )
})

test.run()
