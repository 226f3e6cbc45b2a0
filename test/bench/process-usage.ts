// What a process has used, from /proc: CPU as user + system time of all its threads, memory as the
// resident set now and at its highest, bytes it has made dirty for the disk.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Usage {
  cpuSeconds: number
  residentMb: number
  peakMb: number
  /** Bytes that will be (or were) sent to the device; whole pages, so exact only at 0. */
  writtenBytes: number
}

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name in parentheses may hold spaces; fields are counted behind it. 14 = utime, 15 = stime.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const megabytes = (label: string) =>
    Number(new RegExp(`^${label}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    residentMb: megabytes('VmRSS'),
    peakMb: megabytes('VmHWM'),
    writtenBytes: writtenBytesOf(pid),
  }
}

function writtenBytesOf(pid: number): number {
  const io = readFileSync(`/proc/${pid}/io`, 'utf8')
  return Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
