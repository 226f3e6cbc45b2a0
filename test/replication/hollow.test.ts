// Empty records in the place of lost ones on their way upstream, and a mirror that has what this log
// has lost; what may be upstream is pinned; a log that cannot be read.

import { randomBytes } from 'node:crypto'
import * as assert from 'uvu/assert'
import { AgentError } from '../../agent/base/errors.ts'
import { GapTracker } from '../../agent/log/gap-tracker.ts'
import { readBatchHeader } from '../../agent/record/record-batch.ts'
import { suite } from '../support/suite.ts'
import { type ReplicationRig, TOPIC } from './rig.ts'
import { rigTests } from './with-rig.ts'

const test = suite('replication/hollow')
const withRig = rigTests(test)

const real = (count: number) =>
  Array.from({ length: count }, (_, order) => ({
    timestamp: 1000 + order,
    key: null,
    value: Buffer.from(`real-${order}`),
  }))

/** The mirror is known, and another writer's batches are taken for ours. */
async function replicateAndStop(rig: ReplicationRig, count: number): Promise<void> {
  await rig.append('a', count, { seal: true })
  rig.connect()
  await rig.replicated()
  await rig.disconnect()
  rig.mirrorPartition().expireProducers()
}

withRig(
  'hollow batches go upstream as they are, up to 65,536 records each',
  async (rig) => {
    await rig.append('a', 10, { seal: true })
    await rig.appendHollow(140_000, 'dropped')
    await rig.append('b', 10, { seal: true })
    rig.connect()
    await rig.replicated()
    assert.equal(await rig.differences(), [])
    const bounds = rig.mirrorPartition().batches.map((batch) => readBatchHeader(batch).baseOffset)
    assert.equal(bounds, [0, 10, 65_536, 131_072, 140_010])
  },
  { journalBytes: 4 * 1024 * 1024 },
)

withRig('an end in the middle of a hollow batch is where sending goes on', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  await rig.append('a', 5, { seal: true })
  await rig.appendHollow(3000, 'journal')
  rig.mirrorPartition().write((await rig.records()).slice(0, 1000))
  rig.connect()
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [1000])
  assert.equal(await rig.differences(), [])
})

for (const reason of ['rot', 'file', 'journal'] as const) {
  withRig(`a mirror that has what is lost here (${reason}) is right`, async (rig) => {
    rig.mirror.create(TOPIC, 1)
    await rig.append('a', 10, { seal: true })
    const before = await rig.records()
    await rig.appendHollow(6, reason)
    rig.mirrorPartition().write([...before, ...real(6)])
    await rig.append('b', 10, { seal: true })
    rig.connect()
    await rig.replicated()
    assert.equal(rig.mirrorPartition().arrived, [16])
    assert.is(rig.state(), 'streaming')
    assert.match(
      rig.logged.join(''),
      'gw.sensors-0: offsets 10 to 15 are lost on this gateway; the upstream has them → read them there',
    )
  })
}

withRig(
  'what was dropped on purpose was never sent: others there are a divergence',
  async (rig) => {
    await replicateAndStop(rig, 10)
    await rig.appendHollow(6, 'dropped')
    rig.mirrorPartition().write(real(6))
    rig.connect()
    await rig.until('it freezes', () => rig.state() === 'frozen')
    assert.match(rig.reason(), 'someone else wrote offset 10')
  },
)

withRig('an empty record that is no part of a gap is compared like any other', async (rig) => {
  await replicateAndStop(rig, 10)
  await rig.appendHollow(6, 'rot')
  const offset = rig.partition().appendRecord({ timestamp: 1, key: null, value: null })
  assert.is(offset, 16)
  await rig.during(rig.log.durable(rig.log.openCommit))
  rig.mirrorPartition().write(real(7))
  rig.connect()
  await rig.until('it freezes', () => rig.state() === 'frozen')
  assert.match(rig.reason(), 'someone else wrote offset 16')
})

withRig('an unknown mirror of which all is lost here needs an operator', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  await rig.appendHollow(20, 'journal')
  rig.mirrorPartition().write(real(20))
  rig.connect()
  await rig.until('it freezes', () => rig.state() === 'frozen')
  assert.is(
    rig.reason(),
    'gw.sensors-0: nothing proves that the 20 records upstream are ours (what was here at these offsets is lost) → replication adopt',
  )
})

withRig('a known mirror of which the end is lost here goes on', async (rig) => {
  await replicateAndStop(rig, 10)
  await rig.appendHollow(20, 'rot')
  rig.mirrorPartition().write(real(20))
  await rig.append('b', 5, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [0, 30])
})

withRig('that a mirror has more is said once, however often the link is lost', async (rig) => {
  await replicateAndStop(rig, 10)
  await rig.appendHollow(20, 'rot')
  rig.mirrorPartition().write(real(20))
  rig.connect()
  for (let cuts = 0; cuts < 3; cuts++) {
    await rig.until('it streams', () => rig.state() === 'streaming')
    rig.mirror.cut()
    await rig.until('it is noticed', () => rig.state() === 'connecting')
  }
  const said = rig.logged.filter((line) => line.includes('lost on this gateway'))
  assert.is(said.length, 1)
})

withRig(
  'nothing is sent that a power cut could unpin',
  async (rig) => {
    rig.mirror.create(TOPIC, 1)
    let isSent = false
    rig.mirrorPartition().faults.push(({ store }) => {
      store()
      isSent = true
      return undefined
    })
    await rig.append('a', 100, { seal: true })
    rig.connect()
    await rig.until('it is sent', () => isSent)
    rig.mirror.brokers[0]!.isDown = true
    await rig.crash()
    // The upstream is away: what it has is not known.
    assert.ok(rig.partition().pinnedOffset >= 100, `${rig.partition().pinnedOffset}`)
    await rig.append('b', 10, { seal: true })
    rig.mirror.brokers[0]!.isDown = false
    await rig.replicated()
    assert.is(rig.partition().pinnedOffset, 110)
    assert.equal(await rig.differences(), [])
  },
  { whenFull: 'dropOldest' },
)

