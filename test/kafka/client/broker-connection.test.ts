import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import * as assert from 'uvu/assert'
import { AgentError } from '../../../agent/base/errors.ts'
import {
  BrokerConnection,
  type BrokerConnectionOptions,
} from '../../../agent/kafka/client/broker-connection.ts'
import { encodeResponse } from '../../../agent/kafka/protocol/frame.ts'
import * as heartbeat from '../../../agent/kafka/protocol/messages/12-heartbeat.ts'
import * as apiVersions from '../../../agent/kafka/protocol/messages/18-api-versions.ts'
import { freePorts } from '../../support/ports.ts'
import { suite } from '../../support/suite.ts'
import { FakeBroker } from './fake-broker.ts'
import { faultOf } from './fault-of.ts'
import { ManualClock } from './manual-clock.ts'

const test = suite('kafka broker connection')

const beat = { groupId: 'g', generationId: 1, memberId: 'm' }

async function withBroker(
  run: (
    broker: FakeBroker,
    open: (options?: Partial<BrokerConnectionOptions>) => Promise<BrokerConnection>,
    clock: ManualClock,
  ) => Promise<void>,
): Promise<void> {
  const broker = await FakeBroker.start()
  const clock = new ManualClock()
  const opened: BrokerConnection[] = []
  const open = async (options: Partial<BrokerConnectionOptions> = {}) => {
    const connection = await BrokerConnection.open({
      host: '127.0.0.1',
      port: broker.port,
      clientId: 'test',
      clock,
      ...options,
    })
    opened.push(connection)
    return connection
  }
  try {
    await run(broker, open, clock)
  } finally {
    for (const connection of opened) connection.close()
    await broker.stop()
  }
}

test('the highest version that both sides speak is used', async () => {
  await withBroker(async (broker, open) => {
    broker.on(heartbeat, (_, { version }) => ({ errorCode: version }), [1, 2])
    const connection = await open()
    assert.is((await connection.send(heartbeat, beat)).errorCode, 2)
    assert.is((await connection.send(heartbeat, beat, { version: 1 })).errorCode, 1)
    assert.is(connection.versionOf(heartbeat, 1), 1)
    const fault = await faultOf(connection.send({ ...heartbeat, versions: [3, 4] }, beat))
    assert.is(fault.code, 'UPSTREAM_REFUSED')
    assert.match(fault.message, `${broker.address} speaks Heartbeat v1-2, this side v3-4`)
  })
})

test('a broker that does not know ApiVersions v3 is asked again in what it knows', async () => {
  for (const [apiKeys, expected] of [
    [[{ apiKey: 18, minVersion: 0, maxVersion: 2 }], 2],
    [[], 0],
  ] as const) {
    await withBroker(async (broker, open) => {
      const seen: number[] = []
      broker.on(apiVersions, (_, { version, socket, correlationId }) => {
        seen.push(version)
        if (version <= 2) return { errorCode: 0, apiKeys: broker.ranges() }
        const answer = encodeResponse(apiVersions, 0, correlationId, { errorCode: 35, apiKeys })
        socket.write(Buffer.concat(answer))
        return undefined
      })
      const connection = await open()
      assert.equal(seen, [3, expected])
      assert.is(connection.versionOf(apiVersions), 4)
    })
  }
})

test('requests are pipelined, and answers find their request in any order', async () => {
  await withBroker(async (broker, open) => {
    const held: (() => void)[] = []
    broker.on(heartbeat, async ({ generationId }) => {
      await new Promise<void>((resolve) => held.push(resolve))
      return { errorCode: generationId }
    })
    const connection = await open()
    const answers = [1, 2, 3].map((generationId) =>
      connection.send(heartbeat, { ...beat, generationId }),
    )
    while (held.length < 3) await new Promise((resolve) => setImmediate(resolve))
    assert.is(connection.inFlight, 3)
    for (const release of held.reverse()) release()
    assert.equal(
      (await Promise.all(answers)).map(({ errorCode }) => errorCode),
      [1, 2, 3],
    )
    assert.is(connection.inFlight, 0)
  })
})

test('answers may come byte by byte, or many in one piece', async () => {
  await withBroker(async (broker, open) => {
    broker.on(heartbeat, ({ generationId }) => ({ errorCode: generationId }))
    broker.send = (socket, frame) => {
      for (const byte of frame) socket.write(Buffer.from([byte]))
    }
    const connection = await open()
    assert.is((await connection.send(heartbeat, { ...beat, generationId: 7 })).errorCode, 7)
    const pieces: Buffer[] = []
    broker.send = (socket, frame) => {
      pieces.push(frame)
      if (pieces.length === 3) socket.write(Buffer.concat(pieces))
    }
    const answers = await Promise.all([1, 2, 3].map(() => connection.send(heartbeat, beat)))
    assert.equal(
      answers.map(({ errorCode }) => errorCode),
      [1, 1, 1],
    )
  })
})

