import {
  constants,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { nodeFileSystem, unwritten } from '../../agent/log/file-system.ts'
import { fileSystemConformance } from '../support/file-system-conformance.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('file system')
const root = realpathSync(mkdtempSync(join(tmpdir(), 'tributary-file-system-')))
test.after(() => rmSync(root, { recursive: true }))

fileSystemConformance(test, 'node', async () => ({
  fileSystem: nodeFileSystem,
  directory: mkdtempSync(join(root, 'case-')),
}))

fileSystemConformance(test, 'simulated', async () => {
  const fileSystem = new SimFileSystem(1)
  await fileSystem.makeDirectory('/data')
  return { fileSystem, directory: '/data' }
})

test('keeps new files and directories to their owner', async () => {
  await nodeFileSystem.makeDirectory(join(root, 'private'))
  await (await nodeFileSystem.open(join(root, 'private/a'), 'create')).close()
  assert.is(statSync(join(root, 'private')).mode & 0o777, 0o700)
  assert.is(statSync(join(root, 'private/a')).mode & 0o777, 0o600)
})

test('opens durable files so that a write waits for the disk', async () => {
  if (process.platform !== 'linux') return
  for (const durable of [true, false]) {
    const path = join(root, `durable-${durable}`)
    const file = await nodeFileSystem.open(path, 'create', { durable })
    const descriptor = readdirSync('/proc/self/fd').find((fd) => linkOf(fd) === path)
    const [, flags] = /flags:\s*(\d+)/.exec(
      readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'),
    )!
    assert.is((Number.parseInt(flags!, 8) & constants.O_DSYNC) !== 0, durable)
    await file.close()
  }
})

function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return ''
  }
}

test('goes on where a short write stopped', () => {
  const buffers = [Buffer.from('ab'), Buffer.from('cde'), Buffer.from('f')]
  const rest = (written: number) => Buffer.concat(unwritten(buffers, written)).toString()
  assert.is(rest(0), 'abcdef')
  assert.is(rest(1), 'bcdef')
  assert.is(rest(2), 'cdef')
  assert.is(rest(4), 'ef')
  assert.is(rest(6), '')
})

async function readAll(fs: SimFileSystem, path: string): Promise<Buffer> {
  const file = await fs.open(path, 'read')
  const bytes = Buffer.alloc(await file.size())
  await file.read(bytes, 0)
  return bytes
}

async function syncedFile(fs: SimFileSystem, path: string, bytes: Buffer) {
  const file = await fs.open(path, 'create')
  await file.write([bytes], 0)
  await file.sync()
  await fs.syncDirectory('/')
  return file
}

const SEEDS = Array.from({ length: 40 }, (_, seed) => seed)

test('simulated: keeps what was synced, whatever the seed', async () => {
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    const bytes = Buffer.alloc(10_000, seed + 1)
    await syncedFile(fs, '/a', bytes)
    assert.equal(await readAll(fs.crash(), '/a'), bytes)
  }
})

test('simulated: keeps, loses or tears what was not synced', async () => {
  const outcomes = new Set<string>()
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    const file = await syncedFile(fs, '/a', Buffer.alloc(8192, 'o'))
    await file.write([Buffer.alloc(8192, 'n')], 0)
    const sectors = new Set<string>()
    const after = (await readAll(fs.crash(), '/a')).toString()
    for (let at = 0; at < 8192; at += 512) sectors.add(after.slice(at, at + 512))
    for (const sector of sectors) assert.match(sector, /^(o{512}|n{512})$/)
    outcomes.add(sectors.size === 2 ? 'torn' : after[0]!)
  }
  assert.equal([...outcomes].sort(), ['n', 'o', 'torn'])
})

test('simulated: an append that was not synced may end anywhere', async () => {
  const sizes = new Set<number>()
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    const file = await syncedFile(fs, '/a', Buffer.alloc(100, 'o'))
    await file.write([Buffer.alloc(5000, 'n')], 100)
    const after = await readAll(fs.crash(), '/a')
    assert.is(after.toString('latin1', 0, 100), 'o'.repeat(100))
    sizes.add(after.length)
  }
  assert.ok(sizes.has(100) && sizes.has(5100) && sizes.size > 4, [...sizes].join(' '))
})

test('simulated: names are lost until their directory is synced', async () => {
  const found = new Set<string>()
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    await fs.makeDirectory('/d')
    await fs.syncDirectory('/')
    const file = await fs.open('/d/a', 'create')
    await file.write([Buffer.from('x')], 0)
    await file.sync()
    await fs.rename('/d/a', '/d/b')
    found.add((await fs.crash().list('/d')).join())
  }
  assert.equal([...found].sort(), ['', 'a', 'b'])
})

test('simulated: a rename is durable once the directory is synced', async () => {
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    await syncedFile(fs, '/a', Buffer.from('new'))
    await syncedFile(fs, '/b', Buffer.from('old'))
    await fs.rename('/a', '/b')
    await fs.syncDirectory('/')
    const next = fs.crash()
    assert.equal(await next.list('/'), ['b'])
    assert.is((await readAll(next, '/b')).toString(), 'new')
  }
})

