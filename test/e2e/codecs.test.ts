// Batches of each codec that is written here: a real Kafka takes them, and the Java client and
// librdkafka read back every record.

import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Admin } from '../../agent/kafka/client/admin.ts'
import { Cluster } from '../../agent/kafka/client/cluster.ts'
import { Producer } from '../../agent/kafka/client/producer.ts'
import {
  CODEC_GZIP,
  CODEC_LZ4,
  CODEC_NONE,
  CODEC_ZSTD,
  codecName,
} from '../../agent/record/compression.ts'
import { run } from '../conformance/served-log.ts'
import { codecs } from '../support/batches.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { requirePeer } from '../support/peers.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { suite } from '../support/suite.ts'

const test = suite('codecs against Kafka')
const WRITTEN = [CODEC_NONE, CODEC_GZIP, CODEC_LZ4, CODEC_ZSTD] as const
/** Records of a batch; the last are large, so that a batch has several blocks. */
const BATCHES = [1, 2, 7, 40, 300, 1500, 2]
const LARGE = 150_000

/** One line each: readings, and text that no codec makes smaller. */
function valuesOf(seed: number): string[][] {
  const random = new SeededRandom(seed)
  const noise = (length: number) =>
    Array.from({ length }, () => String.fromCharCode(33 + random.below(90))).join('')
  return BATCHES.map((count, batch) =>
    Array.from({ length: count }, (_, index) => {
      if (batch === BATCHES.length - 1) return index === 0 ? noise(LARGE) : 'ab'.repeat(LARGE / 2)
      const reading = `{"device":"th-${random.below(64)}","seq":${index},"t":${random.below(3000) / 100}}`
      return random.chance(0.05) ? noise(1 + random.below(300)) : reading
    }),
  )
}

async function produce(bootstrapServers: string, codec: (typeof WRITTEN)[number]): Promise<string> {
  const topic = codecName(codec)
  const client = { clientId: 'codecs', clock: systemClock, logger: silentLogger }
  const cluster = new Cluster({ bootstrapServers: [bootstrapServers], ...client })
  try {
    await new Admin(cluster).createTopic(topic, { partitions: 1, replicationFactor: 1 })
    const options = { cluster, codecs, codec, clock: systemClock, batchBytes: 1 << 20 }
    const producer = await Producer.open(options)
    for (const values of valuesOf(codec)) {
      const records = values.map((value) => ({ key: null, value: Buffer.from(value) }))
      await producer.send(topic, records)
    }
  } finally {
    cluster.close()
  }
  return valuesOf(codec)
    .flat()
    .map((value) => `${value}\n`)
    .join('')
}

test(
  'the Java client and librdkafka read what a broker took of each codec',
  async () => {
    const kafka = await KafkaCluster.create()
    if (kafka === undefined) return
    try {
      await kafka.start()
      const kcat = requirePeer('kcat')
      for (const codec of WRITTEN) {
        const name = codecName(codec)
        const expected = await produce(kafka.bootstrapServers, codec)
        const count = String(BATCHES.reduce((sum, records) => sum + records, 0))
        const where = ['--topic', name, '--from-beginning', '--max-messages', count]
        const java = await kafka.consoleConsumer([...where, '--timeout-ms', '20000'])
        assert.is(java.stdout === expected, true, `Java, ${name}: ${java.stderr}`)
        if (kcat === undefined) continue
        const args = ['-b', kafka.bootstrapServers, '-C', '-t', name, '-e', '-q']
        const librdkafka = await run(kcat, [...args, '-X', 'check.crcs=true'])
        assert.is(librdkafka.stdout === expected, true, `kcat, ${name}: ${librdkafka.stderr}`)
      }
    } finally {
      await kafka.remove()
    }
  },
  { timeoutMs: 120_000 },
)

test.run()
