import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { OpenFiles } from '../../agent/log/open-files.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('open files')

async function setUp(limit: number) {
  const fs = new SimFileSystem(1)
  return { fs, files: new OpenFiles(fs, limit) }
}

test('opens a file once, and closes what was used least recently', async () => {
  const { fs, files } = await setUp(2)
  const touch = (path: string) => files.use(path, 'create', async () => {})
  await touch('/a')
  await touch('/b')
  await touch('/a')
  assert.is(fs.counts.opens, 2)
  await touch('/c')
  assert.is(fs.counts.openFiles, 2)
  await touch('/a')
  assert.is(fs.counts.opens, 3)
  await touch('/b')
  assert.is(fs.counts.opens, 4)
  assert.is(files.count, 2)
})

test('closes nothing that is held or in use', async () => {
  const { fs, files } = await setUp(1)
  await files.use('/a', 'create', async () => {})
  files.hold('/a')
  await files.use('/b', 'create', async (file) => {
    await files.use('/c', 'create', async () => {})
    await file.write([Buffer.from('x')], 0)
  })
  await files.use('/a', 'write', async () => {})
  assert.is(fs.counts.opens, 3)
  files.release('/a')
  await files.use('/d', 'create', async () => {})
  assert.is(fs.counts.openFiles, 1)
})

test('closes a forgotten file when its last user is done', async () => {
  const { fs, files } = await setUp(4)
  await files.use('/a', 'create', async (file) => {
    await files.forget('/a')
    assert.is(files.count, 0)
    await file.write([Buffer.from('x')], 0)
    assert.is(fs.counts.openFiles, 1)
  })
  assert.is(fs.counts.openFiles, 0)
})

test('tries again to open what could not be opened', async () => {
  const { fs, files } = await setUp(4)
  const read = () => files.use('/a', 'write', async () => 'read').catch(codeOf)
  assert.is(await read(), 'ENOENT')
  await (await fs.open('/a', 'create')).close()
  assert.is(await read(), 'read')
  await files.close()
  assert.is(fs.counts.openFiles, 0)
})

test('opens a file once for users that come together', async () => {
  const { fs, files } = await setUp(2)
  await Promise.all(
    Array.from({ length: 20 }, (_, order) =>
      files.use(`/${order % 2}`, 'create', (file) => file.size()),
    ),
  )
  assert.is(fs.counts.opens, 2)
})

test.run()
