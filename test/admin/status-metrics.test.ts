// Metrics that are read from the parts of the status: their labels follow what there is.

import * as assert from 'uvu/assert'
import type { PartitionStatus, StatusParts } from '../../agent/admin/status.ts'
import { registerStatusMetrics } from '../../agent/admin/status-metrics.ts'
import { Metrics } from '../../agent/base/telemetry.ts'
import { noLosses } from '../../agent/log/loss.ts'
import { suite } from '../support/suite.ts'

const test = suite('admin status metrics')

const partition: PartitionStatus = {
  partition: 0,
  logStartOffset: 0,
  highWatermark: 42,
  replicatedOffset: 40,
  bytes: 1,
  replication: 'frozen',
  reason: 'x',
}

function setUp(): { samples: () => string[]; topics: ReturnType<StatusParts['topics']>[number][] } {
  const topics = [
    { topic: 'gw.a', replicated: true, partitions: [partition] },
    { topic: 'local', replicated: false, partitions: [partition] },
  ]
  const offsets = [{ topic: 'gw.a', partition: 0, local: 30, upstream: null }]
  const parts = {
    disk: () => ({ recordsLost: { ...noLosses(), rot: 3 } }),
    topics: () => topics,
    topicRecords: () => topics.map(({ topic }) => [topic, 7]),
    upstream: () => ({ state: 'connected', lagRecords: 2, lagSeconds: 1.5 }),
    groups: () => [{ group: 'g', state: 'Stable', owner: null, offsets }],
    clockSynchronized: () => false,
  }
  const metrics = new Metrics()
  registerStatusMetrics(metrics, parts as unknown as StatusParts)
  const samples = () =>
    metrics
      .text()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
  return { samples, topics }
}

test('topics, partitions, upstream and groups are told by their labels', () => {
  const { samples } = setUp()
  const found = samples()
  for (const line of [
    'tributary_log_records_total{topic="gw.a"} 7',
    'tributary_log_records_total{topic="local"} 7',
    'tributary_log_end_offset{topic="gw.a",partition="0"} 42',
    'tributary_log_end_offset{topic="local",partition="0"} 42',
    'tributary_replicated_offset{topic="gw.a",partition="0"} 40',
    'tributary_replication_state{topic="gw.a",partition="0",state="frozen"} 1',
    'tributary_records_lost_total{reason="rot"} 3',
    'tributary_records_lost_total{reason="dropped"} 0',
    'tributary_group_lag_records{group="g",topic="gw.a"} 12',
    'tributary_upstream_connected 1',
    'tributary_upstream_lag_records 2',
    'tributary_upstream_lag_seconds 1.5',
    'tributary_clock_synchronized 0',
  ]) {
    assert.ok(found.includes(line), line)
  }
  const states = found.filter((line) => line.startsWith('tributary_replication_state{'))
  assert.is(states.length, 8)
  assert.is(states.filter((line) => line.endsWith(' 0')).length, 7)
})

test('what is gone is told no more', () => {
  const { samples, topics } = setUp()
  topics.length = 0
  assert.equal(
    samples().filter((line) => line.includes('topic=')),
    ['tributary_group_lag_records{group="g",topic="gw.a"} 0'],
  )
})

test.run()
