// A backlog into a real Kafka: a million records of 128 bytes, acked and kept while the upstream is
// down, then sent. Records a second from the first one that arrives to the last, with the agent's
// CPU and memory meanwhile.

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
const DRAIN_LIMIT_MS = 300_000
const POLL_MS = 50

/** Prints the table; resolves with the number of floors that were missed. */
export async function benchDrain({ messages }: DrainBenchOptions): Promise<number> {
  const kafka = await KafkaCluster.create()
  if (kafka === undefined) return 1
  const agent = await AgentProcess.create({
    ...BENCH_CONFIG,
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
    console.error(`backlog of ${plain(messages)} at ${plain(report.messagesPerSecond)}/s`)
    await kafka.start()
    const drained = await drain(agent, messages)
    await assertArrived(kafka, messages)
    return print(drained, messages)
  } finally {
    await Promise.all([agent.remove(), kafka.remove()])
  }
}

interface Drained {
  /** From the moment Kafka was up. */
  firstMs: number
  seconds: number
  cpuSeconds: number
  peakMb: number
}

async function drain(agent: AgentProcess, messages: number): Promise<Drained> {
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

function print(drained: Drained, messages: number): number {
  const { firstMs, seconds, cpuSeconds, peakMb } = drained
  // The first poll that sees anything may already see a good part of it.
  const perSecond = messages / Math.max(seconds, POLL_MS / 1000)
  const verdict = (isMet: boolean) => (isMet ? 'met' : '**missed**')
  const isFast = perSecond >= FLOOR_PER_SECOND
  const isSmall = peakMb <= RSS_FLOOR_MB
  const rows = [
    ['records/s', plain(perSecond), `≥ ${plain(FLOOR_PER_SECOND)}`, verdict(isFast)],
    [
      'the same, from the moment Kafka was up',
      plain(messages / (firstMs / 1000 + seconds)),
      '',
      '',
    ],
    ['agent RSS peak MB', peakMb.toFixed(0), `≤ ${RSS_FLOOR_MB}`, verdict(isSmall)],
    ['agent CPU s per million', ((cpuSeconds * 1e6) / messages).toFixed(2), '', ''],
    ['ms from Kafka up to the first record', firstMs.toFixed(0), '', ''],
  ]
  const title = `${plain(messages)} × 128 B into Kafka`
  console.log(markdownTable([title, 'Tributary', 'floor', ''], rows))
  return Number(!isFast) + Number(!isSmall)
}
