import * as assert from 'uvu/assert'
import { LatencyHistogram } from '../../firmware-sim/latency-histogram.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/latency-histogram')

test('quantiles are right to 5 %', () => {
  const histogram = new LatencyHistogram()
  for (let ms = 1; ms <= 10_000; ms++) histogram.record(ms)
  for (const part of [0.01, 0.5, 0.99]) {
    const error = histogram.quantile(part) / (10_000 * part)
    assert.ok(error >= 1 && error <= 1.06, `${part}: ${error}`)
  }
  assert.is(histogram.maxMs, 10_000)
  assert.is(histogram.quantile(1), 10_000)
})

test('nothing recorded is zero, the very small and the very large are kept', () => {
  const histogram = new LatencyHistogram()
  assert.is(histogram.quantile(0.99), 0)
  histogram.record(0)
  assert.ok(histogram.quantile(0.5) <= 0.011)
  histogram.record(1e12)
  assert.ok(histogram.quantile(1) > 86_400_000)
  assert.is(histogram.count, 2)
})

test.run()
