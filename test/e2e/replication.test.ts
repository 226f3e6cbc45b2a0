// The whole way into Apache Kafka under every kind of failure, with devices and producers at work all
// the time: the link cut in the middle of requests, Kafka killed, the agent killed, both, Kafka shut
// down in order. At the end every promise is kept once, at the same offsets, byte for byte.

import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import mqtt, { type MqttClient } from 'mqtt'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Admin } from '../../agent/kafka/client/admin.ts'
import { Cluster } from '../../agent/kafka/client/cluster.ts'
import { Producer } from '../../agent/kafka/client/producer.ts'
import { decodeRecords } from '../../agent/record/record-batch.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { codecs } from '../support/batches.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { freePort, waitUntil } from '../support/ports.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { CutProxy } from './cut-proxy.ts'
import { compareStored, noComparison, storedBatches } from './stored-batches.ts'

const test = suite('replication into Kafka')
const SENSORS = 'gw.sensors'
const JOBS = 'gw.jobs'
const PARTITIONS = { [SENSORS]: 3, [JOBS]: 2 }
const CUTS = 20
const DEVICES = 4
const WINDOW = 25
const JOB_RECORDS = 300

/** An mqtt.js client that keeps a window of QoS 2 messages going, numbered from 1. */
class Device {
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
class Jobs {
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
      await delay(20)
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
async function progress(agent: AgentProcess, records: number, limitMs: number): Promise<void> {
  const wanted = (await replicatedTotal(agent)) + records
  const what = `${records} more records arrive upstream`
  await waitUntil(what, limitMs, async () => (await replicatedTotal(agent)) >= wanted)
}

/** How often each number of each sender is upstream. */
function seenUpstream(kafka: KafkaCluster): Map<string, number> {
  const seen = new Map<string, number>()
  for (const [topic, count] of Object.entries(PARTITIONS)) {
    for (let partition = 0; partition < count; partition++) {
      for (const batch of storedBatches(kafka.nodes[0]!.partitionFolder(topic, partition))) {
        for (const { value } of decodeRecords(batch, codecs)) {
          const [sender, number] = String(value).split(' ')
          seen.set(`${sender} ${number}`, (seen.get(`${sender} ${number}`) ?? 0) + 1)
        }
      }
    }
  }
  return seen
}

function ledgerFaults(seen: Map<string, number>, senders: { name: string; acked: number }[]) {
  const faults: string[] = []
  for (const { name, acked } of senders) {
    for (let number = 1; number <= acked; number++) {
      const times = seen.get(`${name} ${number}`) ?? 0
      if (times !== 1 && faults.length < 10) faults.push(`${name} ${number}: ${times} times`)
    }
  }
  return faults
}

test(
  'cuts, kills and shut-downs on both sides lose nothing, double nothing and move no offset',
  async () => {
    const proxyPort = await freePort()
    const advertised = `PLAINTEXT://127.0.0.1:${proxyPort}`
    const kafka = await KafkaCluster.create({ properties: { 'advertised.listeners': advertised } })
    if (kafka === undefined) return
    const random = new SeededRandom(20_240_611)
    const [node] = kafka.nodes
    const proxy = await CutProxy.listen(proxyPort, node!.port, () => random.below(1000) / 1000)
    const agent = await AgentProcess.create({
      gateway: 'gw',
      routes: [{ mqttTopic: 'dev/{device}/{metric}', topic: 'sensors', key: '{device}' }],
      topics: { sensors: { partitions: PARTITIONS[SENSORS] } },
      upstream: { bootstrapServers: [`127.0.0.1:${proxyPort}`], linger: '20ms' },
    })
    try {
      await Promise.all([kafka.start(), agent.start()])
      const devices = Array.from(
        { length: DEVICES },
        (_, index) => new Device(agent.mqttPort, `d${index}`),
      )
      const jobs = new Jobs(agent.kafkaAddress)
      await jobs.start()
      await progress(agent, 1000, 15_000)

      for (let cut = 1; cut <= CUTS; cut++) {
        proxy.cut()
        await waitUntil('the link is cut', 10_000, () => proxy.cuts >= cut, 5)
        await progress(agent, 200, 15_000)
      }
      await kafka.kill()
      await kafka.start()
      await progress(agent, 200, 20_000)
      await agent.kill()
      await agent.start()
      await progress(agent, 200, 15_000)
      await Promise.all([kafka.kill(), agent.kill()])
      await Promise.all([kafka.start(), agent.start()])
      await progress(agent, 200, 20_000)
      await kafka.restart()
      await progress(agent, 200, 20_000)

      await Promise.all([...devices.map((device) => device.stop()), jobs.stop()])
      assert.is(jobs.fault, undefined)
      await agent.replicated(20_000)
      assert.is(await agent.stop(), 0, agent.launchLog)

      const senders = [...devices, { name: 'job', acked: jobs.acked }]
      for (const { name, acked } of senders) assert.ok(acked > 500, `${name}: ${acked} acked`)
      assert.equal(ledgerFaults(seenUpstream(kafka), senders), [])
      const compared = noComparison()
      for (const [topic, count] of Object.entries(PARTITIONS)) {
        for (let partition = 0; partition < count; partition++) {
          const ours = join(agent.dataDir, `${topic}-${partition}`)
          compareStored(ours, node!.partitionFolder(topic, partition), compared)
        }
      }
      assert.equal(compared.faults, [])
      assert.is(compared.identicalRecords, compared.records)
      assert.is(proxy.cuts, CUTS)
      const { records, batches, identicalBatches } = compared
      console.log(`${records} records, ${identicalBatches} of ${batches} batches byte for byte`)
      // Only a batch that was sealed anew behind a crash may have other boundaries.
      assert.ok(batches - identicalBatches <= 2 * PARTITIONS[SENSORS]!, JSON.stringify(compared))
    } catch (error) {
      console.log(agent.log.split('\n').slice(-40).join('\n'))
      throw error
    } finally {
      await Promise.all([agent.remove(), kafka.remove(), proxy.close()])
    }
  },
  { timeoutMs: 120_000 },
)

test.run()
