// The tool that derives the CRC's constants again agrees with the sources, and notices a wrong one.

import * as assert from 'uvu/assert'
import { differences, readSources } from '../../wasm/tools/crc-constants.ts'
import { suite } from '../support/suite.ts'

const test = suite('wasm/tools/crc-constants')

test('every constant is what the polynomial says', () => {
  assert.equal(differences(readSources()), [])
})

test('a wrong one is named', () => {
  const { crc, fold } = readSources()
  const cases: [change: Partial<ReturnType<typeof readSources>>, said: RegExp][] = [
    [{ crc: crc.replace('0x82f63b78', '0xedb88320') }, /^POLYNOMIAL/],
    [{ fold: fold.replace('x^53', 'x^52') }, /no multiple/],
    [{ fold: fold.replace('DEGREE: u32 = 104', 'DEGREE: u32 = 105') }, /^DEGREE/],
    [{ fold: fold.replace('(h, 76)', '(h, 80)') }, /^taps4/],
    [{ fold: fold.replace('(h, 106)', '(h, 107)') }, /^taps2/],
    [{ fold: fold.replace(', 416)', ', 400)') }, /^divideBy4/],
  ]
  for (const [change, said] of cases) {
    const [first] = differences({ crc, fold, ...change })
    assert.match(String(first), said)
  }
})

test.run()
