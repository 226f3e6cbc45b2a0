// Journal files that the disk does not take, while the log runs and over a restart.

import * as assert from 'uvu/assert'
import { Journal } from '../../agent/log/journal.ts'
import { SCRATCH } from '../../wasm/assembly/limits.ts'
import { kernel } from '../support/batches.ts'
import { journalsOf } from '../support/recovered-log.ts'
import { SickDisk } from '../support/sick-disk.ts'
import { SimFileSystem, type SimStep } from '../support/sim-file-system.ts'
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('journal')
const writes = (name: string) => (step: SimStep) =>
  step.operation === 'write' && step.path.endsWith(name)
const journals = ({ fs }: SickDisk) => fs.paths().filter((path) => /journal-\d+$/.test(path)).length

test('a free file that takes no header is passed over, also after a restart', async () => {
  const disk = new SickDisk()
  const [partition] = await disk.create(1)
  assert.is(await disk.append(partition!, 1500), 1500)
  disk.refusal = writes('journal-1')
  assert.is(await disk.append(partition!, 3000), 3000)
  assert.equal(disk.log.health().reasons, [])
  assert.is(journals(disk), 3)
  await disk.start()
  assert.is(disk.partitions()[0]!.highWatermark, 4500)
  assert.is(await disk.append(disk.partitions()[0]!, 3000), 3000)
  assert.is(journals(disk), 3)
})

test('a fresh file that takes no frame is passed over', async () => {
  const disk = new SickDisk()
  const [partition] = await disk.create(1)
  assert.is(await disk.append(partition!, 1500), 1500)
  const [free, used] = journalsOf(disk.fs)
  // The one in use fails once; the other one takes headers and nothing else.
  let failures = 0
  let writesOfFree = 0
  disk.refusal = (step) => {
    if (step.operation !== 'write' || step.isHalfDone) return false
    if (step.path === used!.path) return failures++ === 0
    return step.path === free!.path && writesOfFree++ % 2 === 1
  }
  assert.is(await disk.append(partition!, 3000), 3000)
})

test('a disk that was ill for a while is used again, with no more files than it takes', async () => {
  const disk = new SickDisk()
  const [partition] = await disk.create(1)
  assert.is(await disk.append(partition!, 1500), 1500)
  disk.refusal = ({ operation, path }) => operation === 'write' && /journal-\d+$/.test(path)
  assert.ok((await disk.append(partition!, 3000, 30)) < 3000)
  assert.not(disk.log.health().ok)
  disk.refusal = () => false
  await disk.pass(2000)
  await disk.pass(2000)
  assert.is(partition!.highWatermark, partition!.logEndOffset)
  assert.is(await disk.append(partition!, 1000), 1000)
  assert.equal(disk.log.health().reasons, [])
  assert.ok(journals(disk) <= 3, `${journals(disk)} files`)
})

test('a file that a process left without a durable name has one before it is used', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const fs = new SimFileSystem(seed)
    await fs.makeDirectory(STORE)
    await fs.syncDirectory('/')
    const limits = { fileBytes: 4096, frameBytesMax: 1000 }
    const options = { directory: STORE, kernel, ...limits, randomSalt: () => 1 }
    const path = `${STORE}/journal-0`
    const file = await fs.open(path, 'create')
    await file.write([Buffer.alloc(limits.fileBytes)], 0)
    await file.sync()
    const next = fs.kill()
    const last = { generation: 0, sequence: 0 }
    const found = [{ path, generation: 0 }]
    const journal = await Journal.open({ fs: next, ...options }, found, last, undefined)
    await journal.roll(1, true)
    await journal.append(SCRATCH, 10, 1, false)
    assert.equal(next.crash().paths(), [path], `seed ${seed}`)
  }
})

test.run()
