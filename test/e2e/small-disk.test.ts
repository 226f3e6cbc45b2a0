// A disk that fills up under load, with both policies: `block` holds acks back and loses nothing,
// `dropOldest` goes on and says exactly what it gave up. With nothing free the agent stops, starts and
// is read as ever; with room again it goes on by itself.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { GapTracker } from '../../agent/log/gap-tracker.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { publish, TYPE } from '../support/mqtt-peer.ts'
import { waitUntil } from '../support/ports.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { peerOn, SteadyClient } from '../support/steady-client.ts'
import { suite } from '../support/suite.ts'
import { Crowd } from '../torture/crowd.ts'
import { KeptRecords } from '../torture/kept-records.ts'
import { MirrorCheck } from '../torture/mirror-check.ts'
import { occupy } from '../torture/strikes.ts'
import { TopicReader } from '../torture/topic-reader.ts'

const test = suite('small disk')
const MIB = 1024 * 1024

const BASE = {
  gateway: 'g',
  topicDefaults: { partitions: 1, compression: 'none' },
  routes: [{ mqttTopic: 'a/#', topic: 'a' }],
}
const payload = (number: number) => Buffer.alloc(65_536, `${number} `)

async function verified(agent: AgentProcess, dataDir: string): Promise<void> {
  const { code, stdout, stderr } = await agent.command(['verify', dataDir])
  assert.is(code, 0, stdout + stderr)
}

