// process_* as every Prometheus client names them, and which build this is.

import { readdirSync } from 'node:fs'
import type { Metrics } from '../base/telemetry.ts'

/** Registers what is read whenever somebody asks for the metrics. */
export function registerProcessMetrics(metrics: Metrics, version: string, now: () => number): void {
  metrics
    .gauge('tributary_build_info', 'Always 1; the version is in the label.', {
      version,
      node: process.versions.node,
    })
    .set(1)
  metrics
    .gauge('process_start_time_seconds', 'Start of the process, seconds since the epoch.')
    .set(Math.round(now() / 1000 - process.uptime()))
  metrics.observed(
    'counter',
    'process_cpu_seconds_total',
    'User and system CPU time.',
    () => (process.cpuUsage().user + process.cpuUsage().system) / 1e6,
  )
  metrics.observed('gauge', 'process_resident_memory_bytes', 'Resident memory.', () =>
    process.memoryUsage.rss(),
  )
  metrics.observed('gauge', 'process_open_fds', 'Open file descriptors.', openFiles)
}

function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}
