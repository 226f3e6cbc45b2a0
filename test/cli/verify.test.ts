// tributary verify and dump over stores that a real log wrote, and against a mirror that a real listener serves.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { HttpListener } from '../../agent/admin/http-listener.ts'
import type { Status } from '../../agent/admin/status.ts'
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
  // The clock's timers keep nothing alive, and no test runs yet.
  const awake = setInterval(() => {}, 0x7fff_ffff)
  const log = await open(store)
  await fill(log, 0, RECORDS)
  await log.topic(TOPIC)!.partitions[0]!.seal()
  await log.createTopic('local-only', { partitions: 1, replicated: false })
  await log.close()
  clearInterval(awake)
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
  const { directory, ok, findings, losses, totals } = JSON.parse(out)
  assert.equal([directory, ok, findings, losses], [store, true, [], []])
  assert.is(totals.records, RECORDS)
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
  assert.match(out, /1 finding of lost data; --repair puts empty records in their place \(/)
  const json = JSON.parse((await tributary(['verify', copy, '--json'])).out)
  assert.is(json.ok, false)
  const [finding] = json.findings
  assert.equal([finding.path, finding.fatal, finding.repairable], [segment, true, true])
  assert.type(finding.position, 'number')
  assert.type(finding.what, 'string')
})

test('--repair says what it did, and what is lost is told from then on', async () => {
  const copy = join(root, 'repaired')
  cpSync(store, copy, { recursive: true })
  const segment = join(copy, `${TOPIC}-0`, `${'0'.repeat(20)}.log`)
  const bytes = readFileSync(segment)
  bytes[100]! ^= 1
  writeFileSync(segment, bytes)
  const { code, out, err } = await tributary(['verify', copy, '--repair'])
  assert.equal([code, err], [0, ''])
  const lines = out.trim().split('\n')
  assert.match(lines[0]!, new RegExp(`^fixed ${segment} \\(corrupt: CRC .*: written again`))
  const lost = `${TOPIC}-0: offsets 0 to 499 (rot)`
  assert.is(lines[1], `fixed ${lost} are lost: empty records stand for them now`)
  assert.is(lines[2], `known ${lost}, served as empty records`)
  assert.match(lines[3]!, /: good \(.* 500 records, 500 of them empty, .* in quarantine\)$/)
  const again = await tributary(['verify', copy, '--repair', '--json'])
  const { ok, done, findings, losses } = JSON.parse(again.out)
  assert.equal([ok, done, findings], [true, [], []])
  assert.equal(losses, [{ topic: TOPIC, partition: 0, from: 0, to: 499, reason: 'rot' }])
})

test('--repair of a store in use changes nothing', async () => {
  const copy = join(root, 'repair-in-use')
  cpSync(store, copy, { recursive: true })
  const log = await open(copy)
  const { code, err } = await tributary(['verify', copy, '--repair'])
  await log.close()
  assert.equal([code, err], [3, `store in use by pid ${process.pid}\n`])
})

test('a folder without a store is said to be none', async () => {
  for (const directory of [root, join(root, 'nowhere')]) {
    const { code, err } = await tributary(['verify', directory])
    assert.equal([code, err], [2, `${directory} holds no store (tributary verify --help)\n`])
  }
})

