// topics, produce and consume against our own listener over a real log in a temporary folder.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { parseFrom, recordJson } from '../../agent/cli/consume.ts'
import { readLines } from '../../agent/cli/line-reader.ts'
import { formatHostPort } from '../../agent/config/listen-address.ts'
import { KafkaListener } from '../../agent/kafka/server/listener.ts'
import { Log } from '../../agent/log/log.ts'
import { suite } from '../support/suite.ts'
import { tributary } from './test-terminal.ts'

const test = suite('cli kafka commands')

const directory = mkdtempSync(join(tmpdir(), 'tributary-cli-'))
const parts = { clock: systemClock, logger: silentLogger, metrics: new Metrics() }
const log = await Log.open({ ...parts, directory, gateway: 'plant-7' })
const listener = await KafkaListener.listen({
  ...parts,
  log,
  clusterId: log.lineage,
  listeners: [{ host: '127.0.0.1', port: 0 }],
  topicDefaults: (name) => ({ partitions: 3, replicated: name.startsWith('plant-7.') }),
})
test.after(async () => {
  await listener.close()
  await log.close()
  rmSync(directory, { recursive: true })
})
const address = formatHostPort(listener.addresses[0]!)

const run = (args: string[], input: string | Buffer = '') =>
  tributary([...args, '-b', address], { input })

test('a topic is created, listed, described and deleted', async () => {
  assert.equal(await run(['topics', 'create', 'short-lived', '--partitions', '2']), {
    code: 0,
    out: 'created short-lived with 2 partitions\n',
    err: '',
  })
  assert.match((await run(['topics', 'list'])).out, /^TOPIC +PARTITIONS\nshort-lived +2\n$/)
  const { out } = await run(['topics', 'describe', 'short-lived'])
  assert.match(
    out,
    /^P {2}LEADER {2}REPLICAS {2}IN SYNC {2}START {2}END {2}RECORDS\n0 +0 +0 +0 +0 +0 +0\n1 /,
  )
  const json = JSON.parse((await run(['topics', 'describe', 'short-lived', '--json'])).out)
  assert.is(json.partitions[1].endOffset, 0)
  assert.is((await run(['topics', 'delete', 'short-lived'])).out, 'deleted short-lived\n')
  const gone = await run(['topics', 'describe', 'short-lived'])
  assert.equal([gone.code, gone.err], [1, `topic short-lived does not exist on ${address}\n`])
})

test('what is produced is consumed: keys, headers, offsets', async () => {
  await run(['topics', 'create', 'greetings', '--partitions', '1'])
  const produced = await run(
    ['produce', 'greetings', '--key-separator', '=', '-H', 'lang:en', '-H', 'n:1:2'],
    'a=hello\nb=world=x\r\nc=\n',
  )
  assert.equal(produced, { code: 0, out: 'produced 3 records to greetings\n', err: '' })
  const values = await run(['consume', 'greetings', '-e'])
  assert.equal(values, { code: 0, out: 'hello\nworld=x\n\n', err: '' })
  const lines = (await run(['consume', 'greetings', '-e', '--format', 'json'])).out
    .trim()
    .split('\n')
  const { timestamp, ...first } = JSON.parse(lines[0]!)
  assert.ok(Math.abs(timestamp - Date.now()) < 60_000)
  assert.equal(first, {
    topic: 'greetings',
    partition: 0,
    offset: 0,
    key: 'a',
    headers: [
      { key: 'lang', value: 'en' },
      { key: 'n', value: '1:2' },
    ],
    value: 'hello',
  })
  assert.is(lines.length, 3)
})

test('consume begins where --from says and ends after --count', async () => {
  await run(['topics', 'create', 'numbers', '--partitions', '1'])
  const lines = Array.from({ length: 100 }, (_, index) => `${index}\n`).join('')
  await run(['produce', 'numbers'], lines)
  const read = async (...args: string[]) => (await run(['consume', 'numbers', ...args])).out
  assert.is(await read('-n', '2'), '0\n1\n')
  assert.is(await read('--from', '98', '-e'), '98\n99\n')
  assert.is(await read('--from', '-3', '-e'), '97\n98\n99\n')
  assert.is(await read('--from', '-1h', '-n', '1'), '0\n')
  assert.is(await read('--from', 'end', '-e'), '')
  assert.is(await read('--from', '2000-01-01', '-n', '1', '-p', '0'), '0\n')
})

test('a partition or a topic that is not there is one sentence', async () => {
  const partition = await run(['consume', 'numbers', '-p', '7', '-e'])
  assert.is(partition.code, 1)
  assert.match(partition.err, /^topic numbers has 1 partitions on .*, and no 7\n$/)
  const topic = await run(['produce', 'nowhere'], 'x\n')
  assert.equal([topic.code, topic.err], [1, `topic nowhere does not exist on ${address}\n`])
})

test('a line without its key is named; what stands before it is sent, nothing behind it', async () => {
  await run(['topics', 'create', 'pairs', '--partitions', '1'])
  const { code, err } = await run(['produce', 'pairs', '--key-separator', ':'], 'a:1\nb2\nc:3\n')
  assert.is(code, 2)
  assert.match(err, 'line 2 has no ":", so no key; what stands before it was sent')
  assert.is((await run(['consume', 'pairs', '-e'])).out, '1\n')
})

test('bytes that are no text pass through as they are', async () => {
  await run(['topics', 'create', 'bytes', '--partitions', '1'])
  const bytes = Buffer.from([0xff, 0x00, 0x80, 0x0a])
  await run(['produce', 'bytes', '-k', 'k'], bytes)
  const { out } = await run(['consume', 'bytes', '-e', '--format', 'json'])
  const { key, value, valueEncoding } = JSON.parse(out)
  assert.equal([key, value, valueEncoding], ['k', '/wCA', 'base64'])
})

test('--from reads each of its forms', () => {
  const now = 1_800_000_000_000
  assert.equal(parseFrom('beginning', now), { kind: 'beginning' })
  assert.equal(parseFrom('end', now), { kind: 'end' })
  assert.equal(parseFrom('840112', now), { kind: 'offset', offset: 840_112 })
  assert.equal(parseFrom('-100', now), { kind: 'last', count: 100 })
  assert.equal(parseFrom('-1h', now), { kind: 'time', timestamp: now - 3_600_000 })
  assert.equal(parseFrom('2026-01-31T08:00:00Z', now), {
    kind: 'time',
    timestamp: 1_769_846_400_000,
  })
  for (const wrong of ['', 'begin', '1h', '-', 'May 4', '-1x']) {
    assert.throws(() => parseFrom(wrong, now), /is none of beginning, end/, wrong)
  }
})

test('a record without key and value is null, not empty', () => {
  const record = {
    topic: 't',
    partition: 0,
    offset: 1,
    timestamp: 2,
    key: null,
    value: null,
    headers: [],
  }
  assert.is(
    recordJson(record),
    '{"topic":"t","partition":0,"offset":1,"timestamp":2,"key":null,"headers":[],"value":null}',
  )
})

test('lines are found across chunks, and a last one without an end counts', async () => {
  const lines: string[] = []
  const chunks = ['a\nb', 'c', '\r\n', '\n', 'last'].map((text) => Buffer.from(text))
  for await (const some of readLines(chunksOf(chunks))) lines.push(...some.map(String))
  assert.equal(lines, ['a', 'bc', '', 'last'])
})

async function* chunksOf(chunks: Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks
}

test.run()
