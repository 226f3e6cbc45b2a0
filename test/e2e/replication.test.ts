// The whole way into Apache Kafka under every kind of failure, with devices and producers at work all
// the time: the link cut in the middle of requests, Kafka killed, the agent killed, both, Kafka shut
// down in order. At the end every promise is kept once, at the same offsets, byte for byte.

import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { freePort, waitUntil } from '../support/ports.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'
import { CutProxy } from './cut-proxy.ts'
import {
  compareWithNode,
  Device,
  Jobs,
  LOAD_CONFIG,
  ledgerFaults,
  PARTITIONS_COUNT,
  progress,
  seenUpstream,
} from './numbered-load.ts'

const test = suite('replication into Kafka')
const CUTS = 20
const DEVICES = 4

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
      ...LOAD_CONFIG,
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

      const senders = [...devices, jobs]
      for (const { name, acked } of senders) assert.ok(acked > 500, `${name}: ${acked} acked`)
      assert.equal(ledgerFaults(seenUpstream(node!), senders), [])
      const compared = compareWithNode(agent, node!)
      assert.equal(compared.faults, [])
      assert.is(compared.identicalRecords, compared.records)
      assert.is(proxy.cuts, CUTS)
      const { records, batches, identicalBatches } = compared
      console.log(`${records} records, ${identicalBatches} of ${batches} batches byte for byte`)
      // Only a batch that was sealed anew behind a crash may have other boundaries.
      assert.ok(batches - identicalBatches <= PARTITIONS_COUNT, JSON.stringify(compared))
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
