// Apache Kafka's own command line tools (Java clients), without groups.

import * as assert from 'uvu/assert'
import { KafkaTools, type ToolResult } from '../support/kafka-tools.ts'
import { suite } from '../support/suite.ts'
import { ServedLog } from './served-log.ts'

const test = suite('Kafka command line tools')
const tools = await KafkaTools.find()
const LIMIT = { timeoutMs: 120_000 }

async function withTools(
  run: (tools: KafkaTools, served: ServedLog) => Promise<void>,
): Promise<void> {
  if (tools === undefined) return
  const served = await ServedLog.start()
  try {
    await run(tools.at(served.address), served)
  } finally {
    await served.stop()
  }
}

/** The lines a tool has printed; it must have ended well. */
function printed({ stdout, stderr, code }: ToolResult): string[] {
  assert.is(code, 0, stderr)
  return stdout.split('\n').filter((line) => line !== '')
}

const READ = ['--property', 'print.key=true', '--property', 'print.offset=true']

test(
  'kafka-topics makes, lists, describes, grows and deletes',
  () =>
    withTools(async (tools, served) => {
      const set = ['--config', 'retention.ms=60000', '--config', 'min.insync.replicas=2']
      const created = ['--create', '--topic', 'a', '--partitions', '2', ...set]
      assert.match(printed(await tools.kafkaTopics(created)).join(), 'Created topic a.')
      const [list, described] = await Promise.all([
        tools.kafkaTopics(['--list']),
        tools.kafkaTopics(['--describe', '--topic', 'a']),
      ])
      assert.equal(printed(list), ['a'])
      const lines = printed(described)
      assert.match(
        lines[0]!,
        /PartitionCount: 2\s+ReplicationFactor: 1\s+Configs: retention.ms=60000/,
      )
      assert.match(lines[2]!, /Partition: 1\s+Leader: 0\s+Replicas: 0\s+Isr: 0/)
      printed(await tools.kafkaTopics(['--alter', '--topic', 'a', '--partitions', '3']))
      assert.is(served.log.topic('a')!.partitions.length, 3)
      const fewer = await tools.kafkaTopics(['--alter', '--topic', 'a', '--partitions', '1'])
      assert.match(fewer.stdout + fewer.stderr, 'a has 3 partitions; none can be removed')
      printed(await tools.kafkaTopics(['--delete', '--topic', 'a']))
      assert.equal([...served.log.topics()], [])
    }),
  LIMIT,
)

test(
  'the console producer is idempotent, the console consumer reads by partition and offset',
  () =>
    withTools(async (tools, served) => {
      await served.createTopic('t', 1)
      const input = Array.from({ length: 2000 }, (_, index) => `k${index}\tv${index}\n`).join('')
      const parse = ['--property', 'parse.key=true', '--compression-codec', 'lz4']
      printed(await tools.consoleProducer(['--topic', 't', ...parse], input))
      const stored = await served.records('t')
      assert.is(stored.length, 2000)
      assert.equal(stored.at(-1), { offset: 1999, key: 'k1999', value: 'v1999', headers: [] })
      const states = [...served.log.state.entries('pid/')].filter(([key]) => key !== 'pid/next')
      assert.is(states.length, 1, 'its sequence is remembered')

      const from = (offset: string, count: number) => {
        const where = ['--topic', 't', '--partition', '0', '--offset', offset]
        return tools.consoleConsumer([...where, '--max-messages', String(count), ...READ])
      }
      await served.seal()
      const [start, middle] = await Promise.all([from('earliest', 2000), from('1990', 3)])
      const all = stored.map(({ offset, key, value }) => `Offset:${offset}\t${key}\t${value}`)
      assert.equal(printed(start), all)
      assert.equal(printed(middle), all.slice(1990, 1993))
    }),
  LIMIT,
)

test(
  'batches of the Java client are taken in each of its codecs',
  () =>
    withTools(async (tools, served) => {
      const values = Array.from(
        { length: 3000 },
        (_, index) => `{"seq":${index},"t":${index % 97}}`,
      )
      const input = values.map((value) => `${value}\n`).join('')
      await Promise.all(
        ['gzip', 'snappy', 'lz4', 'zstd'].map(async (codec) => {
          await served.createTopic(codec, 1)
          const args = ['--topic', codec, '--compression-codec', codec]
          printed(await tools.consoleProducer(args, input))
          const stored = await served.records(codec)
          assert.equal(
            stored.map(({ value }) => value),
            values,
            codec,
          )
        }),
      )
    }),
  LIMIT,
)

test(
  'kafka-get-offsets finds ends, times and the greatest timestamp',
  () =>
    withTools(async (tools, served) => {
      await served.createTopic('t', 2)
      const [partition] = served.log.topic('t')!.partitions
      for (const timestamp of [1000, 9000, 3000]) {
        partition!.appendRecord({ timestamp, key: null, value: Buffer.from('x') })
      }
      await served.log.durable(served.log.openCommit)
      const ask = async (time: string) =>
        printed(await tools.getOffsets(['--topic', 't', '--time', time])).join(' ')
      const answers = await Promise.all(['-1', '-3', '2000'].map(ask))
      assert.equal(answers, ['t:0:3 t:1:0', 't:0:1', 't:0:1'])
    }),
  LIMIT,
)

test(
  'kafka-configs and kafka-cluster see what there is',
  () =>
    withTools(async (tools, served) => {
      const settings = { partitions: 1, replicated: false, retentionMs: 60_000 }
      await served.log.createTopic('t', settings)
      const topic = ['--describe', '--entity-type', 'topics', '--entity-name', 't']
      const broker = ['--describe', '--all', '--entity-type', 'brokers', '--entity-name', '0']
      const id = ['cluster-id', '--bootstrap-server', served.address]
      const [own, all, cluster] = await Promise.all([
        tools.configs(topic),
        tools.configs(broker),
        tools.run('org.apache.kafka.tools.ClusterTool', id),
      ])
      assert.match(printed(own).join('\n'), 'retention.ms=60000')
      assert.match(printed(all).join('\n'), 'producer.id.expiration.ms=86400000')
      assert.match(printed(cluster).join('\n'), served.log.lineage)
    }),
  LIMIT,
)

test.run()
