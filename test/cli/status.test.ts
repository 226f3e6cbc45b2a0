// tributary status: the layout that people know, and the verdict that scripts depend on.

import * as assert from 'uvu/assert'
import { HttpListener } from '../../agent/admin/http-listener.ts'
import type { PartitionStatus, ReplicationState, Status } from '../../agent/admin/status.ts'
import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import { runCommandLine } from '../../agent/cli/entry.ts'
import { statusText } from '../../agent/cli/status-text.ts'
import { suite } from '../support/suite.ts'
import { TestTerminal, tributary } from './test-terminal.ts'

const test = suite('cli status')

function partition(
  offsets: [start: number, end: number, cloud: number],
  replication: ReplicationState,
  reason: string | null = null,
): PartitionStatus {
  const [logStartOffset, highWatermark, replicatedOffset] = offsets
  return {
    partition: 0,
    logStartOffset,
    highWatermark,
    replicatedOffset,
    bytes: 1,
    replication,
    reason,
  }
}

const GIB = 2 ** 30
const STATUS: Status = {
  gateway: 'plant-7',
  lineage: '7f3ac0de',
  version: '0.1.0',
  uptimeSeconds: 3 * 86_400 + 4 * 3_600 + 61,
  degraded: ['1 partition frozen'],
  clockSynchronized: true,
  mqtt: {
    clients: 41,
    messagesByQos: [18, 82, 0],
    messagesTotal: 100,
    messagesPerSecond: 212.3,
    acksPending: 0,
    ackP99Seconds: 0.006,
    unroutedTotal: 42,
    unroutedLast: 'sensor/a/temp',
  },
  disk: {
    bytes: 1.2 * GIB,
    budgetBytes: 14 * GIB,
    writtenBytesTotal: 51,
    payloadBytesTotal: 10,
    fsyncsTotal: 3,
    recordsLostTotal: 0,
    recordsLost: { rot: 0, file: 0, journal: 0, dropped: 0 },
    fullInSeconds: 61 * 86_400,
    fsyncsPerMinute: 84.4,
  },
  topics: [
    {
      topic: 'plant-7.sensors',
      replicated: true,
      partitions: [partition([12_000, 840_112, 839_984], 'streaming')],
    },
    {
      topic: 'plant-7.alarms',
      replicated: true,
      partitions: [
        partition(
          [0, 311, 290],
          'frozen',
          'someone else wrote offset 290 → replication thaw --help',
        ),
      ],
    },
  ],
  upstream: {
    state: 'connected',
    bootstrapServers: ['kafka.example.com:9092'],
    clusterId: 'c',
    stateSeconds: 2 * 3_600 + 10,
    lagRecords: 128,
    lagSeconds: 0.4,
    recordsTotal: 9,
    recordsPerSecond: 208,
  },
  groups: [
    {
      group: 'dash',
      state: 'Stable',
      owner: 'gateway',
      offsets: [{ topic: 'plant-7.sensors', partition: 0, local: 839_900, upstream: 839_900 }],
    },
  ],
}

const GOOD: Status = {
  ...STATUS,
  degraded: [],
  topics: [STATUS.topics[0]!],
}

test('the layout is the documented one, to the character', () => {
  assert.is(
    statusText(STATUS),
    `\
plant-7  0.1.0  up 3d 04h   DEGRADED: 1 partition frozen            lineage 7f3a  clock ok
mqtt     41 clients   212 msg/s (QoS 0 18 %)   ack p99 6 ms   waiting 0   unrouted 42 (last sensor/a/temp)
disk     1.2 of 14.0 GiB (9 %), full in ~61 d at this rate   flash 5.1 B written per payload B   lost 0   syncs 84/min
upstream kafka.example.com:9092 connected 2h   lag 128 records / 0.4 s   sending 208/s
TOPIC                P  START   END      CLOUD    LAG  STATE
plant-7.sensors      0  12,000  840,112  839,984  128  streaming
plant-7.alarms       0  0       311      290      21   FROZEN  someone else wrote offset 290 → replication thaw --help
GROUP dash   plant-7.sensors  gateway 839,900  cloud 839,900  owner: gateway`,
  )
})

test('an agent that has nothing yet has nothing odd in its status', () => {
  const fresh: Status = {
    ...STATUS,
    gateway: null,
    uptimeSeconds: 3.2,
    degraded: [],
    clockSynchronized: false,
    mqtt: {
      ...STATUS.mqtt,
      clients: 0,
      messagesByQos: [0, 0, 0],
      messagesTotal: 0,
      messagesPerSecond: 0,
      ackP99Seconds: 0,
      unroutedTotal: 0,
      unroutedLast: null,
    },
    disk: {
      ...STATUS.disk,
      bytes: 0,
      writtenBytesTotal: 8192,
      payloadBytesTotal: 0,
      fullInSeconds: null,
      fsyncsPerMinute: 0,
    },
    topics: [{ topic: 'local', replicated: false, partitions: [partition([0, 5, 0], 'idle')] }],
    upstream: { ...STATUS.upstream, state: 'off', bootstrapServers: [] },
    groups: [],
  }
  assert.is(
    statusText(fresh),
    `\
(no gateway)  0.1.0  up 3s   OK                                      lineage 7f3a  clock unsynced
mqtt     0 clients   0 msg/s (QoS 0 0 %)   ack p99 0 s   waiting 0   unrouted 0
disk     0.0 of 14.0 GiB (0 %)   flash 0 B written per payload B   lost 0   syncs 0/min
upstream none
TOPIC                P  START  END  CLOUD  LAG  STATE
local                0  0      5    -      -    local`,
  )
})

