// The metrics of topics, partitions, the upstream and groups, read from the same parts as `/status`
// whenever somebody asks: what comes and goes needs no keeping in step, and what there is none of yet
// still has its name and its help.

import type { Labels, Metrics } from '../base/telemetry.ts'
import { LOSS_REASONS } from '../log/loss.ts'
import { REPLICATION_STATES, type StatusParts, type TopicStatus } from './status.ts'

type Partition = TopicStatus['partitions'][number]
type Samples = Iterable<readonly [labels: Labels, value: number]>

export function registerStatusMetrics(metrics: Metrics, parts: StatusParts): void {
  const gathered = (type: 'gauge' | 'counter', name: string, help: string, read: () => Samples) =>
    metrics.gathered(type, `tributary_${name}`, help, read)
  const single = (name: string, help: string, read: () => number) =>
    metrics.observed('gauge', `tributary_${name}`, help, read)

  gathered('counter', 'log_records_total', 'Records appended since the start.', () =>
    [...parts.topicRecords()].map(([topic, records]) => [{ topic }, records] as const),
  )
  gathered('gauge', 'log_end_offset', 'Offset of the next record to become visible.', () =>
    [...partitionsOf(parts.topics())].map(([labels, each]) => [labels, each.highWatermark]),
  )
  gathered('gauge', 'replicated_offset', 'First offset not acked upstream.', () =>
    [...replicated(parts)].map(([labels, each]) => [labels, each.replicatedOffset]),
  )
  gathered('gauge', 'replication_state', '1 for the state the partition is in.', () =>
    [...replicated(parts)].flatMap(([labels, { replication }]) =>
      REPLICATION_STATES.map((state) => [{ ...labels, state }, Number(state === replication)]),
    ),
  )
  gathered('counter', 'records_lost_total', 'Records whose place holds an empty one.', () => {
    const { recordsLost } = parts.disk()
    return LOSS_REASONS.map((reason) => [{ reason }, recordsLost[reason]])
  })
  gathered('gauge', 'group_lag_records', 'Durable here, not committed by the group.', () =>
    groupLags(parts),
  )
  single('upstream_connected', '1 while the upstream answers.', () =>
    Number(parts.upstream().state === 'connected'),
  )
  single(
    'upstream_lag_records',
    'Durable here, not acked upstream.',
    () => parts.upstream().lagRecords,
  )
  single('upstream_lag_seconds', 'Age of the oldest of them.', () => parts.upstream().lagSeconds)
  single('clock_synchronized', '1 unless the log or the system doubts the clock.', () =>
    Number(parts.clockSynchronized()),
  )
}

function* partitionsOf(topics: Iterable<TopicStatus>): Iterable<[Labels, Partition]> {
  for (const { topic, partitions } of topics) {
    for (const each of partitions) yield [{ topic, partition: each.partition }, each]
  }
}

function replicated(parts: StatusParts): Iterable<[Labels, Partition]> {
  return partitionsOf(parts.topics().filter((topic) => topic.replicated))
}

function* groupLags(parts: StatusParts): Samples {
  const ends = new Map<string, number>()
  for (const [{ topic, partition }, { highWatermark }] of partitionsOf(parts.topics())) {
    ends.set(`${topic}-${partition}`, highWatermark)
  }
  for (const { group, offsets } of parts.groups()) {
    const lags = new Map<string, number>()
    for (const { topic, partition, local } of offsets) {
      const lag = Math.max(0, (ends.get(`${topic}-${partition}`) ?? 0) - (local ?? 0))
      lags.set(topic, (lags.get(topic) ?? 0) + lag)
    }
    for (const [topic, lag] of lags) yield [{ group, topic }, lag]
  }
}
