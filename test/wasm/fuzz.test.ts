// A few seconds of what `npm run fuzz` does for as long as one likes.

import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { fuzz, TARGETS } from './fuzz-targets.ts'

const test = suite('wasm/fuzz')

for (const target of TARGETS) {
  test(`${target}: damaged frames end in a status or in bytes, within the window`, () => {
    const { frames, accepted } = fuzz(target, 60_000, 7)
    assert.ok(accepted > 0, 'some damage is harmless')
    assert.ok(accepted < frames / 2, 'most is found')
  })
}

test.run()
