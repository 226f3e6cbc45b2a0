// Many virtual devices against one broker, seeded: the same options give the same devices.
//
// Starts are spread over the first interval, so that a fleet neither connects nor publishes in one
// moment. The ledger holds what was confirmed; with QoS 0 nothing ever is, and the fleet says so.

import { type CredentialTemplate, fleetDeviceId, identityOf } from '../devices/identity.ts'
import {
  type DeviceOptions,
  type DeviceSettings,
  type DutyCycle,
  type Faults,
  VirtualDevice,
} from './device.ts'
import type { Qos, TlsOptions } from './device-link.ts'
import { LatencyHistogram } from './latency-histogram.ts'
import { AckedLedger } from './ledger.ts'
import type { MessageFormat } from './message.ts'
import { DEVICE_KINDS } from './physics.ts'
import { Random } from './prng.ts'

export interface FleetOptions {
  readonly brokerUrl: string
  readonly devices: number
  /** Messages a second, of the whole fleet. */
  readonly rate: number
  readonly seed: number
  readonly idPrefix: string
  /** {device} and {metric} are the device's. */
  readonly mqttTopic: string
  readonly format: MessageFormat
  readonly qos: Qos
  readonly isPersistent: boolean
  readonly keepAliveS: number
  readonly window: number
  readonly outboxMessages: number
  readonly hasFlash: boolean
  /** Each device drifts by up to this much either way. */
  readonly driftPpm: number
  readonly credentials: CredentialTemplate
  readonly tls: TlsOptions | undefined
  readonly faults: Faults
  readonly duty: DutyCycle | undefined
}

export interface FleetStats {
  readonly devices: number
  readonly connected: number
  readonly connects: number
  readonly published: number
  /** Confirmed by the broker; with QoS 0: written to the socket. */
  readonly acked: number
  /** Given up by the devices themselves: outbox full, or RAM lost in a reboot. */
  readonly dropped: number
  readonly pending: number
  readonly ackP50Ms: number
  readonly ackP99Ms: number
  readonly ackMaxMs: number
}

/** The whole fleet connects within this time, or within an interval if that is shorter. */
const CONNECT_SPREAD_MS = 2_000

export class Fleet {
  readonly ledger = new AckedLedger()
  readonly devices: readonly VirtualDevice[]
  readonly #options: FleetOptions
  readonly #latencies = new LatencyHistogram()
  readonly #starts = new Set<NodeJS.Timeout>()
  readonly #onProblem: (sentence: string) => void
  #published = 0
  #acked = 0
  #dropped = 0

  constructor(options: FleetOptions, onProblem: (sentence: string) => void) {
    this.#options = options
    this.#onProblem = onProblem
    const random = new Random(options.seed)
    this.devices = Array.from({ length: options.devices }, (_, index) => {
      const id = fleetDeviceId(options.idPrefix, index, options.devices)
      return this.#createDevice(id, index, random.fork(id))
    })
  }

  /** Time between two messages of one device. */
  get intervalMs(): number {
    return (this.#options.devices / this.#options.rate) * 1_000
  }

  /** Starts every device at its own moment; returns at once. */
  start(): void {
    const { devices } = this
    const spreadMs = Math.min(CONNECT_SPREAD_MS, Math.max(this.intervalMs, devices.length * 5))
    for (const [index, device] of devices.entries()) {
      const at = (spreadMs * index) / devices.length
      const phase = (this.intervalMs * index) / devices.length
      const timer = setTimeout(() => {
        this.#starts.delete(timer)
        device
          .start(phase)
          .catch((error: Error) => this.#onProblem(`${device.id}: ${error.message}`))
      }, at)
      this.#starts.add(timer)
    }
  }

  apply(settings: DeviceSettings): void {
    for (const device of this.devices) device.apply(settings)
  }

  stats(): FleetStats {
    let [connected, connects, pending] = [0, 0, 0]
    for (const device of this.devices) {
      if (device.isConnected) connected++
      connects += device.connects
      pending += device.pending
    }
    return {
      devices: this.devices.length,
      connected,
      connects,
      published: this.#published,
      acked: this.#acked,
      dropped: this.#dropped,
      pending,
      ackP50Ms: this.#latencies.quantile(0.5),
      ackP99Ms: this.#latencies.quantile(0.99),
      ackMaxMs: this.#latencies.maxMs,
    }
  }

  /** Stops sampling, waits up to `drainMs` for acks, disconnects; how many messages got none. */
  async stop(drainMs: number): Promise<number> {
    for (const timer of this.#starts) clearTimeout(timer)
    this.#starts.clear()
    const left = await Promise.all(this.devices.map((device) => device.stop(drainMs)))
    return left.reduce((sum, count) => sum + count, 0)
  }

  #createDevice(id: string, index: number, random: Random): VirtualDevice {
    const { intervalMs } = this
    const kind = DEVICE_KINDS[index % DEVICE_KINDS.length]!
    const identity = identityOf(id, this.#options.credentials)
    const { brokerUrl, qos, isPersistent, keepAliveS, window, tls } = this.#options
    const options: DeviceOptions = {
      id,
      kind,
      mqttTopic: topicFor(this.#options.mqttTopic, id, kind),
      format: this.#options.format,
      intervalMs,
      outboxMessages: this.#options.outboxMessages,
      hasFlash: this.#options.hasFlash,
      driftPpm: random.between(-this.#options.driftPpm, this.#options.driftPpm),
      faults: this.#options.faults,
      duty: this.#options.duty,
      link: {
        brokerUrl,
        clientId: id,
        username: identity.username,
        password: identity.password,
        qos,
        isPersistent,
        keepAliveS,
        window,
        tls,
      },
    }
    return new VirtualDevice(options, random, {
      onPublished: (device, sequence) => {
        this.#published++
        this.ledger.published(device, sequence)
      },
      onDone: (device, sequence, latencyMs) => {
        this.#acked++
        this.#latencies.record(latencyMs)
        if (qos > 0) this.ledger.acked(device, sequence)
      },
      onDropped: (_, count) => {
        this.#dropped += count
      },
      onProblem: this.#onProblem,
    })
  }
}

export function topicFor(template: string, device: string, metric: string): string {
  return template.replaceAll('{device}', device).replaceAll('{metric}', metric)
}
