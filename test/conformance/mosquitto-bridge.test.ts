// Debian's mosquitto as the broker that a gateway has already: a bridge sends on what it gets, and
// Tributary is killed and comes back in the middle.

import mqtt from 'mqtt'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Cluster } from '../../agent/kafka/client/cluster.ts'
import { consume } from '../../agent/kafka/client/consumer.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { codecs } from '../support/batches.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'
import { startMosquitto } from './mosquitto.ts'

const test = suite('mosquitto bridge')

const MESSAGES = 300
const TOPIC = 'site.sensors'

test(
  'a mosquitto bridge delivers everything, also what came while the gateway was down',
  async () => {
    const agent = await AgentProcess.create({
      gateway: 'site',
      routes: [{ mqttTopic: 'sensors/{device}/{metric}', topic: 'sensors', key: '{device}' }],
      topics: { sensors: { partitions: 1 } },
    })
    const broker = await startMosquitto(undefined, [
      'connection tributary',
      `address 127.0.0.1:${agent.mqttPort}`,
      'topic # out 1',
      'cleansession false',
      'notifications false',
      'restart_timeout 1',
    ])
    if (broker === undefined) return agent.remove()
    try {
      await agent.start()
      const device = await mqtt.connectAsync(broker.url, { clientId: 'device' })
      for (let number = 0; number < MESSAGES; number++) {
        if (number === MESSAGES / 3) await agent.kill()
        if (number === (MESSAGES * 2) / 3) await agent.restart()
        await device.publishAsync('sensors/th-1/temp', String(number), { qos: 1 })
      }
      await device.endAsync()
      await waitUntil('the bridge has delivered everything', 30_000, async () => {
        const { topics } = await agent.status()
        return topics.length > 0 && new Set(await values(agent)).size === MESSAGES
      })
      // QoS 1: what was in flight at the kill may come twice, and nothing is missing.
      const got = await values(agent)
      assert.equal([...new Set(got)].sort(), numbers().sort())
      assert.ok(got.length < MESSAGES + 100)
    } finally {
      await broker.stop()
      await agent.remove()
    }
  },
  { timeoutMs: 60_000 },
)

function numbers(): string[] {
  return Array.from({ length: MESSAGES }, (_, number) => String(number))
}

async function values(agent: AgentProcess): Promise<string[]> {
  const cluster = new Cluster({
    bootstrapServers: [`127.0.0.1:${agent.kafkaPort}`],
    clientId: 'test',
    clock: systemClock,
    logger: silentLogger,
  })
  try {
    const found: string[] = []
    const records = consume({
      ...{ cluster, codecs, clock: systemClock, logger: silentLogger },
      topic: TOPIC,
      from: { kind: 'beginning' },
      untilEnd: true,
    })
    for await (const record of records) found.push(record.value?.toString() ?? '')
    return found
  } finally {
    cluster.close()
  }
}

test.run()
