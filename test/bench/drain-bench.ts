// A backlog into a real Kafka: a million records of 128 bytes, acked and kept while the upstream is
// down, then sent. Records a second from the first one that arrives to the last, with the agent's
// CPU and memory meanwhile, and what the uplink carries: once with zstd, once with LZ4.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { runLoad } from '../support/mqtt-load.ts'
import { usageOf } from './process-usage.ts'
import { BENCH_CONFIG } from './servers.ts'
import { markdownTable, plain } from './table.ts'

export interface DrainBenchOptions {
  messages: number
}

/** MirrorMaker 2 moves 18,000 to 32,000 a second on such a machine. */
const FLOOR_PER_SECOND = 100_000
const RSS_FLOOR_MB = 120
/** The study says a half of what LZ4 makes; readings differ. */
const UPLINK_FLOOR = 0.7
const DRAIN_LIMIT_MS = 300_000
const POLL_MS = 50

/** Prints the table; resolves with the number of floors that were missed. */
export async function benchDrain({ messages }: DrainBenchOptions): Promise<number> {
  const zstd = await drained('zstd', messages)
  const lz4 = zstd && (await drained('lz4', messages))
  return zstd === undefined || lz4 === undefined ? 1 : print(zstd, lz4, messages)
}

async function drained(
  compression: 'zstd' | 'lz4',
  messages: number,
): Promise<Drained | undefined> {
  const kafka = await KafkaCluster.create()
  if (kafka === undefined) return undefined
  const agent = await AgentProcess.create({
    ...BENCH_CONFIG,
    topicDefaults: { compression },
    upstream: { bootstrapServers: kafka.bootstrapServers.split(',') },
  })
  try {
    await agent.start()
    const report = await runLoad({
      port: agent.mqttPort,
      qos: 1,
      connections: 50,
      window: 50,
      seconds: 600,
      messages,
    })
    console.error(
      `${compression}: backlog of ${plain(messages)} at ${plain(report.messagesPerSecond)}/s`,
    )
    await kafka.start()
    const result = await drain(agent, messages)
    await assertArrived(kafka, messages)
    return { ...result, uplinkBytes: storedBytes(kafka) }
  } finally {
    await Promise.all([agent.remove(), kafka.remove()])
  }
}

/** Kafka stores the very bytes that were sent. */
function storedBytes({ nodes }: KafkaCluster): number {
  const data = join(nodes[0]!.folder, 'data')
  const folders = readdirSync(data).filter((name) => name.startsWith('bench.sensors-'))
  const files = folders.flatMap((folder) =>
    readdirSync(join(data, folder)).map((name) => join(data, folder, name)),
  )
  const segments = files.filter((file) => file.endsWith('.log'))
  return segments.reduce((sum, file) => sum + statSync(file).size, 0)
}

interface Drained {
  /** From the moment Kafka was up. */
  firstMs: number
  seconds: number
  cpuSeconds: number
  peakMb: number
  uplinkBytes: number
}

async function drain(agent: AgentProcess, messages: number): Promise<Omit<Drained, 'uplinkBytes'>> {
  const before = usageOf(agent.pid!)
  const start = performance.now()
  const end = start + DRAIN_LIMIT_MS
  let first: number | undefined
  let peakMb = 0
  for (;;) {
    const done = await replicatedRecords(agent)
    const now = performance.now()
    if (done > 0) first ??= now
    const usage = usageOf(agent.pid!)
    peakMb = Math.max(peakMb, usage.residentMb)
    if (done >= messages && first !== undefined) {
      return {
        firstMs: first - start,
        seconds: (now - first) / 1000,
        cpuSeconds: usage.cpuSeconds - before.cpuSeconds,
        peakMb,
      }
    }
    if (now > end) throw new Error(`only ${done} of ${messages} records after ${DRAIN_LIMIT_MS} ms`)
    await delay(POLL_MS)
  }
}

/** Kafka's own word for it. */
async function assertArrived(kafka: KafkaCluster, messages: number): Promise<void> {
  const { stdout } = await kafka.getOffsets(['--topic', 'bench.sensors'])
  const ends = [...stdout.matchAll(/^bench\.sensors:\d+:(\d+)$/gm)].map(([, end]) => Number(end))
  const arrived = ends.reduce((sum, end) => sum + end, 0)
  if (arrived !== messages) throw new Error(`Kafka has ${arrived} of ${messages} records`)
}

async function replicatedRecords(agent: AgentProcess): Promise<number> {
  const { topics } = await agent.status()
  return topics
    .flatMap((topic) => topic.partitions)
    .reduce((sum, partition) => sum + partition.replicatedOffset, 0)
}

function print(zstd: Drained, lz4: Drained, messages: number): number {
  const both = (show: (drained: Drained) => string) => [show(zstd), show(lz4)]
  // The first poll that sees anything may already see a good part of it.
  const perSecond = ({ seconds }: Drained) => messages / Math.max(seconds, POLL_MS / 1000)
  const fromStart = ({ firstMs, seconds }: Drained) => messages / (firstMs / 1000 + seconds)
  const verdict = (isMet: boolean) => (isMet ? 'met' : '**missed**')
  const isFast = perSecond(zstd) >= FLOOR_PER_SECOND
  const isSmall = zstd.peakMb <= RSS_FLOOR_MB
  const isHalf = zstd.uplinkBytes <= lz4.uplinkBytes * UPLINK_FLOOR
  const perMessage = ({ uplinkBytes }: Drained) => (uplinkBytes / messages).toFixed(1)
  const rows = [
    [
      'records/s',
      ...both((run) => plain(perSecond(run))),
      `≥ ${plain(FLOOR_PER_SECOND)}`,
      verdict(isFast),
    ],
    ['the same, from the moment Kafka was up', ...both((run) => plain(fromStart(run))), '', ''],
    ['uplink bytes a record', ...both(perMessage), `≤ ${UPLINK_FLOOR} of LZ4`, verdict(isHalf)],
    [
      'agent RSS peak MB',
      ...both(({ peakMb }) => peakMb.toFixed(0)),
      `≤ ${RSS_FLOOR_MB}`,
      verdict(isSmall),
    ],
    [
      'agent CPU s per million',
      ...both(({ cpuSeconds }) => ((cpuSeconds * 1e6) / messages).toFixed(2)),
      '',
      '',
    ],
    ['ms from Kafka up to the first record', ...both(({ firstMs }) => firstMs.toFixed(0)), '', ''],
  ]
  const title = `${plain(messages)} × 128 B into Kafka`
  console.log(markdownTable([title, 'zstd', 'LZ4', 'floor', ''], rows))
  return Number(!isFast) + Number(!isHalf) + Number(!isSmall)
}
