import { existsSync } from 'node:fs'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { createDecoder } from '../../devices/payload.ts'
import { builtInProfile } from '../../devices/profiles.ts'
import { CsvReplay, csvFilesOf } from '../../firmware-sim/csv-replay.ts'
import { SOLAR_PLANT } from '../../firmware-sim/csv-rows.ts'
import { AckedLedger } from '../../firmware-sim/ledger.ts'
import { Random } from '../../firmware-sim/prng.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'
import { startLink, startMosquitto, subscribe } from './mosquitto.ts'

const test = suite('firmware-sim/csv-replay')
const plant = join(process.env.TRIBUTARY_DATA ?? '../shared/data', 'thermal-solar-plant')
const ROWS = 10_079

function hasData(): boolean {
  if (existsSync(plant)) return true
  console.log(`skipped: no data in ${plant} (set TRIBUTARY_DATA)`)
  return false
}

function replayTo(
  brokerUrl: string,
  ledger: AckedLedger,
  change: { speed?: number; qos?: 1 | 2; paths?: string[] } = {},
  said: string[] = [],
): CsvReplay {
  return new CsvReplay(
    {
      paths: change.paths ?? [plant],
      csv: SOLAR_PLANT,
      controller: 'controller-1',
      mqttTopic: 'sensors/{device}/row',
      format: 'json',
      speed: change.speed,
      link: {
        brokerUrl,
        clientId: 'controller-1',
        username: undefined,
        password: undefined,
        qos: change.qos ?? 1,
        isPersistent: true,
        keepAliveS: 30,
        window: 100,
        tls: undefined,
      },
    },
    ledger,
    new Random(1),
    (sentence) => said.push(sentence),
  )
}

test('a folder is its CSV files in the order of their names, a file is itself', async () => {
  if (!hasData()) return
  const files = await csvFilesOf([plant, 'x.csv'])
  assert.is(files.length, 8)
  assert.equal([...files.slice(0, 7)].sort(), files.slice(0, 7))
  assert.is(files[7], 'x.csv')
})

test('seven days arrive row by row, once, in order, and fit the controller’s profile', async () => {
  const broker = hasData() ? await startMosquitto() : undefined
  if (broker === undefined) return
  const subscriber = await subscribe(broker)
  try {
    const ledger = new AckedLedger()
    const said: string[] = []
    const result = await replayTo(broker.url, ledger, {}, said).run(new AbortController().signal)
    assert.is(result.rows + result.damaged, result.lines - result.headers)
    assert.equal([result.rows, result.published, result.acked], [ROWS, ROWS, ROWS])
    assert.match(said[0]!, '20170613.csv:721: gap of 120 s')
    await waitUntil('rows are on their way still', 10_000, () => subscriber.payloads.length >= ROWS)
    const report = subscriber.observations.report(ledger)
    assert.equal(report, { seen: ROWS, lost: 0, twice: 0, outOfOrder: 0, examples: [] })
    assert.equal([...subscriber.mqttTopics], ['sensors/controller-1/row'])
    const decoder = createDecoder(builtInProfile('thermal-solar-controller')!)
    let last = 0
    for (const payload of subscriber.payloads) {
      const outcome = decoder.decode(payload, 'sensors/controller-1/row')
      if (outcome.kind === 'invalid') throw new Error(outcome.reason)
      assert.is(outcome.key, 'controller-1')
      assert.ok(outcome.timestamp! > last)
      last = outcome.timestamp!
    }
    assert.is(JSON.parse(String(subscriber.payloads[0])).time, '2017-06-11T22:00:00.000Z')
  } finally {
    await subscriber.close()
    await broker.stop()
  }
})

test('a link that is cut again and again costs QoS 2 no row and none twice', async () => {
  const broker = hasData() ? await startMosquitto() : undefined
  if (broker === undefined) return
  const [subscriber, link] = [await subscribe(broker), await startLink(broker)]
  try {
    const ledger = new AckedLedger()
    const paths = [join(plant, '20170612.csv')]
    const replay = replayTo(link.url, ledger, { qos: 2, paths })
    const running = replay.run(new AbortController().signal)
    for (const acks of [200, 600, 1_000]) {
      await waitUntil('no acks', 10_000, () => replay.result().acked >= acks, 1)
      link.cut()
    }
    assert.is((await running).acked, 1_440)
    await waitUntil(
      'rows are on their way still',
      10_000,
      () => subscriber.payloads.length >= 1_440,
    )
    const report = subscriber.observations.report(ledger)
    assert.equal(report, { seen: 1_440, lost: 0, twice: 0, outOfOrder: 0, examples: [] })
  } finally {
    await subscriber.close()
    await link.close()
    await broker.stop()
  }
})

test('at a speed the rows come in their own rhythm, and a stop ends it at once', async () => {
  const broker = hasData() ? await startMosquitto() : undefined
  if (broker === undefined) return
  try {
    const stop = new AbortController()
    // A row a minute at 6,000 times the speed: one in ten milliseconds, the file in 14 seconds.
    const replay = replayTo(broker.url, new AckedLedger(), { speed: 6_000 })
    const running = replay.run(stop.signal)
    await waitUntil('no rows', 10_000, () => replay.result().acked >= 5)
    stop.abort()
    const result = await running
    assert.ok(result.published < ROWS, `${result.published} rows at once`)
    assert.is(result.published, result.acked)
  } finally {
    await broker.stop()
  }
})

test.run()
