// Floor search in segment indexes against a search that looks at every entry.

import * as assert from 'uvu/assert'
import { INDEX } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { searchTwin } from './twins.ts'

const test = suite('wasm/index-search')
const kernel = new Kernel()
const COUNTS = [0, 1, 2, 3, 7, 8, 9, 100, 1000]

/** `count` ascending numbers with gaps and repetitions. */
function ascending(count: number, start: number, random: SeededRandom): number[] {
  let value = start
  return Array.from({ length: count }, () => (value += random.below(4) * random.below(50)))
}

function floorOf(values: number[], wanted: number): number {
  return values.filter((value) => value <= wanted).length - 1
}

test('finds the last offset entry at or below, for every target around every entry', () => {
  const random = new SeededRandom(1)
  for (const count of COUNTS) {
    const values = ascending(count, 5, random)
    for (const [i, value] of values.entries()) {
      kernel.view.setInt32(INDEX + i * 8, value)
      kernel.view.setInt32(INDEX + i * 8 + 4, random.below(2 ** 31))
    }
    const targets = new Set([0, 4, 2 ** 31 - 1, ...values.flatMap((v) => [v - 1, v, v + 1])])
    for (const target of targets) {
      assert.is(kernel.searchOffsetIndex(INDEX, count, target), floorOf(values, target))
    }
  }
})

test('finds the last time entry at or below, at real times and before 1970', () => {
  const random = new SeededRandom(2)
  for (const start of [1_763_870_000_156, -1, -(2 ** 40), 2 ** 52]) {
    for (const count of COUNTS) {
      const values = ascending(count, start, random)
      for (const [i, value] of values.entries()) {
        kernel.view.setBigInt64(INDEX + i * 12, BigInt(value))
        kernel.view.setInt32(INDEX + i * 12 + 8, random.below(2 ** 31))
      }
      const far = [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]
      for (const target of [...far, ...values.flatMap((v) => [v - 1, v, v + 1])]) {
        assert.is(kernel.searchTimeIndex(INDEX, count, target), floorOf(values, target))
      }
    }
  }
})

test('equals a search over a DataView at random counts and targets', () => {
  const random = new SeededRandom(3)
  const { view } = kernel
  for (let round = 0; round < 100; round++) {
    const count = random.below(5000)
    const values = ascending(count, random.below(1000), random)
    const end = (values.at(-1) ?? 0) + 10
    for (const [i, value] of values.entries()) view.setInt32(INDEX + i * 8, value)
    const offsetOf = (i: number) => view.getInt32(INDEX + i * 8)
    const targets = Array.from({ length: 50 }, () => random.below(end))
    for (const target of targets) {
      const twin = searchTwin(count, target, offsetOf)
      assert.is(kernel.searchOffsetIndex(INDEX, count, target), twin)
    }
    for (const [i, value] of values.entries()) view.setBigInt64(INDEX + i * 12, BigInt(value))
    const timeOf = (i: number) => Number(view.getBigInt64(INDEX + i * 12))
    for (const target of targets) {
      const twin = searchTwin(count, target, timeOf)
      assert.is(kernel.searchTimeIndex(INDEX, count, target), twin)
    }
  }
})

test.run()
