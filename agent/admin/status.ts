// What `GET /status` answers, and its making from the parts of a running agent.
//
// The parts give plain numbers; this adds what needs memory (rates, how long until the disk is
// full) and the verdict. Nothing here does I/O.

import type { Clock, Timer } from '../base/clock.ts'
import type { LossTotals } from '../log/loss.ts'
import { Rate } from './rate.ts'

export const REPLICATION_STATES = [
  'idle',
  'connecting',
  'streaming',
  'catching-up',
  'healing',
  'cold',
  'frozen',
  'parked',
] as const
export type ReplicationState = (typeof REPLICATION_STATES)[number]

export interface PartitionStatus {
  readonly partition: number
  readonly logStartOffset: number
  /** Offset of the next record to become visible. */
  readonly highWatermark: number
  /** First offset that the upstream has not acked. */
  readonly replicatedOffset: number
  readonly bytes: number
  readonly replication: ReplicationState
  /** Ends in what to do; null for idle, connecting, streaming and catching-up. */
  readonly reason: string | null
}

export interface TopicStatus {
  readonly topic: string
  readonly replicated: boolean
  readonly partitions: readonly PartitionStatus[]
}

interface GroupStatus {
  readonly group: string
  readonly state: string
  readonly owner: 'gateway' | 'cloud' | null
  readonly offsets: readonly {
    readonly topic: string
    readonly partition: number
    readonly local: number | null
    readonly upstream: number | null
  }[]
}

interface MqttPart {
  readonly clients: number
  /** Publishes taken since the start, by QoS. */
  readonly messagesByQos: readonly [number, number, number]
  readonly acksPending: number
  readonly ackP99Seconds: number
  readonly unroutedTotal: number
  /** The last MQTT topic that no route took. */
  readonly unroutedLast: string | null
}

interface DiskPart {
  readonly bytes: number
  readonly budgetBytes: number
  readonly writtenBytesTotal: number
  readonly payloadBytesTotal: number
  readonly fsyncsTotal: number
  readonly recordsLostTotal: number
  readonly recordsLost: LossTotals
}

export interface UpstreamPart {
  readonly state: 'off' | 'connecting' | 'connected'
  readonly bootstrapServers: readonly string[]
  readonly clusterId: string | null
  /** How long the state has held. */
  readonly stateSeconds: number
  readonly lagRecords: number
  readonly lagSeconds: number
  /** Records that the upstream has acked since the start. */
  readonly recordsTotal: number
}

/** What a running agent tells about itself. */
export interface StatusParts {
  readonly gateway: string | undefined
  readonly lineage: string
  readonly version: string
  readonly mqtt: () => MqttPart
  readonly disk: () => DiskPart
  readonly topics: () => readonly TopicStatus[]
  /** Records appended since the start. */
  readonly topicRecords: () => Iterable<readonly [topic: string, records: number]>
  readonly upstream: () => UpstreamPart
  readonly groups: () => readonly GroupStatus[]
  /** The log believes the wall clock, and the system does not say that it is wrong. */
  readonly clockSynchronized: () => boolean
  readonly ready: () => Readiness
}

/** An unreachable upstream is not unready: the gateway goes on without it. */
export interface Readiness {
  readonly ok: boolean
  readonly reasons: readonly string[]
}

export interface Status {
  readonly gateway: string | null
  readonly lineage: string
  readonly version: string
  readonly uptimeSeconds: number
  /** Empty when all is well; else what is not, as short phrases. */
  readonly degraded: readonly string[]
  readonly clockSynchronized: boolean
  readonly mqtt: MqttPart & { readonly messagesTotal: number; readonly messagesPerSecond: number }
  /** `fullInSeconds`: at the growth of the last minutes; null when it does not grow. */
  readonly disk: DiskPart & {
    readonly fullInSeconds: number | null
    readonly fsyncsPerMinute: number
  }
  readonly topics: readonly TopicStatus[]
  readonly upstream: UpstreamPart & { readonly recordsPerSecond: number }
  readonly groups: readonly GroupStatus[]
}