test('without an upstream no partition lags; with one, local topics do not', () => {
  const status = (replicated: boolean, state: 'off' | 'connected'): string => {
    const topics = [{ ...GOOD.topics[0]!, replicated }]
    return statusText({ ...GOOD, topics, upstream: { ...GOOD.upstream, state }, groups: [] })
  }
  assert.match(status(true, 'connected'), /839,984 {2}128 {2}streaming$/)
  assert.match(status(true, 'off'), /840,112 {2}- {6}- {4}local$/)
  assert.match(status(false, 'connected'), /840,112 {2}- {6}- {4}local$/)
})

let answer: unknown = GOOD
const listener = await HttpListener.listen({
  addresses: [{ host: '127.0.0.1', port: 0 }],
  status: () => answer as Status,
  ready: () => ({ ok: true, reasons: [] }),
  metrics: new Metrics(),
  logger: silentLogger,
})
test.after(() => listener.close())
const address = listener.addresses[0]!

/** Asks the listener of this test, which answers with `status`. */
async function ask(status: unknown, ...args: string[]) {
  answer = status
  return tributary(['status', '--admin', address, ...args])
}

test('status shows text, and with --json what the agent said', async () => {
  assert.is((await ask(STATUS)).out, `${statusText(STATUS)}\n`)
  assert.equal(JSON.parse((await ask(STATUS, '--json')).out), JSON.parse(JSON.stringify(STATUS)))
})

test('the address comes from the configuration; everywhere is also here', async () => {
  answer = GOOD
  const environment = { TRIBUTARY_ADMIN_LISTENERS: address.replace('127.0.0.1', '0.0.0.0') }
  const { code, out } = await tributary(['status'], { environment })
  assert.equal([code, out], [0, `${statusText(GOOD)}\n`])
})

test('--check is 0 and OK when all is well', async () => {
  assert.equal(await ask(GOOD, '--check'), { code: 0, out: 'OK\n', err: '' })
})

test('--check is 1 and says why when frozen, lossy, lagging or unready', async () => {
  const lagging = { ...GOOD.upstream, lagRecords: 70_000, lagSeconds: 660, state: 'connecting' }
  const cases: [unknown, string[], string][] = [
    [
      STATUS,
      [],
      'plant-7.alarms-0 frozen: someone else wrote offset 290 → replication thaw --help',
    ],
    [
      { ...GOOD, disk: { ...GOOD.disk, recordsLostTotal: 1_700 }, degraded: ['1700 records lost'] },
      [],
      '1,700 records lost',
    ],
    [{ ...GOOD, upstream: lagging }, [], 'upstream lags 70,000 records / 11m (connecting)'],
    [
      { ...GOOD, upstream: { ...lagging, lagSeconds: 31 } },
      ['--max-lag', '30s'],
      'upstream lags 70,000 records / 31s (connecting)',
    ],
    [{ ...GOOD, degraded: ['disk full'] }, [], 'disk full'],
  ]
  for (const [status, args, sentence] of cases) {
    const { code, out } = await ask(status, '--check', ...args)
    assert.equal([code, out], [1, `${sentence}\n`])
  }
  assert.is((await ask({ ...GOOD, upstream: lagging }, '--check', '--max-lag', '1h')).code, 0)
})

test('no agent is exit 3 with the way to one', async () => {
  const { code, out, err } = await tributary(['status', '--admin', '127.0.0.1:1'])
  assert.equal([code, out], [3, ''])
  assert.is(
    err,
    'no agent answers on 127.0.0.1:1: start it with tributary run, or name its admin listener with --admin\n',
  )
})

test('something else on that port is told from an agent', async () => {
  const { code, err } = await ask({ hello: 'world' })
  assert.equal([code, err], [3, `${address} answers, but is no Tributary agent\n`])
})

test('--watch goes on until it is interrupted, then exits 0 and listens no more', async () => {
  answer = GOOD
  const terminal = new TestTerminal({})
  let pauses = 0
  const clock = {
    ...terminal.clock,
    after(_ms: number, run: () => void) {
      if (++pauses === 3) terminal.interrupt()
      else setImmediate(run)
      return { cancel: () => {} }
    },
  }
  Object.assign(terminal, { clock })
  const code = await runCommandLine(['status', '--watch', '--json', '--admin', address], terminal)
  assert.is(code, 0)
  assert.is(terminal.stdout.text, `${JSON.stringify(GOOD)}\n`.repeat(3))
  assert.is(terminal.listening, 0)
})

test.run()
