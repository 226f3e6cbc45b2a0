// Replication against a fake upstream: what is sent, how it is answered for, and that every fault of
// the link ends with the same records at the same offsets, once.

import * as assert from 'uvu/assert'
import { readBatchHeader } from '../../agent/record/record-batch.ts'
import { suite } from '../support/suite.ts'
import { type Fault, refusal } from './fake-mirror.ts'
import { TOPIC } from './rig.ts'
import { rigTests } from './with-rig.ts'

const test = suite('replication/replicator')

const withRig = rigTests(test)

const lostAnswer: Fault = ({ store, socket }) => {
  store()
  socket.destroy()
  return undefined
}

const lostRequest: Fault = ({ socket }) => {
  socket.destroy()
  return undefined
}

withRig('records arrive once, in order, at their offsets, in bytes as stored', async (rig) => {
  await rig.append('a', 100, { seal: true })
  await rig.append('b', 50, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(await rig.differences(), [])
  assert.is(rig.state(), 'streaming')
  for (const sent of rig.mirrorPartition().batches) {
    const { baseOffset } = readBatchHeader(sent)
    const read = await rig.partition().read(baseOffset, 1)
    assert.is(read.kind, 'batches')
    if (read.kind !== 'batches') return
    const stored = read.bytes
    assert.equal(sent.subarray(21, 43), stored.subarray(21, 43))
    assert.equal(sent.subarray(57), stored.subarray(57, readBatchHeader(stored).size))
  }
  assert.is(rig.replicator.status().recordsTotal, 150)
  assert.is(rig.replicator.status().lagRecords, 0)
})

withRig('the mirror is made with the settings that identity needs', async (rig) => {
  await rig.append('a', 1)
  rig.connect()
  await rig.replicated()
  const [created] = rig.mirror.created
  assert.is(created?.name, TOPIC)
  assert.equal(created?.configs, {
    'compression.type': 'producer',
    'message.timestamp.type': 'CreateTime',
    'cleanup.policy': 'delete',
    'message.timestamp.before.max.ms': '9223372036854775807',
    'message.timestamp.after.max.ms': '9223372036854775807',
    'unclean.leader.election.enable': 'false',
    'min.insync.replicas': '2',
  })
})

for (const [name, fault] of [
  ['an answer that is lost', lostAnswer],
  ['a request that is lost', lostRequest],
  ['REQUEST_TIMED_OUT with the batch appended', ({ store }) => ({ ...store(), errorCode: 7 })],
  ['NOT_ENOUGH_REPLICAS, nothing appended', () => refusal('NOT_ENOUGH_REPLICAS')],
  [
    'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
    ({ store }) => ({ ...store(), errorCode: 20, baseOffset: -1 }),
  ],
  ['OUT_OF_ORDER_SEQUENCE_NUMBER', () => refusal('OUT_OF_ORDER_SEQUENCE_NUMBER')],
  ['KAFKA_STORAGE_ERROR', () => refusal('KAFKA_STORAGE_ERROR')],
  ['an error without a name', () => refusal('UNKNOWN_SERVER_ERROR')],
] as [string, Fault][]) {
  withRig(`after ${name} nothing is lost and nothing twice`, async (rig) => {
    rig.mirror.create(TOPIC, 1)
    rig.mirrorPartition().faults.push(({ store }) => store(), fault)
    for (const tag of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) await rig.append(tag, 10, { seal: true })
    rig.connect()
    await rig.replicated()
    assert.equal(await rig.differences(), [])
  })
}

withRig('what lies below the log end is not sent again', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().faults.push(lostAnswer)
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [0])
  await rig.append('b', 10, { seal: true })
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [0, 10])
})

withRig('a batch that lands after the first look at the end is not sent again', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  const mirror = rig.mirrorPartition()
  mirror.faults.push(({ store, socket }) => {
    const reads = mirror.endReads
    mirror.onEndRead = () => {
      if (mirror.endReads === reads + 2) store()
    }
    socket.destroy()
    return undefined
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(mirror.arrived, [0])
  assert.equal(await rig.differences(), [])
})

withRig('a batch that lands after the handshake is told by its contents', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  const mirror = rig.mirrorPartition()
  let zombie = () => {}
  mirror.faults.push(
    ({ store, socket }) => {
      zombie = store
      socket.destroy()
      return undefined
    },
    ({ store }) => {
      zombie()
      return store()
    },
  )
  await rig.append('a', 10, { seal: true })
  await rig.append('b', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  assert.equal(await rig.differences(), [])
  assert.is(rig.state(), 'streaming')
})

withRig('a batch behind one in doubt is not acked before it', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  const mirror = rig.mirrorPartition()
  // The first is answered as a duplicate, of contents that are not ours.
  mirror.faults.push(({ partition, store }) => {
    const answer = store()
    partition.batches.length = 0
    partition.write(
      Array.from({ length: 10 }, () => ({
        timestamp: 1,
        key: null,
        value: Buffer.from('foreign'),
      })),
    )
    return { ...answer, logAppendTimeMs: 1 }
  })
  await rig.append('a', 10, { seal: true })
  await rig.append('b', 10, { seal: true })
  rig.connect()
  await rig.until('it freezes', () => rig.state() === 'frozen')
  assert.is(rig.partition().replicatedOffset, 0)
  assert.is(
    rig.reason(),
    'gw.sensors-0: someone else wrote offset 0 → stop the other writer, then replication remirror',
  )
})

