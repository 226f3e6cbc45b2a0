// kcat (librdkafka) as a user runs it: producing, consuming, listing and asking for offsets.

import * as assert from 'uvu/assert'
import { requirePeer } from '../support/peers.ts'
import { waitUntil } from '../support/ports.ts'
import { suite } from '../support/suite.ts'
import { run, ServedLog } from './served-log.ts'

const test = suite('kcat')
const kcat = requirePeer('kcat')

function lines(count: number, text = 'value'): string {
  return Array.from({ length: count }, (_, index) => `${text}-${index}\n`).join('')
}

async function withTopic(
  run: (
    served: ServedLog,
    kcat: (args: string, input?: string) => Promise<string>,
  ) => Promise<void>,
): Promise<void> {
  if (kcat === undefined) return
  const served = await ServedLog.start()
  await served.createTopic('t', 2)
  try {
    await run(served, (args, input) => kcatOn(served, args, input))
  } finally {
    await served.stop()
  }
}

async function kcatOn(served: ServedLog, args: string, input?: string): Promise<string> {
  const ended = await run(kcat!, ['-b', served.address, ...args.split(' ')], input)
  assert.is(ended.code, 0, `kcat ${args}: ${ended.stderr}`)
  return ended.stdout
}

test('what it produces is there, and what is there it consumes', async () => {
  await withTopic(async (served, kcatIn) => {
    await kcatIn('-P -t t -p 0 -K: -H where=roof', 'a:1\nb:2\n')
    assert.equal(await served.records('t'), [
      { offset: 0, key: 'a', value: '1', headers: ['where=roof'] },
      { offset: 1, key: 'b', value: '2', headers: ['where=roof'] },
    ])
    const format = ['-f', '%p %o %k %s %h\\n']
    const args = ['-b', served.address, '-C', '-t', 't', '-p', '0', '-o', 'beginning', '-e', '-q']
    const { stdout } = await run(kcat!, [...args, ...format])
    assert.is(stdout, '0 0 a 1 where=roof\n0 1 b 2 where=roof\n')
  })
})

test('many records in every codec it has, from tails and from segments', async () => {
  await withTopic(async (served, kcat) => {
    const names = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    for (const codec of names) {
      await kcat(`-P -t t -p 1 -z ${codec} -X linger.ms=20`, lines(3000, codec))
    }
    const expected = names.map((codec) => lines(3000, codec)).join('')
    assert.is(await kcat('-C -t t -p 1 -o beginning -e -q -X check.crcs=true'), expected)
    await served.seal()
    assert.is(await kcat('-C -t t -p 1 -o beginning -e -q -X check.crcs=true'), expected)
    assert.is(await kcat('-C -t t -p 1 -o 14998 -e -q'), 'zstd-2998\nzstd-2999\n')
    assert.is(await kcat('-C -t t -p 1 -o -1 -e -q'), 'zstd-2999\n')
  })
})

test('idempotent production, with every setting of acks', async () => {
  await withTopic(async (served, kcat) => {
    await kcat('-P -t t -p 0 -X enable.idempotence=true', lines(200, 'i'))
    await kcat('-P -t t -p 0 -X acks=1', lines(10, 'one'))
    await kcat('-P -t t -p 0 -X acks=0', lines(10, 'none'))
    const partition = served.log.topic('t')!.partitions[0]!
    await waitUntil('what nobody acks is there', 5000, () => partition.highWatermark === 220)
    const values = (await served.records('t')).map(({ value }) => `${value}\n`).join('')
    assert.is(values, lines(200, 'i') + lines(10, 'one') + lines(10, 'none'))
  })
})

test('it lists topics and finds offsets by time', async () => {
  await withTopic(async (_served, kcat) => {
    await kcat('-P -t t -p 0', lines(5))
    const listing = await kcat('-L')
    assert.match(listing, '1 brokers')
    assert.match(listing, 'topic "t" with 2 partitions')
    assert.match(listing, 'partition 1, leader 0, replicas: 0, isrs: 0')
    assert.is(await kcat('-Q -t t:0:-1'), 't [0] offset 5\n')
    assert.is(await kcat('-Q -t t:0:-2'), 't [0] offset 0\n')
    assert.is(await kcat('-Q -t t:0:1000'), 't [0] offset 0\n')
  })
})

test('a consumer that waits sees a record as soon as it is durable', async () => {
  await withTopic(async (_served, kcat) => {
    const consumer = kcat('-C -t t -p 0 -o end -c 1 -q -u')
    // It starts at the end: until it is there, what is produced may be before that end.
    let isDone = false
    const done = consumer.finally(() => {
      isDone = true
    })
    for (let index = 0; !isDone && index < 40; index++) await kcat('-P -t t -p 0', 'x\n')
    assert.is(await done, 'x\n')
  })
})

test('a topic that is not there is an error, not a hang', async () => {
  await withTopic(async (served) => {
    const args = ['-b', served.address, '-C', '-t', 'nowhere', '-p', '0', '-e', '-q']
    const { code, stderr } = await run(kcat!, args)
    assert.is.not(code, 0)
    assert.match(stderr, /[Uu]nknown topic/)
  })
})

test.run()
