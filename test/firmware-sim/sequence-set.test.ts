import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { SequenceSet } from '../../firmware-sim/sequence-set.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/sequence-set')
const sequences = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 120 })

function setOf(numbers: readonly number[]): SequenceSet {
  const set = new SequenceSet()
  for (const number of numbers) set.add(number)
  return set
}

function expand(runs: readonly (readonly [number, number])[]): number[] {
  return runs.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, at) => from + at))
}

test('behaves as a set, whatever the order', () => {
  fc.assert(
    fc.property(sequences, (numbers) => {
      const [set, model] = [new SequenceSet(), new Set<number>()]
      for (const number of numbers) {
        assert.is(set.add(number), !model.has(number))
        model.add(number)
      }
      assert.is(set.size, model.size)
      assert.is(set.highest, Math.max(0, ...model))
      for (let number = 0; number <= 61; number++) assert.is(set.has(number), model.has(number))
      let contiguous = 0
      while (model.has(contiguous + 1)) contiguous++
      assert.is(set.contiguous, contiguous)
    }),
  )
})

test('keeps sorted runs that never touch, and reads back from them', () => {
  fc.assert(
    fc.property(sequences, (numbers) => {
      const set = setOf(numbers)
      for (let at = 1; at < set.runs.length; at++) {
        assert.ok(set.runs[at]![0] > set.runs[at - 1]![1] + 1)
      }
      assert.equal(
        expand(set.runs),
        [...new Set(numbers)].sort((a, b) => a - b),
      )
      assert.equal(SequenceSet.of(set.runs).runs, set.runs)
      assert.is(SequenceSet.of(set.runs).size, set.size)
    }),
  )
})

test('tells exactly what another set lacks', () => {
  fc.assert(
    fc.property(sequences, sequences, (mine, theirs) => {
      const expected = [...new Set(mine)].filter((n) => !theirs.includes(n)).sort((a, b) => a - b)
      const [set, other] = [setOf(mine), setOf(theirs)]
      assert.equal(expand(set.missingIn(other, 1_000)), expected)
      assert.is(set.countMissingIn(other), expected.length)
      assert.ok(set.missingIn(other, 2).length <= 2)
    }),
  )
})

test('a million messages in order are one run', () => {
  const set = new SequenceSet()
  for (let number = 1; number <= 1_000_000; number++) set.add(number)
  assert.is(set.runs.length, 1)
  assert.is(set.contiguous, 1_000_000)
})

test.run()