withRig('a wrong base offset freezes the partition', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirrorPartition().faults.push(({ partition, store }) => {
    partition.write([{ timestamp: 1, key: null, value: Buffer.from('foreign') }])
    return store()
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.until('it freezes', () => rig.state() === 'frozen')
  assert.match(rig.reason(), 'offset 0 was stored upstream at 1: somebody else writes there')
  assert.is(rig.partition().replicatedOffset, 0)
})

withRig(
  'an answer that leaves a partition out is no answer for it',
  async (rig) => {
    rig.mirror.create(TOPIC, 2)
    const [broker] = rig.mirror.brokers
    let isTaken = false
    const send = broker!.send
    broker!.send = (socket, frame) => send(socket, frame)
    rig.mirrorPartition(1).faults.push(({ store }) => {
      store()
      isTaken = true
      return undefined
    })
    await rig.append('a', 5, { partition: 1, seal: true })
    rig.connect()
    await rig.until('the batch is taken', () => isTaken)
    rig.mirror.cut()
    await rig.replicated(1)
    assert.equal(await rig.differences(1), [])
  },
  { partitions: 2 },
)

withRig('at most five batches of a partition are on their way', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  let requests = 0
  rig.mirror.onProduce = () => requests++
  let free = () => {}
  const held = new Promise<void>((resolve) => (free = resolve))
  for (let order = 0; order < 9; order++) await rig.append(`t${order}`, 4, { seal: true })
  rig.mirror.hold = held
  rig.connect()
  await rig.until('five are sent', () => requests === 5)
  for (let turns = 0; turns < 50; turns++) await rig.turn()
  assert.is(requests, 5)
  free()
  await rig.replicated()
  assert.equal(await rig.differences(), [])
})

withRig(
  'a new leader is found, and asked where it stands',
  async (rig) => {
    const { partitions } = rig.mirror.create(TOPIC, 1)
    await rig.append('a', 10, { seal: true })
    rig.connect()
    await rig.replicated()
    partitions[0]!.leaderId = 2
    partitions[0]!.leaderEpoch = 6
    await rig.append('b', 10, { seal: true })
    await rig.replicated()
    assert.equal(await rig.differences(), [])
    assert.ok(rig.mirror.brokers[1]!.countOf(23) >= 2)
  },
  { nodes: 2 },
)

withRig(
  'a leader that hangs is left when the cluster has another one',
  async (rig) => {
    const { partitions } = rig.mirror.create(TOPIC, 1)
    let isHanging = false
    partitions[0]!.faults.push(({ store }) => {
      store()
      isHanging = true
      return undefined
    })
    await rig.append('a', 10, { seal: true })
    rig.connect()
    await rig.until('the leader hangs', () => isHanging)
    const start = rig.clock.monotonic()
    partitions[0]!.leaderId = 2
    partitions[0]!.leaderEpoch = 6
    await rig.replicated()
    assert.ok(rig.clock.monotonic() - start < 20_000)
    assert.equal(partitions[0]!.arrived, [0])
    assert.equal(await rig.differences(), [])
  },
  { nodes: 2 },
)

withRig('a leader that hangs and still leads is waited for', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  let answer = () => {}
  rig.mirror.hold = new Promise((resolve) => (answer = resolve))
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.until('it is asked', () => rig.mirror.brokers[0]!.countOf(0) > 0)
  const [before] = rig.mirror.brokers[0]!.sockets
  const start = rig.clock.monotonic()
  await rig.until('a long time', () => rig.clock.monotonic() - start > 15_000)
  answer()
  await rig.replicated()
  assert.ok(rig.mirror.brokers[0]!.sockets.has(before!))
  assert.equal(rig.mirrorPartition().arrived, [0])
})

