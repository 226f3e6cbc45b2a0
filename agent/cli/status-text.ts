// The status of an agent as people read it: five lines on the whole, then a line a partition.
//
//   plant-7  0.1.0  up 3d 04h   DEGRADED: 1 partition frozen            lineage 7f3a  clock ok
//   mqtt     41 clients   212 msg/s (QoS 0 18 %)   ack p99 6 ms   waiting 0   unrouted 0
//   disk     1.2 of 14.0 GiB (9 %), full in ~61 d at this rate   flash 5.1 B written per payload B   lost 0   syncs 84/min
//   upstream kafka.example.com:9092 connected 2h   lag 128 records / 0.4 s   sending 208/s
//   TOPIC … GROUP …

import { isHealthy, type PartitionStatus, type Status } from '../admin/status.ts'
import { formatAge, formatCount, formatSeconds, sizeUnit, table, trimmed } from './table.ts'

/** The verdict's column is this wide where it fits. */
const VERDICT_WIDTH = 40
const TOPIC_WIDTH = 19
const GROUP_WIDTH = 4

/** All lines, without a newline at the end. */
export function statusText(status: Status): string {
  return [
    summaryLine(status),
    mqttLine(status),
    diskLine(status),
    upstreamLine(status),
    ...topicLines(status),
    ...groupLines(status),
  ].join('\n')
}

function summaryLine(status: Status): string {
  const { gateway, version, uptimeSeconds, degraded, lineage, clockSynchronized } = status
  const verdict = degraded.length === 0 ? 'OK' : `DEGRADED: ${degraded.join(', ')}`
  const clock = clockSynchronized ? 'ok' : 'unsynced'
  const head = `${gateway ?? '(no gateway)'}  ${version}  up ${formatAge(uptimeSeconds)}   `
  const column = verdict.length < VERDICT_WIDTH ? verdict.padEnd(VERDICT_WIDTH) : `${verdict}  `
  return `${head}${column}lineage ${lineage.slice(0, 4)}  clock ${clock}`
}

function mqttLine({ mqtt }: Status): string {
  const share = percent(mqtt.messagesByQos[0], mqtt.messagesTotal)
  const last = mqtt.unroutedLast === null ? '' : ` (last ${mqtt.unroutedLast})`
  return [
    `mqtt     ${formatCount(mqtt.clients)} clients`,
    `${formatCount(mqtt.messagesPerSecond)} msg/s (QoS 0 ${share} %)`,
    `ack p99 ${formatSeconds(mqtt.ackP99Seconds)}`,
    `waiting ${formatCount(mqtt.acksPending)}`,
    `unrouted ${formatCount(mqtt.unroutedTotal)}${last}`,
  ].join('   ')
}

function diskLine({ disk }: Status): string {
  const [unit, size] = sizeUnit(disk.budgetBytes)
  const [used, budget] = [disk.bytes, disk.budgetBytes].map((bytes) => (bytes / size).toFixed(1))
  const share = percent(disk.bytes, disk.budgetBytes)
  const full =
    disk.fullInSeconds === null ? '' : `, full in ${roughly(disk.fullInSeconds)} at this rate`
  const { writtenBytesTotal, payloadBytesTotal, fsyncsPerMinute } = disk
  const flash =
    payloadBytesTotal === 0
      ? 'flash 0 B written per payload B'
      : `flash ${(writtenBytesTotal / payloadBytesTotal).toFixed(1)} B written per payload B`
  return [
    `disk     ${used} of ${budget} ${unit} (${share} %)${full}`,
    flash,
    `lost ${formatCount(disk.recordsLostTotal)}`,
    `syncs ${formatCount(fsyncsPerMinute)}/min`,
  ].join('   ')
}

function upstreamLine({ upstream }: Status): string {
  if (upstream.state === 'off') return 'upstream none'
  const { bootstrapServers, state, stateSeconds, lagRecords, lagSeconds } = upstream
  return [
    `upstream ${bootstrapServers.join(',')} ${state} ${coarseAge(stateSeconds)}`,
    `lag ${formatCount(lagRecords)} records / ${lagText(lagSeconds)}`,
    `sending ${formatCount(upstream.recordsPerSecond)}/s`,
  ].join('   ')
}

function topicLines({ topics, upstream }: Status): string[] {
  const rows = topics.flatMap(({ topic, replicated, partitions }) =>
    partitions.map((partition) => [
      topic,
      String(partition.partition),
      formatCount(partition.logStartOffset),
      formatCount(partition.highWatermark),
      ...(replicated && upstream.state !== 'off'
        ? replicationCells(partition)
        : ['-', '-', 'local']),
    ]),
  )
  if (rows.length === 0) return []
  const head = ['TOPIC', 'P', 'START', 'END', 'CLOUD', 'LAG', 'STATE']
  return table([head, ...rows], [TOPIC_WIDTH])
}

function replicationCells(partition: PartitionStatus): string[] {
  const { highWatermark, replicatedOffset, replication, reason } = partition
  const state = isHealthy(replication) ? replication : replication.toUpperCase()
  return [
    formatCount(replicatedOffset),
    formatCount(Math.max(0, highWatermark - replicatedOffset)),
    reason === null ? state : `${state}  ${reason}`,
  ]
}

function groupLines({ groups, topics }: Status): string[] {
  const width = Math.max(GROUP_WIDTH, ...groups.map(({ group }) => group.length))
  const single = new Set(
    topics.filter(({ partitions }) => partitions.length === 1).map(({ topic }) => topic),
  )
  const place = (offset: number | null) => (offset === null ? '-' : formatCount(offset))
  return groups.flatMap(({ group, offsets, owner }) =>
    offsets.map(({ topic, partition, local, upstream }) =>
      [
        `GROUP ${group.padEnd(width)}   ${single.has(topic) ? topic : `${topic}-${partition}`}`,
        `gateway ${place(local)}`,
        `cloud ${place(upstream)}`,
        `owner: ${owner ?? 'nobody'}`,
      ].join('  '),
    ),
  )
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0' : String(Math.round((part / whole) * 100))
}

/** One unit is enough for a guess. */
function roughly(seconds: number): string {
  if (seconds < 3_600) return `~${Math.max(1, Math.round(seconds / 60))} min`
  if (seconds < 2 * 86_400) return `~${Math.round(seconds / 3_600)} h`
  return `~${Math.round(seconds / 86_400)} d`
}

function coarseAge(seconds: number): string {
  return formatAge(seconds).split(' ')[0]!
}

function lagText(seconds: number): string {
  return seconds < 120 ? `${trimmed(seconds)} s` : formatAge(seconds)
}
