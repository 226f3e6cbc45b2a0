// The mirror topic: made, grown or checked; whatever is wrong is named with what to run.

import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { refusal } from './fake-mirror.ts'
import { type ReplicationRig, TOPIC } from './rig.ts'
import { rigTests } from './with-rig.ts'

const test = suite('replication/mirror')
const withRig = rigTests(test)

const SETTINGS = [
  'compression.type=producer',
  'message.timestamp.type=CreateTime',
  'cleanup.policy=delete',
  'message.timestamp.before.max.ms=9223372036854775807',
  'message.timestamp.after.max.ms=9223372036854775807',
  'unclean.leader.election.enable=false',
  'min.insync.replicas=2',
]

async function parked(rig: ReplicationRig): Promise<string> {
  await rig.until('it parks', () => rig.state() === 'parked')
  return rig.reason()
}

function createLine(rig: ReplicationRig, partitions: number): string {
  const configs = SETTINGS.map((setting) => ` --config ${setting}`).join('')
  const server = rig.mirror.addresses.join(',')
  return `kafka-topics.sh --bootstrap-server ${server} --create --topic ${TOPIC} --partitions ${partitions}${configs}`
}

withRig(
  'without createTopics the line that makes the topic is told',
  async (rig) => {
    rig.connect()
    assert.is(
      await parked(rig),
      `${TOPIC} does not exist upstream and upstream.createTopics is false → run: ${createLine(rig, 2)}`,
    )
    rig.mirror.create(TOPIC, 2)
    await rig.append('a', 10, { seal: true })
    rig.clock.advance(31_000)
    await rig.replicated()
  },
  { partitions: 2, replicator: { createTopics: false } },
)

withRig(
  'the replication factor stands in the line when it is configured',
  async (rig) => {
    rig.connect()
    assert.match(await parked(rig), '--partitions 1 --replication-factor 3 --config')
  },
  { replicator: { createTopics: false, replicationFactor: 3 } },
)

withRig('where it may not be made, the line is told', async (rig) => {
  rig.mirror.refusals.set(19, 'TOPIC_AUTHORIZATION_FAILED')
  rig.connect()
  assert.is(
    await parked(rig),
    `${TOPIC} does not exist upstream and cannot be made (TOPIC_AUTHORIZATION_FAILED) → run: ${createLine(rig, 1)}`,
  )
})

withRig(
  'batches larger than the default limit raise it on the mirror',
  async (rig) => {
    await rig.append('a', 1)
    rig.connect()
    await rig.replicated()
    assert.is(rig.mirror.created[0]?.configs['max.message.bytes'], '2000000')
  },
  { replicator: { batchBytesMax: 2_000_000 } },
)

for (const [setting, value, wanted] of [
  ['compression.type', 'zstd', 'producer'],
  ['message.timestamp.type', 'LogAppendTime', 'CreateTime'],
  ['cleanup.policy', 'compact', 'delete'],
] as const) {
  withRig(`${setting}=${value} is refused by name`, async (rig) => {
    rig.mirror.create(TOPIC, 1, { [setting]: value })
    await rig.append('a', 10, { seal: true })
    rig.connect()
    assert.is(
      await parked(rig),
      `${TOPIC} has ${setting}=${value} upstream, which changes records → run: kafka-configs.sh --alter --topic ${TOPIC} --add-config ${setting}=${wanted}`,
    )
    assert.is(rig.mirrorPartition().end, 0)
    rig.mirror.topics.get(TOPIC)!.configs.set(setting, wanted)
    rig.clock.advance(31_000)
    await rig.replicated()
  })
}

withRig('a limit below our batches is refused by name', async (rig) => {
  rig.mirror.create(TOPIC, 1, { 'max.message.bytes': '100000' })
  rig.connect()
  assert.match(await parked(rig), 'takes batches of 100000 bytes upstream, batches here have up to')
})

withRig('unclean elections are warned about', async (rig) => {
  rig.mirror.create(TOPIC, 1, { 'unclean.leader.election.enable': 'true' })
  await rig.append('a', 1)
  rig.connect()
  await rig.replicated()
  assert.match(rig.logged.join(''), 'may lose acked records upstream in an unclean election → run:')
})

withRig('a principal that may not see the settings goes on', async (rig) => {
  rig.mirror.create(TOPIC, 1)
  rig.mirror.refusals.set(32, 'TOPIC_AUTHORIZATION_FAILED')
  await rig.append('a', 10)
  rig.connect()
  await rig.replicated()
})

withRig('partitions added here are added there', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  await rig.replicated()
  await rig.during(rig.log.addPartitions(TOPIC, 3))
  await rig.append('b', 10, { partition: 2, seal: true })
  await rig.replicated(2)
  assert.is(rig.mirror.topics.get(TOPIC)!.partitions.length, 3)
  assert.equal(await rig.differences(2), [])
})

withRig('more partitions there than here is said', async (rig) => {
  rig.mirror.create(TOPIC, 4)
  rig.connect()
  assert.is(
    await parked(rig),
    `${TOPIC} has 4 partitions upstream and 1 here → topics.${TOPIC}.partitions: 4`,
  )
})

withRig(
  'fewer partitions there, not to be added, tells the line',
  async (rig) => {
    rig.mirror.create(TOPIC, 1)
    rig.connect()
    const server = rig.mirror.addresses.join(',')
    assert.is(
      await parked(rig),
      `${TOPIC} has 1 partitions upstream and 2 here → run: kafka-topics.sh --bootstrap-server ${server} --alter --topic ${TOPIC} --partitions 2`,
    )
  },
  { partitions: 2, replicator: { createTopics: false } },
)

withRig('a denied topic is parked with the right to grant', async (rig) => {
  rig.mirror.refusals.set(3, 'TOPIC_AUTHORIZATION_FAILED')
  rig.connect()
  assert.match(
    await parked(rig),
    `→ grant Describe, Read and Write on topic ${TOPIC} to this gateway's principal`,
  )
  rig.mirror.refusals.delete(3)
  await rig.append('a', 10, { seal: true })
  rig.clock.advance(31_000)
  await rig.replicated()
})

for (const [error, advice] of [
  ['MESSAGE_TOO_LARGE', 'max.message.bytes='],
  [
    'INVALID_TIMESTAMP',
    'message.timestamp.before.max.ms=9223372036854775807,message.timestamp.after',
  ],
  ['TOPIC_AUTHORIZATION_FAILED', 'grant Describe, Read and Write'],
  ['INVALID_RECORD', 'check the settings of the mirror topic'],
] as const) {
  withRig(
    `${error} parks that partition, and is tried again later`,
    async (rig) => {
      rig.mirror.create(TOPIC, 2)
      rig.mirrorPartition().faults.push(() => refusal(error))
      await rig.append('a', 10, { seal: true })
      await rig.append('b', 10, { partition: 1, seal: true })
      rig.connect()
      const reason = await parked(rig)
      assert.match(reason, `gw.sensors-0: the upstream refuses offset 0: ${error}`)
      assert.match(reason, advice)
      await rig.replicated(1)
      rig.clock.advance(31_000)
      await rig.replicated(0)
      assert.equal(await rig.differences(0), [])
    },
    { partitions: 2 },
  )
}

withRig('an upstream that is not there is waited for', async (rig) => {
  await rig.append('a', 10, { seal: true })
  rig.connect()
  assert.is(rig.replicator.status().state, 'connecting')
  await rig.replicated()
  await rig.until('it says so', () => rig.replicator.status().state === 'connected')
})

test.run()
