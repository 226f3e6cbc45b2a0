// Everything that plays in the demo, built up and taken down:
//
//   fleet ──MQTT──▶ gateway (process) ──▶ link (here, can be cut) ──▶ cloud (process)
//
// All of it lies in one temporary folder and on ports that were free. Whatever happens, nothing
// stays running; the folder stays only when somebody has to look into it.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Fleet } from '../../../firmware-sim/fleet.ts'
import type { AgentError } from '../../base/errors.ts'
import { AgentChild, killChildren } from './agent-child.ts'
import { freePorts } from './free-ports.ts'
import { Link } from './link.ts'

const GATEWAY = 'demo'
export const TOPIC = `${GATEWAY}.sensors`
export const DEVICES = 40
/** Messages a second of the whole fleet, to begin with. */
export const START_RATE = 500
/** Nothing may be given up by the devices themselves, however long an outage takes. */
const OUTBOX_MESSAGES = 100_000
const WINDOW = 20
/** The demo is small, and so may be the file system it finds. */
const STORAGE = { diskBudget: '1GiB', keepFree: '16MiB' }

export class Stage {
  readonly folder: string
  readonly cloud: AgentChild
  readonly gateway: AgentChild
  readonly link: Link
  readonly fleet: Fleet
  #keepsFolder = false
  #fleetEnd: Promise<number> | undefined
  readonly #onExit = () => {
    killChildren()
    this.#removeFolder()
  }

  private constructor(folder: string, link: Link, ports: readonly number[], onLost: OnLost) {
    const [cloudKafka, cloudAdmin, mqtt, kafka, admin] = ports as [
      ...[number, number, number, number, number],
    ]
    const cloudPorts = { mqtt: undefined, kafka: cloudKafka, admin: cloudAdmin }
    const gatewayPorts = { mqtt, kafka, admin }
    this.folder = folder
    this.link = link
    this.cloud = new AgentChild('cloud', folder, cloudPorts, cloudConfig(cloudPorts, link), onLost)
    this.gateway = new AgentChild(
      'gateway',
      folder,
      gatewayPorts,
      gatewayConfig(gatewayPorts, link),
      onLost,
    )
    this.fleet = createFleet(mqtt)
    process.on('exit', this.#onExit)
  }

  /** Builds the stage, with nobody on it yet. `onLost` hears of an agent that ended by itself. */
  static async build(onLost: OnLost): Promise<Stage> {
    const [linkPort, ...ports] = await freePorts(6)
    const link = await Link.open(linkPort!, ports[0]!)
    const folder = mkdtempSync(join(tmpdir(), 'tributary-demo-'))
    return new Stage(folder, link, ports, onLost)
  }

  /** Both agents are ready when it resolves. */
  async open(): Promise<void> {
    await Promise.all([this.cloud.start(), this.gateway.start()])
  }

  /** The folder is needed after the end. */
  keepFolder(): void {
    this.#keepsFolder = true
  }

  /** Devices disconnect without waiting for anything. */
  async stopFleet(): Promise<void> {
    this.#fleetEnd ??= this.fleet.stop(0)
    await this.#fleetEnd
  }

  /** Stops everything, gently where that is possible. */
  async close(): Promise<void> {
    await this.stopFleet()
    await this.gateway.stop()
    await this.link.cut()
    await this.cloud.stop()
    process.off('exit', this.#onExit)
    this.#removeFolder()
  }

  #removeFolder(): void {
    if (!this.#keepsFolder) rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

type OnLost = (fault: AgentError) => void

interface Ports {
  readonly mqtt: number | undefined
  readonly kafka: number
  readonly admin: number
}

/** A second Tributary is Kafka enough; whoever asks it for its address gets the link's. */
function cloudConfig(ports: Ports, link: Link) {
  return {
    dataDir: 'cloud-data',
    mqtt: { listeners: [] },
    kafka: { listeners: [`127.0.0.1:${ports.kafka}`], advertised: link.address },
    admin: { listeners: [`127.0.0.1:${ports.admin}`] },
    storage: STORAGE,
    logging: { level: 'info', format: 'text' },
  }
}

function gatewayConfig(ports: Ports, link: Link) {
  return {
    gateway: GATEWAY,
    dataDir: 'gateway-data',
    mqtt: { listeners: [`mqtt://127.0.0.1:${ports.mqtt}`] },
    routes: [{ mqttTopic: 'sensors/{device}/{metric}', topic: 'sensors', key: '{device}' }],
    kafka: { listeners: [`127.0.0.1:${ports.kafka}`] },
    admin: { listeners: [`127.0.0.1:${ports.admin}`] },
    storage: STORAGE,
    upstream: { bootstrapServers: [link.address], groups: 'off' },
    logging: { level: 'info', format: 'text' },
  }
}

function createFleet(mqttPort: number): Fleet {
  return new Fleet(
    {
      brokerUrl: `mqtt://127.0.0.1:${mqttPort}`,
      devices: DEVICES,
      rate: START_RATE,
      seed: 1,
      idPrefix: 'dev-',
      mqttTopic: 'sensors/{device}/{metric}',
      format: 'json',
      qos: 2,
      isPersistent: true,
      keepAliveS: 60,
      window: WINDOW,
      outboxMessages: OUTBOX_MESSAGES,
      hasFlash: true,
      driftPpm: 50,
      credentials: {},
      tls: undefined,
      faults: {
        cutEveryMs: undefined,
        stallEveryMs: undefined,
        rebootEveryMs: undefined,
        downMs: 2_000,
      },
      duty: undefined,
    },
    // Devices that lose the gateway are the story, not trouble.
    () => {},
  )
}
