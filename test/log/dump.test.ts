import * as assert from 'uvu/assert'
import { codeOf } from '../../agent/base/errors.ts'
import { dumpFile } from '../../agent/log/dump.ts'
import { hollowBatch } from '../../agent/log/made-batch.ts'
import { OpenFiles } from '../../agent/log/open-files.ts'
import { ReadAhead } from '../../agent/log/read-ahead.ts'
import { Segment } from '../../agent/log/segment.ts'
import { IndexCache } from '../../agent/log/segment-index.ts'
import { CODEC_LZ4 } from '../../agent/record/compression.ts'
import { buildBatch } from '../../agent/record/record-batch.ts'
import { codecs, kernel } from '../support/batches.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { appendRecords, openSmallLog, STORE } from '../support/small-log.ts'
import { suite } from '../support/suite.ts'

const test = suite('dump')
const LOG = '/p/00000000000000000100.log'
const TIME = Date.UTC(2026, 0, 1)

async function linesOf(fs: SimFileSystem, path: string): Promise<string[]> {
  const lines: string[] = []
  for await (const line of dumpFile(fs, path)) lines.push(line)
  return lines
}

async function segment(): Promise<SimFileSystem> {
  const fs = new SimFileSystem(1)
  await fs.makeDirectory('/p')
  const files = new OpenFiles(fs, 4)
  const [indexCache, readAhead] = [new IndexCache(kernel, 4), new ReadAhead()]
  const context = { fs, codecs, files, indexCache, readAhead }
  const made = await Segment.create(context, '/p', 100)
  const records = [
    { timestamp: TIME, key: null, value: Buffer.from('{"t":21.5}') },
    {
      timestamp: TIME + 1500,
      key: Buffer.from('pump-3'),
      value: null,
      headers: [['source', Buffer.from('mqtt')]] as const,
    },
  ]
  const binary = { timestamp: TIME, key: Buffer.from([0xff, 0]), value: Buffer.alloc(5000, 'x') }
  await made.append(buildBatch(records, { codecs, baseOffset: 100 }))
  await made.append(buildBatch([binary], { codecs, codec: CODEC_LZ4, baseOffset: 102 }))
  const producer = { producerId: 4000n, producerEpoch: 1, baseSequence: 7 }
  await made.append(buildBatch(records, { codecs, baseOffset: 103, producer }))
  await made.finish()
  await made.close()
  return fs
}

test('shows the batches and records of a segment', async () => {
  const lines = await linesOf(await segment(), LOG)
  assert.match(
    lines[0]!,
    /^position 0 batch 100 to 101: 2 records, \d+ bytes, none, crc [0-9a-f]{8}, times 2026-01-01T00:00:00.000Z to 2026-01-01T00:00:01.500Z$/,
  )
  assert.is(lines[1], '  100 2026-01-01T00:00:00.000Z key null value "{\\"t\\":21.5}"')
  assert.is(
    lines[2],
    '  101 2026-01-01T00:00:01.500Z key "pump-3" value null headers "source"="mqtt"',
  )
  assert.match(lines[3]!, /batch 102 to 102: 1 records, \d+ bytes, lz4/)
  assert.match(lines[4]!, /key 0xff00 value "x{200}"… \(5000 bytes\)$/)
  assert.match(lines[5]!, /, producer 4000 epoch 1 sequence 7$/)
  assert.is(lines.length, 8)
})

test('shows where a segment is damaged, and what is before', async () => {
  const fs = await segment()
  const whole = await linesOf(fs, LOG)
  const size = fs.contents(LOG).length
  fs.rot(LOG, size - 1)
  const lines = await linesOf(fs, LOG)
  assert.equal(lines.slice(0, 5), whole.slice(0, 5))
  assert.match(lines[5]!, /^position \d+ corrupt: CRC/)
  await (await fs.open(LOG, 'write')).truncate(size - 1)
  assert.match((await linesOf(fs, LOG)).at(-1)!, /^position \d+ torn/)
  assert.is(fs.counts.openFiles, 1)
})

