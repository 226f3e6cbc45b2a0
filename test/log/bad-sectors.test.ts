import * as assert from 'uvu/assert'
import { readTolerantly } from '../../agent/log/bad-sectors.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('bad sectors')

async function fileOf(bytes: Buffer): Promise<SimFileSystem> {
  const fs = new SimFileSystem(1)
  await (await fs.open('/f', 'create')).write([bytes], 0)
  return fs
}

test('what cannot be read is zeros, sector by sector, and the rest is there', async () => {
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 100, 7)
  const fs = await fileOf(bytes)
  for (const position of [0, 5000, 1024 * 1024, bytes.length - 1]) {
    fs.spoil('/f', position)
    const sector = position - (position % 512)
    bytes.fill(0, sector, Math.min(sector + 512, bytes.length))
  }
  const read = await readTolerantly(fs, '/f')
  assert.ok(read?.equals(bytes))
  assert.is((await readTolerantly(fs, '/f', 600))?.length, 600)
})

test('a refusal that does not last costs nothing', async () => {
  const bytes = Buffer.alloc(100_000, 7)
  const fs = await fileOf(bytes)
  fs.failNext('read')
  fs.failNext('open')
  assert.ok((await readTolerantly(fs, '/f'))?.equals(bytes))
})

test('a file that cannot even be opened is told from an empty one; other faults are faults', async () => {
  const fs = await fileOf(Buffer.alloc(10))
  for (let tries = 0; tries < 3; tries++) fs.failNext('open')
  assert.is(await readTolerantly(fs, '/f'), undefined)
  const missing = await readTolerantly(fs, '/none').catch((error) => error)
  assert.is(missing.code, 'ENOENT')
})

test('a disk that gives nothing is not asked for every sector of it', async () => {
  const fs = await fileOf(Buffer.alloc(4 * 1024 * 1024, 7))
  for (let position = 0; position < 4 * 1024 * 1024; position += 512) fs.spoil('/f', position)
  let reads = 0
  fs.faults.onStep = ({ operation }) => {
    if (operation === 'read') reads++
  }
  const read = await readTolerantly(fs, '/f')
  assert.ok(read?.every((byte) => byte === 0))
  assert.ok(reads < 1000, `${reads} reads`)
})

test.run()
