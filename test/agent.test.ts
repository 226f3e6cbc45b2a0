// The whole agent in this process: what it tells of itself from the first moment on, and while it ends.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type Agent, startAgent } from '../agent/agent.ts'
import { systemClock } from '../agent/base/clock.ts'
import { Logger, Metrics } from '../agent/base/telemetry.ts'
import { loadConfig } from '../agent/config/loading.ts'
import { FakeMirror } from './replication/fake-mirror.ts'
import { waitUntil } from './support/ports.ts'
import { SteadyClient } from './support/steady-client.ts'
import { suite } from './support/suite.ts'

const test = suite('agent')

const CONFIG = `
gateway: gw
dataDir: store
mqtt: { listeners: ["mqtt://127.0.0.1:0"] }
topicDefaults: { partitions: 1 }
kafka: { listeners: ["127.0.0.1:0"], autoCreateTopics: true }
admin: { listeners: ["127.0.0.1:0"] }
`

/** Of INTERFACE: there from the start, those of topics and groups as soon as there is one. */
const AT_START = [
  'tributary_build_info{',
  'tributary_mqtt_messages_total{qos="0"} 0',
  'tributary_mqtt_messages_total{qos="1"} 0',
  'tributary_mqtt_messages_total{qos="2"} 0',
  'tributary_mqtt_ack_duration_seconds_count 0',
  'tributary_unrouted_messages_total 0',
  'tributary_dead_letter_records_total 0',
  'tributary_log_payload_bytes_total 0',
  'tributary_disk_written_bytes_total ',
  'tributary_fsyncs_total ',
  'tributary_file_written_bytes_total{file="journal"} ',
  'tributary_file_fsyncs_total{file="checkpoint"} ',
  'tributary_disk_used_bytes ',
  'tributary_disk_budget_bytes ',
  'tributary_fsync_duration_seconds_count ',
  'tributary_upstream_connected 0',
  'tributary_upstream_lag_records 0',
  'tributary_upstream_lag_seconds 0',
  'tributary_records_lost_total{reason="dropped"} 0',
  'tributary_clock_synchronized ',
  'process_cpu_seconds_total ',
  '# TYPE tributary_log_records_total counter',
  '# TYPE tributary_log_end_offset gauge',
  '# TYPE tributary_replicated_offset gauge',
  '# TYPE tributary_replication_state gauge',
  '# TYPE tributary_group_lag_records gauge',
]

interface Started {
  agent: Agent
  metrics: Metrics
  directory: string
  logged: string[]
}

async function start(config: string): Promise<Started> {
  const directory = mkdtempSync(join(tmpdir(), 'tributary-agent-'))
  const file = join(directory, 'tributary.yaml')
  writeFileSync(file, config)
  const loaded = await loadConfig({ file, environment: {}, directory, required: true })
  if (loaded.kind !== 'valid') throw new Error(JSON.stringify(loaded))
  const metrics = new Metrics()
  const logged: string[] = []
  const write = (line: string) => void logged.push(line)
  const logger = new Logger({ level: 'info', format: 'text', write, now: systemClock.now })
  const agent = await startAgent(loaded.config, { logger, metrics, clock: systemClock })
  return { agent, metrics, directory, logged }
}

test('every metric is there from the start, and it is not ready once it is closing', async () => {
  const { agent, metrics, directory } = await start(CONFIG)
  const lines = metrics.text().split('\n')
  for (const start of AT_START) {
    assert.ok(
      lines.some((line) => line.startsWith(start)),
      start,
    )
  }
  const ready = () => fetch(`http://${agent.admin}/readyz`).then((answer) => answer.status)
  assert.is(await ready(), 200)
  const asked = new Promise<number>((resolve, reject) => {
    setImmediate(() => ready().then(resolve, reject))
  })
  const closing = agent.close()
  assert.is(await asked, 503)
  await closing
  rmSync(directory, { recursive: true })
})

test('what cannot be sealed, and waits for that to go upstream, holds up no end', async () => {
  const mirror = await FakeMirror.start()
  const upstream = `upstream: { bootstrapServers: ["${mirror.addresses[0]}"], linger: 1ms }`
  const { agent, directory, logged } = await start(`${CONFIG}${upstream}\n`)
  const inTheWay = join(directory, 'store', 'gw.mqtt-0')
  mkdirSync(inTheWay)
  writeFileSync(join(inTheWay, '00000000000000000000.log'), '')
  const port = Number(new URL(agent.addresses[0]!).port)
  const client = await SteadyClient.connect(port, { clientId: 'c', topic: 'a' })
  await client.publish()
  await waitUntil('it is tried', 5_000, () => /cannot be written/.test(logged.join('')))
  const fault = await agent.close().catch((error) => error)
  assert.match(fault.message, /^segment of gw\.mqtt-0 cannot be written: Error: EEXIST/)
  await mirror.stop()
  rmSync(directory, { recursive: true })
})

test.run()
