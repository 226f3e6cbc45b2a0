// Who may go on at a mirror, and where: stores that are new, old, copied; mirrors that somebody else
// wrote, lost or made again; ends in the middle of a tail or batch.

import * as assert from 'uvu/assert'
import type { DecodedRecord } from '../../agent/record/record-batch.ts'
import { suite } from '../support/suite.ts'
import { type FakeMirrorPartition, refusal } from './fake-mirror.ts'
import { type ReplicationRig, TOPIC } from './rig.ts'
import { rigTests } from './with-rig.ts'

const test = suite('replication/identity')
const withRig = rigTests(test)

const foreign = (count: number) =>
  Array.from({ length: count }, (_, order) => ({
    timestamp: 1000 + order,
    key: null,
    value: Buffer.from(`foreign-${order}`),
  }))

/** Puts the store's first records upstream, as an earlier life of the gateway would have. */
function copyUp(records: readonly DecodedRecord[], mirror: FakeMirrorPartition): void {
  mirror.write(records)
}

async function frozen(rig: ReplicationRig, partition = 0): Promise<string> {
  await rig.until(`partition ${partition} freezes`, () => rig.state(partition) === 'frozen')
  return rig.reason(partition)
}

withRig('an empty store before a full mirror is frozen with the way out', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().write(foreign(84_112))
  rig.connect()
  assert.is(
    await frozen(rig),
    'gw.sensors-0 already has 84,112 records and this store is empty. New card? tributary replication adopt. Second gateway with this name? change gateway:',
  )
  await rig.append('a', 3)
  assert.is(rig.mirrorPartition().end, 84_112)
})

withRig('a new store that took records before it saw the mirror is told the same', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().write(foreign(20))
  await rig.append('a', 3)
  rig.connect()
  assert.match(
    await frozen(rig),
    'gw.sensors-0 already has 20 records and this store has 3 others. New card?',
  )
})

withRig('also when it took more than the mirror holds', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().write(foreign(20))
  await rig.append('a', 30, { seal: true })
  rig.connect()
  assert.match(await frozen(rig), 'already has 20 records and this store has 30 others. New card?')
  assert.equal(rig.mirrorPartition().arrived, [])
})

withRig('a store whose cursor is lost goes on when the records are its own', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  await rig.append('a', 30, { seal: true })
  copyUp(await rig.records(), rig.mirrorPartition())
  await rig.append('b', 5, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [30])
  assert.equal(await rig.differences(), [])
})

for (const seal of [false, true]) {
  const what = seal ? 'a sealed batch' : 'a tail'
  withRig(`an end in the middle of ${what} is where sending goes on`, async (rig) => {
    rig.mirror.create(TOPIC, 1)
    await rig.append('a', 30, { seal })
    copyUp((await rig.records()).slice(0, 12), rig.mirrorPartition())
    rig.connect()
    await rig.replicated()
    assert.equal(rig.mirrorPartition().arrived, [12])
    assert.equal(await rig.differences(), [])
    await rig.append('b', 5, { seal: true })
    await rig.replicated()
    assert.equal(await rig.differences(), [])
  })
}

withRig('after a power cut the cursor may be old: nothing is sent twice', async (rig) => {
  await rig.append('a', 30, { seal: true })
  rig.connect()
  await rig.replicated()
  await rig.append('b', 30, { seal: true })
  await rig.append('c', 30, { seal: true })
  await rig.replicated()
  const before = [...rig.mirrorPartition().arrived]
  await rig.crash()
  await rig.append('d', 10, { seal: true })
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [...before, 90])
  assert.equal(await rig.differences(), [])
})

withRig('power cuts in the middle of sending change no offset', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  const mirror = rig.mirrorPartition()
  rig.connect()
  for (let round = 0; round < 6; round++) {
    let isHit = false
    mirror.faults.push(({ store }) => {
      if (round % 2 === 0) store()
      isHit = true
      return undefined
    })
    for (let order = 0; order < 4; order++) {
      await rig.append(`r${round}-${order}`, 7, { seal: order % 2 === 0 })
    }
    await rig.until('the fault struck', () => isHit)
    await rig.crash()
  }
  await rig.replicated()
  assert.equal(await rig.differences(), [])
})

withRig('a dedup answer to a first send with other contents freezes', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().faults.push(({ partition, store }) => {
    const answer = store()
    partition.batches.length = 0
    partition.write(foreign(10))
    return { ...answer, logAppendTimeMs: 1009 }
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  assert.match(await frozen(rig), 'someone else wrote offset 0 → stop the other writer')
})

withRig('also when only an early record of a large batch is another', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  await rig.append('a', 200, { seal: true })
  const records = await rig.records()
  rig.mirrorPartition().faults.push(({ partition, store }) => {
    const answer = store()
    partition.batches.length = 0
    partition.write(records.map((one, at) => (at === 3 ? { ...one, value: null } : one)))
    return { ...answer, logAppendTimeMs: 1 }
  })
  rig.connect()
  assert.match(await frozen(rig), 'someone else wrote offset 3')
})

