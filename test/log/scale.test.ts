// Scale inside one box: a log of 64 GB and 100 million records, and 1,000 partitions. What is asserted
// are counts of files, reads, writes and bytes, and memory; never time.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as assert from 'uvu/assert'
import { type PartitionMark, writeCheckpoint } from '../../agent/log/checkpoint.ts'
import type { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { codecs } from '../support/batches.ts'
import { type DiskCounts, GeneratedDisk } from '../support/generated-disk.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('scale')
const ARRIVAL = Date.UTC(2026, 0, 1)
const SEGMENTS = 4000
const PARTITIONS = 1000

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** A store whose one partition has so many segments of 16 MiB, all of them synced. */
async function storeOf(segments: number): Promise<GeneratedDisk> {
  const below = new SimFileSystem(1)
  const directory = `${STORE}/big-0`
  const shape = { directory, segments, batches: 64, recordsPerBatch: 400, valueBytes: 640 }
  const disk = new GeneratedDisk(below, shape)
  await below.makeDirectory(directory)
  const marks = Array.from({ length: segments }, (_, order) => ({
    baseOffset: disk.baseOffsetOf(order),
    arrival: ARRIVAL,
    bytes: disk.segmentBytes,
    maxTimestamp: disk.maxTimeOf(order),
  }))
  await checkpointOf(below, { logId: 1, recoveryOffset: disk.records, segments: marks })
  return disk
}

async function checkpointOf(fs: SimFileSystem, partition: PartitionMark): Promise<void> {
  const settings = { partitions: 1, replicated: false }
  const topic = { id: '00000000-0000-4000-8000-000000000000', settings, logIds: [1] }
  const state: [string, Buffer][] = [
    ['store/gateway', Buffer.from('small')],
    ['store/lineage', Buffer.from('scale')],
    ['store/next-log-id', Buffer.from('2')],
    ['topic/big', Buffer.from(JSON.stringify(topic))],
  ]
  const begin = { number: 1, generation: 1, sequence: 1, isClean: true, time: ARRIVAL }
  await writeCheckpoint(fs, STORE, { ...begin, state, partitions: [partition] }, codecs)
}

function openBig(disk: GeneratedDisk): Promise<Log> {
  return openSmallLog(disk, { segmentBytes: disk.segmentBytes, journalBytes: 1024 * 1024 })
}

const bigOf = (log: Log) => log.topic('big')!.partitions[0]!

/** The most that one of many runs took of each. */
class Most {
  readonly counts: DiskCounts = { opens: 0, reads: 0, bytesRead: 0, sizes: 0, lists: 0 }

  async of(disk: GeneratedDisk, run: () => Promise<void>): Promise<void> {
    disk.forgetCounts()
    await run()
    for (const key of Object.keys(this.counts) as (keyof DiskCounts)[]) {
      this.counts[key] = Math.max(this.counts[key], disk.counts[key])
    }
  }
}

test('a start opens as many files for 64 GB as for half a gigabyte', async () => {
  const [small, big] = [await storeOf(40), await storeOf(SEGMENTS)]
  assert.ok(big.records > 100e6 && big.segmentBytes * SEGMENTS > 64e9)
  const counts: DiskCounts[] = []
  for (const disk of [small, big]) {
    const log = await openBig(disk)
    assert.is(bigOf(log).highWatermark, disk.records)
    counts.push({ ...disk.counts })
    await log.close()
  }
  assert.equal(counts[1], counts[0])
  const { opens, reads, bytesRead, sizes, lists } = counts[1]!
  assert.ok(opens <= 3 && reads <= 8 && sizes <= 4 && lists <= 2, JSON.stringify(counts[1]))
  assert.ok(bytesRead < 64 * 1024, `${bytesRead} bytes`)
})

test('a closed segment takes a few hundred bytes of memory', async () => {
  const disk = await storeOf(SEGMENTS)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  const log = await openBig(disk)
  collectGarbage()
  const each = (process.memoryUsage().heapUsed - before) / SEGMENTS
  await log.close()
  assert.ok(each < 600, `${each} bytes a segment`)
})

test('any offset is found in the same few reads, whatever the size of the log', async () => {
  const mosts: DiskCounts[] = []
  for (const segments of [40, SEGMENTS]) {
    const disk = await storeOf(segments)
    const log = await openBig(disk)
    const random = new SeededRandom(5)
    const most = new Most()
    for (let probes = 0; probes < 150; probes++) {
      const offset = random.below(disk.records)
      await most.of(disk, async () => {
        const read = await bigOf(log).read(offset, 1)
        assert.ok(read.kind === 'batches' && read.baseOffset <= offset && offset < read.nextOffset)
      })
    }
    await log.close()
    mosts.push(most.counts)
  }
  for (const { opens, reads, bytesRead } of mosts) {
    assert.ok(opens <= 3 && reads <= 8, JSON.stringify(mosts))
    assert.ok(bytesRead < 2 * 262_144, 'a batch and what leads to it')
  }
})

test('any time is found in the same few reads, though event times go back and forth', async () => {
  const mosts: DiskCounts[] = []
  for (const segments of [40, SEGMENTS]) {
    const disk = await storeOf(segments)
    const log = await openBig(disk)
    const random = new SeededRandom(5)
    const most = new Most()
    for (let probes = 0; probes < 60; probes++) {
      const offset = random.below(disk.records)
      const timestamp = disk.timeOf(offset)
      await most.of(disk, async () => {
        const found = await bigOf(log).offsetForTime(timestamp)
        const first = disk.firstAtTime(timestamp)
        assert.equal(found, { offset: first, timestamp: disk.timeOf(first) })
      })
    }
    await most.of(disk, async () => {
      assert.is(await bigOf(log).offsetForTime(disk.timeOf(disk.records - 1) + 1), null)
    })
    await log.close()
    mosts.push(most.counts)
  }
  for (const { opens, reads, bytesRead } of mosts) {
    assert.ok(opens <= 3 && reads <= 14, JSON.stringify(mosts))
    assert.ok(bytesRead < 2 * 262_144, 'a batch and what leads to it')
  }
})

test('what was looked for all over the log keeps memory within bounds', async () => {
  const disk = await storeOf(SEGMENTS)
  const log = await openBig(disk)
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let segment = 0; segment < SEGMENTS; segment += 4) {
    const read = await bigOf(log).read(disk.baseOffsetOf(segment) + 12_345, 1)
    assert.is(read.kind, 'batches')
  }
  disk.forgetBatches()
  collectGarbage()
  const each = (process.memoryUsage().heapUsed - before) / (SEGMENTS / 4)
  await log.close()
  assert.ok(each < 4096, `${each} bytes for a segment that was read`)
})

