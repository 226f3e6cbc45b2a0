import * as assert from 'uvu/assert'
import {
  derivePassword,
  deviceIdProblem,
  fleetDeviceId,
  identityOf,
  topicPermit,
} from '../../devices/identity.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/identity')

test('ids of a fleet sort as text in the order of their numbers', () => {
  assert.is(fleetDeviceId('dev-', 0, 200), 'dev-0001')
  const ids = Array.from({ length: 12_000 }, (_, index) => fleetDeviceId('d', index, 12_000))
  assert.equal([...ids].sort(), ids)
})

test('an id is usable as a topic level, or a sentence says why not', () => {
  assert.is(deviceIdProblem('plug-1.kitchen:0'), undefined)
  for (const id of ['', 'a/b', '#', '-x', 'x'.repeat(65), 'ä']) {
    assert.match(deviceIdProblem(id)!, 'device id is')
  }
})

test('each device has its own password under one secret, always the same', () => {
  const one = derivePassword('secret', 'dev-0001')
  assert.is(one, derivePassword('secret', 'dev-0001'))
  assert.is.not(one, derivePassword('secret', 'dev-0002'))
  assert.is.not(one, derivePassword('secret2', 'dev-0001'))
  assert.match(one, /^[\w-]{32}$/)
})

test('credentials name the device, and the fleet secret wins over a password', () => {
  assert.equal(identityOf('d1', { username: 'iot-{device}', password: 'p' }), {
    device: 'd1',
    username: 'iot-d1',
    password: 'p',
  })
  assert.is(
    identityOf('d1', { password: 'p', fleetSecret: 's' }).password,
    derivePassword('s', 'd1'),
  )
  assert.is(identityOf('d1', {}).username, undefined)
})

test('a device may publish under its own name only', () => {
  const permit = topicPermit('d1', ['sensors/{device}/+', 'shared/#'])
  if (typeof permit === 'string') throw new Error(permit)
  assert.ok(permit('sensors/d1/climate'))
  assert.ok(permit('shared/anything/at/all'))
  assert.not(permit('sensors/d2/climate'))
  assert.not(permit('sensors/d1'))
  assert.match(topicPermit('d1', ['a/x{device}']) as string, 'whole level')
})

test.run()
