import * as assert from 'uvu/assert'
import {
  checkHealthy,
  checkpointsOf,
  contents,
  journalsOf,
  NAME,
  newStore,
  open,
  own,
  partitionOf,
  settle,
  TOPIC,
  upTo,
} from '../support/recovered-log.ts'
import { STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('rebuild')

test('both copies gone: topics, offsets and records come from what is left', async () => {
  for (const damage of ['rot', 'spoil', 'lose'] as const) {
    const { fs, log: before } = await newStore(11, 900)
    const { id } = before.topic(TOPIC)!
    const lineage = before.lineage
    const killed = fs.kill()
    for (const { path } of checkpointsOf(killed)) {
      if (damage === 'lose') killed.lose(path)
      else killed[damage](path, 60)
    }
    const { log, lines } = await open(killed)
    assert.match(lines.join('\n'), /both checkpoints are gone: the log is rebuilt from/)
    assert.is(log.topic(TOPIC)!.id, id)
    assert.is(log.topic(TOPIC)!.partitions.length, 2)
    assert.is(log.lineage, lineage)
    assert.equal(await contents(partitionOf(log)), upTo(900))
    const fresh = await log.createTopic('other', { partitions: 1, replicated: false })
    assert.is(fresh.partitions[0]!.logId, 3)
    const other = await open(killed.kill(), { gateway: 'another' }).catch((error) => error)
    assert.is(other.code, 'STORE_MISMATCH')
  }
})

test('a rebuild after a clean stop has all records, without a single frame', async () => {
  const { fs, log: before } = await newStore(12, 900)
  await before.close()
  for (const { path } of [...checkpointsOf(fs), ...journalsOf(fs)]) fs.lose(path)
  const { log, lines } = await open(fs)
  assert.match(lines.join('\n'), /both checkpoints are gone/)
  assert.equal(await contents(partitionOf(log)), upTo(900))
  await checkHealthy(fs, upTo(900))
})

test('one partition.metadata that is left knows the log ids of the others', async () => {
  const { fs, log: before } = await newStore(13, 900)
  const killed = fs.kill()
  for (const { path } of checkpointsOf(killed)) killed.rot(path, 60)
  killed.rot(`${STORE}/${NAME}/partition.metadata`, 30)
  const { log } = await open(killed)
  assert.is(log.topic(TOPIC)!.id, before.topic(TOPIC)!.id)
  assert.equal(await contents(partitionOf(log)), upTo(900))
})

test('a directory that nothing tells of becomes a topic of its name', async () => {
  const { fs, log: before } = await newStore(14, 300)
  const { id } = before.topic(TOPIC)!
  await before.close()
  for (const { path } of [...checkpointsOf(fs), ...journalsOf(fs)]) fs.lose(path)
  for (const number of [0, 1]) fs.lose(`${STORE}/${TOPIC}-${number}/partition.metadata`)
  const { log, lines } = await open(fs)
  assert.match(lines.join('\n'), `${TOPIC}: nothing says what it was`)
  const topic = log.topic(TOPIC)!
  assert.is.not(topic.id, id)
  assert.equal([topic.replicated, topic.partitions.length], [true, 1])
  assert.equal(await contents(topic.partitions[0]!), upTo(300))
  assert.ok(topic.partitions[0]!.logId > 0)
})

test('a rebuild cuts nothing that the journal does not hold', async () => {
  const { fs, log: before } = await newStore(15, 300)
  await before.close()
  for (const { path } of [...checkpointsOf(fs), ...journalsOf(fs)]) fs.lose(path)
  const last = fs
    .paths()
    .filter((path) => path.includes(`/${NAME}/`) && path.endsWith('.log'))
    .at(-1)!
  const size = fs.contents(last).length
  fs.rot(last, size - 20)
  const { log } = await open(fs)
  const found = await contents(partitionOf(log))
  assert.is(found.length, 300)
  assert.ok(own(found) < 300 && own(found) > 250)
  assert.ok(fs.paths().some((path) => path.includes(`/quarantine/${NAME}-`)))
  await checkHealthy(fs, found)
})

test('what retention removed before a rebuild stays removed', async () => {
  const { fs, log: before } = await newStore(16, 600)
  await before.alterTopic(TOPIC, { replicated: false, retentionBytes: 10_000 })
  await before.retain()
  const start = partitionOf(before).logStartOffset
  assert.ok(start > 0)
  await before.close()
  for (const { path } of [...checkpointsOf(fs), ...journalsOf(fs)]) fs.lose(path)
  const { log } = await open(fs)
  assert.is(partitionOf(log).logStartOffset, start)
  assert.is(partitionOf(log).highWatermark, 600)
  assert.is(log.topic(TOPIC)!.settings.retentionBytes, 10_000)
})

test('a topic that was deleted does not come back in a rebuild', async () => {
  const { fs, log: before } = await newStore(17, 30)
  await before.deleteTopic(TOPIC)
  await before.createTopic('kept', { partitions: 1, replicated: false })
  await settle()
  const killed = fs.kill()
  for (const { path } of checkpointsOf(killed)) killed.rot(path, 60)
  const { log } = await open(killed)
  assert.equal(
    [...log.topics()].map(({ name }) => name),
    ['kept'],
  )
})

test('offsets that only a cursor, a loss or the log start tells of are not used again', async () => {
  const cases = {
    repl: JSON.stringify({ acked: 300 }),
    lost: JSON.stringify({ totals: { rot: 1 }, ranges: [[299, 300, 'rot']] }),
    start: '300',
  }
  for (const [key, value] of Object.entries(cases)) {
    for (const isCut of [false, true]) {
      const { fs, log: before } = await newStore(17, 300)
      before.state.put(`${key}/${partitionOf(before).logId}`, Buffer.from(value))
      await before.close()
      const { log: again } = await open(fs)
      again.state.put(`${key}/${partitionOf(again).logId}`, Buffer.from(value))
      await again.durable(again.openCommit)
      const killed = fs.kill()
      for (const { path } of checkpointsOf(killed)) killed.rot(path, 60)
      const logs = killed
        .paths()
        .filter((path) => path.includes(`/${NAME}/`) && path.endsWith('.log'))
      for (const path of logs) {
        if (isCut) killed.shorten(path, 0)
        else killed.lose(path)
      }
      const { log } = await open(killed)
      assert.is(partitionOf(log).logEndOffset, 300, `${key}, ${isCut ? 'cut' : 'lost'}`)
      const [end, records] = [partitionOf(log).highWatermark, await contents(partitionOf(log))]
      assert.is(end, 300)
      assert.is(own(records), 0)
    }
  }
})

test.run()