/** States that no operator has to look at. */
export function isHealthy(state: ReplicationState): boolean {
  return ['idle', 'connecting', 'streaming', 'catching-up'].includes(state)
}

const TRAFFIC = { stepMs: 5_000, leastMs: 500 }
const SYNCS = { stepMs: 60_000, leastMs: 500 }
/** Segments are written in large pieces: growth is told over minutes. */
const GROWTH = { stepMs: 300_000, leastMs: 60_000 }

/** Watches the totals and answers with a complete status. */
export class StatusReporter {
  readonly #parts: StatusParts
  readonly #clock: Clock
  readonly #start: number
  readonly #messages: Rate
  readonly #sent: Rate
  readonly #bytes: Rate
  readonly #syncs: Rate
  #timer: Timer | undefined

  constructor(parts: StatusParts, clock: Clock) {
    this.#parts = parts
    this.#clock = clock
    this.#start = clock.monotonic()
    this.#messages = new Rate(TRAFFIC, this.#start, sum(parts.mqtt().messagesByQos))
    this.#sent = new Rate(TRAFFIC, this.#start, parts.upstream().recordsTotal)
    this.#bytes = new Rate(GROWTH, this.#start, parts.disk().bytes)
    this.#syncs = new Rate(SYNCS, this.#start, parts.disk().fsyncsTotal)
    this.#arm()
  }

  close(): void {
    this.#timer?.cancel()
  }

  status(): Status {
    const parts = this.#parts
    const now = this.#clock.monotonic()
    const [mqtt, disk, upstream, topics] = [
      parts.mqtt(),
      parts.disk(),
      parts.upstream(),
      parts.topics(),
    ]
    const messagesTotal = sum(mqtt.messagesByQos)
    const growth = this.#bytes.perSecond(now, disk.bytes) ?? 0
    const left = Math.max(0, disk.budgetBytes - disk.bytes)
    return {
      gateway: parts.gateway ?? null,
      lineage: parts.lineage,
      version: parts.version,
      uptimeSeconds: (now - this.#start) / 1000,
      degraded: degraded(parts.ready(), topics, disk),
      clockSynchronized: parts.clockSynchronized(),
      mqtt: {
        ...mqtt,
        messagesTotal,
        messagesPerSecond: this.#messages.perSecond(now, messagesTotal) ?? 0,
      },
      disk: {
        ...disk,
        fullInSeconds: growth > 0 ? left / growth : null,
        fsyncsPerMinute: (this.#syncs.perSecond(now, disk.fsyncsTotal) ?? 0) * 60,
      },
      topics,
      upstream: {
        ...upstream,
        recordsPerSecond: this.#sent.perSecond(now, upstream.recordsTotal) ?? 0,
      },
      groups: parts.groups(),
    }
  }

  #arm(): void {
    this.#timer = this.#clock.after(TRAFFIC.stepMs, () => {
      const now = this.#clock.monotonic()
      this.#messages.sample(now, sum(this.#parts.mqtt().messagesByQos))
      this.#sent.sample(now, this.#parts.upstream().recordsTotal)
      const { bytes, fsyncsTotal } = this.#parts.disk()
      this.#bytes.sample(now, bytes)
      this.#syncs.sample(now, fsyncsTotal)
      this.#arm()
    })
  }
}

function degraded(ready: Readiness, topics: readonly TopicStatus[], disk: DiskPart): string[] {
  const found = [...ready.reasons]
  const states = topics.flatMap(({ partitions }) => partitions.map((each) => each.replication))
  for (const state of ['frozen', 'parked'] as const) {
    const count = states.filter((each) => each === state).length
    if (count > 0) found.push(`${count} partition${count === 1 ? '' : 's'} ${state}`)
  }
  if (disk.recordsLostTotal > 0) found.push(`${disk.recordsLostTotal} records lost`)
  return found
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
