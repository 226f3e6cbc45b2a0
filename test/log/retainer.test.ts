// Retention, and a start, on a disk that refuses something in the directory of one partition.

import * as assert from 'uvu/assert'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SickDisk } from '../support/sick-disk.ts'
import { suite } from '../support/suite.ts'

const test = suite('retainer')

/** Partitions whose oldest segments are more than enough, and in no need of a checkpoint to go. */
async function filled(): Promise<SickDisk> {
  const disk = new SickDisk()
  await disk.start()
  const settings = {
    ...{ partitions: 3, replicated: false, retentionBytes: 20_000 },
    compression: 'lz4' as const,
  }
  await disk.until(disk.log.createTopic('t', settings))
  for (let segments = 0; segments < 3; segments++) await addSegments(disk)
  await disk.until(disk.log.retain())
  assert.equal(starts(disk), [100, 100, 100])
  await addSegments(disk)
  disk.refusal = ({ operation, path }) => operation === 'syncDirectory' && path.endsWith('/t-0')
  await disk.until(disk.log.retain().catch(() => {}))
  assert.equal(starts(disk), [200, 200, 200])
  return disk
}

async function addSegments(disk: SickDisk): Promise<void> {
  for (const partition of disk.partitions()) {
    await disk.append(partition, 100)
    await disk.until(partition.seal())
    await disk.until(partition.segments.roll())
  }
}

const starts = (disk: SickDisk) => disk.partitions().map(({ logStartOffset }) => logStartOffset)
const bases = (disk: SickDisk) => disk.partitions().map((partition) => basesOf(disk, partition))

function basesOf({ fs }: SickDisk, { name }: PartitionLog): number[] {
  const paths = fs.paths().filter((path) => path.includes(`/${name}/`) && path.endsWith('.log'))
  return paths.map((path) => Number.parseInt(path.slice(path.lastIndexOf('/') + 1), 10))
}

test('a directory that does not sync keeps its old segments, until it does, and no others', async () => {
  const disk = await filled()
  assert.equal(bases(disk), [
    [100, 200, 300, 400],
    [200, 300, 400],
    [200, 300, 400],
  ])
  disk.refusal = () => false
  await disk.until(disk.log.retain())
  assert.equal(basesOf(disk, disk.partitions()[0]!), [200, 300, 400])
})

test('a start goes on without deleting what a directory that does not sync has', async () => {
  const disk = await filled()
  await disk.start()
  const [sick] = disk.partitions()
  assert.equal(starts(disk), [200, 200, 200])
  assert.equal(basesOf(disk, sick!), [100, 200, 300, 400])
  disk.refusal = () => false
  await disk.until(disk.log.retain())
  assert.equal(basesOf(disk, sick!), [200, 300, 400])
})

test('nothing is deleted below a log start that is not durable, whoever comes next', async () => {
  const disk = new SickDisk()
  await disk.start()
  const settings = { partitions: 1, replicated: false, retentionBytes: 20_000 }
  await disk.until(disk.log.createTopic('t', settings))
  for (let segments = 0; segments < 3; segments++) await addSegments(disk)
  // So that a checkpoint has them, and is not what is waited for.
  await disk.until(disk.log.close())
  await disk.start()
  await addSegments(disk)
  disk.refusal = ({ operation, path }) => operation === 'write' && path.includes('journal-')
  const passes = [disk.log.retain(), disk.log.retain()].map((pass) => pass.catch(() => {}))
  await disk.pass(1000)
  await disk.until(disk.log.close().catch(() => {}))
  await disk.until(Promise.all(passes))
  disk.refusal = () => false
  await disk.start()
  const [partition] = disk.partitions()
  assert.is(partition!.losses.total, 0)
  assert.ok(basesOf(disk, partition!)[0]! <= partition!.logStartOffset)
  assert.is(partition!.highWatermark, 400)
})

test.run()
