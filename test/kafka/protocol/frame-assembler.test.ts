import * as assert from 'uvu/assert'
import type { AgentError } from '../../../agent/base/errors.ts'
import { FrameAssembler } from '../../../agent/kafka/protocol/frame-assembler.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { suite } from '../../support/suite.ts'

const test = suite('kafka frame assembler')

function framed(body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

test('frames come out whole, however the stream is cut', () => {
  const random = new SeededRandom(7)
  for (let round = 0; round < 200; round++) {
    const frames = Array.from({ length: 5 }, () => random.bytes(4 + random.below(60)))
    const stream = Buffer.concat(frames.map(framed))
    const assembler = new FrameAssembler(100)
    const seen: Buffer[] = []
    for (let at = 0; at < stream.length; ) {
      const size = 1 + random.below(random.chance(0.5) ? 3 : 90)
      assembler.push(stream.subarray(at, at + size), (frame) => seen.push(Buffer.from(frame)))
      at += size
    }
    assert.equal(seen, frames)
    assert.not.ok(assembler.isMidFrame)
  }
})

test('a frame that lies in one chunk is a view of it', () => {
  const chunk = framed(Buffer.from('whole frame'))
  let seen: Buffer | undefined
  new FrameAssembler(100).push(chunk, (frame) => (seen = frame))
  assert.is(seen?.buffer, chunk.buffer)
  assert.is(seen?.byteOffset, chunk.byteOffset + 4)
})

test('a size below a correlation id or above the limit is refused', () => {
  for (const size of [-1, 0, 3, 101, 0x7fffffff]) {
    for (const cut of [4, 2]) {
      const prefix = Buffer.alloc(4)
      prefix.writeInt32BE(size)
      const assembler = new FrameAssembler(100)
      assert.throws(
        () => {
          assembler.push(prefix.subarray(0, cut), () => {})
          assembler.push(prefix.subarray(cut), () => {})
        },
        (error: AgentError) => error.code === 'INPUT_FRAME',
      )
    }
  }
})

test('a claim of a large frame takes no more memory than what came', () => {
  const assembler = new FrameAssembler(0x7fffffff)
  const before = process.memoryUsage().arrayBuffers
  assembler.push(Buffer.from('7ffffffe', 'hex'), () => {})
  assembler.push(Buffer.alloc(1000), () => {})
  assert.ok(assembler.isMidFrame)
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * 1024 * 1024)
})

test('a frame larger than what is trusted at once is gathered as it comes', () => {
  const body = new SeededRandom(3).bytes(3 * 1024 * 1024 + 11)
  const stream = framed(body)
  const assembler = new FrameAssembler(4 * 1024 * 1024)
  const seen: Buffer[] = []
  for (let at = 0; at < stream.length; at += 60_000) {
    assembler.push(stream.subarray(at, at + 60_000), (frame) => seen.push(frame))
  }
  assert.is(seen.length, 1)
  assert.ok(seen[0]!.equals(body))
})

test.run()