/** Runs with a disk of 64 MB of its own; says so where that is not allowed. */
async function onSmallDisk(
  run: (disk: SmallDisk, folder: string, dataDir: string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tributary-disk-'))
  const disk = await SmallDisk.mount(folder, { size: '64m' })
  if (disk === undefined) {
    console.log('skipped: a full file system (needs unshare and the right to mount)')
    rmSync(folder, { recursive: true })
    return
  }
  try {
    mkdirSync(disk.path('data'))
    await run(disk, folder, join(folder, 'data'))
  } finally {
    disk.unmount()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function settled(count: () => number): Promise<number> {
  let before = -1
  const isSame = () => before === (before = count())
  await waitUntil('no more acks come', 5_000, isSame, 300)
  return before
}

test(
  'block: a budget that is used up holds acks back, says so, and a larger one lets them go',
  async () => {
    const storage = { diskBudget: '64MiB', keepFree: '1MiB' }
    const agent = await AgentProcess.create({ ...BASE, storage })
    await agent.start()
    const options = { clientId: 'c', topic: 'a/b', payload }
    const client = await SteadyClient.connect(agent.mqttPort, options)
    await waitUntil('acks stay out', 15_000, async () => {
      while (client.sent - client.collect() < 8) client.send()
      return !(await agent.isReady())
    })
    assert.match((await agent.readiness()).body, /disk full: .*storage\.diskBudget/)
    assert.ok((await settled(() => client.collect())) < client.sent)
    const used = (await agent.status()).disk.bytes
    assert.ok(used < 72 * MIB, `${used} bytes in a budget of 64 MiB`)
    // QoS 0 is dropped and counted, and its client is neither stuck nor cut off.
    const flood = peerOn(agent.mqttPort)
    await flood.connect({ clientId: 'zero' })
    for (let count = 0; count < 50; count++) flood.send(publish('a/zero', payload(0)))
    flood.send(Buffer.of(0xc0, 0))
    await flood.expect(TYPE.pingresp)
    const dropped = () => agent.metric('tributary_mqtt_dropped_messages_total')
    await waitUntil('QoS 0 is counted', 5_000, async () => (await dropped()) === 50)
    assert.is(await agent.stop(), 0)
    // Full it starts, too: what it holds can be read.
    await agent.launch()
    assert.is(await agent.isReady(), false)
    const reader = new TopicReader(agent.kafkaAddress)
    const values = await reader.read('g.a', 0, 0)
    reader.close()
    const found = new Set(values.map(({ value }) => Number.parseInt(String(value), 10)))
    assert.equal(
      client.acked.filter((number) => !found.has(number)),
      [],
      'acked and not there',
    )
    assert.is(await agent.stop(), 0)
    agent.configure({ ...BASE, storage: { ...storage, diskBudget: '128MiB' } })
    await agent.start()
    const later = await SteadyClient.connect(agent.mqttPort, { ...options, clientId: 'd' })
    await later.publish()
    assert.is(await agent.stop(), 0)
    await verified(agent, agent.dataDir)
    await agent.remove()
  },
  { timeoutMs: 60_000 },
)

test(
  'block: a full disk loses nothing acked, lets the agent stop and start, and goes on when it grows',
  () =>
    onSmallDisk(async (disk, folder, dataDir) => {
      const storage = { diskBudget: '100%', keepFree: '4MiB', segmentBytes: '1MiB' }
      const agent = await AgentProcess.create(
        { ...BASE, dataDir, storage, topicDefaults: { partitions: 2, compression: 'none' } },
        { launcher: disk.launcher },
      )
      const { mqttPort: port, kafkaAddress } = agent
      const size = { each: 4, window: 20, paddingMax: 16_000 }
      const crowd = new Crowd({ port, prefix: 'a', seed: 3, ...size })
      const kept = new KeptRecords(kafkaAddress, 'g.a', 2, crowd)
      await agent.start()
      crowd.start()
      crowd.surge()
      await waitUntil('the disk is full', 20_000, async () => !(await agent.isReady()))
      assert.match((await agent.readiness()).body, /disk full/)
      await settled(() => crowd.acked)
      // Others take what was kept free: not a byte is left.
      occupy(disk.path('others'))
      assert.is(await agent.stop(), 0, agent.launchLog)
      await verified(agent, dataDir)
      await agent.launch()
      occupy(disk.path('others-2'))
      await agent.kill()
      await verified(agent, dataDir)
      await agent.launch()
      assert.is(await agent.isReady(), false)
      await kept.readOn()
      assert.is(await agent.stop(), 0, agent.launchLog)
      await agent.launch()
      await disk.run('mount', '-o', 'remount,size=160m', folder)
      await waitUntil('it goes on by itself', 10_000, () => agent.isReady())
      await crowd.quiet(20_000)
      await kept.readOn()
      await kept.compareFromStart()
      kept.ledger.close()
      assert.equal([...crowd.takeFaults(), ...kept.takeFaults()], [])
      assert.ok(kept.ledger.records > 1000, `${kept.ledger.records} records`)
      crowd.close()
      kept.close()
      assert.is(await agent.stop(), 0)
      await verified(agent, dataDir)
      await agent.remove()
    }),
  { timeoutMs: 90_000 },
)

/** 100 MB on a disk of 64 MB, half of it before a kill -9. */
const MESSAGES = 1600

/** Publishes so many messages, numbered from `first` on, and gets all their acks. */
async function publishAll(agent: AgentProcess, first: number, count: number): Promise<void> {
  const client = await SteadyClient.connect(agent.mqttPort, {
    ...{ clientId: `from-${first}`, topic: 'a/b' },
    payload: (number) => payload(first + number),
  })
  await waitUntil(`${count} are acked`, 60_000, () => {
    while (client.sent < count && client.sent - client.collect() < 20) client.send()
    return client.collect() === count
  })
  client.close()
}

/** Every offset holds the record of its number, or says that it was given up: how many do. */
async function givenUp(address: string): Promise<number> {
  const reader = new TopicReader(address)
  const records = await reader.read('g.a', 0, 0)
  reader.close()
  assert.is(records.length, MESSAGES)
  const gaps = new GapTracker()
  const isGivenUp = records.map((record) => gaps.take(record) === 'dropped')
  for (const [offset, { value }] of records.entries()) {
    if (!isGivenUp[offset]) assert.is(Number.parseInt(String(value), 10), offset)
  }
  return isGivenUp.filter(Boolean).length
}

test(
  'dropOldest: acks go on, what is given up is counted to the record, both sides go on across it',
  () =>
    onSmallDisk(async (disk, _folder, dataDir) => {
      const kafka = await KafkaCluster.create()
      if (kafka === undefined) return
      const agent = await AgentProcess.create(
        {
          ...BASE,
          dataDir,
          storage: { diskBudget: '100%', keepFree: '4MiB', segmentBytes: '1MiB' },
          topicDefaults: { ...BASE.topicDefaults, whenFull: 'dropOldest' },
          upstream: { bootstrapServers: [kafka.bootstrapServers], linger: '20ms' },
        },
        { launcher: disk.launcher },
      )
      const [node] = kafka.nodes
      const mirror = new MirrorCheck(agent.kafkaAddress, kafka.bootstrapServers)
      try {
        await Promise.all([kafka.start(), agent.start()])
        await publishAll(agent, 0, 50)
        await agent.replicated(20_000)
        // Kafka takes what is on its way, and answers nothing.
        node!.signal('SIGSTOP')
        await publishAll(agent, 50, MESSAGES / 2 - 50)
        const lostBefore = await agent.metric('tributary_records_lost_total')
        assert.ok(lostBefore > 100, `${lostBefore} given up`)
        await agent.kill()
        await verified(agent, dataDir)
        await agent.start()
        assert.ok((await agent.metric('tributary_records_lost_total')) >= lostBefore)
        await publishAll(agent, MESSAGES / 2, MESSAGES / 2)
        node!.signal('SIGCONT')
        await mirror.compare(await agent.replicated(60_000), () => {})
        assert.equal(mirror.faults, [])
        const lost = await agent.metric('tributary_records_lost_total')
        assert.ok(lost > 500, `${lost} given up`)
        assert.is(await givenUp(kafka.bootstrapServers), lost)
        assert.is(await agent.stop(), 0, agent.launchLog)
        await verified(agent, dataDir)
      } finally {
        node!.signal('SIGCONT')
        await Promise.all([agent.remove(), kafka.remove()])
      }
    }),
  { timeoutMs: 150_000 },
)

test.run()