withRig(
  'what lies beyond the lease waits until a new one is on the disk',
  async (rig) => {
    await replicateAndStop(rig, 30)
    rig.log.state.put('repl/sent/1', Buffer.from('30'))
    await rig.append('b', 10, { seal: true })
    const { durable } = rig.log
    let free = () => {}
    const held = new Promise<void>((resolve) => (free = resolve))
    rig.log.durable = (commit) => held.then(() => durable.call(rig.log, commit))
    rig.connect()
    await rig.until('it shook hands', () => rig.partition().pinnedOffset === 40)
    for (let turns = 0; turns < 100; turns++) await rig.turn()
    assert.is(rig.mirrorPartition().end, 30)
    free()
    await rig.replicated()
    assert.equal(await rig.differences(), [])
  },
  { whenFull: 'dropOldest' },
)

withRig(
  'a link that is lost leaves pinned what was sent, and frees what was only read',
  async (rig) => {
    rig.mirror.create(TOPIC, 1)
    let arrived = 0
    rig.mirror.onProduce = () => arrived++
    rig.mirror.hold = new Promise(() => {})
    for (let order = 0; order < 9; order++) await rig.append(`t${order}`, 10, { seal: true })
    rig.connect()
    await rig.until('five are on their way', () => arrived === 5)
    assert.is(rig.partition().pinnedOffset, 90)
    rig.mirror.brokers[0]!.isDown = true
    rig.mirror.cut()
    await rig.until('it is noticed', () => rig.state() === 'connecting')
    assert.is(rig.partition().pinnedOffset, 50)
  },
)

/** Gives up everything that may go, as a full disk does; the offsets. */
async function dropAll(rig: ReplicationRig): Promise<{ from: number; to: number }> {
  const log = rig.partition()
  const [from, to] = [log.pinnedOffset, log.sealedOffset]
  const dropping = log.hollow(from, to, 'dropped')
  log.dropping = dropping
  await rig.during(dropping)
  log.dropping = undefined
  return { from, to }
}

function droppedUpstream(rig: ReplicationRig): number {
  const gaps = new GapTracker()
  const { records } = rig.mirrorPartition()
  return records.filter((record) => gaps.take(record) === 'dropped').length
}

withRig(
  'what is given up while the link is away is given up on both sides',
  async (rig) => {
    await rig.append('a', 30, { seal: true })
    rig.connect()
    await rig.replicated()
    rig.mirror.brokers[0]!.isDown = true
    rig.mirror.cut()
    await rig.until('it is noticed', () => rig.state() === 'connecting')
    for (let order = 0; order < 20; order++) await rig.append(`b${order}`, 10, { seal: true })
    assert.equal(await dropAll(rig), { from: 30, to: 230 })
    await rig.append('c', 10, { seal: true })
    rig.mirror.brokers[0]!.isDown = false
    await rig.replicated()
    assert.equal(await rig.differences(), [])
    assert.is(droppedUpstream(rig), 200)
    assert.is(rig.partition().losses.totals.dropped, 200)
  },
  { whenFull: 'dropOldest' },
)

withRig(
  'what is given up behind batches on their way takes nothing of theirs',
  async (rig) => {
    rig.mirror.create(TOPIC, 1)
    let isSent = false
    let free = () => {}
    rig.mirror.hold = new Promise<void>((resolve) => (free = resolve))
    rig.mirror.onProduce = () => (isSent = true)
    // More than is read ahead: incompressible, so that the bytes count.
    for (let order = 0; order < 60; order++) {
      const offset = rig.partition().appendRecord({
        timestamp: order,
        key: null,
        value: randomBytes(8000),
      })
      assert.is(offset, order)
      await rig.during(rig.log.durable(rig.log.openCommit))
      await rig.during(rig.partition().seal())
    }
    rig.connect()
    await rig.until('it is sent', () => isSent && Number.isFinite(rig.partition().pinnedOffset))
    for (let turns = 0; turns < 50; turns++) await rig.turn()
    const { from, to } = await dropAll(rig)
    assert.ok(from > 5 && from < 55 && to === 60, `${from} to ${to}`)
    free()
    await rig.replicated()
    assert.equal(await rig.differences(), [])
    assert.is(droppedUpstream(rig), to - from)
  },
  { whenFull: 'dropOldest' },
)

withRig(
  'a store that cannot be read parks one partition, says why, and tries again',
  async (rig) => {
    const broken = rig.partition(1)
    const readSealed = broken.readSealed.bind(broken)
    broken.readSealed = () => {
      throw new AgentError('CORRUPT_STORE', 'gw.sensors-1: offset 0 cannot be read')
    }
    for (const partition of [0, 1]) await rig.append('a', 10, { partition, seal: true })
    rig.connect()
    await rig.replicated(0)
    await rig.until('it parks', () => rig.state(1) === 'parked')
    assert.is(rig.reason(1), 'gw.sensors-1: offset 0 cannot be read → tributary verify')
    await rig.append('b', 10, { partition: 0, seal: true })
    await rig.replicated(0)
    assert.is(rig.state(0), 'streaming')
    broken.readSealed = readSealed
    rig.clock.advance(30_000)
    await rig.replicated(1)
    assert.equal(await rig.differences(1), [])
  },
  { partitions: 2 },
)

test.run()
