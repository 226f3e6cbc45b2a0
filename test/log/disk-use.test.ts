import * as assert from 'uvu/assert'
import { DiskUse } from '../../agent/log/disk-use.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { suite } from '../support/suite.ts'

const test = suite('disk use')

test('what is set aside counts, also in the directory of a partition, until it is gone', async () => {
  const fs = new SimFileSystem(1)
  const clock = new SimClock(0)
  const write = async (path: string, bytes: number) => {
    const file = await fs.open(path, 'create')
    await file.write([Buffer.alloc(bytes)], 0)
    await file.close()
  }
  for (const name of ['t-0', 't-1.unreadable']) await fs.makeDirectory(`/store/${name}`)
  const segment = '/store/t-0/00000000000000000000.log'
  await write(segment, 100)
  await write(`${segment}.unreadable`, 2000)
  await write('/store/t-1.unreadable/00000000000000000000.log', 30_000)
  const use = new DiskUse({
    fs,
    clock,
    directory: '/store',
    partitions: () => ['t-0', 't-1'].map((name) => ({ name }) as PartitionLog),
    journalBytes: () => 0,
    reserveBytes: 0,
  })
  await use.look()
  assert.is(use.fixedBytes, 32_000)
  await fs.remove(`${segment}.unreadable`)
  clock.advance(10_000)
  await use.look()
  assert.is(use.fixedBytes, 30_000)
})

test.run()
