// tributary verify and dump over stores that a real log wrote, and against a mirror that a real listener serves.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { formatHostPort } from '../../agent/config/listen-address.ts'
import { KafkaListener } from '../../agent/kafka/server/listener.ts'
import { Log } from '../../agent/log/log.ts'
import { saveCursor } from '../../agent/replication/cursor.ts'
import { suite } from '../support/suite.ts'
import { tributary } from './test-terminal.ts'

const test = suite('cli verify and dump')

const root = mkdtempSync(join(tmpdir(), 'tributary-verify-'))
const parts = { clock: systemClock, logger: silentLogger }
const TOPIC = 'plant-7.sensors'
const RECORDS = 500
const CREATED = Date.parse('2026-11-24T12:00:00Z')

function open(directory: string): Promise<Log> {
  return Log.open({
    ...parts,
    metrics: new Metrics(),
    directory,
    gateway: 'plant-7',
    journalBytes: 1 << 20,
  })
}

/** Appends records that depend on their number only. */
async function fill(log: Log, from: number, to: number, marked = -1): Promise<void> {
  const topic =
    log.topic(TOPIC) ?? (await log.createTopic(TOPIC, { partitions: 1, replicated: true }))
  for (let number = from; number < to; number++) {
    topic.partitions[0]!.appendRecord({
      timestamp: CREATED + number,
      key: Buffer.from(`k${number % 7}`),
      value: Buffer.from(number === marked ? 'another' : `value ${number} ${'x'.repeat(100)}`),
      headers: [['mqtt.topic', Buffer.from('sensors/a/temp')]],
    })
  }
  await log.durable(log.openCommit - 1)
}

/** A stopped agent's store with all records. */
const store = join(root, 'store')
{
  const log = await open(store)
  await fill(log, 0, RECORDS)
  await log.topic(TOPIC)!.partitions[0]!.seal()
  await log.createTopic('local-only', { partitions: 1, replicated: false })
  await log.close()
}

async function listen(log: Log): Promise<{ listener: KafkaListener; address: string }> {
  const listener = await KafkaListener.listen({
    ...parts,
    metrics: new Metrics(),
    log,
    clusterId: log.lineage,
    listeners: [{ host: '127.0.0.1', port: 0 }],
    topicDefaults: () => ({ partitions: 1, replicated: true }),
  })
  return { listener, address: formatHostPort(listener.addresses[0]!) }
}

/** A mirror with the first `count` records, one of them another where `marked` says so. */
async function withMirror(
  name: string,
  { count, marked }: { count: number; marked?: number },
  run: (address: string) => Promise<void>,
): Promise<void> {
  const log = await open(join(root, name))
  await fill(log, 0, count, marked)
  const { listener, address } = await listen(log)
  try {
    await run(address)
  } finally {
    await listener.close()
    await log.close()
  }
}

test.after(() => rmSync(root, { recursive: true }))

test('a store that was closed well is good', async () => {
  const { code, out, err } = await tributary(['verify', store])
  assert.equal([code, err], [0, ''])
  assert.ok(out.startsWith(`${store}: good (2 partitions, `), out)
  assert.match(out, ` ${RECORDS} records, `)
})

test('the store of the configuration is the default, and JSON has the same', async () => {
  const environment = { TRIBUTARY_DATA_DIR: store }
  const { code, out } = await tributary(['verify', '--json'], { environment })
  assert.is(code, 0)
  const { directory, findings, totals } = JSON.parse(out)
  assert.equal([directory, findings, totals.records], [store, [], RECORDS])
})

test('a store in use is left alone and names who holds it', async () => {
  const copy = join(root, 'in-use')
  cpSync(store, copy, { recursive: true })
  const log = await open(copy)
  const { code, err } = await tributary(['verify', copy])
  await log.close()
  assert.equal([code, err], [3, `store in use by pid ${process.pid}\n`])
})

