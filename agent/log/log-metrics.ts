// What a log shows of itself on /metrics.

import type { Metrics } from '../base/telemetry.ts'
import { FILE_KINDS, type MeteredFileSystem } from './metered-file-system.ts'

export interface LogFigures {
  readonly meter: MeteredFileSystem
  readonly payloadBytes: number
  readonly diskBytes: number
  readonly diskBudgetBytes: number
  readonly fullPartitions: number
  readonly arenaUsedBytes: number
}

export function registerLogMetrics(metrics: Metrics, log: LogFigures): void {
  const observe = (kind: 'counter' | 'gauge', name: string, help: string, read: () => number) =>
    metrics.observed(kind, `tributary_${name}`, help, read)
  const { meter } = log
  observe(
    'counter',
    'disk_written_bytes_total',
    'Bytes handed to the disk.',
    () => meter.writtenBytes,
  )
  observe('counter', 'fsyncs_total', 'Times the disk was told to keep them.', () => meter.syncs)
  for (const file of FILE_KINDS) {
    const observeFile = (name: string, help: string, read: () => number) =>
      metrics.observed('counter', `tributary_file_${name}`, help, read, { file })
    observeFile(
      'written_bytes_total',
      'The same, by kind of file.',
      () => meter.of(file).writtenBytes,
    )
    observeFile('fsyncs_total', 'The same, by kind of file.', () => meter.of(file).syncs)
  }
  observe('counter', 'log_payload_bytes_total', 'Bytes of keys and values.', () => log.payloadBytes)
  observe('gauge', 'disk_used_bytes', 'Everything in the data directory.', () => log.diskBytes)
  observe('gauge', 'disk_budget_bytes', 'What it may come to, by budget and free space.', () =>
    Number.isFinite(log.diskBudgetBytes) ? Math.max(0, log.diskBudgetBytes) : 0,
  )
  observe('gauge', 'full_partitions', 'Those that take nothing for want of disk.', () => {
    return log.fullPartitions
  })
  observe('gauge', 'arena_used_bytes', 'Slots of tails.', () => log.arenaUsedBytes)
}
