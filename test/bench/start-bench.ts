// Start-up, idleness and memory of the built agent: milliseconds from spawn to the first CONNACK,
// CPU and dirtied bytes of ten idle seconds, resident memory idle, with 200 devices at full load,
// in a QoS 0 flood and with 64 partitions.

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { type AgentConfig, AgentProcess } from '../support/agent-process.ts'
import { type LoadOptions, runLoad } from '../support/mqtt-load.ts'
import { connectPacket, PACKET } from '../support/mqtt-packets.ts'
import { median, usageOf } from './process-usage.ts'
import { BENCH_CONFIG } from './servers.ts'
import { markdownTable } from './table.ts'

export interface StartBenchOptions {
  /** Of each load. */
  seconds: number
  /** Starts. */
  rounds: number
}

interface Line {
  what: string
  value: string
  floor: string
  isMet: boolean
}

const IDLE_SECONDS = 10
const START_LIMIT_MS = 15_000

const LOADS: readonly {
  what: string
  load: Omit<LoadOptions, 'port' | 'seconds'>
  config?: AgentConfig
  limitMb: number
}[] = [
  {
    what: 'RSS peak MB, 200 devices at full load',
    load: { qos: 1, connections: 200, window: 10 },
    limitMb: 120,
  },
  {
    what: 'RSS peak MB, 200 devices at 2,000/s',
    load: { qos: 1, connections: 200, window: 10, rate: 2000 },
    limitMb: 120,
  },
  {
    what: 'RSS peak MB, QoS 0 flood',
    load: { qos: 0, connections: 10, window: 50 },
    limitMb: 120,
  },
  {
    what: 'RSS peak MB, 64 partitions, 200 devices at full load',
    load: { qos: 1, connections: 200, window: 10 },
    config: { topics: { sensors: { partitions: 64 } } },
    limitMb: 120,
  },
]

/** Prints the table; resolves with the number of floors that were missed. */
export async function benchStart(options: StartBenchOptions): Promise<number> {
  const lines = [await startTime(Math.max(3, options.rounds)), ...(await idleCost())]
  for (const { what, load, config, limitMb } of LOADS) {
    const agent = await AgentProcess.create({ ...BENCH_CONFIG, ...config })
    try {
      await agent.start()
      await runLoad({ ...load, port: agent.mqttPort, seconds: options.seconds })
      const { peakMb, residentMb } = usageOf(agent.pid!)
      const value = `${peakMb.toFixed(0)} (after: ${residentMb.toFixed(0)})`
      lines.push({ what, value, floor: `≤ ${limitMb}`, isMet: peakMb <= limitMb })
    } finally {
      await agent.remove()
    }
  }
  const rows = lines.map(({ what, value, floor, isMet }) => [
    what,
    value,
    floor,
    isMet ? 'met' : '**missed**',
  ])
  console.log(markdownTable(['', 'Tributary', 'floor', ''], rows))
  return lines.filter(({ isMet }) => !isMet).length
}

async function startTime(starts: number): Promise<Line> {
  const times: number[] = []
  const agent = await AgentProcess.create(BENCH_CONFIG)
  try {
    for (let start = 0; start < starts; start++) {
      const before = performance.now()
      agent.spawn()
      await firstConnack(agent.mqttPort)
      times.push(performance.now() - before)
      await agent.stop()
    }
  } finally {
    await agent.remove()
  }
  const value = median(times)
  return {
    what: `ms from start to the first CONNACK (median of ${starts})`,
    value: value.toFixed(0),
    floor: '< 500',
    isMet: value < 500,
  }
}

async function idleCost(): Promise<Line[]> {
  const agent = await AgentProcess.create(BENCH_CONFIG)
  try {
    await agent.start()
    await delay(2000)
    const before = usageOf(agent.pid!)
    await delay(IDLE_SECONDS * 1000)
    const after = usageOf(agent.pid!)
    const percent = ((after.cpuSeconds - before.cpuSeconds) / IDLE_SECONDS) * 100
    const written = after.writtenBytes - before.writtenBytes
    const line = (what: string, value: string, floor: string, isMet: boolean) => ({
      what,
      value,
      floor,
      isMet,
    })
    return [
      line('idle CPU %', percent.toFixed(2), '< 1', percent < 1),
      line(`idle, bytes written in ${IDLE_SECONDS} s`, String(written), '0', written === 0),
      line('RSS MB, idle', after.residentMb.toFixed(0), '≤ 80', after.residentMb <= 80),
    ]
  } finally {
    await agent.remove()
  }
}

/** Resolves with the first CONNACK that accepts; tries again every few milliseconds until then. */
async function firstConnack(port: number): Promise<void> {
  const end = performance.now() + START_LIMIT_MS
  while (!(await acceptsSession(port))) {
    if (performance.now() > end) throw new Error(`no CONNACK within ${START_LIMIT_MS} ms`)
    await delay(3)
  }
}

function acceptsSession(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    socket.setTimeout(2000, () => socket.destroy())
    socket.on('connect', () => {
      socket.write(connectPacket({ clientId: 'first', cleanSession: true }))
    })
    socket.on('error', () => {})
    let isAccepted = false
    socket.on('data', (data) => {
      isAccepted = data[0] === PACKET.connack && data[3] === 0
      socket.destroy()
    })
    socket.on('close', () => resolve(isAccepted))
  })
}
