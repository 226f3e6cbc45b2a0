import * as assert from 'uvu/assert'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Asides } from '../../agent/log/asides.ts'
import { PartitionDirectory } from '../../agent/log/partition-directory.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('partition directory')
const PATH = '/store/t-0'

async function make(fs: SimFileSystem, name: string): Promise<void> {
  const file = await fs.open(`${PATH}/${name}`, 'create')
  await file.sync()
  await file.close()
}

/** Each name, made and synced at all kinds of moments, that the power left. */
async function namesAfter(
  seed: number,
  work: (directory: PartitionDirectory, fs: SimFileSystem) => Promise<void>,
): Promise<string[]> {
  const fs = new SimFileSystem(seed)
  await fs.makeDirectory('/store')
  await fs.syncDirectory('/')
  const parts = { fs, clock: new SimClock(0), logger: silentLogger }
  await work(new PartitionDirectory({ ...parts, asides: new Asides(parts) }, PATH), fs)
  return fs.crash().paths()
}

test('a name that is made while a sync goes on is durable after the next one', async () => {
  for (let seed = 1; seed <= 400; seed++) {
    const names = await namesAfter(seed, async (directory, fs) => {
      await directory.add(() => make(fs, 'a'))
      const making = directory.add(() => make(fs, 'b'))
      for (let turns = seed % 6; turns > 0; turns--) await undefined
      await directory.sync()
      await making
      await directory.sync()
    })
    assert.equal(names, [`${PATH}/a`, `${PATH}/b`], `seed ${seed}`)
  }
})

test('who comes while a sync goes on does not return before it has ended', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const names = await namesAfter(seed, async (directory, fs) => {
      await directory.add(() => make(fs, 'a'))
      directory.sync().catch(() => {})
      for (let turns = seed % 4; turns > 0; turns--) await undefined
      await directory.sync()
    })
    assert.equal(names, [`${PATH}/a`], `seed ${seed}`)
  }
})

test('a sync that fails is made good by the next one', async () => {
  const names = await namesAfter(3, async (directory, fs) => {
    await directory.add(() => make(fs, 'a'))
    fs.failNext('syncDirectory', { path: PATH })
    const error = await directory.sync().catch((fault) => fault)
    assert.is(error?.code, 'EIO')
    await directory.sync()
  })
  assert.equal(names, [`${PATH}/a`])
})

test.run()
