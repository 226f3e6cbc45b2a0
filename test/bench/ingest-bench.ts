// MQTT in: messages a second, latency and CPU of the whole path, beside what a user would take
// instead. Every round starts each server anew, one after the other, for each case; what is
// printed are medians over the rounds, and ratios of medians from the same run.

import { type LoadOptions, type LoadReport, runLoad } from '../support/mqtt-load.ts'
import { measureFdatasync } from './fdatasync-loop.ts'
import { median, type Usage, usageOf } from './process-usage.ts'
import { type ServerName, startServer } from './servers.ts'
import { markdownTable, plain } from './table.ts'

export interface IngestBenchOptions {
  seconds: number
  rounds: number
  servers: readonly ServerName[]
  /** Only the cases whose name contains this. */
  pattern: string
}

interface Case {
  name: string
  load: Pick<LoadOptions, 'qos' | 'connections' | 'window' | 'rate'>
  goals: readonly Goal[]
}

/** One line of the judgement: `measure` of Tributary divided by that of `against`. */
interface Goal {
  measure: keyof typeof MEASURES
  against: 'mosquitto' | 'naive' | 'limit' | 'fdatasync + 0.3 ms'
  /** The ratio to reach: at least for messages/s, at most for everything else. */
  ratio: number
  kind: 'goal' | 'floor'
}

interface Sample {
  messagesPerSecond: number
  p50Ms: number
  p99Ms: number
  cpuMicros: number
  peakMb: number
}

const MEASURES = {
  messagesPerSecond: { name: 'messages/s', more: true },
  p50Ms: { name: 'p50 ms', more: false },
  p99Ms: { name: 'p99 ms', more: false },
  cpuMicros: { name: 'CPU µs/message', more: false },
  peakMb: { name: 'RSS peak MB', more: false },
} as const

const floor = (
  measure: Goal['measure'],
  against: Goal['against'],
  ratio: number,
  kind: Goal['kind'] = 'floor',
): Goal => ({ measure, against, ratio, kind })

const AGAINST_BOTH: readonly Goal[] = [
  floor('messagesPerSecond', 'naive', 1),
  floor('cpuMicros', 'naive', 0.7),
  floor('messagesPerSecond', 'mosquitto', 1.3, 'goal'),
  floor('cpuMicros', 'mosquitto', 0.6, 'goal'),
  floor('peakMb', 'limit', 120),
]

const CASES: readonly Case[] = [
  {
    name: 'QoS 1, 50 connections × window 10',
    load: { qos: 1, connections: 50, window: 10 },
    goals: AGAINST_BOTH,
  },
  {
    name: 'QoS 1, 1 connection × window 100',
    load: { qos: 1, connections: 1, window: 100 },
    goals: AGAINST_BOTH,
  },
  {
    name: 'QoS 1, 1 connection × window 1',
    load: { qos: 1, connections: 1, window: 1 },
    goals: [floor('p50Ms', 'fdatasync + 0.3 ms', 1)],
  },
  {
    name: 'QoS 1, 200 connections at 2,000/s',
    load: { qos: 1, connections: 200, window: 10, rate: 2000 },
    goals: [
      floor('cpuMicros', 'naive', 0.7),
      floor('p99Ms', 'naive', 1),
      floor('peakMb', 'limit', 120),
    ],
  },
  {
    name: 'QoS 2, 10 connections × window 10',
    load: { qos: 2, connections: 10, window: 10 },
    goals: [floor('messagesPerSecond', 'naive', 1)],
  },
  {
    name: 'QoS 0, 10 connections',
    load: { qos: 0, connections: 10, window: 50 },
    goals: [floor('messagesPerSecond', 'mosquitto', 2), floor('peakMb', 'limit', 120)],
  },
]

const WARMUP_S = 1

/** Runs the cases and prints their tables; resolves with the number of floors that were missed. */
export async function benchIngest(options: IngestBenchOptions): Promise<number> {
  const cases = CASES.filter(({ name }) => name.includes(options.pattern))
  const samples = new Map<string, Sample[]>()
  const fdatasync: number[] = []
  for (let round = 1; round <= options.rounds; round++) {
    fdatasync.push((await measureFdatasync(1)).p50Ms)
    for (const { name, load } of cases) {
      for (const server of options.servers) {
        const sample = await measure(server, load, options.seconds)
        if (sample === undefined) continue
        const key = `${name}|${server}`
        samples.set(key, [...(samples.get(key) ?? []), sample])
        console.error(`round ${round}  ${name}  ${server.padEnd(9)}  ${sampleText(sample)}`)
      }
    }
  }
  const find = (name: string, server: string): Sample | undefined => {
    const all = samples.get(`${name}|${server}`)
    return all === undefined ? undefined : medianSample(all)
  }
  console.log(`\nMedians of ${options.rounds} rounds × ${options.seconds} s, 128-byte JSON.\n`)
  console.log(figures(cases, options.servers, find))
  console.log(`\nOne fdatasync of 4 KiB in the same run: p50 ${median(fdatasync).toFixed(2)} ms.\n`)
  const { table, missed } = judgement(cases, find, median(fdatasync))
  console.log(table)
  return missed
}

