import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { flipABytes, grouped } from './flip-a-byte.ts'

const test = suite('flip a byte')

// `npm run flip-a-byte -- --places 200` is the whole of it; the same seed finds the same faults here.
for (const kind of ['killed', 'stopped'] as const) {
  test(
    `damage to any file of a ${kind} store is found, told, and costs nothing else`,
    async () => {
      const report = await flipABytes({ kind, places: 2, seed: 1, every: 11 })
      assert.equal(grouped(report), [])
      assert.ok(report.files > 20 && report.damages > 12, JSON.stringify(report))
    },
    { timeoutMs: 50_000 },
  )
}

test.run()
