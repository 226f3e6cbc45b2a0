import * as assert from 'uvu/assert'
import { CHECKPOINT_FILES, decodeCheckpoint } from '../../agent/log/checkpoint.ts'
import { segmentName } from '../../agent/log/segment-file.ts'
import { codecs } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('segment marks')
const FIRST_TIME = Date.UTC(2026, 0, 1)

/** Oldest first. */
function checkpointsOf(fs: SimFileSystem) {
  return CHECKPOINT_FILES.map((name) => {
    const path = `${STORE}/${name}`
    const outcome = decodeCheckpoint(fs.contents(path), codecs)
    if (outcome.kind !== 'checkpoint') throw new Error(`${path}: ${outcome.kind}`)
    return { path, ...outcome.checkpoint }
  }).sort((a, b) => a.number - b.number)
}

const generationsOf = (fs: SimFileSystem) =>
  fs
    .paths()
    .filter((path) => /journal-\d+$/.test(path))
    .map((path) => Number(fs.contents(path).readBigUInt64BE(8)))
    .sort((a, b) => a - b)

test('the mark of a segment that was still written to is not what it became', async () => {
  const records = 1300
  const fs = new SimFileSystem(3)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('small.t', { partitions: 1, replicated: true })
  const [writing] = topic.partitions
  await appendRecords(log, writing!, records)
  for (let turns = 0; turns < 5000; turns++) await undefined
  const newest = checkpointsOf(fs)[1]!
  // No other comes, and the journal that the older one needs is used again.
  for (let tries = 0; tries < 1000; tries++) fs.failNext('write', { path: 'checkpoint' })
  for (let order = records; generationsOf(fs)[0]! < newest.generation; order++) {
    const value = Buffer.alloc(90, order)
    writing!.appendRecord({ timestamp: FIRST_TIME + order * 1000, key: null, value })
    await log.durable(log.openCommit - 1)
  }
  const killed = fs.kill()
  killed.failNoMore()
  const older = checkpointsOf(killed)[0]!.partitions[0]!.segments.at(-1)!
  const grown = killed.contents(`${STORE}/small.t-0/${segmentName(older.baseOffset)}.log`).length
  assert.ok(grown > older.bytes!)
  // The older copy remains, whose last segments have grown and were closed since.
  killed.rot(newest.path, 60)
  const again = await openSmallLog(killed)
  const [partition] = again.topic('small.t')!.partitions
  for (let offset = 0; offset < partition!.highWatermark; offset += 7) {
    const timestamp = FIRST_TIME + offset * 1000
    assert.equal(await partition!.offsetForTime(timestamp), { offset, timestamp })
  }
  await again.close()
})

test.run()
