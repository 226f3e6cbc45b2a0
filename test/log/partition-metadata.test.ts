import * as assert from 'uvu/assert'
import {
  decodeMetadata,
  encodeMetadata,
  METADATA_FILE,
  MetadataFiles,
  type PartitionMetadata,
  readMetadata,
} from '../../agent/log/partition-metadata.ts'
import { codecs } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('partition metadata')
const METADATA: PartitionMetadata = {
  topic: 'plant-7.sensors',
  topicId: '00000000-0000-4000-8000-000000000001',
  partition: 1,
  logIds: [4, 5, 6, 9],
  settings: { partitions: 4, replicated: true, retentionMs: 1000 },
  gateway: 'plant-7',
  lineage: undefined,
}

test('what is written is read again, and any flipped bit is seen', () => {
  const bytes = encodeMetadata(METADATA, codecs)
  assert.equal(decodeMetadata(bytes, codecs), METADATA)
  assert.match(bytes.toString(), '"logIds":[[4,3],[9,1]]')
  for (let position = 0; position < bytes.length; position++) {
    const rotten = Buffer.from(bytes)
    rotten[position]! ^= 0x04
    assert.is(decodeMetadata(rotten, codecs), undefined, `${position}`)
  }
  for (let length = 0; length < bytes.length; length++) {
    assert.is(decodeMetadata(bytes.subarray(0, length), codecs), undefined)
  }
})

/** A log whose topic is at its second checkpoint or later. */
async function checkpointed(fs: SimFileSystem) {
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('t', { partitions: 3, replicated: false })
  await appendRecords(log, topic.partitions[0]!, 900)
  for (let turns = 0; turns < 5000; turns++) await undefined
  return { log, topic }
}

const pathsOf = (fs: SimFileSystem) => fs.paths().filter((path) => path.includes(METADATA_FILE))

test('every partition that a checkpoint sees has one, with records or without', async () => {
  const fs = new SimFileSystem(1)
  const { log, topic } = await checkpointed(fs)
  assert.equal(
    pathsOf(fs),
    [0, 1, 2].map((number) => `${STORE}/t-${number}/${METADATA_FILE}`),
  )
  const read = await readMetadata(fs.crash(), `${STORE}/t-2`, codecs)
  assert.equal(
    [read?.topicId, read?.partition, read?.logIds, read?.lineage],
    [topic.id, 2, [1, 2, 3], log.lineage],
  )
})

test('one is written again when the topic has changed, and only then', async () => {
  const fs = new SimFileSystem(2)
  const { log } = await checkpointed(fs)
  await log.close()
  let renames = 0
  fs.faults.onStep = ({ operation }) => {
    if (operation === 'rename') renames++
  }
  await (await openSmallLog(fs)).close()
  assert.is(renames, 0)
  const again = await openSmallLog(fs)
  await again.addPartitions('t', 4)
  await again.close()
  assert.is(renames, 4)
  const read = await readMetadata(fs, `${STORE}/t-0`, codecs)
  assert.equal(read?.logIds, [1, 2, 3, 4])
})

test('a disk that takes none of them holds up no checkpoint', async () => {
  for (const operation of ['open', 'write', 'sync', 'rename'] as const) {
    const fs = new SimFileSystem(3)
    for (let tries = 0; tries < 100; tries++) fs.failNext(operation, { path: 'partition.metadata' })
    const { log } = await checkpointed(fs)
    assert.equal(log.health(), { ok: true, reasons: [] }, operation)
    assert.ok(fs.paths().includes(`${STORE}/checkpoint-1`))
    assert.equal(pathsOf(fs), [])
    fs.failNoMore()
    await log.close()
    assert.is(pathsOf(fs).length, 3, operation)
  }
})

test('a topic that is deleted while they are written leaves no directory behind', async () => {
  for (let seed = 0; seed < 30; seed++) {
    const fs = new SimFileSystem(seed)
    const log = await openSmallLog(fs)
    await log.createTopic('t', { partitions: 3, replicated: false })
    const other = await log.createTopic('other', { partitions: 1, replicated: false })
    let deleting: Promise<void> | undefined
    let steps = 1 + (seed % 12)
    fs.faults.onStep = ({ path }) => {
      if (path.includes('partition.metadata') && --steps === 0) deleting = log.deleteTopic('t')
    }
    await appendRecords(log, other.partitions[0]!, 500)
    await deleting
    await log.close()
    assert.ok(deleting !== undefined, `seed ${seed}`)
    assert.equal(
      (await fs.list(STORE)).filter((name) => name.startsWith('t-')),
      [],
      `seed ${seed}`,
    )
  }
})

test('what a checkpoint does not know of has none', async () => {
  const fs = new SimFileSystem(6)
  const { log, topic } = await checkpointed(fs)
  const files = new MetadataFiles({ fs, directory: `${STORE}/other` }, codecs, log.state)
  const written = () => pathsOf(fs).filter((path) => path.startsWith(`${STORE}/other/`)).length
  const stateOf = (logIds: number[], id = topic.id) => {
    const record = { id, settings: topic.settings, logIds }
    return [['topic/t', Buffer.from(JSON.stringify(record))]] as const
  }
  await files.update(topic.partitions, [])
  await files.update(topic.partitions, stateOf([1, 2, 3], 'of an earlier one'))
  assert.is(written(), 0)
  // The third was added a moment ago.
  await files.update(topic.partitions, stateOf([1, 2]))
  assert.is(written(), 2)
  const read = await readMetadata(fs, `${STORE}/other/t-1`, codecs)
  assert.equal(read?.logIds, [1, 2])
  await files.update(topic.partitions, stateOf([1, 2, 3]))
  assert.is(written(), 3)
})

test('of two topics with one log id the one of the state counts', async () => {
  const fs = new SimFileSystem(7)
  const { topic } = await checkpointed(fs)
  const stray = { ...METADATA, topic: 'stray', partition: 0, logIds: [topic.partitions[1]!.logId] }
  await fs.makeDirectory(`${STORE}/stray-0`)
  const file = await fs.open(`${STORE}/stray-0/${METADATA_FILE}`, 'create')
  await file.write([encodeMetadata(stray, codecs)], 0)
  await file.close()
  const killed = fs.kill()
  // The state is put together.
  for (const path of killed.paths()) if (/journal-\d/.test(path)) killed.lose(path)
  const rebuilt = await openSmallLog(killed, { lock: { startOf: async () => 'another' } })
  assert.is(rebuilt.topic('stray'), undefined)
  const ids = (partitions: readonly { logId: number }[]) => partitions.map(({ logId }) => logId)
  assert.equal(ids(rebuilt.topic('t')!.partitions), ids(topic.partitions))
  await rebuilt.close()
})

test.run()