async function measure(
  name: ServerName,
  load: Case['load'],
  seconds: number,
): Promise<Sample | undefined> {
  const server = await startServer(name)
  if (server === undefined) return undefined
  try {
    let before: Usage | undefined
    let after: Usage | undefined
    const report = await runLoad(
      { ...load, port: server.port, seconds, warmupSeconds: WARMUP_S },
      {
        counting: () => (before = usageOf(server.pid)),
        counted: () => (after = usageOf(server.pid)),
      },
    )
    assertGood(name, report)
    const cpu = (after?.cpuSeconds ?? 0) - (before?.cpuSeconds ?? 0)
    return {
      messagesPerSecond: report.messagesPerSecond,
      p50Ms: report.p50Ms,
      p99Ms: report.p99Ms,
      cpuMicros: (cpu * 1e6) / report.messages,
      peakMb: usageOf(server.pid).peakMb,
    }
  } finally {
    await server.remove()
  }
}

/** A wrong or missing ack makes every other figure worthless. */
function assertGood(name: ServerName, report: LoadReport): void {
  const { badAcks, missingAcks, failedConnections } = report
  if (badAcks + missingAcks + failedConnections === 0) return
  throw new Error(
    `${name}: ${badAcks} bad acks, ${missingAcks} missing, ${failedConnections} connections failed`,
  )
}

function medianSample(all: readonly Sample[]): Sample {
  const of = (key: keyof Sample) => median(all.map((sample) => sample[key]))
  return {
    messagesPerSecond: of('messagesPerSecond'),
    p50Ms: of('p50Ms'),
    p99Ms: of('p99Ms'),
    cpuMicros: of('cpuMicros'),
    peakMb: of('peakMb'),
  }
}

function sampleText(s: Sample): string {
  const latency = `p50 ${s.p50Ms.toFixed(2)} p99 ${s.p99Ms.toFixed(2)} ms`
  const cost = `${s.cpuMicros.toFixed(1)} µs  ${s.peakMb.toFixed(0)} MB`
  return `${plain(s.messagesPerSecond)}/s  ${latency}  ${cost}`
}

type Find = (name: string, server: string) => Sample | undefined

function figures(cases: readonly Case[], servers: readonly ServerName[], find: Find): string {
  const rows = cases.map(({ name }) => [
    name,
    ...servers.map((server) => {
      const s = find(name, server)
      if (s === undefined) return '–'
      const latency = s.p50Ms === 0 ? '' : `, ${s.p50Ms.toFixed(2)}/${s.p99Ms.toFixed(1)}`
      return `${plain(s.messagesPerSecond)}${latency}, ${s.cpuMicros.toFixed(1)}, ${s.peakMb.toFixed(0)}`
    }),
  ])
  return markdownTable(
    ['messages/s, p50/p99 ms, CPU µs per message, RSS peak MB', ...servers],
    rows,
  )
}

function judgement(
  cases: readonly Case[],
  find: Find,
  fdatasyncMs: number,
): { table: string; missed: number } {
  let missed = 0
  const rows = cases.flatMap(({ name, goals }) => {
    const ours = find(name, 'tributary')
    if (ours === undefined) return []
    return goals.flatMap((goal) => {
      const { name: measure, more } = MEASURES[goal.measure]
      const theirs = referenceOf(goal, find(name, goal.against), fdatasyncMs)
      if (theirs === undefined) return []
      const ratio = ours[goal.measure] / theirs
      const bound = goal.against === 'limit' ? 1 : goal.ratio
      const isMet = more ? ratio >= bound : ratio <= bound
      if (!isMet && goal.kind === 'floor') missed++
      const wanted = `${more ? '≥' : '≤'} ${goal.against === 'limit' ? goal.ratio : `${goal.ratio}×`}`
      const is = goal.against === 'limit' ? ours[goal.measure].toFixed(0) : `${ratio.toFixed(2)}×`
      const [asGoal, asFloor] = goal.kind === 'goal' ? [wanted, ''] : ['', wanted]
      return [[name, measure, goal.against, is, asGoal, asFloor, isMet ? 'met' : '**missed**']]
    })
  })
  const head = ['case', 'measure', 'against', 'Tributary', 'goal', 'floor', '']
  return { table: rows.length === 0 ? '' : markdownTable(head, rows), missed }
}

function referenceOf(
  goal: Goal,
  peer: Sample | undefined,
  fdatasyncMs: number,
): number | undefined {
  if (goal.against === 'limit') return goal.ratio
  if (goal.against === 'fdatasync + 0.3 ms') return fdatasyncMs + 0.3
  return peer?.[goal.measure]
}