withRig('an idle partition whose connection ended shakes hands before it sends', async (rig) => {
  await rig.append('a', 10, { seal: true })
  await rig.append('b', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  // Cold: the broker has lost its tail and knows the producer no more, so it would take anything.
  rig.mirrorPartition().truncate(10)
  rig.mirrorPartition().expireProducers()
  rig.mirror.cut()
  await rig.append('c', 10, { seal: true })
  await rig.until('it freezes', () => rig.state() === 'frozen')
  assert.match(rig.reason(), 'the upstream lost its tail: it ends at 10, 20 were acked')
  assert.is(rig.mirrorPartition().end, 10)
})

withRig('the high watermark is waited for before the tail is proved', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  const mirror = rig.mirrorPartition()
  mirror.faults.push((produced) => {
    mirror.hidden = 10
    return lostAnswer(produced)
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.until('the end was read', () => mirror.endReads >= 4)
  for (let turns = 0; turns < 100; turns++) await rig.turn()
  assert.is(rig.state(), 'connecting')
  assert.is(rig.partition().replicatedOffset, 0)
  mirror.hidden = 0
  await rig.replicated()
  assert.equal(await rig.differences(), [])
})

withRig(
  'an upstream without topic ids is served by name',
  async (rig) => {
    await rig.append('a', 10, { seal: true })
    rig.connect()
    await rig.replicated()
    assert.equal(await rig.differences(), [])
    assert.ok(
      rig.mirror.brokers[0]!.asked.some(({ apiKey, version }) => apiKey === 0 && version === 8),
    )
  },
  { produceMax: 8 },
)

withRig('a small tail waits for more, then goes as it is', async (rig) => {
  rig.connect()
  await rig.until('it streams', () => rig.state() === 'streaming')
  for (let order = 0; order < 5; order++) await rig.append(`t${order}`, 1)
  await rig.replicated()
  assert.is(rig.mirrorPartition().batches.length, 1)
})

withRig('what was in flight at a close is asked about at the next start', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  let isStored = false
  rig.mirrorPartition().faults.push(({ store }) => {
    store()
    isStored = true
    return undefined
  })
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.until('it is stored', () => isStored)
  await rig.restart()
  await rig.replicated()
  assert.equal(rig.mirrorPartition().arrived, [0])
  assert.equal(await rig.differences(), [])
})

withRig('what waits for a full disk to seal its records holds up no stop', async (rig) => {
  rig.connect()
  await rig.append('a', 10)
  await rig.replicated()
  for (let count = 0; count < 1000; count++) {
    rig.disk.failNext('write', { code: 'ENOSPC', path: '.log' })
  }
  await rig.append('b', 10)
  await rig.until('the seal is refused', () => /ENOSPC/.test(rig.log.health().reasons.join()))
  const before = rig.clock.monotonic()
  await rig.stop()
  const took = rig.clock.monotonic() - before
  assert.ok(took < 3_000, `${took} ms`)
  rig.disk.failNoMore()
  await rig.openStore()
  rig.connect()
  await rig.replicated()
  assert.equal(await rig.differences(), [])
})

withRig(
  'the rate limit holds over a second and more',
  async (rig) => {
    const start = rig.clock.monotonic()
    for (let order = 0; order < 10; order++) await rig.append(`t${order}`, 100, { seal: true })
    rig.connect()
    await rig.replicated()
    const bytes = rig.mirrorPartition().batches.reduce((sum, batch) => sum + batch.length, 0)
    const seconds = (rig.clock.monotonic() - start) / 1000
    assert.ok(bytes > 4000, `${bytes} bytes`)
    // A bucket that is full at the start, and one request that overdraws it.
    assert.ok(seconds >= bytes / 1000 - 3, `${bytes} bytes in ${seconds} s`)
  },
  { replicator: { maxBytesPerSecond: 1000 } },
)

withRig(
  'after a long outage every partition goes on within two seconds, with few attempts before',
  async (rig) => {
    const partitions = [0, 1, 2, 3, 4, 5, 6, 7]
    const [broker] = rig.mirror.brokers
    const append = async (tag: string) => {
      for (const partition of partitions) await rig.append(tag, 10, { partition, seal: true })
    }
    await append('a')
    rig.connect()
    for (const partition of partitions) await rig.replicated(partition)
    broker!.isDown = true
    rig.mirror.cut()
    await append('b')
    const attempts = broker!.connectionsCount
    const cut = rig.clock.monotonic()
    while (rig.clock.monotonic() - cut < 100_000) {
      rig.clock.advance(100)
      for (let turns = 0; turns < 4; turns++) await rig.turn()
    }
    assert.ok(broker!.connectionsCount - attempts < 500, `${broker!.connectionsCount} attempts`)
    broker!.isDown = false
    const back = rig.clock.monotonic()
    for (const partition of partitions) await rig.replicated(partition)
    const took = rig.clock.monotonic() - back
    assert.ok(took < 2_000, `${took} ms until all partitions were caught up`)
    for (const partition of partitions) assert.equal(await rig.differences(partition), [])
  },
  { partitions: 8 },
)

test.run()
