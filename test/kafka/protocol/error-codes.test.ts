import * as assert from 'uvu/assert'
import {
  errorCode,
  errorName,
  isRetriable,
  KAFKA_ERRORS,
} from '../../../agent/kafka/protocol/error-codes.ts'
import { suite } from '../../support/suite.ts'

const test = suite('kafka error codes')

test('numbers run without a gap, and each name has its own', () => {
  const codes = Object.values(KAFKA_ERRORS).map(([code]) => code)
  assert.equal(
    codes,
    codes.map((_, index) => index - 1),
  )
})

test('names and numbers lead to each other', () => {
  for (const [name, [code, retriable]] of Object.entries(KAFKA_ERRORS)) {
    assert.is(errorName(code), name)
    assert.is(isRetriable(code), retriable)
  }
  assert.is(errorCode('OUT_OF_ORDER_SEQUENCE_NUMBER'), 45)
})

test('a number from a newer broker is an unknown error, not to be retried', () => {
  assert.is(errorName(9999), 'UNKNOWN_SERVER_ERROR')
  assert.not.ok(isRetriable(9999))
})

test.run()
