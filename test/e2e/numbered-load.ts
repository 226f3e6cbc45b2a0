// Devices and a producer that number what they send and count what was acked, for tests that break
// things meanwhile; and how what they sent is found again upstream.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import mqtt, { type MqttClient } from 'mqtt'
import { systemClock } from '../../agent/base/clock.ts'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Admin } from '../../agent/kafka/client/admin.ts'
import { Cluster } from '../../agent/kafka/client/cluster.ts'
import { Producer } from '../../agent/kafka/client/producer.ts'
import { decodeRecords } from '../../agent/record/record-batch.ts'
import type { AgentProcess } from '../support/agent-process.ts'
import { codecs } from '../support/batches.ts'
import type { KafkaNode } from '../support/kafka-cluster.ts'
import { waitUntil } from '../support/ports.ts'
import {
  type BatchComparison,
  compareStored,
  noComparison,
  storedBatches,
} from './stored-batches.ts'

const SENSORS = 'gw.sensors'
const JOBS = 'gw.jobs'
const PARTITIONS = { [SENSORS]: 3, [JOBS]: 2 }
export const PARTITIONS_COUNT = 5
const WINDOW = 25
const JOB_RECORDS = 150

/** What the agent of such a test is configured with, its upstream aside. */
export const LOAD_CONFIG = {
  gateway: 'gw',
  routes: [{ mqttTopic: 'dev/{device}/{metric}', topic: 'sensors', key: '{device}' }],
  topics: { sensors: { partitions: PARTITIONS[SENSORS] } },
}

/** An mqtt.js client that keeps a window of QoS 2 messages going, numbered from 1. */
export class Device {
  readonly name: string
  acked = 0
  #issued = 0
  #isStopped = false
  readonly #client: MqttClient
  readonly #ended: Promise<void>[]

  constructor(port: number, name: string) {
    this.name = name
    this.#client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
      ...{ clientId: name, clean: false, reconnectPeriod: 100, protocolVersion: 4 },
    })
    this.#client.on('error', () => {})
    this.#ended = Array.from({ length: WINDOW }, () => this.#run())
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      const payload = `${this.name} ${++this.#issued} ${'x'.repeat(60)}`
      await this.#publish(payload)
      this.acked++
    }
  }

  async #publish(payload: string): Promise<void> {
    for (;;) {
      try {
        await this.#client.publishAsync(`dev/${this.name}/t`, payload, { qos: 2 })
        return
      } catch {
        // mqtt.js took it while it was resending its store, and gave it back when the link broke.
        await delay(20)
      }
    }
  }

  /** Resolves when all is acked. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#ended)
    await this.#client.endAsync()
  }
}

/** An idempotent producer of numbered records, as fast as acks allow. */
export class Jobs {
  readonly name = 'job'
  acked = 0
  fault: unknown
  #isStopped = false
  readonly #cluster: Cluster
  #ended: Promise<void> = Promise.resolve()

  constructor(address: string) {
    this.#cluster = new Cluster({
      ...{
        bootstrapServers: [address],
        clientId: 'jobs',
        clock: systemClock,
        logger: silentLogger,
      },
    })
  }

  async start(): Promise<void> {
    const settings = { partitions: PARTITIONS[JOBS]!, replicationFactor: 1 }
    await new Admin(this.#cluster).createTopic(JOBS, settings)
    const producer = await Producer.open({ cluster: this.#cluster, codecs, clock: systemClock })
    this.#ended = this.#run(producer).catch((error) => {
      this.fault = error
    })
  }

  async #run(producer: Producer): Promise<void> {
    for (let first = 1; !this.#isStopped; first += JOB_RECORDS) {
      const records = Array.from({ length: JOB_RECORDS }, (_, index) => ({
        key: Buffer.from(`k${index % 7}`),
        value: Buffer.from(`job ${first + index} ${'y'.repeat(100)}`),
        headers: [['n', Buffer.from(String(index))]] as const,
      }))
      await producer.send(JOBS, records)
      this.acked += JOB_RECORDS
      await delay(40)
    }
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#ended
    this.#cluster.close()
  }
}

async function replicatedTotal(agent: AgentProcess): Promise<number> {
  const { topics } = await agent.status()
  const partitions = topics.filter(({ replicated }) => replicated).flatMap((t) => t.partitions)
  const stuck = partitions.find(({ replication }) => ['frozen', 'parked'].includes(replication))
  if (stuck !== undefined) throw new Error(`${stuck.replication}: ${stuck.reason}`)
  return partitions.reduce((sum, { replicatedOffset }) => sum + replicatedOffset, 0)
}

/** Resolves when so many more records than now are acked upstream. */
export async function progress(
  agent: AgentProcess,
  records: number,
  limitMs: number,
): Promise<void> {
  const wanted = (await replicatedTotal(agent)) + records
  const what = `${records} more records arrive upstream`
  await waitUntil(what, limitMs, async () => (await replicatedTotal(agent)) >= wanted)
}

/** How often each number of each sender is upstream. */
export function seenUpstream(node: KafkaNode): Map<string, number> {
  const seen = new Map<string, number>()
  for (const [topic, count] of Object.entries(PARTITIONS)) {
    for (let partition = 0; partition < count; partition++) {
      for (const batch of storedBatches(node.partitionFolder(topic, partition))) {
        for (const { value } of decodeRecords(batch, codecs)) {
          const [sender, number] = String(value).split(' ')
          seen.set(`${sender} ${number}`, (seen.get(`${sender} ${number}`) ?? 0) + 1)
        }
      }
    }
  }
  return seen
}

export function ledgerFaults(
  seen: Map<string, number>,
  senders: readonly { name: string; acked: number }[],
): string[] {
  const faults: string[] = []
  for (const { name, acked } of senders) {
    for (let number = 1; number <= acked; number++) {
      const times = seen.get(`${name} ${number}`) ?? 0
      if (times !== 1 && faults.length < 10) faults.push(`${name} ${number}: ${times} times`)
    }
  }
  return faults
}

/** Every partition as the agent has it on disk against the same on a node. */
export function compareWithNode(agent: AgentProcess, node: KafkaNode): BatchComparison {
  const compared = noComparison()
  for (const [topic, count] of Object.entries(PARTITIONS)) {
    for (let partition = 0; partition < count; partition++) {
      const ours = join(agent.dataDir, `${topic}-${partition}`)
      compareStored(ours, node.partitionFolder(topic, partition), compared)
    }
  }
  return compared
}
