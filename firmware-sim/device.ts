// One virtual device: sensors, a clock that drifts, a bounded outbox, a real MQTT connection, and
// the bad days of a device in the field.
//
//   sample ─▶ outbox (bounded, oldest dropped) ─▶ window of the link ─▶ acked
//
// Sequences are 1, 2, 3 … in the order of sampling and are never used twice, also across reboots.
// A dropped message (outbox full, RAM lost in a reboot) leaves a gap and is counted: nobody was
// promised it. The link is the only thing that knows whether a message was acked.

import { DeviceClock } from './device-clock.ts'
import { DeviceLink, type LinkOptions } from './device-link.ts'
import { encodeMessage, type MessageFormat } from './message.ts'
import { Outbox, type OutboxEntry } from './outbox.ts'
import { createSensors, type DeviceKind, type Sensor } from './physics.ts'
import type { Random } from './prng.ts'

/** Mean time between troubles of one kind, in milliseconds; undefined = never. */
export interface Faults {
  readonly cutEveryMs: number | undefined
  readonly stallEveryMs: number | undefined
  readonly rebootEveryMs: number | undefined
  /** How long a stall or a reboot takes. */
  readonly downMs: number
}

/** The radio is on for a while and off for a while; sampling goes on. */
export interface DutyCycle {
  readonly awakeMs: number
  readonly asleepMs: number
}

export interface DeviceOptions {
  readonly id: string
  readonly kind: DeviceKind
  readonly mqttTopic: string
  readonly format: MessageFormat
  readonly intervalMs: number
  readonly outboxMessages: number
  /** The outbox survives a reboot. */
  readonly hasFlash: boolean
  readonly driftPpm: number
  readonly faults: Faults
  readonly duty: DutyCycle | undefined
  readonly link: LinkOptions
}

/** What an operator may change while the device runs; absent = as it is. */
export interface DeviceSettings {
  readonly intervalMs?: number
  readonly mqttTopic?: string
  readonly format?: MessageFormat
  readonly isEnabled?: boolean
}

export interface DeviceListener {
  onPublished(device: string, sequence: number): void
  /** Confirmed by the broker (QoS 1, 2) or written to the socket (QoS 0). */
  onDone(device: string, sequence: number, latencyMs: number): void
  onDropped(device: string, count: number): void
  onProblem(sentence: string): void
}

/** Samples made up for at once when timers came late; beyond that the device has missed them. */
const CATCH_UP_MAX = 1_000
const FAULT_MINIMUM_MS = 20

export class VirtualDevice {
  readonly id: string
  readonly #options: DeviceOptions
  readonly #random: Random
  readonly #listener: DeviceListener
  readonly #sensors: readonly Sensor[]
  readonly #clock: DeviceClock
  readonly #outbox: Outbox
  readonly #link: DeviceLink
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #settings: Required<DeviceSettings>
  #sequence = 0
  #dueMs = 0
  #isStopped = false
  #isRebooting = false
  #isAsleep = false
  #change: Promise<void> = Promise.resolve()

