// What every FileSystem must do, the real one and the simulated one alike.

import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import type { FileSystem } from '../../agent/log/file-system.ts'
import { INGRESS, SCRATCH } from '../../wasm/assembly/limits.ts'
import { Kernel } from '../../wasm/kernel.ts'
import type { Suite } from './suite.ts'

/** `create` gives a file system and an empty directory in it for one test. */
export function fileSystemConformance(
  test: Suite,
  name: string,
  create: () => Promise<{ fileSystem: FileSystem; directory: string }>,
): void {
  const check = (
    title: string,
    run: (fileSystem: FileSystem, path: (name: string) => string) => Promise<void>,
  ) => {
    test(`${name}: ${title}`, async () => {
      const { fileSystem, directory } = await create()
      await run(fileSystem, (file) => join(directory, file))
    })
  }

  check('opens for reading or writing only what exists', async (fs, path) => {
    assert.is(await failure(fs.open(path('a'), 'read')), 'ENOENT')
    assert.is(await failure(fs.open(path('a'), 'write')), 'ENOENT')
    assert.is(await failure(fs.open(path('no/a'), 'create')), 'ENOENT')
    assert.is(await fs.size(path('a')), undefined)
  })

  check('creates once when asked to, and never truncates', async (fs, path) => {
    await write(fs, path('a'), 'hello')
    assert.is(await failure(fs.open(path('a'), 'exclusive')), 'EEXIST')
    await (await fs.open(path('a'), 'create')).close()
    assert.is(await read(fs, path('a')), 'hello')
    assert.is(await fs.size(path('a')), 5)
    await (await fs.open(path('b'), 'exclusive')).close()
    assert.is(await fs.size(path('b')), 0)
  })

  check('writes several buffers as one run of bytes, empty ones too', async (fs, path) => {
    const file = await fs.open(path('a'), 'create', { durable: true })
    const parts = ['ab', '', 'c', 'def'].map((part) => Buffer.from(part))
    await file.write(parts, 3)
    await file.write([], 100)
    assert.is(await file.size(), 9)
    await file.write([Buffer.from('xy')], 4)
    await file.close()
    assert.is(await read(fs, path('a')), '\0\0\0axydef')
  })

  check('writes more buffers than one system call takes', async (fs, path) => {
    const file = await fs.open(path('a'), 'create')
    const parts = Array.from({ length: 3000 }, (_, order) => Buffer.from([order % 251, order % 7]))
    await file.write(parts, 0)
    await file.close()
    assert.is(await read(fs, path('a')), Buffer.concat(parts).toString('latin1'))
  })

  check('writes views of WebAssembly memory', async (fs, path) => {
    const { u8 } = new Kernel()
    const view = u8.subarray(INGRESS, INGRESS + 4)
    view.set([1, 2, 3, 4])
    const file = await fs.open(path('a'), 'create')
    await file.write([view, view.subarray(1, 2)], 0)
    const target = u8.subarray(SCRATCH, SCRATCH + 5)
    assert.is(await file.read(target, 0), 5)
    assert.equal([...target], [1, 2, 3, 4, 2])
    await file.close()
  })

  check(
    'writes sectors directly, and whatever else is asked of a direct file',
    async (fs, path) => {
      const { u8 } = new Kernel()
      const sector = u8.subarray(SCRATCH, SCRATCH + 512).fill(7)
      await write(fs, path('a'), 'x'.repeat(2048))
      const file = await fs.open(path('a'), 'write', { durable: true, direct: true })
      await file.write([sector], 512)
      // No disk takes three bytes alone.
      await file.write([u8.subarray(SCRATCH + 5, SCRATCH + 8)], 5)
      await file.write([sector], 1024)
      assert.is(await file.size(), 2048)
      await file.close()
      const expected = `xxxxx${'\x07'.repeat(3)}${'x'.repeat(504)}${'\x07'.repeat(1024)}${'x'.repeat(512)}`
      assert.is(await read(fs, path('a')), expected)
    },
  )

  check('reads short at the end of a file and nothing behind it', async (fs, path) => {
    await write(fs, path('a'), 'hello')
    const file = await fs.open(path('a'), 'read')
    const target = Buffer.alloc(8, '-')
    assert.is(await file.read(target, 2), 3)
    assert.is(target.toString(), 'llo-----')
    assert.is(await file.read(target, 5), 0)
    assert.is(await file.read(target, 50), 0)
    await file.close()
  })

  check('refuses to write through a handle for reading', async (fs, path) => {
    await write(fs, path('a'), 'hello')
    const file = await fs.open(path('a'), 'read')
    assert.is(await failure(file.write([Buffer.from('x')], 0)), 'EBADF')
    await file.close()
  })

  check('cuts and extends with zeros', async (fs, path) => {
    await write(fs, path('a'), 'hello')
    const file = await fs.open(path('a'), 'write')
    await file.truncate(2)
    await file.sync()
    await file.truncate(4)
    await file.close()
    assert.is(await read(fs, path('a')), 'he\0\0')
  })

  check('fails the use of a closed handle', async (fs, path) => {
    const file = await fs.open(path('a'), 'create')
    await file.close()
    assert.is(await failure(file.read(Buffer.alloc(1), 0)), 'EBADF')
  })

  check('makes directories with their parents, as often as asked', async (fs, path) => {
    await fs.makeDirectory(path('x/y'))
    await fs.makeDirectory(path('x/y'))
    await write(fs, path('x/y/b'), '1')
    await write(fs, path('x/y/a'), '2')
    assert.equal(await fs.list(path('x/y')), ['a', 'b'])
    assert.equal(await fs.list(path('x')), ['y'])
    assert.is(await failure(fs.list(path('z'))), 'ENOENT')
    await fs.syncDirectory(path('x'))
  })

  check('renames over an existing file', async (fs, path) => {
    await write(fs, path('a'), 'new')
    await write(fs, path('b'), 'old')
    const old = await fs.open(path('b'), 'read')
    await fs.rename(path('a'), path('b'))
    assert.is(await read(fs, path('b')), 'new')
    assert.is(await fs.size(path('a')), undefined)
    const target = Buffer.alloc(3)
    await old.read(target, 0)
    assert.is(target.toString(), 'old')
    await old.close()
    assert.is(await failure(fs.rename(path('a'), path('c'))), 'ENOENT')
  })

  check('removes files, and directories when they are empty', async (fs, path) => {
    await fs.makeDirectory(path('x'))
    await write(fs, path('x/a'), '1')
    assert.is(await failure(fs.removeDirectory(path('x'))), 'ENOTEMPTY')
    await fs.remove(path('x/a'))
    assert.is(await failure(fs.remove(path('x/a'))), 'ENOENT')
    await fs.removeDirectory(path('x'))
    assert.is(await failure(fs.list(path('x'))), 'ENOENT')
  })

  check('tells how much room there is', async (fs, path) => {
    const { free, total } = await fs.freeBytes(path(''))
    assert.ok(free > 0 && free <= total, `${free} of ${total}`)
  })
}

async function write(fs: FileSystem, path: string, text: string): Promise<void> {
  const file = await fs.open(path, 'create')
  await file.write([Buffer.from(text)], 0)
  await file.close()
}

async function read(fs: FileSystem, path: string): Promise<string> {
  const file = await fs.open(path, 'read')
  const bytes = Buffer.alloc(await file.size())
  await file.read(bytes, 0)
  await file.close()
  return bytes.toString('latin1')
}

/** The code of what the promise rejects with; '' when it resolves. */
async function failure(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return ''
  } catch (error) {
    return codeOf(error)
  }
}
