// The scanner of MQTT frames: boundaries anywhere, and what a fixed header may not say.

import * as assert from 'uvu/assert'
import {
  CONNECT,
  FrameScanner,
  frameFault,
  INCOMPLETE,
  PUBLISH,
} from '../../agent/ingest/frame-scanner.ts'
import { connect, frame, PING, publish } from '../support/mqtt-peer.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('frame scanner')
const MAX = 1_000

/** The words of the fault, or the type of the frame. */
function judge(bytes: number[], connected = true): string | number {
  const status = new FrameScanner(MAX).next(Buffer.from(bytes), 0, bytes.length, connected)
  return status < 0 ? frameFault(status) : status
}

test('finds the same frames wherever the bytes are cut', () => {
  const frames = [publish('a/b', 'x'.repeat(200), { qos: 1 }), PING, publish('c', '')]
  const bytes = Buffer.concat(frames)
  for (let cut = 0; cut <= bytes.length; cut++) {
    const scanner = new FrameScanner(MAX)
    const found: number[] = []
    let position = 0
    for (const end of [cut, bytes.length]) {
      while (scanner.next(bytes, position, end, true) > 0) {
        found.push(scanner.frameEnd - position)
        position = scanner.frameEnd
      }
    }
    assert.equal(
      found,
      frames.map(({ length }) => length),
      `cut at ${cut}`,
    )
  }
})

test('says how many bytes an incomplete frame takes as soon as it knows', () => {
  const bytes = publish('a', 'x'.repeat(300))
  const scanner = new FrameScanner(MAX)
  assert.is(scanner.next(bytes, 0, 1, true), INCOMPLETE)
  assert.is(scanner.needed, 0)
  assert.is(scanner.next(bytes, 0, 3, true), INCOMPLETE)
  assert.is(scanner.needed, bytes.length)
})

test('only CONNECT comes first, and only once', () => {
  const bytes = connect()
  assert.is(judge([...bytes], false), CONNECT)
  assert.is(judge([...bytes], true), 'a second CONNECT')
  assert.is(judge([...PING], false), 'a first packet that is not CONNECT')
})

test('refuses flags, types and lengths that the standard forbids, before the body has come', () => {
  assert.is(judge([0x36, 4]), 'QoS 3')
  assert.is(judge([0x38, 4]), 'DUP on QoS 0')
  assert.is(judge([0x80, 5]), 'wrong flags in the fixed header')
  assert.is(judge([0x60, 2]), 'wrong flags in the fixed header')
  assert.is(judge([0x41, 2]), 'wrong flags in the fixed header')
  assert.is(judge([0xc0, 1]), 'a packet of the wrong length')
  assert.is(judge([0xe0, 1]), 'a packet of the wrong length')
  assert.is(judge([0x40, 3]), 'a packet of the wrong length')
  for (const type of [0, 2, 9, 11, 13, 15]) {
    assert.is(judge([type << 4, 0]), 'a packet type that no client may send', `type ${type}`)
  }
})

test('refuses an oversize packet by its header alone', () => {
  const oversize = 'a packet larger than mqtt.maxPacketSize'
  assert.is(judge([0x30, 0xff, 0xff, 0xff, 0x7f]), oversize)
  assert.is(judge([...frame(0x30, Buffer.alloc(MAX - 3))]), PUBLISH)
  assert.is(judge([...frame(0x30, Buffer.alloc(MAX - 2))].slice(0, 3)), oversize)
})

test('refuses a remaining length of five bytes', () => {
  assert.is(judge([0x30, 0x80, 0x80, 0x80, 0x80]), 'a remaining length of more than four bytes')
  assert.is(judge([0x30, 0x80, 0x80, 0x80]), INCOMPLETE)
})

test('stays inside its bytes whatever they are', () => {
  const random = new SeededRandom(1)
  const scanner = new FrameScanner(MAX)
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(Array.from({ length: 1 + random.below(40) }, () => random.below(256)))
    const type = scanner.next(bytes, 0, bytes.length, true)
    if (type <= 0) continue
    assert.ok(scanner.frameEnd <= bytes.length && scanner.bodyStart <= scanner.frameEnd)
  }
})

test.run()
