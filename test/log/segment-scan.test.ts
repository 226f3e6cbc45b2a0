import * as assert from 'uvu/assert'
import { type BatchVisitor, type ScannedBatch, scanBatches } from '../../agent/log/segment-scan.ts'
import { codecs } from '../support/batches.ts'
import { BASE, bytesOf, filled, LOG, made, overwrite } from '../support/filled-segment.ts'
import type { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('segment scan')

async function scanOf(fs: SimFileSystem, from: number, offset: number, visit: BatchVisitor) {
  const file = await fs.open(LOG, 'read')
  return scanBatches(file, { from, to: await file.size(), offset, codecs }, visit)
}

test('scans batches with their CRCs to the end', async () => {
  const batches = made(80)
  const { fs } = await filled(batches)
  const seen: ScannedBatch[] = []
  const outcome = await scanOf(fs, 0, BASE, (batch) => seen.push(batch))
  assert.equal(outcome, { kind: 'end', position: bytesOf(batches).length })
  assert.equal(
    seen.map(({ position, baseOffset, nextOffset }) => [position, baseOffset, nextOffset]),
    batches.map(({ position, baseOffset, nextOffset }) => [position, baseOffset, nextOffset]),
  )
  const [, , third] = batches
  const stopped = await scanOf(fs, third!.position, third!.baseOffset, () => true)
  assert.equal(stopped, { kind: 'stopped', position: third!.position + third!.bytes.length })
})

test('a scan that begins behind the end of its file finds nothing', async () => {
  const batches = made(3)
  const { fs } = await filled(batches)
  const behind = bytesOf(batches).length + 100
  const outcome = await scanOf(fs, behind, BASE + 3, () => assert.unreachable())
  assert.equal(outcome, { kind: 'end', position: behind })
})

test('a scan ends at each kind of damage', async () => {
  const batches = made(10)
  const [bad, size] = [batches[6]!, bytesOf(batches).length]
  const outcomeOf = async (damage: (fs: SimFileSystem) => Promise<void> | void) => {
    const { fs } = await filled(batches)
    await damage(fs)
    const { kind, position } = await scanOf(fs, 0, BASE, () => {})
    return [kind, position]
  }
  const corrupt = ['corrupt', bad.position]
  assert.equal(await outcomeOf((fs) => fs.rot(LOG, bad.position + bad.bytes.length - 1)), corrupt)
  assert.equal(await outcomeOf((fs) => fs.rot(LOG, bad.position + 16)), corrupt)
  assert.equal(await outcomeOf((fs) => fs.rot(LOG, bad.position + 7)), corrupt)
  assert.equal(await outcomeOf((fs) => fs.rot(LOG, bad.position + 30)), corrupt)
  const longer = await outcomeOf((fs) => fs.rot(LOG, bad.position + 8, 0x01))
  assert.equal(longer, ['torn', bad.position])
  const zeros = Buffer.alloc(size - bad.position)
  const blank = await outcomeOf((fs) => overwrite(fs, LOG, bad.position, zeros))
  assert.equal(blank, ['torn', bad.position])
})

test.run()
