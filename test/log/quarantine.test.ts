import * as assert from 'uvu/assert'
import { Quarantine } from '../../agent/log/quarantine.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('quarantine')
const bytes = (length: number, fill = 7) => Buffer.alloc(length, fill)

async function emptyStore(seed: number): Promise<SimFileSystem> {
  const fs = new SimFileSystem(seed)
  await fs.makeDirectory('/store')
  await fs.syncDirectory('/')
  return fs
}

test('what is kept survives a power cut', async () => {
  const fs = await emptyStore(1)
  const path = await new Quarantine(fs, '/store').keep('t-0-17-400.bytes', [bytes(10), bytes(5, 8)])
  assert.is(path, '/store/quarantine/t-0-17-400.bytes')
  assert.equal(fs.crash().contents(path!), Buffer.concat([bytes(10), bytes(5, 8)]))
})

test('the same bytes are kept once, other bytes of the same name beside them', async () => {
  const fs = await emptyStore(2)
  const first = await new Quarantine(fs, '/store').keep('a', bytes(10))
  const later = new Quarantine(fs, '/store')
  assert.is(await later.keep('a', bytes(10)), first)
  assert.is(await later.keep('a', bytes(10, 9)), '/store/quarantine/a.2')
  assert.equal(fs.paths(), ['/store/quarantine/a', '/store/quarantine/a.2'])
})

test('all copies together are bounded, those of earlier processes included', async () => {
  const fs = await emptyStore(3)
  assert.ok(await new Quarantine(fs, '/store', 100).keep('a', bytes(60)))
  const later = new Quarantine(fs, '/store', 100)
  assert.is(await later.keep('b', bytes(41)), undefined)
  assert.is(later.refusedBytes, 41)
  assert.ok(await later.keep('c', bytes(40)))
})

test('a disk that refuses keeps nothing and leaves nothing half made', async () => {
  const fs = await emptyStore(4)
  const quarantine = new Quarantine(fs, '/store')
  for (const operation of ['write', 'sync', 'syncDirectory', 'open', 'makeDirectory'] as const) {
    fs.failNext(operation, { code: 'EIO', path: 'quarantine' })
    assert.is(await quarantine.keep('a', bytes(10)), undefined, operation)
    assert.equal(fs.paths(), [], operation)
  }
  fs.faults.capacityBytes = 5
  assert.is(await quarantine.keep('a', bytes(10)), undefined)
  assert.equal(fs.paths(), [])
})

test('copies that are made at the same time do not get in each other’s way', async () => {
  const fs = await emptyStore(5)
  const quarantine = new Quarantine(fs, '/store', 100)
  const kept = await Promise.all([1, 2, 3].map((order) => quarantine.keep('a', bytes(40, order))))
  assert.equal(kept, ['/store/quarantine/a', '/store/quarantine/a.2', undefined])
})

test.run()