// ---- many partitions

interface ManyOptions {
  fs: SimFileSystem
  clock: SimClock
  options: Partial<LogOptions>
}

function many(): ManyOptions {
  const clock = new SimClock(ARRIVAL)
  const sizes = { batchBytes: 256 * 1024, segmentBytes: 16 * 1024 * 1024 }
  const journal = { journalBytes: 4 * 1024 * 1024, carryTailBytes: 16 * 1024 }
  return { fs: new SimFileSystem(1), clock, options: { clock, ...sizes, ...journal } }
}

/** One durable record of 120 bytes that do not compress to each, waiting for room where there is none. */
async function appendToAll(log: Log, partitions: readonly PartitionLog[], round: number) {
  const random = new SeededRandom(round)
  for (const partition of partitions) {
    const record = { timestamp: ARRIVAL + round, key: null, value: random.bytes(120) }
    while (partition.appendRecord(record) < 0) {
      await new Promise<void>((resolve) => {
        const stop = log.onRoom(() => {
          stop()
          resolve()
        })
      })
    }
  }
  await log.durable(log.openCommit - 1)
}

async function quiet(clock: SimClock): Promise<void> {
  for (let rounds = 0; rounds < 20; rounds++) {
    for (let turns = 0; turns < 2000; turns++) await undefined
    clock.advance(100)
  }
}

test('1,000 partitions with small tails share 8 MiB of memory and two journal files', async () => {
  const { fs, clock, options } = many()
  const log = await openSmallLog(fs, options)
  const topic = { partitions: PARTITIONS, replicated: false }
  const { partitions } = await log.createTopic('many', topic)
  const rounds = 24
  for (let round = 0; round < rounds; round++) await appendToAll(log, partitions, round)
  await quiet(clock)
  for (const partition of partitions) {
    assert.is(partition.highWatermark, rounds)
    const read = await partition.read(rounds - 1, 1)
    assert.ok(read.kind === 'batches' && read.nextOffset === rounds)
  }
  await log.close()

  const again = await openSmallLog(fs, options)
  const reopened = again.topic('many')!.partitions
  assert.equal(new Set(reopened.map(({ highWatermark }) => highWatermark)), new Set([rounds]))
  await again.close()
})

test('tails that stay small are journaled again, not made segments of three files', async () => {
  const { fs, clock, options } = many()
  const log = await openSmallLog(fs, options)
  const topic = { partitions: PARTITIONS, replicated: false }
  const { partitions } = await log.createTopic('many', topic)
  const [hot, rest] = [partitions.slice(0, 10), partitions.slice(10)]
  for (let round = 0; round < 3; round++) await appendToAll(log, partitions, round)
  const before = { ...log.meter.of('checkpoint') }
  for (let round = 3; log.meter.of('journal').writtenBytes < 14e6; round++) {
    await appendToAll(log, hot, round)
    if (round % 100 === 0) await quiet(clock)
  }
  await quiet(clock)
  const sealed = rest.filter(({ segments }) => segments.count > 0)
  assert.is(sealed.length, 0)
  assert.ok(log.meter.of('segment').syncs < 100, `${log.meter.of('segment').syncs} syncs`)
  const checkpoints = log.meter.of('checkpoint')
  const each = (checkpoints.writtenBytes - before.writtenBytes) / (checkpoints.syncs - before.syncs)
  assert.ok(each < 48 * 1024, `${each} bytes a checkpoint`)
  await log.close()
})

test('1,000 partitions that nobody writes to cost nothing', async () => {
  const { fs, clock, options } = many()
  const log = await openSmallLog(fs, options)
  const topic = { partitions: PARTITIONS, replicated: false }
  const { partitions } = await log.createTopic('many', topic)
  await appendToAll(log, partitions, 0)
  await quiet(clock)
  const operations: string[] = []
  fs.faults.onStep = ({ operation, path }) => operations.push(`${operation} ${path}`)
  for (let minute = 0; minute < 10; minute++) {
    clock.advance(60_000)
    for (let turns = 0; turns < 500; turns++) await undefined
  }
  fs.faults.onStep = () => {}
  assert.equal(operations, [])
  await log.close()
})

test.run()