test('a request without an answer in time ends the connection and everything on it', async () => {
  await withBroker(async (broker, open, clock) => {
    let closed: AgentError | undefined
    broker.on(heartbeat, () => undefined)
    const connection = await open({ onClose: (fault) => (closed = fault) })
    const late = faultOf(connection.send(heartbeat, beat, { timeoutMs: 100 }))
    const other = faultOf(connection.send(heartbeat, beat, { timeoutMs: 10_000 }))
    clock.advance(99)
    assert.ok(connection.isOpen)
    clock.advance(1)
    assert.not.ok(connection.isOpen)
    for (const fault of [await late, await other]) {
      assert.is(fault.code, 'UPSTREAM_UNREACHABLE')
      assert.ok(fault.retriable)
      assert.match(fault.message, `${broker.address} has not answered Heartbeat within 100 ms`)
    }
    assert.match(closed?.message ?? '', 'within 100 ms')
    assert.is(clock.timersCount, 0)
    assert.is((await faultOf(connection.send(heartbeat, beat))).code, 'UPSTREAM_UNREACHABLE')
  })
})

test('closing rejects what is in flight, from either side', async () => {
  await withBroker(async (broker, open) => {
    broker.on(heartbeat, (_, { socket }) => {
      socket.destroy()
      return undefined
    })
    const connection = await open()
    const faults = await Promise.all([
      faultOf(connection.send(heartbeat, beat)),
      faultOf(connection.send(heartbeat, beat)),
    ])
    for (const { code, message } of faults) {
      assert.is(code, 'UPSTREAM_UNREACHABLE')
      assert.match(message, 'closed the connection at the first request: does it want SASL?')
    }
    broker.on(heartbeat, () => undefined)
    const again = await open()
    const pending = faultOf(again.send(heartbeat, beat))
    again.close()
    assert.match((await pending).message, 'was disconnected from this side')
  })
})

test('more requests in flight than allowed are refused at once', async () => {
  await withBroker(async (broker, open) => {
    broker.on(heartbeat, () => undefined)
    const connection = await open({ inFlightMax: 2 })
    const pending = [1, 2].map(() => faultOf(connection.send(heartbeat, beat)))
    const fault = await faultOf(connection.send(heartbeat, beat))
    assert.is(fault.code, 'UPSTREAM_RETRY')
    assert.is(connection.inFlight, 2)
    connection.close()
    await Promise.all(pending)
  })
})

test('an answer that nobody asked for, or is malformed, or too large, ends the connection', async () => {
  const answers: [name: string, reply: (correlationId: number) => string, text: string][] = [
    [
      'unasked',
      () => '00000008' + '7fffffff' + '00000000',
      'answered 2147483647, which nobody asked',
    ],
    [
      'malformed',
      (id) => `00000005${id.toString(16).padStart(8, '0')}00`,
      'malformed Heartbeat answer',
    ],
    ['too large', () => '7fffffff', "does not speak Kafka's protocol"],
    ['too small', () => '00000001', "does not speak Kafka's protocol"],
    ['a TLS alert', () => '15030300020250', 'wants TLS: set the security protocol'],
  ]
  for (const [, reply, text] of answers) {
    await withBroker(async (broker, open) => {
      broker.on(heartbeat, (_, { correlationId, socket }) => {
        socket.write(Buffer.from(reply(correlationId), 'hex'))
        return undefined
      })
      const connection = await open()
      const fault = await faultOf(connection.send(heartbeat, beat))
      assert.is(fault.code, 'UPSTREAM_UNREACHABLE')
      assert.ok(fault.message.includes(text), fault.message)
      assert.not.ok(connection.isOpen)
    })
  }
})

test('a closed port, a silent host and a peer that is no broker each say what to do', async () => {
  const clock = new ManualClock()
  const [closedPort] = await freePorts(1)
  const options = { host: '127.0.0.1', clientId: 'test', clock }
  const refused = await faultOf(BrokerConnection.open({ ...options, port: closedPort! }))
  assert.is(refused.code, 'UPSTREAM_UNREACHABLE')
  assert.match(refused.message, 'refused the connection: does Kafka run there')

  const server = createServer((socket: Socket) =>
    socket.on('data', () => socket.write('HTTP/1.1 400')),
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address() as { port: number }
  const wrong = await faultOf(BrokerConnection.open({ ...options, port: address.port }))
  assert.match(wrong.message, "does not speak Kafka's protocol")
  server.close()
})

test('a peer that accepts and says nothing is given up after the request timeout', async () => {
  await withBroker(async (broker, open, clock) => {
    broker.on(apiVersions, () => undefined)
    const opening = faultOf(open({ requestTimeoutMs: 500 }))
    while (broker.countOf(18) === 0) await new Promise((resolve) => setImmediate(resolve))
    clock.advance(500)
    assert.match((await opening).message, 'has not answered ApiVersions within 500 ms')
  })
})

test('a failed authenticate hook closes the connection', async () => {
  await withBroker(async (broker, open) => {
    const refusal = new AgentError('UPSTREAM_REFUSED', 'no')
    const opening = open({ authenticate: () => Promise.reject(refusal) })
    assert.is(await faultOf(opening), refusal)
    while (broker.sockets.size > 0) await new Promise((resolve) => setImmediate(resolve))
  })
})

test.run()
