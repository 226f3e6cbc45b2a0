// The torture's judge on bad samples: what it does not see, no number of rounds proves.

import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { Ledger } from './ledger.ts'

const test = suite('ledger')

/** Enters the messages of one client, in order, and closes. */
function faultsOf(qos: 1 | 2, issued: number, sequences: readonly number[]): string[] {
  const ledger = new Ledger([{ clientId: 'c', qos, issued }])
  for (const seq of sequences) {
    ledger.enter(`t-0@${ledger.records}`, Buffer.from(JSON.stringify({ client: 'c', seq })))
  }
  ledger.close()
  return ledger.faults
}

test('every message once, in order, is good for both', () => {
  assert.equal(faultsOf(1, 3, [1, 2, 3]), [])
  assert.equal(faultsOf(2, 3, [1, 2, 3]), [])
})

test('a repeat is good for QoS 1 and a fault for QoS 2', () => {
  assert.equal(faultsOf(1, 3, [1, 2, 2, 1, 2, 3]), [])
  assert.match(faultsOf(2, 3, [1, 2, 2, 3]).join(), /c 2 a second time/)
})

test('a gap is a fault', () => {
  for (const qos of [1, 2] as const) {
    assert.match(faultsOf(qos, 4, [1, 2, 4]).join(), /c 4 follows 2/)
  }
})

test('an acked message that is missing at the end is a fault', () => {
  assert.equal(faultsOf(1, 4, [1, 2, 3]), ['c: 4 acked, the log ends with 3'])
  assert.equal(faultsOf(2, 1, []), ['c: 1 acked, the log ends with 0'])
})

test('a message that was never sent, or is none of ours, is a fault', () => {
  assert.match(faultsOf(2, 1, [1, 2]).join(), /c 2 was never sent/)
  const ledger = new Ledger([{ clientId: 'c', qos: 1, issued: 0 }])
  ledger.enter('t-0@0', null)
  ledger.enter('t-0@1', Buffer.from('{"client":"d","seq":1}'))
  ledger.enter('t-0@2', Buffer.from('garbage'))
  assert.is(ledger.faults.length, 3)
})

test('the count goes on over several rounds', () => {
  const client = { clientId: 'c', qos: 2 as const, issued: 1 }
  const ledger = new Ledger([client])
  const enter = (seq: number) => ledger.enter('p', Buffer.from(`{"client":"c","seq":${seq}}`))
  enter(1)
  ledger.close()
  client.issued = 2
  enter(2)
  ledger.close()
  assert.equal(ledger.faults, [])
})

test.run()
