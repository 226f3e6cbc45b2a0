import * as assert from 'uvu/assert'
import { AgentError, ERROR_CODES, type ErrorCode } from '../../../agent/base/errors.ts'
import { isRetriable } from '../../../agent/kafka/protocol/error-codes.ts'
import { failureOf, kafkaErrorOf } from '../../../agent/kafka/server/error-map.ts'
import { suite } from '../../support/suite.ts'

const test = suite('Kafka error map')

test('a fault that may pass is retriable for Kafka clients, too', () => {
  for (const code of ['STORAGE_FULL', 'TIMEOUT'] as const) {
    assert.is(ERROR_CODES[code][0], true)
    assert.is(isRetriable(failureOf(new AgentError(code, 'x')).errorCode), true, code)
  }
})

test('the sentence of a fault goes to the client', () => {
  const { errorMessage } = failureOf(new AgentError('INPUT_TOPIC', 'no such name'))
  assert.is(errorMessage, 'no such name')
})

test('faults of the disk are storage errors, unknown faults of ours are server errors', () => {
  assert.is(kafkaErrorOf(Object.assign(new Error(), { code: 'ENOSPC' })), 'KAFKA_STORAGE_ERROR')
  assert.is(kafkaErrorOf(new AgentError('STORAGE_IO', 'x')), 'KAFKA_STORAGE_ERROR')
  const unmapped: ErrorCode = 'INPUT_USAGE'
  assert.is(kafkaErrorOf(new AgentError(unmapped, 'x')), 'UNKNOWN_SERVER_ERROR')
})

test('a broken invariant is no answer', () => {
  assert.throws(() => kafkaErrorOf(new Error('broken invariant: x')), 'broken invariant: x')
  assert.throws(() => failureOf(new TypeError('not a function')), 'not a function')
})

test.run()
