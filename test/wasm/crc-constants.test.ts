// The proof of the CRC kernels' numbers holds, and fails for any number that is changed.

import * as assert from 'uvu/assert'
import * as constants from '../../wasm/assembly/crc-polynomial.ts'
import { CRC_ADVANCE, CRC_NIBBLES, CRC_TABLES } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { hasLighterMultiple, wrongConstants, wrongTables } from '../../wasm/tools/crc-constants.ts'
import { suite } from '../support/suite.ts'

const test = suite('wasm/crc-constants')

test('every number follows from the polynomial', () => {
  assert.equal(wrongConstants(), [])
})

test('any other number is found out', () => {
  for (const [name, value] of Object.entries(constants)) {
    for (const other of [value + 1, value - 1]) {
      assert.is(wrongConstants({ ...constants, [name]: other }).length, 1, name)
    }
  }
})

test('no multiple of less than eight terms has a degree below the long one', () => {
  assert.not(hasLighterMultiple(constants.LONG_DEGREE))
  assert.ok(hasLighterMultiple(constants.LONG_DEGREE + 1))
})

test('every table follows from the polynomial, and a wrong entry is found out', () => {
  const { view, u8 } = new Kernel()
  assert.equal(wrongTables(view), [])
  for (const [name, at] of Object.entries({ CRC_ADVANCE, CRC_NIBBLES, CRC_TABLES })) {
    u8[at + 77]! ^= 1
    assert.equal(wrongTables(view), [name])
    u8[at + 77]! ^= 1
  }
})

test.run()
