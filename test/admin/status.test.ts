// The status of a running agent, from parts that stand still and a clock that is moved by hand.

import * as assert from 'uvu/assert'
import { type StatusParts, StatusReporter, type TopicStatus } from '../../agent/admin/status.ts'
import type { Clock } from '../../agent/base/clock.ts'
import { suite } from '../support/suite.ts'

const test = suite('admin status')

class HandClock implements Clock {
  ms = 0
  readonly #timers = new Set<{ at: number; run: () => void }>()
  now = () => 1_700_000_000_000 + this.ms
  monotonic = () => this.ms
  soon = (run: () => void) => run()

  after(ms: number, run: () => void) {
    const timer = { at: this.ms + ms, run }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  get waiting(): number {
    return this.#timers.size
  }

  /** Moves on second by second and runs what is due. */
  advance(seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.ms += 1000
      for (const timer of [...this.#timers]) {
        if (timer.at > this.ms) continue
        this.#timers.delete(timer)
        timer.run()
      }
    }
  }
}

function parts(overrides: Partial<StatusParts> = {}): StatusParts {
  return {
    gateway: 'plant-7',
    lineage: '7f3a0000',
    version: '0.1.0',
    mqtt: () => ({
      clients: 3,
      messagesByQos: [10, 20, 4],
      acksPending: 0,
      ackP99Seconds: 0.006,
      unroutedTotal: 0,
      unroutedLast: null,
    }),
    disk: () => ({
      bytes: 1000,
      budgetBytes: 5000,
      writtenBytesTotal: 3,
      payloadBytesTotal: 4,
      fsyncsTotal: 5,
      recordsLostTotal: 0,
      recordsLost: { rot: 0, file: 0, journal: 0, dropped: 0 },
    }),
    topics: () => [],
    topicRecords: () => [],
    upstream: () => ({
      state: 'off',
      bootstrapServers: [],
      clusterId: null,
      stateSeconds: 0,
      lagRecords: 0,
      lagSeconds: 0,
      recordsTotal: 0,
    }),
    groups: () => [],
    clockSynchronized: () => true,
    ready: () => ({ ok: true, reasons: [] }),
    ...overrides,
  }
}

function topic(...states: TopicStatus['partitions'][number]['replication'][]): TopicStatus {
  const partitions = states.map((replication, partition) => ({
    partition,
    logStartOffset: 0,
    highWatermark: 42,
    replicatedOffset: 42,
    bytes: 100,
    replication,
    reason: null,
  }))
  return { topic: 'plant-7.sensors', replicated: true, partitions }
}

test('the JSON has the fields that monitoring depends on', () => {
  const reporter = new StatusReporter(
    parts({ topics: () => [topic('streaming')] }),
    new HandClock(),
  )
  const status = JSON.parse(JSON.stringify(reporter.status()))
  assert.is(status.gateway, 'plant-7')
  assert.is(status.lineage, '7f3a0000')
  assert.is(status.version, '0.1.0')
  assert.is(status.uptimeSeconds, 0)
  assert.is(status.mqtt.clients, 3)
  assert.is(status.mqtt.messagesTotal, 34)
  assert.is(status.mqtt.acksPending, 0)
  assert.is(status.mqtt.unroutedTotal, 0)
  assert.is(status.disk.bytes, 1000)
  assert.is(status.disk.budgetBytes, 5000)
  assert.is(status.disk.writtenBytesTotal, 3)
  assert.is(status.disk.payloadBytesTotal, 4)
  assert.is(status.disk.fsyncsTotal, 5)
  assert.is(status.disk.fsyncsPerMinute, 0)
  assert.is(status.disk.recordsLostTotal, 0)
  assert.equal(status.topics[0].partitions[0], {
    partition: 0,
    logStartOffset: 0,
    highWatermark: 42,
    replicatedOffset: 42,
    bytes: 100,
    replication: 'streaming',
    reason: null,
  })
  assert.is(status.upstream.state, 'off')
  assert.is(status.upstream.clusterId, null)
  assert.is(status.upstream.lagRecords, 0)
  assert.is(status.upstream.lagSeconds, 0)
  assert.equal(status.groups, [])
  assert.equal(status.degraded, [])
})

test('rates follow the last seconds, not the whole life', () => {
  const clock = new HandClock()
  let total = 1_000_000
  const mqtt = () => ({ ...parts().mqtt(), messagesByQos: [0, total, 0] as const })
  const reporter = new StatusReporter(parts({ mqtt }), clock)
  for (let second = 0; second < 60; second++) {
    total += 200
    clock.advance(1)
  }
  assert.is(reporter.status().mqtt.messagesPerSecond, 200)
  clock.advance(20)
  assert.is(reporter.status().mqtt.messagesPerSecond, 0)
})

test('how long until the disk is full is told once growth is known', () => {
  const clock = new HandClock()
  let bytes = 1000
  const disk = () => ({ ...parts().disk(), bytes, budgetBytes: 11_000 })
  const reporter = new StatusReporter(parts({ disk }), clock)
  clock.advance(30)
  bytes += 100
  assert.is(reporter.status().disk.fullInSeconds, null)
  clock.advance(70)
  assert.is(reporter.status().disk.fullInSeconds, 9900)
  bytes = 500
  assert.is(reporter.status().disk.fullInSeconds, null)
})

test('what is not well is said: unready, frozen, parked, lost', () => {
  const reporter = new StatusReporter(
    parts({
      ready: () => ({ ok: false, reasons: ['disk full'] }),
      topics: () => [topic('frozen', 'streaming'), topic('parked', 'parked', 'healing')],
      disk: () => ({ ...parts().disk(), recordsLostTotal: 7 }),
    }),
    new HandClock(),
  )
  assert.equal(reporter.status().degraded, [
    'disk full',
    '1 partition frozen',
    '2 partitions parked',
    '7 records lost',
  ])
})

test('a closed reporter leaves no timer', () => {
  const clock = new HandClock()
  const reporter = new StatusReporter(parts(), clock)
  clock.advance(12)
  assert.is(clock.waiting, 1)
  reporter.close()
  assert.is(clock.waiting, 0)
})

test.run()
