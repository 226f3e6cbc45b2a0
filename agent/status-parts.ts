// What a running agent tells of itself, gathered from its parts for `/status` and `/readyz`.

import type { StatusParts, TopicStatus, UpstreamPart } from './admin/status.ts'
import type { Config } from './config/schema.ts'
import type { MqttListener } from './ingest/mqtt-listener.ts'
import type { KafkaListener } from './kafka/server/listener.ts'
import type { Log } from './log/log.ts'
import { LOSS_REASONS, type LossTotals, noLosses } from './log/loss.ts'
import type { PartitionLog } from './log/partition-log.ts'
import type { Topic } from './log/topic.ts'
import type { Replicator } from './replication/replicator.ts'
import { systemSynchronized } from './system-clock.ts'

export interface AgentParts {
  config: Config
  log: Log
  mqtt: MqttListener
  kafka: KafkaListener
  replicator: Replicator | undefined
  version: string
}

const NO_UPSTREAM: UpstreamPart = {
  state: 'off',
  bootstrapServers: [],
  clusterId: null,
  stateSeconds: 0,
  lagRecords: 0,
  lagSeconds: 0,
  recordsTotal: 0,
}

export function statusParts({
  config,
  log,
  mqtt,
  kafka,
  replicator,
  version,
}: AgentParts): StatusParts {
  return {
    gateway: config.gateway,
    lineage: log.lineage,
    version,
    mqtt: () => {
      const { clients, messagesByQos, acksPending, ackP99Seconds, unroutedTotal, lastUnrouted } =
        mqtt.status()
      const unrouted = { unroutedTotal, unroutedLast: lastUnrouted }
      return { clients, messagesByQos, acksPending, ackP99Seconds, ...unrouted }
    },
    disk: () => ({
      bytes: log.diskBytes,
      budgetBytes: log.diskBudgetBytes,
      writtenBytesTotal: log.meter.writtenBytes,
      fsyncsTotal: log.meter.syncs,
      payloadBytesTotal: log.payloadBytes,
      recordsLostTotal: total(recordsLost(log)),
      recordsLost: recordsLost(log),
    }),
    topics: () => [...log.topics()].map((topic) => topicStatus(topic, replicator)),
    topicRecords: () => [...log.topics()].map(topicRecords),
    upstream: () => replicator?.status() ?? NO_UPSTREAM,
    groups: () => [],
    clockSynchronized: () => log.time.isSynchronized && systemSynchronized() !== false,
    ready: () => {
      const reasons = mqtt.deaf.map((address) => `${address} does not listen`)
      if (kafka.deafCount > 0) reasons.push('kafka.listeners: not all of them listen')
      reasons.push(...log.health().reasons)
      return { ok: reasons.length === 0, reasons }
    },
  }
}

function recordsLost(log: Log): LossTotals {
  const lost = noLosses()
  for (const { partitions } of log.topics()) {
    for (const { losses } of partitions) {
      for (const reason of LOSS_REASONS) lost[reason] += losses.totals[reason]
    }
  }
  return lost
}

function total(lost: LossTotals): number {
  return LOSS_REASONS.reduce((sum, reason) => sum + lost[reason], 0)
}

function topicRecords({ name, partitions }: Topic): [topic: string, records: number] {
  return [name, partitions.reduce((sum, { recordsTotal }) => sum + recordsTotal, 0)]
}

function topicStatus(topic: Topic, replicator: Replicator | undefined): TopicStatus {
  return {
    topic: topic.name,
    replicated: topic.replicated,
    partitions: topic.partitions.map((partition) => partitionStatus(partition, replicator)),
  }
}

function partitionStatus(
  partition: PartitionLog,
  replicator: Replicator | undefined,
): TopicStatus['partitions'][number] {
  const { logStartOffset, highWatermark, replicatedOffset, segments, tailBytes } = partition
  const found = replicator?.stateOf(partition)
  return {
    partition: partition.partition,
    logStartOffset,
    highWatermark,
    replicatedOffset,
    bytes: segments.bytes + tailBytes,
    replication: found?.state ?? 'idle',
    reason: found?.reason ?? null,
  }
}
