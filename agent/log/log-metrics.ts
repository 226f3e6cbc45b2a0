// What a log shows of itself on /metrics.

import type { Metrics } from '../base/telemetry.ts'

export interface LogFigures {
  readonly writtenBytes: number
  readonly payloadBytes: number
  readonly diskBytes: number
  readonly diskBudgetBytes: number
  readonly arenaUsedBytes: number
}

export function registerLogMetrics(metrics: Metrics, log: LogFigures): void {
  const observe = (kind: 'counter' | 'gauge', name: string, help: string, read: () => number) =>
    metrics.observed(kind, `tributary_${name}`, help, read)
  observe(
    'counter',
    'disk_written_bytes_total',
    'Bytes handed to the disk.',
    () => log.writtenBytes,
  )
  observe('counter', 'log_payload_bytes_total', 'Bytes of keys and values.', () => log.payloadBytes)
  observe('gauge', 'disk_used_bytes', 'Segments and journal.', () => log.diskBytes)
  observe('gauge', 'disk_budget_bytes', 'What they may use.', () =>
    Number.isFinite(log.diskBudgetBytes) ? log.diskBudgetBytes : 0,
  )
  observe('gauge', 'arena_used_bytes', 'Slots of tails.', () => log.arenaUsedBytes)
}
