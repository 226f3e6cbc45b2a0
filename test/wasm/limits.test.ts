// The memory map: regions in order, with slack, none over another.

import * as assert from 'uvu/assert'
import * as limits from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { suite } from '../support/suite.ts'

const test = suite('wasm/limits')

const named = limits as unknown as Record<string, number>

/** Every X that has an X_BYTES, by address. */
const regions = Object.keys(named)
  .filter((name) => `${name}_BYTES` in named)
  .map((name) => ({ name, start: named[name]!, end: named[name]! + named[`${name}_BYTES`]! }))
  .sort((a, b) => a.start - b.start)

test('regions do not overlap', () => {
  assert.ok(regions.length >= 11)
  for (const [i, region] of regions.entries()) {
    const next = regions[i + 1]?.start ?? limits.MEMORY_BYTES
    assert.ok(region.end <= next, `${region.name} reaches into what follows`)
    assert.ok(region.start >= 0x400, 'the lowest addresses stay free')
  }
})

test('every public region has slack behind it', () => {
  for (const name of ['INGRESS', 'EGRESS', 'SEAL', 'INDEX', 'SCRATCH', 'TAILS']) {
    const region = regions.find((candidate) => candidate.name === name)!
    const next = regions.find(({ start }) => start >= region.end)?.start ?? limits.MEMORY_BYTES
    assert.ok(next - region.end >= limits.SLACK, name)
  }
})

test('the kernel has exactly the memory of the map, and views over all of it', () => {
  const kernel = new Kernel()
  assert.is(kernel.memory.buffer.byteLength, limits.MEMORY_BYTES)
  assert.is(limits.MEMORY_PAGES * 65536, limits.MEMORY_BYTES)
  for (const view of [kernel.u8, kernel.buffer, kernel.view]) {
    assert.is(view.byteLength, limits.MEMORY_BYTES)
    assert.is(view.buffer, kernel.memory.buffer)
  }
})

test('two kernels share nothing', () => {
  const [a, b] = [new Kernel(), new Kernel()]
  a.u8[limits.INGRESS] = 7
  assert.is(b.u8[limits.INGRESS], 0)
})

test.run()
