// Seven days of a real thermal solar plant: `tributary sim` replays them through `tributary run` into
// Apache Kafka, where its own console consumer shows every row, and `tributary verify` finds nothing
// that is not the same.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { suite } from '../support/suite.ts'
import { compareStored, noComparison } from './stored-batches.ts'

const test = suite('a solar plant into Kafka')
const plant = resolve(process.env.TRIBUTARY_DATA ?? '../shared/data', 'thermal-solar-plant')
const TOPIC = 'plant.solar'
const PARTITIONS = 3

/** The rows as the controller wrote them: local time and the first temperature. */
function writtenRows(): { time: string; first: string }[] {
  const files = readdirSync(plant).filter((name) => name.endsWith('.csv'))
  return files.sort().flatMap((name) => {
    const lines = readFileSync(join(plant, name), 'latin1').split(/\r?\n/).slice(1)
    const fields = lines.filter((line) => line !== '').map((line) => line.split('\t'))
    return fields.map(([time = '', first = '']) => ({ time, first }))
  })
}

/** `12.06.2017 00:00` in the plant's summer time. */
function instantOf(local: string): string {
  const [, day, month, year, clock] = /^(\d+)\.(\d+)\.(\d+) (\d+:\d+)$/.exec(local)!
  return new Date(`${year}-${month}-${day}T${clock}:00+02:00`).toISOString()
}

const SENTINELS = ['888,8', '-88,8', '-999,9', '-9999']

test(
  'every row of seven days is in Kafka, with key, headers and time, at the same offset',
  async () => {
    if (!existsSync(plant)) {
      console.log(`skipped: no data in ${plant} (set TRIBUTARY_DATA)`)
      return
    }
    const kafka = await KafkaCluster.create()
    if (kafka === undefined) return
    const agent = await AgentProcess.create({
      gateway: 'plant',
      routes: [{ mqttTopic: 'sensors/{device}/{metric}', topic: 'solar', key: '{device}' }],
      topics: { solar: { partitions: PARTITIONS } },
      upstream: { bootstrapServers: kafka.bootstrapServers.split(',') },
    })
    try {
      await Promise.all([kafka.start(), agent.start()])
      const rows = writtenRows()
      await replay(agent, rows.length)
      await agent.replicated(20_000)
      assert.is(await agent.stop(), 0, agent.launchLog)
      await checkConsumed(kafka, rows)

      const { code, stdout } = await agent.command([
        ...['verify', agent.dataDir, '--against', kafka.bootstrapServers],
      ])
      assert.is(code, 0, stdout)
      const count = rows.length.toLocaleString('en-US')
      assert.match(stdout, `${count} of ${count} records identical in offset and content (100 %)`)

      const bytes = noComparison()
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const name = `${TOPIC}-${partition}`
        compareStored(
          join(agent.dataDir, name),
          kafka.nodes[0]!.partitionFolder(TOPIC, partition),
          bytes,
        )
      }
      assert.equal(bytes.faults, [])
      assert.is(bytes.records, rows.length)
      assert.is(bytes.identicalBatches, bytes.batches)
    } finally {
      await Promise.all([agent.remove(), kafka.remove()])
    }
  },
  { timeoutMs: 60_000 },
)

async function replay(agent: AgentProcess, rows: number): Promise<void> {
  const file = join(agent.folder, 'sim.yaml')
  const replayed = { files: [plant], controller: 'controller-1', zone: 'Europe/Berlin' }
  writeFileSync(
    file,
    JSON.stringify({ broker: `mqtt://127.0.0.1:${agent.mqttPort}`, window: 100, replay: replayed }),
  )
  const { code, stdout, stderr } = await agent.command(['sim', file])
  assert.is(code, 0, stdout + stderr)
  assert.match(stdout, `acked ${rows}`)
}

/** What kafka-console-consumer prints is every row, once, in order. */
async function checkConsumed(
  kafka: KafkaCluster,
  rows: readonly { time: string; first: string }[],
): Promise<void> {
  const shown = ['key', 'timestamp', 'headers', 'offset', 'partition']
  const { stdout, stderr } = await kafka.consoleConsumer([
    ...['--topic', TOPIC, '--from-beginning', '--max-messages', String(rows.length)],
    ...['--timeout-ms', '15000'],
    ...shown.flatMap((name) => ['--property', `print.${name}=true`]),
  ])
  const lines = stdout.split('\n').filter((line) => line !== '')
  assert.is(lines.length, rows.length, stderr)
  const offsets = new Set<string>()
  for (const [index, line] of lines.entries()) {
    const [time, partition, offset, headers, key, value = ''] = line.split('\t')
    assert.match(time!, /^CreateTime:\d{13}$/)
    assert.match(headers!, 'mqtt.topic:sensors/controller-1/row')
    assert.is(key, 'controller-1')
    offsets.add(`${partition} ${offset}`)
    const message = JSON.parse(value)
    const row = rows[index]!
    assert.is(message.seq, index + 1)
    assert.is(message.time, instantOf(row.time), `row ${index + 1}`)
    const first = SENTINELS.includes(row.first) ? null : Number(row.first.replace(',', '.'))
    assert.is(message.values.temperatur_sensor_1, first, `row ${index + 1}`)
  }
  assert.is(offsets.size, rows.length)
}

test.run()
