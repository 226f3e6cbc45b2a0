import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as assert from 'uvu/assert'
import type { FileSystem, OpenMode } from '../../agent/log/file-system.ts'
import { lockStore, processStart } from '../../agent/log/store-lock.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('store lock')

/** A machine with these processes running: pid → start. */
function machine(processes: Record<number, string>) {
  const startOf = async (pid: number) => processes[pid]
  return (fs: FileSystem, pid: number) => lockStore(fs, '/data', { pid, startOf })
}

async function store(seed = 1): Promise<SimFileSystem> {
  const fs = new SimFileSystem(seed)
  await fs.makeDirectory('/data')
  return fs
}

async function put(fs: FileSystem, path: string, text: string): Promise<void> {
  const file = await fs.open(path, 'create')
  await file.write([Buffer.from(text)], 0)
  await file.close()
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => 'taken',
    (error) => `${error.code}: ${error.message}`,
  )

test('is taken, refused to others, and released', async () => {
  const fs = await store()
  const lock = machine({ 812: 'a', 900: 'b' })
  const handle = await lock(fs, 812)
  assert.is(fs.contents('/data/lock').toString(), '812 a\n')
  assert.is(await failure(lock(fs, 900)), 'STORE_IN_USE: store in use by pid 812')
  await handle.release()
  assert.equal(fs.paths(), [])
  const second = await lock(fs, 900)
  await handle.release()
  assert.equal(fs.paths(), ['/data/lock'])
  await second.release()
})

test('is refused to the process that has it', async () => {
  const fs = await store()
  const lock = machine({ 812: 'a' })
  await lock(fs, 812)
  assert.is(await failure(lock(fs, 812)), 'STORE_IN_USE: store in use by pid 812')
})

test('is replaced when its process is gone', async () => {
  const fs = await store()
  await put(fs, '/data/lock', '812 a\n')
  const handle = await machine({ 900: 'b' })(fs, 900)
  assert.is(fs.contents('/data/lock').toString(), '900 b\n')
  assert.equal(fs.paths(), ['/data/lock'])
  await handle.release()
})

test('is replaced when its pid is another process by now', async () => {
  const fs = await store()
  await put(fs, '/data/lock', '812 a\n')
  await machine({ 812: 'later', 900: 'b' })(fs, 900)
  const again = await store()
  await put(again, '/data/lock', '812 a\n')
  await machine({ 812: 'later' })(again, 812)
  assert.is(again.contents('/data/lock').toString(), '812 later\n')
})

test('is replaced when it was cut off while being made', async () => {
  for (const text of ['', '81', '\0\0\0\0\0\0', 'x'.repeat(5000)]) {
    const fs = await store()
    await put(fs, '/data/lock', text)
    await machine({ 900: 'b' })(fs, 900)
    assert.equal(fs.paths(), ['/data/lock'])
  }
})

test('survives a crash while an old lock was being replaced', async () => {
  const fs = await store()
  await put(fs, '/data/lock', '812 a\n')
  await put(fs, '/data/lock.812', '813 a\n')
  await machine({ 900: 'b' })(fs, 900)
  assert.equal(fs.paths(), ['/data/lock'])
})

test('survives a crash in each of twenty starts, one after the other', async () => {
  const fs = await store()
  await put(fs, '/data/lock', '1 a\n')
  for (let crash = 1; crash <= 20; crash++)
    await put(fs, `/data/lock${'.1'.repeat(crash)}`, '1 a\n')
  await machine({ 1: 'b' })(fs, 1)
  assert.equal(fs.paths(), ['/data/lock'])
})

test('is respected while another process is replacing it', async () => {
  const fs = await store()
  await put(fs, '/data/lock', '812 a\n')
  await put(fs, '/data/lock.812', '813 a\n')
  const outcome = await failure(machine({ 813: 'a', 900: 'b' })(fs, 900))
  assert.is(outcome, 'STORE_IN_USE: store in use by pid 813')
})

test('goes to one of many that find an old one, whatever the order', async () => {
  for (let seed = 0; seed < 200; seed++) {
    const fs = await store(seed)
    await put(fs, '/data/lock', '812 a\n')
    const random = new SeededRandom(seed)
    const starts: Record<number, string> = { 900: 'b', 901: 'c', 902: 'd' }
    const startOf = async (pid: number) => {
      for (let turns = random.below(120); turns > 0; turns--) await undefined
      return starts[pid]
    }
    const lock = (fs: FileSystem, pid: number) => lockStore(fs, '/data', { pid, startOf })
    const outcomes = await Promise.all([900, 901, 902].map((pid) => failure(lock(fs, pid))))
    const winners = outcomes.filter((outcome) => outcome === 'taken')
    assert.is(winners.length, 1, `seed ${seed}: ${outcomes.join(', ')}`)
    for (const outcome of outcomes) assert.match(outcome, /^taken$|^STORE_IN_USE/)
  }
})

test('is not believed by a slow process whose lock was replaced before it was written', async () => {
  const fs = await store()
  let resume = () => {}
  const gate = new Promise<void>((resolve) => (resume = resolve))
  let isOpened = () => {}
  const opened = new Promise<void>((resolve) => (isOpened = resolve))
  const slow: FileSystem = Object.create(fs, {
    open: {
      value: async (path: string, mode: OpenMode) => {
        const file = await fs.open(path, mode)
        if (mode !== 'exclusive') return file
        isOpened()
        return {
          ...file,
          write: (buffers: Uint8Array[], at: number) => gate.then(() => file.write(buffers, at)),
        }
      },
    },
    remove: { value: (path: string) => fs.remove(path) },
  })
  const lock = machine({ 900: 'b', 901: 'c' })
  const first = failure(lock(slow, 900))
  await opened
  assert.is(await failure(lock(fs, 901)), 'taken')
  resume()
  assert.is(await first, 'STORE_IN_USE: store in use by pid 901')
  assert.is(fs.contents('/data/lock').toString(), '901 c\n')
})

test('a crash of the machine leaves a store that can be taken', async () => {
  for (let seed = 0; seed < 50; seed++) {
    const fs = await store(seed)
    await fs.syncDirectory('/')
    const lock = machine({ 812: 'a' })
    await lock(fs, 812)
    assert.is(await failure(lock(fs.crash(), 812)), 'taken')
  }
})

test('tells processes apart by their start', async () => {
  const mine = await processStart(process.pid)
  assert.ok(mine !== undefined)
  assert.is(await processStart(process.pid), mine)
  const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'])
  const theirs = await processStart(child.pid!)
  assert.ok(theirs !== undefined)
  child.stdin.end()
  await once(child, 'exit')
  assert.is(await processStart(child.pid!), undefined)
})

test.run()
