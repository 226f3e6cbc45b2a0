import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { Outbox } from '../../firmware-sim/outbox.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/outbox')
const PAYLOAD = Buffer.alloc(0)
const entry = (sequence: number) => ({ sequence, payload: PAYLOAD, takenAtMs: 0 })

test('gives back the oldest first and drops the oldest when full', () => {
  const outbox = new Outbox(3)
  for (const sequence of [1, 2, 3]) assert.is(outbox.put(entry(sequence)), undefined)
  assert.is(outbox.put(entry(4))?.sequence, 1)
  assert.is(outbox.size, 3)
  assert.equal([outbox.take()?.sequence, outbox.take()?.sequence], [2, 3])
})

test('what comes back returns to its place', () => {
  const outbox = new Outbox(10)
  for (const sequence of [4, 5]) outbox.put(entry(sequence))
  for (const sequence of [3, 1, 2]) outbox.put(entry(sequence))
  const order = Array.from({ length: 5 }, () => outbox.take()?.sequence)
  assert.equal(order, [1, 2, 3, 4, 5])
  assert.is(outbox.take(), undefined)
})

test('holds what a sorted list of the same bound would hold', () => {
  const step = fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.constant('take' as const))
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 1, max: 20 }),
      (steps, limit) => {
        const outbox = new Outbox(limit)
        const model: number[] = []
        for (const step of steps) {
          if (step === 'take') assert.is(outbox.take()?.sequence, model.shift())
          else {
            const dropped = model.length >= limit ? model.shift() : undefined
            model.push(step)
            model.sort((a, b) => a - b)
            assert.is(outbox.put(entry(step))?.sequence, dropped)
          }
          assert.is(outbox.size, model.length)
        }
        assert.is(outbox.clear(), model.length)
        assert.is(outbox.size, 0)
      },
    ),
  )
})

test.run()
