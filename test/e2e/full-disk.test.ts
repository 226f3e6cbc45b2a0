// A disk with no room: nothing more is acked, nothing acked is lost, the agent says why, and goes on
// by itself when there is room.

import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { publish, TYPE } from '../support/mqtt-peer.ts'
import { waitUntil } from '../support/ports.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { peerOn, SteadyClient } from '../support/steady-client.ts'
import { suite } from '../support/suite.ts'

const test = suite('full disk')
const MIB = 1024 * 1024

const BASE = {
  gateway: 'g',
  topicDefaults: { partitions: 1, compression: 'none' },
  routes: [{ mqttTopic: 'a/#', topic: 'a' }],
}
/** 64 KiB that no compression makes smaller matters not: compression is off. */
const payload = (number: number) => Buffer.alloc(65_536, `${number} `)

/** A file that takes every byte that is left. */
function occupy(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (const block = Buffer.alloc(65_536); ; ) writeSync(file, block)
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC')
  } finally {
    closeSync(file)
  }
}

async function readiness(agent: AgentProcess): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${agent.adminPort}/readyz`)
  return { status: response.status, body: await response.text() }
}

/** Publishes until the agent says that the disk is full and acks stay out. */
async function fill(agent: AgentProcess, client: SteadyClient): Promise<void> {
  await waitUntil('acks stay out', 15_000, async () => {
    while (client.sent - client.collect() < 8) client.send()
    return (await readiness(agent)).status === 503
  })
}

async function settled(client: SteadyClient): Promise<number> {
  let before = -1
  await waitUntil(
    'no more acks come',
    5_000,
    () => {
      const isSame = before === client.collect()
      before = client.acked.length
      return isSame
    },
    300,
  )
  return before
}

/** Values of topic g.a, as numbers. */
async function stored(agent: AgentProcess): Promise<number[]> {
  const args = ['consume', 'g.a', '-b', agent.kafkaAddress, '-e']
  const { stdout, stderr, code } = await agent.command(args)
  assert.is(code, 0, stderr)
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [Number.parseInt(line, 10)]))
}

function holdsAll(numbers: number[], acked: readonly number[]): void {
  const found = new Set(numbers)
  assert.equal(
    acked.filter((number) => !found.has(number)),
    [],
    'acked and not there',
  )
}

test(
  'a budget that is used up holds acks back, says so, and a larger one lets them go',
  async () => {
    const agent = await AgentProcess.create({
      ...BASE,
      storage: { diskBudget: '64MiB', keepFree: '1MiB' },
    })
    await agent.start()
    const client = await SteadyClient.connect(agent.mqttPort, {
      clientId: 'c',
      topic: 'a/b',
      payload,
    })
    await fill(agent, client)
    const { body } = await readiness(agent)
    assert.match(body, /^disk full: \d+ of storage\.diskBudget 67108864 bytes used; raise it, /)
    const acked = await settled(client)
    assert.ok(acked < client.sent)
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
    // Full it starts, too: what it holds can be read, and sent upstream.
    agent.spawn()
    await waitUntil('it runs', 10_000, () => /ready as g/.test(agent.launchLog))
    assert.is((await readiness(agent)).status, 503)
    holdsAll(await stored(agent), client.acked)
    assert.is(await agent.stop(), 0)
    agent.configure({ ...BASE, storage: { diskBudget: '128MiB', keepFree: '1MiB' } })
    await agent.start()
    const later = await SteadyClient.connect(agent.mqttPort, {
      clientId: 'd',
      topic: 'a/c',
      payload,
    })
    await later.publish()
    await agent.stop()
    const verify = await agent.command(['verify', agent.dataDir])
    assert.is(verify.code, 0, verify.stdout + verify.stderr)
    await agent.remove()
  },
  { timeoutMs: 60_000 },
)

test(
  'what others put on the disk counts, and goes on by itself when they take it away',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tributary-disk-'))
    const disk = await SmallDisk.mount(folder, { size: '64m' })
    if (disk === undefined) {
      console.log('skipped: a full file system (needs unshare and the right to mount)')
      rmSync(folder, { recursive: true })
      return
    }
    mkdirSync(disk.path('data'))
    const storage = { diskBudget: '100%', keepFree: '4MiB' }
    const agent = await AgentProcess.create(
      { ...BASE, dataDir: join(folder, 'data'), storage },
      { launcher: disk.launcher },
    )
    await agent.start()
    const client = await SteadyClient.connect(agent.mqttPort, {
      clientId: 'c',
      topic: 'a/b',
      payload,
    })
    for (let count = 0; count < 10; count++) await client.publish()
    // Everything but what the agent already has: not even a byte is left.
    occupy(disk.path('others'))
    await waitUntil('it says so', 5_000, async () => (await readiness(agent)).status === 503)
    assert.match(
      (await readiness(agent)).body,
      /disk full: 0 bytes free, storage\.keepFree is 4194304/,
    )
    client.send()
    await waitUntil(
      'nothing is acked',
      2_000,
      async () => (await agent.status()).mqtt.clients === 1,
    )
    assert.is(await settled(client), 10)
    rmSync(disk.path('others'))
    await waitUntil('the ack comes', 5_000, () => client.collect() === 11)
    assert.is((await readiness(agent)).status, 200)
    // Full again: a stop is clean, and a start is one sentence or works.
    occupy(disk.path('others'))
    await waitUntil('it says so', 5_000, async () => (await readiness(agent)).status === 503)
    // Not everything could be written down nicely, and it says so; the journal has it.
    assert.ok([0, 1].includes((await agent.stop())!), agent.launchLog)
    agent.spawn()
    const outcome = await Promise.race([
      agent.ended(),
      waitUntil('it runs', 10_000, () => /ready as g/.test(agent.launchLog)).then(() => 'ready'),
    ])
    if (outcome !== 'ready') {
      assert.is(outcome, 1)
      assert.match(agent.launchLog, /^dataDir \S+ cannot be written \(ENOSPC\): .*\n$/)
    } else assert.ok([0, 1].includes((await agent.stop())!), agent.launchLog)
    rmSync(disk.path('others'))
    await agent.start()
    assert.equal(await stored(agent), client.acked)
    assert.is(await agent.stop(), 0)
    const verify = await agent.command(['verify', join(folder, 'data')])
    assert.is(verify.code, 0, verify.stdout + verify.stderr)
    disk.unmount()
    await agent.remove()
    rmSync(folder, { recursive: true })
  },
  { timeoutMs: 60_000 },
)

test.run()
