// Apache Kafka's own kafka-dump-log reads our segments and indexes.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { nodeFileSystem } from '../../agent/log/file-system.ts'
import { OpenFiles } from '../../agent/log/open-files.ts'
import { ReadAhead } from '../../agent/log/read-ahead.ts'
import { Segment } from '../../agent/log/segment.ts'
import { IndexCache } from '../../agent/log/segment-index.ts'
import { CODEC_GZIP, CODEC_LZ4, CODEC_NONE } from '../../agent/record/compression.ts'
import { buildBatch } from '../../agent/record/record-batch.ts'
import { codecs, kernel } from '../support/batches.ts'
import { KafkaTools } from '../support/kafka-tools.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('segments read by kafka-dump-log')
const BASE = 840_112
const BATCHES = 200
const FINDINGS = /mismatch|out of order|not found/i
const root = mkdtempSync(join(tmpdir(), 'tributary-dump-'))
test.after(() => rmSync(root, { recursive: true }))

/** Batches of every codec, some with keys, headers, null values and times that go back. */
async function writeSegment(directory: string): Promise<{ stem: string; records: number }> {
  const context = {
    fs: nodeFileSystem,
    codecs,
    files: new OpenFiles(nodeFileSystem, 8),
    indexCache: new IndexCache(kernel),
    readAhead: new ReadAhead(),
  }
  await nodeFileSystem.makeDirectory(directory)
  const segment = await Segment.create(context, directory, BASE)
  const random = new SeededRandom(42)
  let time = 1_700_000_000_000
  for (let order = 0; order < BATCHES; order++) {
    const records = Array.from({ length: 1 + random.below(12) }, () => {
      time += random.chance(0.9) ? 100 : -2000
      return {
        timestamp: time,
        key: random.chance(0.5) ? Buffer.from(`device-${random.below(20)}`) : null,
        value: random.chance(0.05) ? null : Buffer.from(`{"t":${random.below(100)}}`.repeat(20)),
        headers: random.chance(0.2) ? ([['source', Buffer.from('mqtt')]] as const) : [],
      }
    })
    const codec = ([CODEC_NONE, CODEC_LZ4, CODEC_GZIP] as const)[order % 3]!
    await segment.append(buildBatch(records, { codecs, codec, baseOffset: segment.nextOffset }))
  }
  await segment.finish()
  await segment.sync()
  const records = segment.nextOffset - BASE
  await segment.close()
  await context.files.close()
  return { stem: segment.path.slice(0, -'.log'.length), records }
}

test(
  'every batch is valid, every record is there, both indexes are sane',
  async () => {
    const tools = await KafkaTools.find()
    if (tools === undefined) return
    const { stem, records } = await writeSegment(join(root, 'plant-7.sensors-3'))
    const deep = await tools.dumpLog([`${stem}.log`], ['--deep-iteration'])
    assert.is(deep.code, 0, deep.stderr)
    const batches = [...deep.stdout.matchAll(/^baseOffset: .*isvalid: (\w+)$/gm)]
    assert.is(batches.length, BATCHES, deep.stdout.slice(0, 500))
    assert.ok(batches.every(([, isValid]) => isValid === 'true'))
    const offsets = [...deep.stdout.matchAll(/^\| offset: (\d+)/gm)].map(([, text]) => Number(text))
    assert.equal(
      offsets,
      Array.from({ length: records }, (_, order) => BASE + order),
    )

    const indexes = [`${stem}.index`, `${stem}.timeindex`]
    const sane = await tools.dumpLog(indexes, ['--index-sanity-check'])
    assert.is(sane.code, 0, sane.stderr)
    assert.match(sane.stdout, `${stem}.index passed sanity check.`)
    assert.match(sane.stdout, `${stem}.timeindex passed sanity check.`)

    const entries = await tools.dumpLog(indexes)
    assert.is(entries.code, 0, entries.stderr)
    // The tool ends with 0 whatever it finds, and says what it found on standard error.
    assert.not.match(entries.stdout + entries.stderr, FINDINGS)
    assert.ok([...entries.stdout.matchAll(/^offset: \d+ position: \d+$/gm)].length > 20)

    const index = readFileSync(indexes[0]!)
    index[11]! ^= 1
    writeFileSync(indexes[0]!, index)
    const damaged = await tools.dumpLog(indexes)
    assert.match(
      damaged.stdout + damaged.stderr,
      FINDINGS,
      'the check sees an entry that is off by 1',
    )
  },
  { timeoutMs: 120_000 },
)

test.run()
