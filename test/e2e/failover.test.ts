// Three Kafka nodes, min.insync.replicas 2: leaders are killed, shut down and stalled while devices and
// a producer are at work. At the end every node has every promise once, byte for byte.

import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'
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
import { noComparison } from './stored-batches.ts'

const test = suite('replication into three Kafka nodes')
const DEVICES = 2

test(
  'killed, stopped and stalled leaders lose nothing, double nothing and move no offset',
  async () => {
    const kafka = await KafkaCluster.create({ nodes: 3 })
    if (kafka === undefined) return
    const agent = await AgentProcess.create({
      ...LOAD_CONFIG,
      upstream: { bootstrapServers: kafka.bootstrapServers.split(','), linger: '20ms' },
    })
    const [first, second, third] = kafka.nodes
    try {
      await Promise.all([kafka.start(), agent.start()])
      const names = Array.from({ length: DEVICES }, (_, index) => `d${index}`)
      const devices = names.map((name) => new Device(agent.mqttPort, name))
      const jobs = new Jobs(agent.kafkaAddress)
      await jobs.start()
      await progress(agent, 500, 20_000)
      await first!.kill()
      await progress(agent, 500, 20_000)
      await first!.start()
      await second!.stop()
      await progress(agent, 500, 20_000)
      await second!.start()
      third!.signal('SIGSTOP')
      await progress(agent, 500, 40_000)
      third!.signal('SIGCONT')
      await progress(agent, 500, 20_000)

      await Promise.all([...devices.map((device) => device.stop()), jobs.stop()])
      assert.is(jobs.fault, undefined)
      await agent.replicated(20_000)
      assert.is(await agent.stop(), 0, agent.launchLog)
      const senders = [...devices, jobs]
      for (const { name, acked } of senders) assert.ok(acked > 300, `${name}: ${acked} acked`)
      for (const node of kafka.nodes) {
        let compared = noComparison()
        const look = () => {
          compared = compareWithNode(agent, node)
          return compared.faults.length === 0
        }
        await waitUntil(`node ${node.id} has the same as the gateway`, 15_000, look, 1000)
        assert.is(compared.identicalRecords, compared.records)
        assert.ok(compared.batches - compared.identicalBatches <= PARTITIONS_COUNT)
      }
      assert.equal(ledgerFaults(seenUpstream(first!), senders), [])
    } catch (error) {
      console.log(agent.log.split('\n').slice(-40).join('\n'))
      throw error
    } finally {
      third!.signal('SIGCONT')
      await Promise.all([agent.remove(), kafka.remove()])
    }
  },
  { timeoutMs: 150_000 },
)

test.run()
