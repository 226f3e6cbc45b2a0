// The demo's parts: the link, the screen, and above all that the proof sees what is wrong.

import { connect, createServer, type Socket } from 'node:net'
import * as assert from 'uvu/assert'
import { freePorts } from '../../agent/cli/demo/free-ports.ts'
import { Link } from '../../agent/cli/demo/link.ts'
import { type Evidence, proofLine, prove } from '../../agent/cli/demo/proof.ts'
import { Screen } from '../../agent/cli/demo/screen.ts'
import { AckedLedger } from '../../firmware-sim/ledger.ts'
import { ServedLog } from '../conformance/served-log.ts'
import { suite } from '../support/suite.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { TestTerminal, tributary } from './test-terminal.ts'

const test = suite('cli demo')

test('a story too short to be told is a usage error', async () => {
  const { code, out, err } = await tributary(['demo', '--seconds', '11'])
  assert.equal([code, out], [2, ''])
  assert.match(err, '--seconds: "11" is no whole number (12 to 3600)')
})

test('free ports are different and lie below those of outgoing connections', async () => {
  const ports = await freePorts(20)
  assert.is(new Set(ports).size, 20)
  assert.ok(ports.every((port) => port >= 15_000 && port < 32_000))
})

const heard = (socket: Socket, event: 'connect' | 'close') =>
  new Promise<void>((resolve, reject) => {
    socket.once(event, () => resolve())
    if (event === 'connect') socket.once('error', reject)
    else socket.on('error', () => {})
  })

test('a cut link ends every connection and refuses new ones until it is mended', async () => {
  const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket))
  const [linkPort, echoPort] = await freePorts(2)
  await new Promise<void>((resolve) => echo.listen(echoPort, '127.0.0.1', resolve))
  const link = await Link.open(linkPort!, echoPort!)
  const talk = async () => {
    const socket = connect(linkPort!, '127.0.0.1')
    await heard(socket, 'connect')
    const answer = new Promise<string>((resolve) =>
      socket.once('data', (chunk) => resolve(chunk.toString())),
    )
    socket.write('hello')
    return { socket, answer: await answer }
  }
  const { socket, answer } = await talk()
  assert.is(answer, 'hello')
  const gone = heard(socket, 'close')
  await link.cut()
  await gone
  const refused = await talk().catch((error) => error.code)
  assert.is(refused, 'ECONNREFUSED')
  await link.mend()
  const again = await talk()
  assert.is(again.answer, 'hello')
  again.socket.destroy()
  await link.cut()
  await new Promise((resolve) => echo.close(resolve))
})

test('without a terminal there are milestones only, with the time since the start', async () => {
  const { stdout } = new TestTerminal({})
  const clock = new VirtualClock()
  const screen = new Screen(stdout, clock)
  await screen.say('header')
  clock.advance(65_000)
  screen.live('now')
  screen.clear()
  await screen.milestone('LINK CUT')
  assert.is(stdout.text, 'header\n 01:05  LINK CUT\n')
})

test('on a terminal the living line is replaced, never wrapped, and gone below a milestone', async () => {
  const { stdout } = new TestTerminal({})
  stdout.isTTY = true
  const screen = new Screen(stdout, new VirtualClock())
  screen.live('one')
  await screen.milestone('two')
  assert.is(stdout.text, '\r\x1b[K\x1b[?7l 00:00  one\x1b[?7h\r\x1b[K 00:00  two\n')
})

interface Message {
  readonly device: string
  readonly seq: number
  readonly timestamp?: number
}

const TOPIC = 'demo.sensors'