test('a flipped byte in a segment is exit 1 with its file', async () => {
  const copy = join(root, 'damaged')
  cpSync(store, copy, { recursive: true })
  const folder = join(copy, `${TOPIC}-0`)
  const segment = join(folder, readdirSync(folder).find((name) => name.endsWith('.log'))!)
  const bytes = readFileSync(segment)
  bytes[100]! ^= 1
  writeFileSync(segment, bytes)
  const { code, out } = await tributary(['verify', copy])
  assert.is(code, 1)
  assert.match(out, segment)
  assert.match(out, new RegExp(`^LOST  ${folder}`, 'm'))
  assert.match(out, /of lost data \(/)
})

test('a folder without a store is said to be none', async () => {
  for (const directory of [root, join(root, 'nowhere')]) {
    const { code, err } = await tributary(['verify', directory])
    assert.equal([code, err], [2, `${directory} holds no store (tributary verify --help)\n`])
  }
})

test('against its mirror every record is identical', async () => {
  await withMirror('same', { count: RECORDS }, async (address) => {
    const { code, out } = await tributary(['verify', store, '--against', address])
    assert.is(code, 0)
    const lines = out.trim().split('\n').slice(1)
    assert.equal(lines, [
      `${TOPIC}-0: 500 of 500 records identical from offset 0 on`,
      `${address}: 500 of 500 records identical in offset and content (100 %)`,
    ])
  })
})

test('a mirror that lags is good, one with another record is not', async () => {
  await withMirror('behind', { count: 450 }, async (address) => {
    const { code, out } = await tributary(['verify', store, '--against', address])
    assert.is(code, 0)
    assert.match(out, `${TOPIC}-0: 450 of 450 records identical from offset 0 on, 50 not there yet`)
  })
  await withMirror('other', { count: RECORDS, marked: 123 }, async (address) => {
    const { code, out } = await tributary(['verify', store, '--against', address])
    assert.is(code, 1)
    assert.match(out, '  DIFFERENT: offset 123 has another value there')
    assert.match(out, '499 of 500 records identical in offset and content (99.8 %)')
  })
})

test('a mirror that lost what it had acked is a difference', async () => {
  const copy = join(root, 'acked')
  cpSync(store, copy, { recursive: true })
  const log = await open(copy)
  const { logId } = log.topic(TOPIC)!.partitions[0]!
  const cursor = { clusterId: 'c', topicId: 't', leaderEpoch: 0, acked: RECORDS }
  saveCursor(log.state, logId, cursor, { ride: false })
  await log.close()
  await withMirror('lost', { count: 450 }, async (address) => {
    const { code, out } = await tributary(['verify', copy, '--against', address])
    assert.is(code, 1)
    assert.match(out, '  DIFFERENT: 50 records that were acked are gone there')
  })
})

test('a mirror that is ahead of the store is a difference', async () => {
  await withMirror('ahead', { count: RECORDS + 3 }, async (address) => {
    const { code, out } = await tributary(['verify', store, '--against', address])
    assert.is(code, 1)
    assert.match(out, '  DIFFERENT: 3 records there that are not here')
  })
})

test('--live compares through both listeners', async () => {
  const copy = join(root, 'live')
  cpSync(store, copy, { recursive: true })
  const log = await open(copy)
  const { listener, address: local } = await listen(log)
  await withMirror('live-mirror', { count: RECORDS }, async (address) => {
    const environment = { TRIBUTARY_GATEWAY: 'plant-7', TRIBUTARY_KAFKA_LISTENERS: local }
    const { code, out } = await tributary(['verify', '--live', '--against', address], {
      environment,
    })
    assert.is(code, 0)
    assert.match(out, '500 of 500 records identical in offset and content (100 %)')
    assert.not.match(out, 'local-only')
  })
  await listener.close()
  await log.close()
})

test('dump shows the records of a segment, and names what is no file of a store', async () => {
  const folder = join(store, `${TOPIC}-0`)
  const { code, out } = await tributary(['dump', '00000000000000000000.log'], { directory: folder })
  assert.is(code, 0)
  assert.match(out, /^position 0 batch 0 to 499: 500 records, /)
  assert.match(
    out,
    /^ {2}499 2026-11-24T12:00:00.499Z key "k2" value "value 499 x+" headers "mqtt.topic"="sensors\/a\/temp"$/m,
  )
  const wrong = await tributary(['dump', 'nothing.txt'], { directory: folder })
  assert.is(wrong.code, 2)
  assert.match(wrong.err, 'nothing.txt does not exist')
})

test('what does not fit together is refused', async () => {
  const repair = await tributary(['verify', store, '--repair'])
  assert.match(repair.err, /^--repair: not in this version/)
  const live = await tributary(['verify', store, '--live'])
  assert.match(live.err, /^--live asks the agent, so it takes no DIR/)
})

test.run()
