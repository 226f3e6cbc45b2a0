// Records that stand for lost ones, told from records that are empty by themselves.

import * as assert from 'uvu/assert'
import { GapTracker, gapBoundary } from '../../agent/log/gap-tracker.ts'
import type { LossReason } from '../../agent/log/loss.ts'
import { hollowBatch } from '../../agent/log/made-batch.ts'
import { buildBatch, type DecodedRecord, decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { suite } from '../support/suite.ts'

const test = suite('log/gap-tracker')

const hollow = (from: number, to: number, reason: LossReason) => [
  ...decodeRecords(hollowBatch({ from, to, reason }, 1000, codecs), codecs),
]

const plain = (baseOffset: number, ...values: (string | null)[]) => {
  const records = values.map((value) => ({
    ...{ timestamp: 1, key: null, value: value === null ? null : Buffer.from(value), headers: [] },
  }))
  return [...decodeRecords(buildBatch(records, { codecs, baseOffset }), codecs)]
}

const told = (records: readonly DecodedRecord[]) => {
  const gaps = new GapTracker()
  return records.map((record) => gaps.take(record) ?? '-').join(' ')
}

test('a hollow batch is lost as a whole, for its reason, and nothing around it', () => {
  const records = [...plain(0, 'a', 'b'), ...hollow(2, 5, 'rot'), ...plain(5, null, 'c')]
  assert.is(told(records), '- - rot rot rot - -')
})

test('hollow batches beside each other keep their reasons apart', () => {
  assert.is(
    told([...hollow(7, 9, 'file'), ...hollow(9, 11, 'dropped')]),
    'file file dropped dropped',
  )
})

test('from a boundary on all is told, however long the gap', () => {
  const from = 65_530
  const second = hollow(65_536, 131_072, 'journal')
  assert.is(hollow(from, 131_072, 'journal').length, 6)
  assert.is(second.length, 65_536)
  assert.is(gapBoundary(70_000), 65_536)
  const gaps = new GapTracker()
  assert.ok(second.every((record) => gaps.take(record) === 'journal'))
})

test('a header that says something else is no gap', () => {
  for (const content of ['3,9,rot', '0,9,because', '0,9', '', null]) {
    const value = content === null ? null : Buffer.from(content)
    const record = { timestamp: 1, key: null, value: null, headers: [['edge-gap', value]] } as const
    const batch = buildBatch([record], { codecs })
    assert.is(told([...decodeRecords(batch, codecs)]), '-', String(content))
  }
})

test('a record with a value ends a gap early, and its header begins none', () => {
  const lie = { timestamp: 1, key: null, value: Buffer.from('v') }
  const headers = [['edge-gap', Buffer.from('0,9,rot')]] as const
  const batch = buildBatch(
    [
      { ...lie, headers },
      { timestamp: 1, key: null, value: null },
    ],
    {
      codecs,
    },
  )
  assert.is(told([...decodeRecords(batch, codecs)]), '- -')
})

test.run()