  constructor(options: DeviceOptions, random: Random, listener: DeviceListener) {
    this.id = options.id
    this.#options = options
    this.#random = random
    this.#listener = listener
    this.#settings = {
      intervalMs: options.intervalMs,
      mqttTopic: options.mqttTopic,
      format: options.format,
      isEnabled: true,
    }
    this.#sensors = createSensors(options.kind, random.fork('sensors'))
    this.#clock = new DeviceClock(Date.now, options.driftPpm)
    this.#outbox = new Outbox(options.outboxMessages)
    this.#link = new DeviceLink(options.link, random.fork('link'), {
      onRoom: () => this.#pump(),
      onConnect: () => this.#clock.synchronise(),
      onProblem: listener.onProblem,
    })
  }

  get isConnected(): boolean {
    return this.#link.isConnected
  }

  get connects(): number {
    return this.#link.connects
  }

  /** Taken and not yet done. */
  get pending(): number {
    return this.#outbox.size + this.#link.inFlight
  }

  /** Connects; samples begin `delayMs` later. */
  async start(delayMs: number): Promise<void> {
    if (this.#isStopped) return
    await this.#link.start()
    if (this.#isStopped) {
      await this.#link.down({ isAbrupt: true })
      return
    }
    this.#dueMs = performance.now() + delayMs
    this.#sampleLater()
    const { faults, duty } = this.#options
    this.#repeat('cut', faults.cutEveryMs, () => this.#link.cut())
    this.#repeat('stall', faults.stallEveryMs, () => this.#link.stall(faults.downMs))
    this.#repeat('reboot', faults.rebootEveryMs, () => this.#reboot())
    if (duty !== undefined) this.#after('duty', duty.awakeMs, () => this.#fallAsleep(duty))
  }

  /** New settings from the operator, in force with the next sample. */
  apply(settings: DeviceSettings): void {
    const wasEnabled = this.#settings.isEnabled
    this.#settings = { ...this.#settings, ...settings }
    if (this.#isStopped || this.#dueMs === 0) return
    this.#dueMs = Math.min(this.#dueMs, performance.now() + this.#settings.intervalMs)
    if (!wasEnabled || settings.intervalMs !== undefined) this.#sampleLater()
  }

  /** The link is lost without a word. */
  cut(): void {
    this.#link.cut()
  }

  /** Stops sampling, waits up to `drainMs` for what is pending, disconnects. Returns what is left. */
  async stop(drainMs: number): Promise<number> {
    this.#isStopped = true
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    await this.#change
    this.#isRebooting = false
    this.#link.up()
    const deadline = performance.now() + drainMs
    while (this.pending > 0 && performance.now() < deadline) {
      this.#pump()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const left = this.pending
    await this.#link.down({ isAbrupt: left > 0 })
    return left
  }

  #sampleLater(): void {
    if (this.#isStopped || this.#isRebooting || !this.#settings.isEnabled) return
    this.#after('sample', Math.max(0, this.#dueMs - performance.now()), () => {
      const now = performance.now()
      for (let count = 0; this.#dueMs <= now && count < CATCH_UP_MAX; count++) {
        this.#sample(now)
        this.#dueMs += this.#settings.intervalMs
      }
      if (this.#dueMs <= now) this.#dueMs = now + this.#settings.intervalMs
      this.#pump()
      this.#sampleLater()
    })
  }

  #sample(nowMs: number): void {
    const timeMs = this.#clock.now()
    const readings: Record<string, number | boolean> = {}
    for (const sensor of this.#sensors) readings[sensor.name] = sensor.sample(timeMs)
    const sequence = ++this.#sequence
    const payload = encodeMessage(
      this.#settings.format,
      { device: this.id, sequence, timeMs },
      readings,
    )
    this.#listener.onPublished(this.id, sequence)
    this.#put({ sequence, payload, takenAtMs: nowMs })
  }

  #put(entry: OutboxEntry): void {
    if (this.#outbox.put(entry) !== undefined) this.#listener.onDropped(this.id, 1)
  }

  #pump(): void {
    while (!this.#isRebooting && this.#link.hasRoom) {
      const entry = this.#outbox.take()
      if (entry === undefined) return
      this.#link.publish(this.#settings.mqttTopic, entry.payload, (isDone) => {
        if (!isDone) this.#put(entry)
        else {
          this.#listener.onDone(this.id, entry.sequence, performance.now() - entry.takenAtMs)
        }
      })
    }
  }

  #reboot(): void {
    if (this.#isRebooting || this.#isAsleep) return
    this.#isRebooting = true
    clearTimeout(this.#timers.get('sample'))
    if (!this.#options.hasFlash) {
      const lost = this.#outbox.clear()
      if (lost > 0) this.#listener.onDropped(this.id, lost)
    }
    this.#enqueue(async () => {
      await this.#link.down({ isAbrupt: true })
      this.#after('boot', this.#options.faults.downMs, () => {
        this.#isRebooting = false
        this.#clock.loseTime()
        this.#dueMs = performance.now()
        this.#link.up()
        this.#sampleLater()
      })
    })
  }

  #fallAsleep(duty: DutyCycle): void {
    if (!this.#isRebooting) {
      this.#isAsleep = true
      this.#enqueue(() => this.#link.down({ isAbrupt: false }))
    }
    this.#after('duty', duty.asleepMs, () => {
      if (this.#isAsleep) this.#enqueue(async () => this.#link.up())
      this.#isAsleep = false
      this.#after('duty', duty.awakeMs, () => this.#fallAsleep(duty))
    })
  }

  /** Changes of the link one after the other: up never overtakes the down before it. */
  #enqueue(change: () => Promise<void>): void {
    this.#change = this.#change.then(change)
  }

  #repeat(name: string, meanMs: number | undefined, run: () => void): void {
    if (meanMs === undefined) return
    const random = this.#random.fork(name)
    const again = () => {
      const wait = Math.max(FAULT_MINIMUM_MS, random.exponential(meanMs))
      this.#after(name, wait, () => {
        run()
        again()
      })
    }
    again()
  }

  #after(name: string, ms: number, run: () => void): void {
    clearTimeout(this.#timers.get(name))
    if (this.#isStopped) return
    this.#timers.set(name, setTimeout(run, ms))
  }
}
