// The power goes while devices publish: what was acked is on the device, not in the page cache.

import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { powerCuts } from '../torture/power-cut.ts'

const test = suite('power cut')
const ROUNDS = 3

test(
  'every message that was acked outlives a power cut, those of QoS 2 once',
  async () => {
    const report = await powerCuts({ rounds: ROUNDS, seed: 11, log: console.log })
    if (report === undefined) return
    assert.equal(report.faults, [])
    assert.is(report.rounds, ROUNDS)
    assert.ok(report.ackedAtCut > 300, `only ${report.ackedAtCut} acked`)
  },
  { timeoutMs: 90_000 },
)

test.run()
