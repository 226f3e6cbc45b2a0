// CRC-32C against official vectors and a twin that goes bit by bit.

import * as assert from 'uvu/assert'
import { INGRESS, INGRESS_BYTES, MEMORY_BYTES, SCRATCH } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { crc32cTwin } from './twins.ts'

const test = suite('wasm/crc32c')
const kernel = new Kernel()

function crcOf(bytes: Uint8Array, at = INGRESS): number {
  kernel.u8.set(bytes, at)
  return kernel.crc32c(at, bytes.length)
}

test('equals the published vectors', () => {
  assert.is(crcOf(Buffer.from('123456789')), 0xe3069283)
  // RFC 3720, B.4.
  assert.is(crcOf(new Uint8Array(32)), 0x8a9136aa)
  assert.is(crcOf(new Uint8Array(32).fill(0xff)), 0x62a8ab43)
  assert.is(crcOf(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  assert.is(crcOf(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c)
})

test('equals the twin at every length to 4 KB, at every alignment, whatever lies behind', () => {
  const bytes = new SeededRandom(1).bytes(4096)
  for (let length = 0; length <= 4096; length++) {
    const piece = bytes.subarray(0, length)
    const at = INGRESS + (length % 17)
    kernel.u8.fill(length, at + length, at + length + 32)
    assert.is(crcOf(piece, at), crc32cTwin(piece), `${length} bytes`)
  }
})

test('equals the twin for 100,000 short messages after any CRC', () => {
  const random = new SeededRandom(8)
  kernel.u8.set(random.bytes(8192), INGRESS)
  for (let i = 0; i < 100_000; i++) {
    const at = INGRESS + random.below(8000)
    const length = random.below(48)
    const before = kernel.u8.subarray(at, at + random.below(5))
    const start = at + before.length
    const crc = kernel.crcUpdate(crc32cTwin(before), start, length)
    assert.is(crc, crc32cTwin(kernel.u8.subarray(at, start + length)))
  }
})

test('equals the twin at the edges of its loops, on random and on empty bytes', () => {
  const bytes = new SeededRandom(2).bytes(INGRESS_BYTES)
  // Where another fold begins, and whole chunks of a fold with what it leaves.
  for (const edge of [
    640,
    8192,
    8608,
    11536,
    12288,
    16800,
    19728,
    65536,
    262144,
    INGRESS_BYTES - 1,
  ]) {
    for (const length of [edge - 16, edge - 1, edge, edge + 1]) {
      const piece = bytes.subarray(0, length)
      assert.is(crcOf(piece), crc32cTwin(piece), `${length} bytes`)
    }
  }
  assert.is(crcOf(new Uint8Array(70_000)), crc32cTwin(new Uint8Array(70_000)))
})

test('goes on where a finished CRC stopped', () => {
  const bytes = new SeededRandom(3).bytes(5000)
  kernel.u8.set(bytes, INGRESS)
  const whole = kernel.crc32c(INGRESS, 5000)
  assert.is(kernel.crcUpdate(0, INGRESS, 5000), whole)
  for (const cut of [0, 1, 15, 16, 17, 2500, 4999, 5000]) {
    const first = kernel.crc32c(INGRESS, cut)
    assert.is(kernel.crcUpdate(first, INGRESS + cut, 5000 - cut), whole)
  }
})

test('combines the CRCs of two stretches of any length', () => {
  const random = new SeededRandom(4)
  const bytes = random.bytes(INGRESS_BYTES)
  kernel.u8.set(bytes, INGRESS)
  for (let i = 0; i < 200; i++) {
    const total = Math.floor(random.next() ** 3 * INGRESS_BYTES)
    const cut = random.below(total + 1)
    const a = kernel.crc32c(INGRESS, cut)
    const b = kernel.crc32c(INGRESS + cut, total - cut)
    assert.is(kernel.crcCombine(a, b, total - cut), kernel.crc32c(INGRESS, total))
  }
  // Lengths no memory has: in two steps as in one.
  const crc = kernel.crc32c(INGRESS, 9)
  const [far, farther] = [0x12345678, 0x7fffffff]
  const twice = kernel.crcCombine(kernel.crcCombine(crc, 0, far), 0, farther)
  assert.is(kernel.crcCombine(crc, 0, far + farther), twice)
})

test('patches as if recomputed, for any region', () => {
  const random = new SeededRandom(5)
  for (let i = 0; i < 500; i++) {
    const size = 1 + Math.floor(random.next() ** 2 * 20_000)
    const old = random.bytes(size)
    const start = random.below(size)
    const length = random.below(Math.min(40, size - start + 1))
    const changed = Buffer.from(old)
    random.bytes(length).copy(changed, start)
    const delta = old.subarray(start, start + length).map((byte, k) => byte ^ changed[start + k]!)
    kernel.u8.set(delta, SCRATCH)
    const patched = kernel.crcPatch(crcOf(old), SCRATCH, length, size - start - length)
    assert.is(patched, crcOf(changed))
  }
})

test('patching keeps a wrong CRC wrong', () => {
  const bytes = new SeededRandom(6).bytes(1000)
  const rotten = Buffer.from(bytes)
  rotten[700]! ^= 4
  kernel.u8.set([1, 2, 3], SCRATCH)
  const patched = kernel.crcPatch(crcOf(bytes), SCRATCH, 3, 600)
  for (let i = 0; i < 3; i++) rotten[397 + i]! ^= i + 1
  assert.is.not(patched, crcOf(rotten))
})

test('reads at most 15 bytes behind its source, even at the end of the memory', () => {
  const bytes = new SeededRandom(9).bytes(1024)
  for (let length = 0; length <= 1024; length++) {
    const piece = bytes.subarray(0, length)
    const behind = length % 16 === 0 ? 0 : 15
    assert.is(crcOf(piece, MEMORY_BYTES - behind - length), crc32cTwin(piece), `${length} bytes`)
  }
})

test('results are unsigned', () => {
  const bytes = new SeededRandom(7).bytes(64)
  for (let length = 0; length < 64; length++) {
    const crc = crcOf(bytes.subarray(0, length))
    assert.ok(crc >= 0 && crc <= 0xffffffff)
  }
})

test.run()