test('shows the entries of both indexes', async () => {
  const fs = await segment()
  const file = await fs.open('/p/00000000000000000100.index', 'create')
  await file.write([Buffer.from('00000003000010000000', 'hex')], 0)
  assert.equal(await linesOf(fs, '/p/00000000000000000100.index'), [
    'offset 103 position 4096',
    'position 8 half an entry',
  ])
  assert.equal(await linesOf(fs, '/p/00000000000000000100.timeindex'), [
    'time 2026-01-01T00:00:01.500Z offset 101',
  ])
})

test('shows hollow batches as one line, in segments and in the journal', async () => {
  const fs = new SimFileSystem(1)
  await fs.makeDirectory('/p')
  const hollow = hollowBatch({ from: 100, to: 2100, reason: 'file' }, TIME, codecs)
  await (await fs.open(LOG, 'create')).write([hollow], 0)
  const lines = await linesOf(fs, LOG)
  assert.is(lines.length, 1)
  assert.match(lines[0]!, /^position 0 batch 100 to 2099: 2000 records, .*, hollow \(file\)$/)

  const log = await openSmallLog(fs)
  const [partition] = (await log.createTopic('t', { partitions: 1, replicated: false })).partitions
  partition!.appendBatch(hollowBatch({ from: 0, to: 2000, reason: 'journal' }, TIME, codecs))
  await log.durable(log.openCommit)
  const journal = await linesOf(fs, `${STORE}/journal-0`)
  assert.match(journal.join('\n'), /^ {2}log 1 batch 0 to 1999, \d+ bytes, hollow \(journal\)$/m)
})

test('shows a journal whose header is lost, and the metadata of a partition', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('t', { partitions: 1, replicated: false })
  await appendRecords(log, topic.partitions[0]!, 3)
  const whole = await linesOf(fs, `${STORE}/journal-0`)
  fs.rot(`${STORE}/journal-0`, 9)
  const lines = await linesOf(fs, `${STORE}/journal-0`)
  assert.is(lines[0], 'header corrupt')
  assert.match(lines[1]!, /^salt [0-9a-f]{8}, learnt from the first frame$/)
  assert.equal(lines.slice(2), whole.slice(1))
  await log.close()
  const path = `${STORE}/t-0/partition.metadata`
  const metadata = await linesOf(fs, path)
  for (const line of ['topic "t"', 'partition 0', 'logIds [1]', 'gateway "small"']) {
    assert.ok(metadata.includes(line), metadata.join('\n'))
  }
  fs.rot(path, 5)
  assert.equal(await linesOf(fs, path), ['metadata does not hold'])
})

test('shows the frames and entries of a journal and what a checkpoint holds', async () => {
  const fs = new SimFileSystem(1)
  const log = await openSmallLog(fs)
  const topic = await log.createTopic('plant.sensors', { partitions: 1, replicated: true })
  await appendRecords(log, topic.partitions[0]!, 10)
  const journal = await linesOf(fs, `${STORE}/journal-0`)
  assert.match(journal[0]!, /^generation 1, salt [0-9a-f]{8}$/)
  assert.match(journal.join('\n'), /^position 512 frame 1: \d+ bytes, 2026-01-01T/m)
  assert.match(journal.join('\n'), /^ {2}put topic\/plant\.sensors = "\{/m)
  assert.match(journal.join('\n'), /^ {2}log 1 records \d to \d, \d+ bytes$/m)
  assert.match(journal.at(-1)!, /^position \d+ end$/)
  await log.close()
  const copies = fs.paths().filter((path) => path.includes('checkpoint-'))
  const dumps = await Promise.all(copies.map((path) => linesOf(fs, path)))
  const checkpoint = dumps.find((lines) => lines.includes('log 1 recovery offset 10'))!
  assert.match(
    checkpoint[0]!,
    /^checkpoint \d+, 2026-01-01T.*, journal from generation \d+, frame \d+, clean stop$/,
  )
  assert.match(checkpoint.join('\n'), /^state topic\/plant\.sensors = "/m)
  fs.rot(copies[0]!, 20)
  assert.equal(await linesOf(fs, copies[0]!), ['checkpoint corrupt'])
})

test('refuses what is no file of a store', async () => {
  const fs = await segment()
  assert.is(await linesOf(fs, '/p/5.log').then(String, codeOf), 'INPUT_USAGE')
  await (await fs.open('/p/notes.txt', 'create')).close()
  assert.is(await linesOf(fs, '/p/notes.txt').then(String, codeOf), 'INPUT_USAGE')
})

test.run()
