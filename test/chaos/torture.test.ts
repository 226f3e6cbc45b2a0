// Ten rounds of the torture: kill -9 and SIGSTOP of the agent and of Kafka, a full disk, under load.

import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { torture } from '../torture/torture.ts'

const test = suite('torture')
const ROUNDS = 10

test(
  'whatever strikes either side loses nothing acked, doubles nothing, moves no offset',
  async () => {
    const report = await torture({ rounds: ROUNDS, seed: 3, log: console.log })
    if (report === undefined) return
    assert.equal(report.faults, [])
    assert.is(report.rounds, ROUNDS)
    assert.ok(report.records > 1000, `only ${report.records} records`)
    const { strikes } = report
    assert.ok(strikes['kill agent'] > 0 && strikes['kill kafka'] > 0, 'one side was never killed')
  },
  { timeoutMs: 110_000 },
)

test.run()
