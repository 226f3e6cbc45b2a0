// Ends of the process, wanted and not: what was acked is there afterwards, once, and the store is whole.

import * as assert from 'uvu/assert'
import { AgentProcess } from '../support/agent-process.ts'
import { waitUntil } from '../support/ports.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SteadyClient } from '../support/steady-client.ts'
import { suite } from '../support/suite.ts'

const test = suite('stopping')
const CONFIG = { gateway: 'g', topicDefaults: { partitions: 1 } }

async function verified(agent: AgentProcess): Promise<void> {
  const { code, stdout, stderr } = await agent.command(['verify', agent.dataDir])
  assert.is(code, 0, stdout + stderr)
}

/** `client:number` of every record, in the order of the log. */
async function stored(agent: AgentProcess): Promise<string[]> {
  const args = ['consume', 'g.mqtt', '-b', agent.kafkaAddress, '-e']
  const { stdout, stderr, code } = await agent.command(args)
  assert.is(code, 0, stderr)
  return stdout.trim().split('\n')
}

/** Publishers that keep `window` messages out until the agent ends their connections. */
async function load(agent: AgentProcess, clients: number, window: number) {
  const publishers = await Promise.all(
    Array.from({ length: clients }, (_, index) => {
      const payload = (number: number) => Buffer.from(`c${index}:${number}`)
      const clientId = `c${index}`
      return SteadyClient.connect(agent.mqttPort, { clientId, topic: 'load', payload })
    }),
  )
  const timer = setInterval(() => {
    for (const client of publishers) {
      while (!client.isClosed && client.sent - client.collect() < window) client.send()
    }
  }, 2)
  return {
    publishers,
    acked: () => publishers.reduce((sum, client) => sum + client.acked.length, 0),
    async over() {
      await Promise.all(publishers.map(({ peer }) => peer.closed))
      clearInterval(timer)
      for (const client of publishers) client.collect()
    },
  }
}

test('SIGTERM under load ends in 0, and everything acked is there, in order', async () => {
  const agent = await AgentProcess.create(CONFIG)
  await agent.start()
  const running = await load(agent, 10, 50)
  await waitUntil('the load runs', 10_000, () => running.acked() > 3_000)
  assert.is(await agent.stop(), 0)
  await running.over()
  assert.match(agent.launchLog, /stopped\n$/)
  await verified(agent)
  await agent.start()
  const found = await stored(agent)
  for (const [index, { acked, sent }] of running.publishers.entries()) {
    const own = found.filter((value) => value.startsWith(`c${index}:`))
    // In order, none missing, none twice; what was stored and not acked may follow.
    assert.equal(
      own,
      Array.from(own, (_, number) => `c${index}:${number}`),
    )
    assert.ok(own.length >= acked.length && own.length <= sent, `${own.length} of ${acked.length}`)
  }
  await agent.remove()
})

test('a second SIGTERM changes nothing, a second SIGINT ends at once', async () => {
  const agent = await AgentProcess.create(CONFIG)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    await agent.start()
    const running = await load(agent, 4, 50)
    await waitUntil('the load runs', 10_000, () => running.acked() > 200)
    agent.signal(signal)
    await waitUntil('it stops', 5_000, () => agent.launchLog.includes('stopping'), 1)
    agent.signal(signal)
    const code = await agent.ended()
    assert.ok(code === 0 || (signal === 'SIGINT' && code === 130), `${signal}: ${code}`)
    await running.over()
    await verified(agent)
  }
  await agent.remove()
})

test('SIGTERM during the start is a clean end, too', async () => {
  const agent = await AgentProcess.create(CONFIG)
  for (const waitMs of [150, 250, 350]) {
    agent.spawn()
    await new Promise((resolve) => setTimeout(resolve, waitMs))
    const code = await agent.stop()
    // Before any of our code runs, a signal ends Node by itself.
    assert.ok(code === 0 || (code === null && agent.launchLog === ''), `${code} after ${waitMs} ms`)
  }
  await agent.start()
  await agent.remove()
})

test(
  'kill -9 at any moment of the start leaves a store that starts',
  async () => {
    const agent = await AgentProcess.create(CONFIG)
    await agent.start()
    const client = await SteadyClient.connect(agent.mqttPort, {
      clientId: 'c0',
      topic: 'a',
      payload: (number) => Buffer.from(`c0:${number}`),
    })
    for (let count = 0; count < 50; count++) await client.publish()
    await agent.kill()
    const random = new SeededRandom(20)
    for (let round = 0; round < 20; round++) {
      agent.spawn()
      await new Promise((resolve) => setTimeout(resolve, 60 + random.below(300)))
      await agent.kill()
      if (round % 5 === 4) await verified(agent)
    }
    await agent.start()
    assert.equal(
      await stored(agent),
      client.acked.map((number) => `c0:${number}`),
    )
    assert.is(await agent.stop(), 0)
    await verified(agent)
    await agent.remove()
  },
  { timeoutMs: 40_000 },
)

test.run()
