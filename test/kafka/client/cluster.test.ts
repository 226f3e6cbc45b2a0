import * as assert from 'uvu/assert'
import { AgentError } from '../../../agent/base/errors.ts'
import { silentLogger } from '../../../agent/base/telemetry.ts'
import { Cluster, type ClusterOptions } from '../../../agent/kafka/client/cluster.ts'
import { errorCode, type KafkaErrorName } from '../../../agent/kafka/protocol/error-codes.ts'
import * as metadata from '../../../agent/kafka/protocol/messages/03-metadata.ts'
import * as heartbeat from '../../../agent/kafka/protocol/messages/12-heartbeat.ts'
import { freePorts } from '../../support/ports.ts'
import { suite } from '../../support/suite.ts'
import { FakeBroker } from './fake-broker.ts'
import { faultOf } from './fault-of.ts'
import { ManualClock, runWith } from './manual-clock.ts'

const test = suite('kafka cluster')

const TOPIC_ID = '00000000-0000-0000-0000-000000000001'

/** Some fake brokers that agree on who leads what; brokers[0] has node id 1. */
class World {
  readonly clock = new ManualClock()
  brokers: FakeBroker[] = []
  /** topic → leader of each partition, or an error of the whole topic. */
  topics: Record<string, number[] | KafkaErrorName> = { t: [1, 2] }
  clusterId = 'c1'
  readonly #clusters: Cluster[] = []

  static async start(count = 2): Promise<World> {
    const world = new World()
    for (let index = 0; index < count; index++) {
      const broker = await FakeBroker.start()
      broker.on(metadata, ({ topics }) => world.#metadata(topics?.map(({ name }) => name ?? '')))
      broker.on(heartbeat, () => ({ errorCode: index + 1 }))
      world.brokers.push(broker)
    }
    return world
  }

  cluster(options: Partial<ClusterOptions> = {}): Cluster {
    const cluster = new Cluster({
      bootstrapServers: [this.brokers[0]!.address],
      clientId: 'test',
      clock: this.clock,
      logger: silentLogger,
      random: () => 0.5,
      ...options,
    })
    this.#clusters.push(cluster)
    return cluster
  }

  async stop(): Promise<void> {
    for (const cluster of this.#clusters) cluster.close()
    for (const broker of this.brokers) await broker.stop()
  }

  #metadata(names = Object.keys(this.topics)): Parameters<typeof metadata.response.encode>[1] {
    return {
      brokers: this.brokers.map(({ port }, index) => ({
        nodeId: index + 1,
        host: '127.0.0.1',
        port,
      })),
      clusterId: this.clusterId,
      controllerId: 2,
      topics: names.map((name) => {
        const leaders = this.topics[name] ?? 'UNKNOWN_TOPIC_OR_PARTITION'
        const isError = typeof leaders === 'string'
        return {
          errorCode: isError ? errorCode(leaders) : 0,
          name,
          topicId: TOPIC_ID,
          partitions: (isError ? [] : leaders).map((leaderId, partitionIndex) => ({
            errorCode: 0,
            partitionIndex,
            leaderId,
            leaderEpoch: 5,
            replicaNodes: [1, 2],
            isrNodes: [1, 2],
          })),
        }
      }),
    }
  }
}

async function inWorld(run: (world: World) => Promise<void>): Promise<void> {
  const world = await World.start()
  try {
    await run(world)
  } finally {
    await world.stop()
  }
}

const beat = { groupId: 'g', generationId: 1, memberId: 'm' }

test('requests go to the leader, over one connection per broker', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    assert.is(cluster.knownLeader('t', 0), undefined)
    assert.equal(await cluster.leaderOf('t', 1), { nodeId: 2, leaderEpoch: 5 })
    assert.equal(cluster.knownLeader('t', 0), { nodeId: 1, leaderEpoch: 5 })
    assert.is(cluster.clusterId, 'c1')
    const answers = await Promise.all(
      [0, 1, 0, 1].map((partition) => cluster.sendToLeader('t', partition, heartbeat, beat)),
    )
    assert.equal(
      answers.map(({ errorCode: node }) => node),
      [1, 2, 1, 2],
    )
    assert.is((await cluster.sendToController(heartbeat, beat)).errorCode, 2)
    assert.equal(
      world.brokers.map(({ connectionsCount }) => connectionsCount),
      [1, 1],
    )
  })
})

test('what the broker holds back does not hold up the rest', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    await cluster.leaderOf('t', 0)
    const waiting = await cluster.connectionTo(1, 'waiting')
    assert.is(await cluster.connectionTo(1, 'waiting'), waiting)
    assert.is.not(await cluster.connectionTo(1), waiting)
    assert.is(world.brokers[0]!.connectionsCount, 2)
  })
})

