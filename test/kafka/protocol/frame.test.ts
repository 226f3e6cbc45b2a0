import * as assert from 'uvu/assert'
import {
  decodeResponse,
  encodeRequest,
  encodeResponse,
  readRequestHeader,
} from '../../../agent/kafka/protocol/frame.ts'
import * as heartbeat from '../../../agent/kafka/protocol/messages/12-heartbeat.ts'
import * as apiVersions from '../../../agent/kafka/protocol/messages/18-api-versions.ts'
import { Reader } from '../../../agent/kafka/protocol/wire.ts'
import { suite } from '../../support/suite.ts'

const test = suite('kafka frame')

const beat = { groupId: 'g', generationId: 1, memberId: 'm' }
const header = { correlationId: 9, clientId: 'c' }

test('a request begins with its size and header v1, or v2 when flexible', () => {
  const plain = Buffer.concat(encodeRequest(heartbeat, { ...header, apiVersion: 0 }, beat))
  assert.is(plain.readInt32BE(0), plain.length - 4)
  assert.is(plain.subarray(4, 15).toString('hex'), '000c' + '0000' + '00000009' + '000163')
  const flexible = Buffer.concat(encodeRequest(heartbeat, { ...header, apiVersion: 4 }, beat))
  assert.is(
    flexible.subarray(4, 16).toString('hex'),
    '000c' + '0004' + '00000009' + '000163' + '00',
  )
})

test('a header reads back in each of its versions', () => {
  for (const apiVersion of [0, 4]) {
    const frame = Buffer.concat(encodeRequest(heartbeat, { ...header, apiVersion }, beat))
    const reader = new Reader(frame.subarray(4))
    const read = readRequestHeader(reader, (_, version) => heartbeat.request.isFlexible(version))
    assert.equal(read, { apiKey: 12, apiVersion, ...header })
    assert.is(heartbeat.request.decode(reader, apiVersion).memberId, 'm')
  }
  const shutdown = new Reader(Buffer.from('0007' + '0000' + '00000001' + '00000005', 'hex'))
  assert.is(readRequestHeader(shutdown, () => false).clientId, null)
  assert.is(shutdown.int32(), 5)
})

test('a flexible response has header v1, but never that of ApiVersions', () => {
  const flexible = Buffer.concat(encodeResponse(heartbeat, 4, 9, { errorCode: 3 }))
  assert.is(flexible.toString('hex'), '0000000c' + '00000009' + '00' + '00000000' + '0003' + '00')
  const versions = Buffer.concat(encodeResponse(apiVersions, 3, 9, { errorCode: 0, apiKeys: [] }))
  assert.is(versions.toString('hex'), '0000000c' + '00000009' + '0000' + '01' + '00000000' + '00')
  assert.is(decodeResponse(heartbeat, 4, flexible.subarray(4)).errorCode, 3)
  assert.equal(decodeResponse(apiVersions, 3, versions.subarray(4)).apiKeys, [])
})

test.run()
