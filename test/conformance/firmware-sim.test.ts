import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { ConfigurationServer } from '../../firmware-sim/configuration.ts'
import { AckedLedger } from '../../firmware-sim/ledger.ts'
import { runSim } from '../../firmware-sim/sim.ts'
import { checkSimFile, type SimOptions } from '../../firmware-sim/sim-file.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'
import { startMosquitto, subscribe } from './mosquitto.ts'

const test = suite('firmware-sim/sim')
const folder = mkdtempSync(join(tmpdir(), 'sim-'))
test.after(() => rmSync(folder, { recursive: true }))

function optionsOf(value: object): SimOptions {
  const check = checkSimFile(value, 'sim.yaml')
  if (check.kind === 'invalid') throw new Error(check.problems.join('\n'))
  return check.options
}

async function faultOf(value: object): Promise<{ code: string; message: string }> {
  try {
    await runSim(optionsOf(value), { write: () => {} })
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error('expected a fault')
}

test('runs until it is told to stop, then waits for the last acks and writes the ledger', async () => {
  const broker = await startMosquitto()
  if (broker === undefined) return
  const subscriber = await subscribe(broker)
  try {
    const ledger = join(folder, 'acked.jsonl')
    const stop = new AbortController()
    const lines: string[] = []
    const write = (line: string) => {
      lines.push(line)
      if (/acked [1-9]/.test(line)) stop.abort()
    }
    const options = optionsOf({ broker: broker.url, devices: 5, rate: 100, ledger })
    const result = await runSim(options, { write, signal: stop.signal })
    assert.is(result.unacked, 0)
    assert.is(result.published, result.acked)
    assert.match(lines[0]!, `5 devices → ${broker.url}, 100 msg/s, QoS 1, json, seed 1`)
    assert.match(
      lines.join('\n'),
      /\npublished \d+, acked \d+, dropped by devices 0, unacked 0; ack p50/,
    )
    const promised = await AckedLedger.read(ledger)
    assert.is(promised.size, result.acked)
    await waitUntil('messages are on their way still', 10_000, () => {
      return subscriber.payloads.length >= result.acked
    })
    const report = subscriber.observations.report(promised)
    assert.equal(report, { seen: result.acked, lost: 0, twice: 0, outOfOrder: 0, examples: [] })
  } finally {
    await subscriber.close()
    await broker.stop()
  }
})

test('devices fetch their configuration and follow it', async () => {
  const broker = await startMosquitto()
  if (broker === undefined) return
  const subscriber = await subscribe(broker)
  const server = await ConfigurationServer.listen((device) =>
    device === 'dev-0002' ? undefined : { mqttTopic: `configured/${device}`, intervalMs: 10 },
  )
  const stop = new AbortController()
  const lines: string[] = []
  try {
    const options = optionsOf({
      broker: broker.url,
      devices: 3,
      rate: 20,
      configuration: { url: server.url, every: '100ms' },
    })
    const running = runSim(options, { write: (line) => lines.push(line), signal: stop.signal })
    await waitUntil('no device follows its configuration', 10_000, () => {
      return ['dev-0001', 'dev-0003'].every((id) => subscriber.mqttTopics.has(`configured/${id}`))
    })
    stop.abort()
    await running
    assert.not(subscriber.mqttTopics.has('configured/dev-0002'))
    assert.ok(lines.some((line) => line.includes('dev-0002') && line.includes('HTTP 404')))
  } finally {
    stop.abort()
    await server.close()
    await subscriber.close()
    await broker.stop()
  }
})

test('a broker that is not there is a fault with its reason and the way out', async () => {
  const fault = await faultOf({ broker: 'mqtt://127.0.0.1:1', seconds: '400ms', drain: '1ms' })
  assert.is(fault.code, 'SIM_UNREACHABLE')
  assert.match(
    fault.message,
    /no device could connect to mqtt:\/\/127.0.0.1:1 \(.*ECONNREFUSED.*\); is it running\?/,
  )
})

test('files that are not there are named', async () => {
  const missing = join(folder, 'none')
  for (const value of [
    { credentials: { passwordFile: missing } },
    { credentials: { fleetSecretFile: missing } },
    { tls: { caFile: missing } },
  ]) {
    const fault = await faultOf(value)
    assert.is(fault.code, 'SIM_INPUT')
    assert.match(fault.message, `${missing} cannot be read`)
  }
  assert.match((await faultOf({ replay: { files: folder } })).message, 'no CSV files in')
  assert.match((await faultOf({ idPrefix: 'a/' })).message, 'idPrefix: device id is')
  assert.match(
    (await faultOf({ replay: { files: 'x', controller: '#' } })).message,
    'replay.controller',
  )
})

test.run()
