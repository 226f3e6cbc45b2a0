// What a message costs the flash: device bytes for each byte of payload, everything included
// (journal, segments, indexes, checkpoints, the file system's own journal, the last sync), read from
// the counter of a loop device. Beside it SQLite in WAL mode with synchronous=FULL: the same promise,
// the same number of messages in a commit, on the same device in the same run.
//
// Each agent runs a second before the counting begins, so that the files it keeps are there; SQLite's
// are there too.

import { mkdirSync, rmSync } from 'node:fs'
import { type AgentConfig, AgentProcess } from '../support/agent-process.ts'
import { LoopDisk } from '../support/loop-disk.ts'
import { type LoadOptions, runLoad } from '../support/mqtt-load.ts'
import { median } from './process-usage.ts'
import { BENCH_CONFIG } from './servers.ts'
import { appendToSqlite } from './sqlite.ts'
import { markdownTable, plain } from './table.ts'

export interface FlashBenchOptions {
  seconds: number
  rounds: number
}

interface Case {
  name: string
  load: Pick<LoadOptions, 'qos' | 'connections' | 'window' | 'rate'>
  commitInterval: string
  /** Device bytes for each byte of payload, at most. */
  floor: number | undefined
}

interface Sample {
  messagesPerSecond: number
  /** Messages in a commit. */
  group: number
  p50Ms: number
  p99Ms: number
  device: number
  /** By our own counter. */
  counted: number
  sqlite: number
}

const PAYLOAD_BYTES = 128
const DISK_MB = 2048
const DEVICES = { qos: 1, connections: 200, window: 10, rate: 2000 } as const
const CASES: readonly Case[] = [
  { name: '2,000/s', load: DEVICES, commitInterval: 'auto', floor: undefined },
  { name: '2,000/s', load: DEVICES, commitInterval: '5ms', floor: 6 },
  { name: '2,000/s', load: DEVICES, commitInterval: '50ms', floor: 2.5 },
  { name: '2,000/s', load: DEVICES, commitInterval: '200ms', floor: undefined },
  {
    name: 'flat out, 50 × 10',
    load: { qos: 1, connections: 50, window: 10 },
    commitInterval: 'auto',
    floor: 2,
  },
  {
    name: 'one at a time',
    load: { qos: 1, connections: 1, window: 1 },
    commitInterval: 'auto',
    floor: 40,
  },
]

/** Prints the table; resolves with the number of floors that were missed. */
export async function benchFlash({ seconds, rounds }: FlashBenchOptions): Promise<number> {
  const disk = await LoopDisk.mount({ sizeMb: DISK_MB })
  if (disk === undefined) {
    console.log('skipped: mounting a loop device is not allowed here (it wants root)')
    return 0
  }
  const samples = CASES.map((): Sample[] => [])
  try {
    for (let round = 1; round <= rounds; round++) {
      for (const [index, each] of CASES.entries()) {
        const sample = await measure(disk, each, seconds)
        samples[index]!.push(sample)
        console.error(`round ${round}  ${each.name} ${each.commitInterval}  ${sampleText(sample)}`)
      }
    }
  } finally {
    await disk.remove()
  }
  return print(samples, seconds)
}

async function measure(disk: LoopDisk, each: Case, seconds: number): Promise<Sample> {
  const folder = disk.path('agent')
  mkdirSync(folder)
  const config: AgentConfig = {
    ...BENCH_CONFIG,
    storage: { commitInterval: each.commitInterval, keepFree: '64MiB' },
  }
  const agent = await AgentProcess.create(config, { folder })
  try {
    await agent.start()
    await runLoad({ ...each.load, port: agent.mqttPort, seconds: 1 })
    const before = { device: await disk.writtenBytes(), agent: figures(await agent.metrics()) }
    const report = await runLoad({ ...each.load, port: agent.mqttPort, seconds })
    const after = figures(await agent.metrics())
    // Seals, indexes and the last checkpoint are part of the price.
    const code = await agent.stop()
    const written = (await disk.writtenBytes()) - before.device
    if (code !== 0 || report.missingAcks + report.badAcks > 0) throw new Error('not a clean run')
    const { totalMessages: messages } = report
    const group = Math.max(1, Math.round(messages / (after.commits - before.agent.commits)))
    const payload = messages * PAYLOAD_BYTES
    return {
      messagesPerSecond: report.messagesPerSecond,
      group,
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
      device: written / payload,
      counted: (after.writtenBytes - before.agent.writtenBytes) / payload,
      sqlite: await sqliteDeviceBytes(disk, messages, group, each.load.rate),
    }
  } finally {
    await agent.remove()
  }
}

async function sqliteDeviceBytes(
  disk: LoopDisk,
  messages: number,
  group: number,
  rate: number | undefined,
): Promise<number> {
  await appendToSqlite(disk, 'sqlite', { messages: group, group })
  const before = await disk.writtenBytes()
  const report = await appendToSqlite(disk, 'sqlite', { messages, group, ...(rate && { rate }) })
  const written = (await disk.writtenBytes()) - before
  rmSync(disk.path('sqlite'), { recursive: true, force: true })
  return report === undefined ? Number.NaN : written / (messages * PAYLOAD_BYTES)
}

function figures(metrics: string): { commits: number; writtenBytes: number } {
  const value = (name: string) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(metrics)?.[1])
  return {
    commits: value('tributary_fsync_duration_seconds_count'),
    writtenBytes: value('tributary_disk_written_bytes_total'),
  }
}

function sampleText({ device, counted, sqlite, group, p50Ms }: Sample): string {
  const bytes = `device ${device.toFixed(2)} (counted ${counted.toFixed(2)}) SQLite ${sqlite.toFixed(2)}`
  return `${bytes}  ${group} a commit  p50 ${p50Ms.toFixed(2)} ms`
}

function print(samples: readonly Sample[][], seconds: number): number {
  let missed = 0
  const rows = CASES.map(({ name, commitInterval, floor }, index) => {
    const all = samples[index]!
    const of = (key: keyof Sample) => median(all.map((sample) => sample[key]))
    const device = of('device')
    const isMet = floor === undefined || device <= floor
    if (!isMet) missed++
    return [
      name,
      commitInterval,
      plain(of('messagesPerSecond')),
      plain(of('group')),
      `${of('p50Ms').toFixed(2)} / ${of('p99Ms').toFixed(1)}`,
      device.toFixed(2),
      of('sqlite').toFixed(2),
      floor === undefined ? '' : `≤ ${floor}`,
      floor === undefined ? '' : isMet ? 'met' : '**missed**',
    ]
  })
  const head = [
    '128-byte JSON, QoS 1',
    'commitInterval',
    'messages/s',
    'a commit',
    'ack p50/p99 ms',
    'device bytes per payload byte',
    'SQLite',
    'floor',
    '',
  ]
  console.log(`\nMedians of ${samples[0]!.length} rounds × ${seconds} s, ext4 on a loop device.\n`)
  console.log(markdownTable(head, rows))
  return missed
}
