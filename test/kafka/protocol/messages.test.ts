// Golden frames: what real clients and a real broker said decodes, and encodes to the same bytes.

import * as assert from 'uvu/assert'
import { AgentError } from '../../../agent/base/errors.ts'
import {
  decodeResponse,
  encodeRequest,
  encodeResponse,
  readRequestHeader,
} from '../../../agent/kafka/protocol/frame.ts'
import { Reader } from '../../../agent/kafka/protocol/wire.ts'
import { SeededRandom } from '../../support/seeded-random.ts'
import { suite } from '../../support/suite.ts'
import { apis, type GoldenFrame, goldenFrames, titleOf } from './golden-frames.ts'

const test = suite('kafka messages')

/** The golden frame again, from what it decodes to. */
function reencode({ apiKey, version, kind, frame }: GoldenFrame): Buffer {
  const api = apis.get(apiKey)!
  if (kind === 'response') {
    const body = decodeResponse(api, version, frame)
    return Buffer.concat(encodeResponse(api, version, frame.readInt32BE(0), body))
  }
  const reader = new Reader(frame)
  const header = readRequestHeader(reader, () => api.request.isFlexible(version))
  const body = api.request.decode(reader, version)
  assert.is(reader.remaining, 0, 'nothing is left')
  return Buffer.concat(encodeRequest(api, header, body))
}

function decode({ apiKey, version, kind }: GoldenFrame, frame: Buffer): unknown {
  const api = apis.get(apiKey)!
  if (kind === 'response') return decodeResponse(api, version, frame)
  const reader = new Reader(frame)
  readRequestHeader(reader, () => api.request.isFlexible(version))
  return api.request.decode(reader, version)
}

test('every golden frame decodes and encodes to the same bytes', () => {
  for (const golden of goldenFrames) {
    const again = reencode(golden)
    assert.is(again.readInt32BE(0), golden.frame.length, titleOf(golden))
    assert.is(again.subarray(4).toString('hex'), golden.frame.toString('hex'), titleOf(golden))
  }
})

test('every api has golden frames of a request and a response', () => {
  const seen = new Set(goldenFrames.map(({ apiKey, kind }) => `${apiKey} ${kind}`))
  const missing = [...apis.values()]
    .flatMap(({ apiKey }) => [`${apiKey} request`, `${apiKey} response`])
    .filter((name) => !seen.has(name))
  assert.equal(missing, [])
})

test('golden frames come from versions on both sides of every flexible border', () => {
  const versions = new Set(goldenFrames.map(({ apiKey, version }) => `${apiKey} ${version}`))
  const borders = [...apis.values()].flatMap(({ apiKey, versions: [lowest, highest], request }) => {
    const all = Array.from({ length: highest - lowest + 1 }, (_, index) => lowest + index)
    const first = all.find((version) => request.isFlexible(version))
    return first === undefined || first === lowest
      ? []
      : [`${apiKey} ${first - 1}`, `${apiKey} ${first}`]
  })
  assert.equal(
    borders.filter((border) => !versions.has(border)),
    [],
  )
})

test('file names carry the two-digit api key', () => {
  for (const { apiKey, file } of apis.values()) {
    assert.is(file.slice(0, 3), `${String(apiKey).padStart(2, '0')}-`)
  }
})

/** Decodes or throws INPUT_FRAME; returns how many values came out. */
function survives(golden: GoldenFrame, frame: Buffer): number {
  try {
    return countValues(decode(golden, frame))
  } catch (error) {
    if (error instanceof AgentError && error.code === 'INPUT_FRAME') return 0
    throw new Error(`${titleOf(golden)}: ${frame.toString('hex')}`, { cause: error })
  }
}

function countValues(value: unknown): number {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return 1
  return Object.values(value).reduce((sum: number, part) => sum + countValues(part), 1)
}

test('a truncated frame is refused with INPUT_FRAME', () => {
  for (const golden of goldenFrames) {
    const { frame } = golden
    for (let size = 0; size < frame.length; size++) survives(golden, frame.subarray(0, size))
  }
})

test('a frame cut before its last byte never decodes', () => {
  for (const golden of goldenFrames) {
    assert.throws(
      () => decode(golden, golden.frame.subarray(0, -1)),
      (error: AgentError) => error.code === 'INPUT_FRAME',
      titleOf(golden),
    )
  }
})

test('a mutated frame is refused or decodes to no more values than its bytes allow', () => {
  const random = new SeededRandom(20260801)
  for (const golden of goldenFrames) {
    for (let round = 0; round < 60; round++) {
      const frame = Buffer.from(golden.frame)
      for (let change = random.below(4); change >= 0; change--) {
        const byte = [0, 1, 0x7f, 0x80, 0xff, random.below(256)][random.below(6)]!
        frame[random.below(frame.length)] = byte
      }
      // An object has up to 16 fields, and takes a byte of the frame at least.
      assert.ok(survives(golden, frame) <= 40 + 20 * frame.length)
    }
  }
})

test.run()
