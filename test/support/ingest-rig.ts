// A front with a fake log and a virtual clock behind it, for the tests of agent/ingest.

import { Logger, Metrics } from '../../agent/base/telemetry.ts'
import { MqttFront, type MqttFrontOptions } from '../../agent/ingest/mqtt-front.ts'
import { FakeLog } from './fake-log.ts'
import { MqttPeer } from './mqtt-peer.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface Rig {
  log: FakeLog
  clock: VirtualClock
  front: MqttFront
  metrics: Metrics
  /** What was logged, a line each. */
  lines: string[]
  options: MqttFrontOptions
  peer(): ReturnType<typeof MqttPeer.pair>
  metric(name: string): number
}

/** Everything goes to topic `mqtt` of gateway `gw`, one partition, unless `options` say otherwise. */
export async function openRig(
  options: Partial<MqttFrontOptions> & { log?: FakeLog; clock?: VirtualClock } = {},
): Promise<Rig> {
  const { log = new FakeLog(), clock = new VirtualClock() } = options
  log.time.now = () => clock.now()
  const metrics = new Metrics()
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const logger = new Logger({ level: 'info', format: 'text', write, now: () => clock.now() })
  const all: MqttFrontOptions = {
    gateway: 'gw',
    topicPrefix: '{gateway}.',
    routes: [],
    profiles: new Map(),
    deadLetter: 'dead-letter',
    unrouted: undefined,
    maxTopics: 100,
    topicSettings: () => ({ partitions: 1, replicated: true }),
    users: undefined,
    allowAnonymous: undefined,
    maxPacketSize: 524_288,
    metrics,
    logger,
    ...options,
    log,
    clock,
  }
  const front = await MqttFront.open(all)
  return {
    log,
    clock,
    front,
    metrics,
    lines,
    options: all,
    peer: () => MqttPeer.pair(front),
    metric: (name) => {
      const line = metrics
        .text()
        .split('\n')
        .find((each) => each.startsWith(`${name} `))
      if (line === undefined) throw new Error(`no metric ${name}`)
      return Number(line.slice(name.length + 1))
    },
  }
}

/** Lets everything that is ready happen: some turns of the loop, never time. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
}