test('partitions alone are a store that lost something, and --repair rebuilds it', async () => {
  const copy = join(root, 'partitions-alone')
  cpSync(store, copy, { recursive: true })
  for (const name of readdirSync(copy)) {
    if (/^(journal|checkpoint)-/.test(name)) rmSync(join(copy, name))
  }
  const { code, out } = await tributary(['verify', copy])
  assert.is(code, 1)
  assert.match(out, `LOST  ${copy}: no checkpoint is left`)
  assert.match(out, '--repair')
  const repaired = await tributary(['verify', copy, '--repair'])
  assert.is(repaired.code, 0)
  assert.match(repaired.out, `fixed ${copy} (no checkpoint is left`)
  assert.match(repaired.out, ` ${RECORDS} records, `)
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

/** A running agent as far as its listeners: Kafka, and a status of which `change` makes a lie. */
async function withAgent(
  name: string,
  run: (environment: NodeJS.ProcessEnv, log: Log) => Promise<void>,
  change: (status: Pick<Status, 'topics'>) => void = () => {},
): Promise<void> {
  const copy = join(root, name)
  cpSync(store, copy, { recursive: true })
  const log = await open(copy)
  const { listener, address } = await listen(log)
  const status = () => {
    const topics = [...log.topics()].map(({ name, replicated, partitions }) => ({
      topic: name,
      replicated,
      partitions: partitions.map(({ partition, logStartOffset, highWatermark }) => ({
        ...{ partition, logStartOffset, highWatermark, replicatedOffset: 0, bytes: 0 },
        ...{ replication: 'idle' as const, reason: null },
      })),
    }))
    change({ topics })
    return { version: '0', topics } as unknown as Status
  }
  const admin = await HttpListener.listen({
    ...{ status, metrics: new Metrics(), logger: silentLogger },
    addresses: [{ host: '127.0.0.1', port: 0 }],
    ready: () => ({ ok: true, reasons: [] }),
  })
  try {
    const environment = {
      TRIBUTARY_GATEWAY: 'plant-7',
      TRIBUTARY_KAFKA_LISTENERS: address,
      TRIBUTARY_ADMIN_LISTENERS: admin.addresses[0],
    }
    await run(environment, log)
  } finally {
    await admin.close()
    await listener.close()
    await log.close()
  }
}

test('--live reads everything that the agent serves, local topics too', async () => {
  await withAgent('live', async (environment) => {
    const { code, out, err } = await tributary(['verify', '--live'], { environment })
    assert.equal([code, err], [0, ''])
    assert.match(out, /: good \(2 partitions, 500 records\)$/m)
    const json = await tributary(['verify', '--live', '--json'], { environment })
    const { ok, findings, losses, totals } = JSON.parse(json.out)
    assert.equal([ok, findings, losses], [true, [], []])
    assert.equal(totals, { partitions: 2, records: 500, hollowRecords: 0 })
  })
})

test('--live tells hollow records apart', async () => {
  await withAgent('live-hollow', async (environment, log) => {
    const [partition] = log.topic(TOPIC)!.partitions
    await partition!.hollow(0, RECORDS, 'dropped')
    const { code, out } = await tributary(['verify', '--live'], { environment })
    assert.is(code, 0)
    assert.match(out, `known ${TOPIC}-0: offsets 0 to 499 (dropped), served as empty records`)
    assert.match(out, '(2 partitions, 500 records, 500 of them empty)')
  })
})

test('--live holds the listener against the status', async () => {
  await withAgent(
    'live-lie',
    async (environment) => {
      const { code, out } = await tributary(['verify', '--live'], { environment })
      assert.is(code, 1)
      assert.match(out, `LOST  ${TOPIC}-0 at byte 500: ends at 500; the status says 501`)
      assert.match(out, 'LOST  nowhere-0: is in the status, and the listener does not serve it')
      assert.match(out, ': 2 findings (')
    },
    ({ topics }) => {
      Object.assign(topics[0]!.partitions[0]!, { highWatermark: RECORDS + 1 })
      const nowhere = structuredClone(topics[0]!)
      Object.assign(nowhere, { topic: 'nowhere' })
      ;(topics as unknown[]).push(nowhere)
    },
  )
})

test('--live finds bytes that do not hold', async () => {
  await withAgent('live-rot', async (environment, log) => {
    const [partition] = log.topic(TOPIC)!.partitions
    const read = partition!.read.bind(partition)
    partition!.read = async (offset, maxBytes) => {
      const outcome = await read(offset, maxBytes)
      if (outcome.kind === 'batches') outcome.bytes[100]! ^= 1
      return outcome
    }
    const { code, out } = await tributary(['verify', '--live'], { environment })
    assert.is(code, 1)
    assert.match(out, `LOST  ${TOPIC}-0: the batch of ${TOPIC}-0 at 0 does not match its checksum`)
  })
})

test('--live --against compares through both listeners', async () => {
  await withAgent('live-both', async (environment) => {
    await withMirror('live-mirror', { count: RECORDS }, async (address) => {
      const args = ['verify', '--live', '--against', address]
      const { code, out } = await tributary(args, { environment })
      assert.is(code, 0)
      assert.match(out, '500 of 500 records identical in offset and content (100 %)')
      assert.not.match(out, 'local-only')
    })
  })
})

test('--live without an agent says where it looked', async () => {
  const environment = { TRIBUTARY_ADMIN_LISTENERS: '127.0.0.1:1' }
  const { code, err } = await tributary(['verify', '--live'], { environment })
  assert.is(code, 3)
  assert.match(err, 'no agent answers on 127.0.0.1:1')
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
  for (const [args, what] of [
    [[store, '--live'], '--live asks the agent, so it takes no DIR'],
    [['--live', '--repair'], '--repair needs a stopped agent, so --live excludes it'],
    [[store, '-b', '127.0.0.1:9092'], '-b and --admin are for --live'],
  ] as const) {
    const { code, err } = await tributary(['verify', ...args])
    assert.is(code, 2)
    assert.ok(err.startsWith(what), err)
  }
})

test.run()
