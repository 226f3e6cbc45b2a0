// What may be upstream is pinned: while connected, after a lost connection, over a restart.

import * as assert from 'uvu/assert'
import { AgentError } from '../../agent/base/errors.ts'
import type { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SendPin } from '../../agent/replication/send-pin.ts'
import { suite } from '../support/suite.ts'

const test = suite('replication/send-pin')
const KEY = 'repl/sent/7'

/** A log of one partition whose commits end when a test says so. */
class FakeStore {
  readonly live = new Map<string, string>()
  readonly durable = new Map<string, string>()
  readonly partition = {
    ...{ logId: 7, highWatermark: 0, pinnedOffset: 0, isDeleted: false },
    topic: { settings: { whenFull: 'dropOldest' as string } },
  }
  commits = 0
  renewals = 0
  #waiting: (() => void)[] = []
  readonly #log = {
    openCommit: 1,
    state: {
      get: (key: string) => {
        const value = this.live.get(key)
        return value === undefined ? undefined : Buffer.from(value)
      },
      put: (key: string, value: Buffer, options = { ride: false }) => {
        this.live.set(key, value.toString())
        if (!options.ride) this.commits++
      },
    },
    durable: () => new Promise<void>((resolve) => this.#waiting.push(resolve)),
  }

  /** A replicator's start; `isKnown`: it has a cursor. */
  pin(isKnown: boolean): SendPin {
    const partition = this.partition as unknown as PartitionLog
    return new SendPin(this.#log as unknown as Log, partition, isKnown, () => this.renewals++)
  }

  async commit(): Promise<void> {
    for (const [key, value] of this.live) this.durable.set(key, value)
    for (const resolve of this.#waiting.splice(0)) resolve()
    await new Promise((resolve) => setImmediate(resolve))
  }

  crash(): void {
    this.live.clear()
    for (const [key, value] of this.durable) this.live.set(key, value)
    this.#waiting = []
    this.partition.pinnedOffset = 0
  }
}

test('nothing at or above the lease is sent before a larger one is durable', async () => {
  const store = new FakeStore()
  const pin = store.pin(false)
  assert.is(store.partition.pinnedOffset, 0)
  pin.found(0)
  assert.is(pin.covers(10), false)
  assert.is(store.live.get(KEY), '50010')
  assert.is(store.renewals, 0)
  await store.commit()
  assert.is(store.renewals, 1)
  assert.is(pin.covers(10), true)
  assert.is(pin.covers(50_010), true)
  assert.is(pin.covers(50_011), false)
})

test('while batches flow a lease is renewed before it is needed', async () => {
  const store = new FakeStore()
  const pin = store.pin(false)
  pin.found(0)
  pin.covers(1)
  await store.commit()
  const waits: number[] = []
  for (let end = 1000; end <= 500_000; end += 1000) {
    pin.reading()
    pin.read(end, 100_000)
    if (!pin.covers(end)) waits.push(end)
    pin.sent(end)
    // A commit that takes as long as twenty batches.
    if (end % 20_000 === 0) await store.commit()
  }
  assert.equal(waits, [])
  assert.ok(
    store.commits >= 10 && store.commits <= 21,
    `${store.commits} leases for 500,000 records`,
  )
})

test('what is being read is pinned whole, then what was read, and after a loss what was sent', () => {
  const store = new FakeStore()
  const { partition } = store
  const pin = store.pin(false)
  pin.found(100)
  assert.is(partition.pinnedOffset, 100)
  pin.reading()
  assert.is(partition.pinnedOffset, Number.POSITIVE_INFINITY)
  pin.read(180, 8000)
  assert.is(partition.pinnedOffset, 180)
  pin.sent(140)
  assert.is(partition.pinnedOffset, 180)
  pin.lost()
  assert.is(partition.pinnedOffset, 140)
  pin.found(120)
  assert.is(partition.pinnedOffset, 120)
  pin.lost()
  assert.is(partition.pinnedOffset, 120)
})

test('after a restart what was there is pinned as far as the lease, until a handshake', async () => {
  const store = new FakeStore()
  const { partition } = store
  const first = store.pin(false)
  first.found(0)
  first.read(3, 6_000_000)
  await store.commit()
  first.sent(3)
  store.crash()
  partition.highWatermark = 60
  const second = store.pin(true)
  // What comes now was not there to be sent.
  assert.is(partition.pinnedOffset, 60)
  store.crash()
  partition.highWatermark = 1000
  store.pin(true)
  assert.is(partition.pinnedOffset, 103)
  second.found(3)
  assert.is(partition.pinnedOffset, 3)
  assert.is(second.covers(103), true)
  assert.is(second.covers(104), false)
})

test('a lease reaches as far as some megabytes do, whatever the records are like', () => {
  for (const [records, bytes, reach] of [
    [1000, 100_000, 50_000],
    [100, 1_677_722, 1000],
    [2, 200_000, 168],
    [2, 2_000_000, 100],
    [65_536, 92_000, 50_000],
  ] as const) {
    const store = new FakeStore()
    const pin = store.pin(false)
    pin.found(0)
    pin.read(records, bytes)
    assert.is(Number(store.live.get(KEY)) - records, reach)
  }
})

test('a lost connection takes the lease back to what was sent, without a commit of its own', async () => {
  const store = new FakeStore()
  const { partition } = store
  const pin = store.pin(false)
  pin.found(0)
  pin.read(500, 50_000)
  await store.commit()
  const { commits } = store
  pin.sent(200)
  pin.lost()
  assert.is(store.live.get(KEY), '200')
  assert.is(store.commits, commits)
  // Beyond it nothing goes before there is a new one.
  pin.found(150)
  assert.is(pin.covers(201), false)
  await store.commit()
  assert.is(pin.covers(201), true)
  pin.lost()
  await store.commit()
  store.crash()
  partition.highWatermark = 1_000_000
  store.pin(true)
  assert.is(partition.pinnedOffset, 150)
})

test('a lease that is taken back while it becomes durable covers nothing', async () => {
  const store = new FakeStore()
  const pin = store.pin(false)
  pin.found(0)
  pin.read(500, 50_000)
  pin.lost()
  assert.is(store.live.get(KEY), '0')
  await store.commit()
  assert.is(pin.covers(1), false)
})

test('a topic that blocks has no lease, and all that it had at a restart is pinned', () => {
  const store = new FakeStore()
  store.partition.topic.settings.whenFull = 'block'
  const pin = store.pin(false)
  pin.found(0)
  pin.read(100_000, 9_000_000)
  assert.is(pin.covers(100_000), true)
  assert.equal([...store.live], [])
  store.partition.highWatermark = 120_000
  store.pin(true)
  assert.is(store.partition.pinnedOffset, 120_000)
  assert.equal([...store.live], [])
})

test('from block to dropOldest and back: no lease is ever lower than what was sent', async () => {
  const store = new FakeStore()
  const { partition } = store
  partition.highWatermark = 120_000
  store.pin(true)
  assert.is(store.live.get(KEY), '120000')
  assert.is(store.commits, 0)
  await store.commit()
  store.crash()
  partition.highWatermark = 300_000
  partition.topic.settings.whenFull = 'block'
  const blocking = store.pin(true)
  assert.is(partition.pinnedOffset, 120_000)
  blocking.found(110_000)
  assert.is(blocking.covers(120_000), true)
  assert.is(blocking.covers(120_001), false)
  await store.commit()
  store.crash()
  partition.topic.settings.whenFull = 'dropOldest'
  store.pin(true)
  assert.is(partition.pinnedOffset, 170_001)
})

test('a deleted topic gets no new lease', () => {
  const store = new FakeStore()
  const pin = store.pin(false)
  pin.found(0)
  store.partition.isDeleted = true
  assert.is(pin.covers(1), false)
  assert.equal([...store.live], [])
})

test('a lease that never becomes durable lets nothing go', async () => {
  const store = new FakeStore()
  const log = { openCommit: 1, state: { get: () => undefined, put: () => {} } }
  const durable = () => Promise.reject(new AgentError('CLOSED', 'the log is closed'))
  const partition = store.partition as unknown as PartitionLog
  let renewals = 0
  const pin = new SendPin({ ...log, durable } as unknown as Log, partition, false, () => renewals++)
  assert.is(pin.covers(1), false)
  await new Promise((resolve) => setImmediate(resolve))
  assert.is(renewals, 0)
  assert.is(pin.covers(1), false)
})

test.run()
