import * as assert from 'uvu/assert'
import { AgentError, isBug, unlessBug } from '../../agent/base/errors.ts'
import { suite } from '../support/suite.ts'

const test = suite('errors')

function thrown(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

test('what the runtime throws at a mistake is a bug, though it has a code', () => {
  const mistakes = [
    () => Buffer.alloc(4).readUInt32BE(1),
    () => Buffer.alloc(4).writeUInt32BE(-1),
    () => Buffer.from(undefined as unknown as string),
    () => new Uint8Array(-1),
    () => (undefined as unknown as { name: string }).name,
    () => {
      throw new Error('broken invariant')
    },
  ]
  for (const mistake of mistakes) {
    const error = thrown(mistake)
    assert.ok(isBug(error), String(error))
    assert.is(
      thrown(() => unlessBug(error)),
      error,
    )
  }
})

test('what a disk, a network or the agent itself refuses is none', () => {
  const faults = [
    Object.assign(new Error('EIO: i/o error, write'), { code: 'EIO' }),
    Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }),
    new AgentError('STORAGE_FULL', 'no room'),
  ]
  for (const fault of faults) {
    assert.not(isBug(fault))
    unlessBug(fault)
  }
})

test.run()