/** A gateway and a cloud with these records in one partition, and a fleet that was promised these. */
async function proofOf(
  gateway: readonly Message[],
  cloud: readonly Message[],
  acked: readonly Message[],
  cloudPartitions = 1,
): Promise<Evidence> {
  const sides = [await ServedLog.start(), await ServedLog.start()] as const
  try {
    const ledger = new AckedLedger()
    for (const { device, seq } of acked) ledger.acked(device, seq)
    for (const [side, messages] of [
      [sides[0], gateway],
      [sides[1], cloud],
    ] as const) {
      await side.createTopic(TOPIC, side === sides[1] ? cloudPartitions : 1)
      const log = side.log.topic(TOPIC)!.partitions[0]!
      for (const { device, seq, timestamp = 1_767_225_600_000 + seq } of messages) {
        const value = Buffer.from(JSON.stringify({ device, seq, ts: 1 }))
        log.appendRecord({ timestamp, key: Buffer.from(device), value })
      }
      if (messages.length > 0) await side.log.durable(side.log.openCommit)
    }
    const ends = { gateway: endOf(sides[0]), cloud: endOf(sides[1]) }
    const counts = { published: acked.length, acked: acked.length, dropped: 0 }
    return await prove(ends, { ...counts, ledger }, new TestTerminal({}))
  } finally {
    for (const side of sides) await side.stop()
  }
}

function endOf(side: ServedLog) {
  const topics = [...side.log.topics()].map(({ name, replicated, partitions }) => ({
    topic: name,
    replicated,
    partitions: partitions.map(({ partition, logStartOffset, highWatermark }) => ({
      ...{ partition, logStartOffset, highWatermark },
      replicatedOffset: highWatermark,
      bytes: 0,
      replication: 'idle' as const,
      reason: null,
    })),
  }))
  return { kafkaAddress: side.address, status: { topics } }
}

const [one, two, three] = [1, 2, 3].map((seq) => ({ device: 'dev-01', seq })) as [
  ...[Message, Message, Message],
]

test('the proof holds when every promised record is the same at both ends', async () => {
  const all = [one, { device: 'dev-02', seq: 1 }, two, three]
  const evidence = await proofOf(all, all, all)
  assert.equal(evidence.differences, [])
  assert.is(
    proofLine(evidence),
    'PROOF  QoS 2, 4 published = gateway = cloud   lost 0   twice 0   offsets same 4/4',
  )
})

test('a promised record that is nowhere is lost', async () => {
  const evidence = await proofOf([one, three], [one, three], [one, two, three])
  assert.equal([evidence.lost, evidence.twice, evidence.identical], [1, 0, 2])
  assert.match(evidence.differences.join('\n'), 'cloud: dev-01: 2 lost')
  assert.match(
    proofLine(evidence),
    /^NO PROOF {2}QoS 2, 3 published, 3 acked, gateway 2, cloud 2 {3}lost 1 /,
  )
})

test('a record that is there twice is seen, also when both ends agree', async () => {
  const evidence = await proofOf([one, two, two], [one, two, two], [one, two])
  assert.equal([evidence.lost, evidence.twice, evidence.identical], [0, 1, 3])
  assert.match(evidence.differences.join('\n'), 'gateway: dev-01: 2 seen twice')
})

test('a record that differs in the cloud, or is missing there, is named by its offset', async () => {
  const late = await proofOf([one, two], [one, { ...two, timestamp: 5 }], [one, two])
  assert.equal(late.differences, ['demo.sensors-0: offset 1 has another timestamp there (cloud)'])
  const short = await proofOf([one, two], [one], [one, two])
  const said = short.differences.join('\n')
  assert.match(said, 'demo.sensors-0: offsets 0 to 2 on the gateway, 0 to 1 in the cloud')
  assert.match(said, 'demo.sensors-0: offset 1 is missing there')
  assert.match(said, '2 published, but 1 records in the cloud')
})

test('a partition that only one end has is a difference, and nothing at all is no proof', async () => {
  const more = await proofOf([one], [one], [one], 2)
  assert.equal(more.differences, ['demo.sensors-1 is not on the gateway'])
  assert.equal((await proofOf([], [], [])).differences, ['nothing was published'])
})

test.run()
