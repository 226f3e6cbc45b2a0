// Record for record against a mirror: what counts as a difference, and what it is called.

import * as assert from 'uvu/assert'
import { compareRecords } from '../../agent/cli/mirror-comparison.ts'
import type { LossReason } from '../../agent/log/loss.ts'
import { hollowBatch } from '../../agent/log/made-batch.ts'
import { type DecodedRecord, decodeRecords } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'
import { suite } from '../support/suite.ts'

const test = suite('mirror comparison')

function record(offset: number, change: Partial<DecodedRecord> = {}): DecodedRecord {
  return {
    offset,
    timestamp: 1000 + offset,
    key: Buffer.from('k'),
    value: Buffer.from(`v${offset}`),
    headers: [[Buffer.from('h'), Buffer.from('x')]],
    ...change,
  }
}

async function* each(records: DecodedRecord[]): AsyncGenerator<DecodedRecord> {
  yield* records
}

const compare = (local: DecodedRecord[], mirror: DecodedRecord[]) =>
  compareRecords(each(local), each(mirror))

test('the same records are identical, nothing is fine too', async () => {
  const records = [1, 2, 3].map((offset) => record(offset))
  const none = { lostHere: 0, differences: [] }
  assert.equal(await compare(records, records), { compared: 3, identical: 3, ...none })
  assert.equal(await compare([], []), { compared: 0, identical: 0, ...none })
})

test('every field counts, and null is not empty', async () => {
  const changes: [Partial<DecodedRecord>, string][] = [
    [{ timestamp: 1 }, 'timestamp'],
    [{ key: null }, 'key'],
    [{ value: Buffer.from('other') }, 'value'],
    [{ headers: [] }, 'header'],
    [{ headers: [[Buffer.from('h'), null]] }, 'header'],
    [{ headers: [[Buffer.from('H'), Buffer.from('x')]] }, 'header'],
  ]
  for (const [change, field] of changes) {
    const { identical, differences } = await compare(
      [record(7), record(8)],
      [record(7, change), record(8)],
    )
    assert.equal([identical, differences], [1, [`offset 7 has another ${field} there`]])
  }
  const { differences } = await compare(
    [record(1, { value: null })],
    [record(1, { value: Buffer.alloc(0) })],
  )
  assert.equal(differences, ['offset 1 has another value there'])
})

test('a record that one side lacks is told and does not shift the rest', async () => {
  const { compared, identical, differences } = await compare(
    [record(1), record(2), record(4)],
    [record(2), record(3), record(4)],
  )
  assert.equal([compared, identical], [4, 2])
  assert.equal(differences, ['offset 1 is missing there', 'offset 3 is only there'])
})

test('of many differences the first few are shown, all are counted', async () => {
  const local = Array.from({ length: 100 }, (_, offset) => record(offset))
  const mirror = local.map((each) => ({ ...each, key: null }))
  const { compared, identical, differences } = await compare(local, mirror)
  assert.equal([compared, identical, differences.length], [100, 0, 5])
})

const hollow = (from: number, to: number, reason: LossReason) => [
  ...decodeRecords(hollowBatch({ from, to, reason }, 5, codecs), codecs),
]

test('what damage took here and the mirror has is no difference, and counted by itself', async () => {
  const records = Array.from({ length: 10 }, (_, offset) => record(offset))
  for (const reason of ['rot', 'file', 'journal'] as const) {
    const local = [...records.slice(0, 3), ...hollow(3, 7, reason), ...records.slice(7)]
    const none = { differences: [] }
    assert.equal(await compare(local, records), { compared: 6, identical: 6, lostHere: 4, ...none })
    // Lost before it was sent: both have the gap.
    assert.equal(await compare(local, local), { compared: 10, identical: 10, lostHere: 0, ...none })
  }
})

test('what was dropped on purpose and is there all the same is a difference', async () => {
  const records = [record(0), record(1)]
  const { differences, lostHere } = await compare([record(0), ...hollow(1, 2, 'dropped')], records)
  assert.is(lostHere, 0)
  assert.equal(differences, ['offset 1 has another timestamp there'])
})

test('a range that begins inside a gap is told when the reading began before it', async () => {
  const mirror = [record(5), record(6), record(7)]
  const local = [...hollow(2, 7, 'rot'), record(7)]
  const found = await compareRecords(each(local), each(mirror), 5)
  assert.equal(found, { compared: 1, identical: 1, lostHere: 2, differences: [] })
})

test('a record that is missing there is a difference, lost here or not', async () => {
  const { differences } = await compare([record(1), ...hollow(2, 4, 'rot')], [record(1), record(3)])
  assert.equal(differences, ['offset 2 is missing there'])
})

test.run()