test('simulated: a failed sync leaves bytes that read well and do not survive', async () => {
  let lost = 0
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    const file = await syncedFile(fs, '/a', Buffer.alloc(512, 'o'))
    await file.write([Buffer.alloc(512, 'n')], 0)
    fs.failNext('sync')
    assert.is(await file.sync().catch(codeOf), 'EIO')
    assert.is((await readAll(fs, '/a')).toString(), 'n'.repeat(512))
    await file.sync()
    if ((await readAll(fs.crash(), '/a')).toString() === 'o'.repeat(512)) lost++
  }
  assert.ok(lost > SEEDS.length / 2, `${lost} lost`)
})

test('simulated: a durable write is kept, and torn only when cut in its middle', async () => {
  let torn = 0
  for (const seed of SEEDS) {
    const fs = new SimFileSystem(seed)
    await syncedFile(fs, '/a', Buffer.alloc(8192, 'o'))
    const file = await fs.open('/a', 'write', { durable: true })
    await file.write([Buffer.alloc(8192, 'n')], 0)
    const second = fs.crash()
    assert.is((await readAll(second, '/a')).toString(), 'n'.repeat(8192))
    let third: SimFileSystem | undefined
    second.faults.onStep = ({ isHalfDone }) => {
      if (isHalfDone) third = second.crash()
    }
    const again = await second.open('/a', 'write', { durable: true })
    assert.is(await again.write([Buffer.alloc(8192, 'm')], 0).catch(codeOf), 'ECRASHED')
    const letters = new Set((await readAll(third!, '/a')).toString())
    if (letters.size === 2) torn++
  }
  assert.ok(torn > 0)
})

test('simulated: the old program can do nothing after a crash', async () => {
  const fs = new SimFileSystem(3)
  const file = await syncedFile(fs, '/a', Buffer.from('x'))
  const pending = file.write([Buffer.from('zombie')], 0)
  const next = fs.crash()
  assert.is(await pending.then(String, codeOf), 'ECRASHED')
  assert.is(await file.sync().catch(codeOf), 'ECRASHED')
  assert.is(await fs.open('/b', 'create').catch(codeOf), 'ECRASHED')
  assert.equal(await next.list('/'), ['a'])
  assert.is((await readAll(next, '/a')).toString(), 'x')
})

test('simulated: writes what fits when the disk is full', async () => {
  const fs = new SimFileSystem(4, { capacityBytes: 1000 })
  const file = await fs.open('/a', 'create')
  await file.write([Buffer.alloc(600)], 0)
  assert.is(await file.write([Buffer.alloc(600)], 600).catch(codeOf), 'ENOSPC')
  assert.is(await file.size(), 1000)
  assert.equal(await fs.freeBytes('/'), { free: 0, total: 1000 })
  await file.write([Buffer.alloc(500)], 0)
})

test('simulated: fails what it is told to, once, after so many good ones', async () => {
  const fs = new SimFileSystem(5)
  fs.failNext('open', { code: 'EMFILE', path: 'b', passes: 1 })
  await fs.open('/a', 'create')
  await fs.open('/b', 'create')
  assert.is(await fs.open('/b', 'read').then(String, codeOf), 'EMFILE')
  await fs.open('/b', 'read')
  fs.failNext('write', { code: 'EIO' })
  fs.failNoMore()
  await (await fs.open('/b', 'write')).write([Buffer.from('x')], 0)
})

test('simulated: a bad sector is unreadable until it is written again', async () => {
  const fs = new SimFileSystem(6)
  const file = await syncedFile(fs, '/a', Buffer.alloc(2048, 'o'))
  fs.spoil('/a', 700)
  assert.is(await file.read(Buffer.alloc(512), 0), 512)
  assert.is(await file.read(Buffer.alloc(100), 600).then(String, codeOf), 'EIO')
  await file.write([Buffer.alloc(512, 'n')], 512)
  assert.is(await file.read(Buffer.alloc(100), 600), 100)
})

test('simulated: rot changes a byte for good', async () => {
  const fs = new SimFileSystem(7)
  await syncedFile(fs, '/a', Buffer.from([1, 2, 3]))
  fs.rot('/a', 1, 0xff)
  assert.equal([...(await readAll(fs, '/a'))], [1, 0xfd, 3])
  assert.equal([...(await readAll(fs.crash(), '/a'))], [1, 0xfd, 3])
})

test('simulated: the same seed gives the same disk', async () => {
  const play = async (seed: number) => {
    const steps: string[] = []
    let fs = new SimFileSystem(seed, {
      onStep: ({ operation, path }) => steps.push(`${operation} ${path}`),
    })
    for (let round = 0; round < 5; round++) {
      const files = await Promise.all(
        ['/a', '/b', '/c'].map((path) => fs.open(path, 'create', { durable: path === '/c' })),
      )
      await Promise.all(files.map((file) => file.write([Buffer.alloc(9000, 97 + round)], round)))
      if (round % 2 === 0) await files[0]!.sync()
      await fs.rename('/a', '/d')
      if (round === 3) await fs.syncDirectory('/')
      fs = fs.crash()
    }
    const contents = fs.paths().map((path) => fs.contents(path).toString('latin1'))
    return JSON.stringify([steps, fs.paths(), contents])
  }
  assert.is(await play(11), await play(11))
  assert.is.not(await play(11), await play(12))
})

test.run()
