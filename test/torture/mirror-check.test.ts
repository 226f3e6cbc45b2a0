// The comparison of gateway and Kafka on bad samples.

import * as assert from 'uvu/assert'
import type { ConsumedRecord } from '../../agent/kafka/client/consumer.ts'
import { suite } from '../support/suite.ts'
import { differences } from './mirror-check.ts'

const test = suite('mirror check')

function record(offset: number, changes: Partial<ConsumedRecord> = {}): ConsumedRecord {
  return {
    topic: 't',
    partition: 0,
    offset,
    timestamp: 1000 + offset,
    key: Buffer.from('k'),
    value: Buffer.from(`v${offset}`),
    headers: [[Buffer.from('h'), null]],
    ...changes,
  }
}

const OURS = [record(5), record(6), record(7)]
const compare = (theirs: ConsumedRecord[], ours = OURS) => differences('t-0', 5, 8, ours, theirs)

test('the same records at the same offsets are no difference', () => {
  assert.equal(compare([record(5), record(6), record(7)]), [])
})

test('a change of any field is one', () => {
  const changes: Partial<ConsumedRecord>[] = [
    { timestamp: 1 },
    { key: null },
    { value: Buffer.from('v') },
    { value: null },
    { headers: [] },
    { headers: [[Buffer.from('h'), Buffer.alloc(0)]] },
  ]
  for (const change of changes) {
    const found = compare([record(5), record(6, change), record(7)])
    assert.equal(found, ['t-0@6: the records differ'])
  }
})

test('a missing, an additional and a doubled record are', () => {
  assert.match(compare([record(5), record(7)]).join(), /2 of 3 upstream/)
  assert.match(compare([record(5), record(6), record(7), record(8)]).join(), /4 of 3 upstream/)
  assert.match(
    compare([record(5), record(5), record(6)]).join(),
    /@6: offset 6 on the gateway, 5 up/,
  )
  assert.match(compare(OURS, [record(5)]).join(), /1 of 3 on the gateway/)
})

test.run()
