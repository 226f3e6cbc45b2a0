// Record for record against a mirror: what counts as a difference, and what it is called.

import * as assert from 'uvu/assert'
import { compareRecords } from '../../agent/cli/mirror-comparison.ts'
import type { DecodedRecord } from '../../agent/record/record-batch.ts'
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
  assert.equal(await compare(records, records), { compared: 3, identical: 3, differences: [] })
  assert.equal(await compare([], []), { compared: 0, identical: 0, differences: [] })
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

test.run()