test('metadata is asked once for all who wait, and again when it is old or distrusted', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster({ metadataMaxAgeMs: 1000 })
    const asked = () => world.brokers.reduce((sum, broker) => sum + broker.countOf(3), 0)
    await Promise.all([0, 1, 0, 1].map((partition) => cluster.leaderOf('t', partition)))
    assert.is(asked(), 1)
    await cluster.leaderOf('t', 0)
    assert.is(asked(), 1)
    world.clock.advance(1000)
    await cluster.leaderOf('t', 0)
    assert.is(asked(), 2)
    world.topics.t = [2, 1]
    cluster.distrust('t', errorCode('MESSAGE_TOO_LARGE'))
    assert.is((await cluster.leaderOf('t', 0)).nodeId, 1)
    cluster.distrust('t', errorCode('NOT_LEADER_OR_FOLLOWER'))
    assert.is(cluster.knownLeader('t', 0), undefined)
    assert.is((await cluster.leaderOf('t', 0)).nodeId, 2)
    assert.is(asked(), 3)
  })
})

test('a partition without a leader is waited for, no longer than asked', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    world.topics.t = [-1]
    const fault = await runWith(world.clock, faultOf(cluster.leaderOf('t', 0, 1000)))
    assert.is(fault.code, 'UPSTREAM_RETRY')
    assert.match(fault.message, 't-0 has no leader')
    assert.ok(world.clock.monotonic() <= 1100)
    const waiting = cluster.leaderOf('t', 0)
    world.topics.t = [2]
    assert.is((await runWith(world.clock, waiting)).nodeId, 2)
  })
})

test('an error of the topic that may pass is waited out, another is told', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    world.topics.t = 'LEADER_NOT_AVAILABLE'
    const waiting = cluster.topic('t')
    setImmediate(() => (world.topics.t = [1]))
    assert.is((await runWith(world.clock, waiting))?.partitions.length, 1)
    world.topics.secret = 'TOPIC_AUTHORIZATION_FAILED'
    const fault = await faultOf(cluster.topic('secret'))
    assert.is(fault.code, 'UPSTREAM_REFUSED')
    assert.is(fault.details.kafkaError, 'TOPIC_AUTHORIZATION_FAILED')
  })
})

test('a topic or partition that does not exist is an answer, and asked for anew next time', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    assert.is(await cluster.topic('new'), undefined)
    const fault = await faultOf(cluster.leaderOf('new', 0))
    assert.is(fault.code, 'INPUT_TOPIC')
    assert.match((await faultOf(cluster.leaderOf('t', 9))).message, 'has 2 partitions')
    world.topics.new = [1]
    assert.is((await cluster.leaderOf('new', 0)).nodeId, 1)
  })
})

test('a broker that is down is passed over, and all of them down is one sentence', async () => {
  await inWorld(async (world) => {
    const [nobody] = await freePorts(1)
    const dead = `127.0.0.1:${nobody}`
    const cluster = world.cluster({ bootstrapServers: [dead, world.brokers[0]!.address] })
    assert.is((await cluster.leaderOf('t', 0)).nodeId, 1)
    const lost = world.cluster({ bootstrapServers: [dead], retryTimeoutMs: 500 })
    const fault = await runWith(world.clock, faultOf(lost.topic('t')))
    assert.is(fault.code, 'UPSTREAM_UNREACHABLE')
    assert.match(fault.message, `${dead} refused the connection`)
  })
})

test('a lost connection is made anew, and its loss makes the leaders doubtful', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    await cluster.sendToLeader('t', 1, heartbeat, beat)
    for (const socket of world.brokers[1]!.sockets) socket.destroy()
    const connection = await cluster.connectionTo(2)
    while (connection.isOpen) await new Promise((resolve) => setImmediate(resolve))
    assert.is((await cluster.sendToLeader('t', 1, heartbeat, beat)).errorCode, 2)
    assert.is(world.brokers[1]!.connectionsCount, 2)
    const gone = world.brokers.pop()!
    await gone.stop()
    world.topics.t = [1, 1]
    while ((await cluster.connectionTo(2).catch(() => undefined))?.isOpen) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.is(cluster.knownLeader('t', 1), undefined)
    assert.is((await cluster.sendToLeader('t', 1, heartbeat, beat)).errorCode, 1)
  })
})

test('closing ends waiting calls and refuses new ones', async () => {
  await inWorld(async (world) => {
    const cluster = world.cluster()
    await cluster.leaderOf('t', 0)
    world.brokers[0]!.on(heartbeat, () => undefined)
    const pending = faultOf(cluster.sendToLeader('t', 0, heartbeat, beat))
    while (world.brokers[0]!.countOf(12) === 0) await new Promise((r) => setImmediate(r))
    cluster.close()
    assert.is((await pending).code, 'UPSTREAM_UNREACHABLE')
    assert.is((await faultOf(cluster.topic('t'))).code, 'CLOSED')
  })
})

test('addresses are host and port, IPv6 in brackets', () => {
  const make = (bootstrapServers: string[]) =>
    new Cluster({ bootstrapServers, clientId: 'c', clock: new ManualClock(), logger: silentLogger })
  for (const good of ['kafka:9092', '10.0.0.1:1', '[::1]:65535']) make([good])
  for (const bad of ['kafka', 'kafka:0', 'kafka:70000', '::1:9092', 'http://kafka:9092', '']) {
    assert.throws(
      () => make([bad]),
      (error: AgentError) => error instanceof AgentError && error.code === 'INPUT_CONFIG',
      bad,
    )
  }
  assert.throws(() => make([]), 'there is no bootstrap server')
})

test.run()