withRig('a foreign writer between two lives is found by the records', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  await rig.disconnect()
  rig.mirrorPartition().write(foreign(4))
  await rig.append('b', 10, { seal: true })
  rig.connect()
  assert.is(
    await frozen(rig),
    'gw.sensors-0: someone else wrote offset 10 → stop the other writer, then replication remirror',
  )
})

withRig('a mirror that is ahead of this store is not overwritten', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  await rig.disconnect()
  rig.mirrorPartition().write(foreign(5))
  rig.connect()
  assert.match(await frozen(rig), '15 records upstream, this store knows 10: somebody else wrote')
})

withRig('records that cannot be read are not ours', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  await rig.disconnect()
  const mirror = rig.mirrorPartition()
  mirror.write(foreign(4))
  mirror.batches.at(-1)!.writeInt16BE(4, 21)
  await rig.append('b', 10, { seal: true })
  rig.connect()
  assert.match(await frozen(rig), 'someone else wrote offset 10')
})

withRig('an upstream that lost its tail freezes', async (rig) => {
  await rig.append('a', 10, { seal: true })
  await rig.append('b', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  rig.mirrorPartition().truncate(10)
  rig.mirror.cut()
  assert.is(
    await frozen(rig),
    'gw.sensors-0: the upstream lost its tail: it ends at 10, 20 were acked → replication remirror',
  )
})

withRig('another cluster freezes', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  rig.mirror.clusterId = 'cluster-2'
  await rig.restart()
  assert.match(await frozen(rig), 'the upstream is another cluster (cluster-2, before cluster-1)')
})

withRig('a topic that was made again freezes before anything lands in it', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  rig.mirror.create(TOPIC, 1)
  await rig.append('b', 10, { seal: true })
  assert.match(await frozen(rig), 'the topic was deleted and made again upstream (id 0000')
  assert.is(rig.mirrorPartition().end, 0)
})

withRig('a mirror that was deleted is not made again', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  rig.mirror.topics.delete(TOPIC)
  await rig.append('b', 10, { seal: true })
  await rig.until('it parks', () => rig.state() === 'parked')
  assert.is(
    rig.reason(),
    'gw.sensors was deleted upstream; 10 records were there → replication remirror',
  )
  assert.not(rig.mirror.topics.has(TOPIC))
})

withRig('a producer of the same id with a newer epoch is somebody else', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().faults.push(() => refusal('INVALID_PRODUCER_EPOCH'))
  await rig.append('a', 10, { seal: true })
  rig.connect()
  assert.match(await frozen(rig), "somebody else writes there as this gateway's producer")
})

withRig(
  'a frozen partition does not stop the others',
  async (rig) => {
    rig.mirror.create(TOPIC, 3)
    rig.mirrorPartition(1).write(foreign(40))
    for (let partition = 0; partition < 3; partition++) {
      await rig.append(`p${partition}`, 20, { partition, seal: true })
    }
    rig.connect()
    await frozen(rig, 1)
    await rig.replicated(0)
    await rig.replicated(2)
    await rig.append('more', 20, { partition: 2, seal: true })
    await rig.replicated(2)
    assert.equal(await rig.differences(0), [])
    assert.equal(await rig.differences(2), [])
    assert.is(rig.mirrorPartition(1).end, 40)
    assert.is(rig.replicator.status().lagRecords, 20)
  },
  { partitions: 3 },
)

withRig('without the right to read, what was sent a moment ago is believed', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirror.refusals.set(1, 'TOPIC_AUTHORIZATION_FAILED')
  rig.mirrorPartition().faults.push(({ store, socket }) => {
    store()
    socket.destroy()
    return undefined
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [0])
})

withRig('upstream records that have expired prove nothing and stop nothing', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  const mirror = rig.mirrorPartition()
  mirror.faults.push(({ partition, store, socket }) => {
    store()
    partition.logStart = partition.end
    socket.destroy()
    return undefined
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.is(rig.state(), 'streaming')
})

withRig(
  'an error while the tail is proved is asked again, not held against the mirror',
  async (rig) => {
    rig.mirror.create(TOPIC, 1)
    await rig.append('a', 10, { seal: true })
    copyUp(await rig.records(), rig.mirrorPartition())
    rig.mirror.refusals.set(1, 'NOT_LEADER_OR_FOLLOWER')
    rig.connect()
    await rig.until('the tail was asked for', () => rig.mirror.brokers[0]!.countOf(1) >= 2)
    assert.is(rig.state(), 'connecting')
    rig.mirror.refusals.delete(1)
    await rig.replicated()
  },
)

test.run()
