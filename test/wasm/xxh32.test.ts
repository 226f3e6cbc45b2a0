// xxHash-32 against the published vector and a twin in BigInt.

import * as assert from 'uvu/assert'
import { INGRESS } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { xxh32Twin } from './twins.ts'

const test = suite('wasm/xxh32')
const kernel = new Kernel()

test('equals the published vector, and the twin at every length and alignment', () => {
  assert.is(kernel.xxh32(INGRESS, 0), 0x02cc5d05)
  const bytes = new SeededRandom(1).bytes(600)
  for (let n = 0; n <= 600; n++) {
    const start = INGRESS + (n % 17)
    kernel.u8.set(bytes, start)
    assert.is(kernel.xxh32(start, n), xxh32Twin(bytes.subarray(0, n)), `${n} bytes`)
  }
})

test.run()
