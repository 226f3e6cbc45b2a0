// init, config and routes: commands that need no other process.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { systemClock } from '../../agent/base/clock.ts'
import { suite } from '../support/suite.ts'
import { tributary } from './test-terminal.ts'

const test = suite('cli local commands')

const root = mkdtempSync(join(tmpdir(), 'tributary-cli-'))
test.after(() => rmSync(root, { recursive: true }))

/** A folder of its own with this configuration. */
function folder(yaml?: string): string {
  const directory = mkdtempSync(join(root, 'case-'))
  if (yaml !== undefined) writeFileSync(join(directory, 'tributary.yaml'), yaml)
  return directory
}

const ROUTED = `gateway: plant-7
routes:
  - mqttTopic: sensors/{device}/{metric}
    topic: sensors
    key: "{device}"
    timestamp: "{payload.ts}"
    headers: { metric: "{metric}" }
  - { mqttTopic: "raw/{id}", topic: raw, key: "", partition: roundRobin }
  - { mqttTopic: "lane/{n}", topic: lanes, partition: "{n}" }
topicDefaults: { partitions: 6 }
`

test('init writes a file that config check finds good', async () => {
  const directory = folder()
  const { code, out } = await tributary(['init', '--gateway', 'plant-7'], { directory })
  assert.is(code, 0)
  assert.is(
    out,
    'wrote tributary.yaml: gateway is "plant-7", which names its topics for ever. Next: tributary run\n',
  )
  const checked = await tributary(['config', 'check'], { directory })
  assert.equal(checked, {
    code: 0,
    out: `${join(directory, 'tributary.yaml')} is good: 1 route, upstream none\n`,
    err: '',
  })
})

test('init makes the folder, and a name out of any host name', async () => {
  const directory = folder()
  const { code, out } = await tributary(['init', 'deep/er'], { directory })
  assert.is(code, 0)
  assert.match(out, 'Next: tributary run -c deep/er/tributary.yaml')
  const checked = await tributary(['config', 'check', '-c', 'deep/er/tributary.yaml'], {
    directory,
  })
  assert.is(checked.code, 0)
})

test('init never overwrites', async () => {
  const directory = folder('gateway: mine\n')
  const { code, err } = await tributary(['init'], { directory })
  assert.is(code, 2)
  assert.match(err, /^tributary.yaml is there already; it is never overwritten/)
  assert.is(readFileSync(join(directory, 'tributary.yaml'), 'utf8'), 'gateway: mine\n')
})

test('an invalid configuration is exit 78 with every problem on a line', async () => {
  const directory = folder('gatway: x\nkafka: { listeners: [9092] }\n')
  for (const args of [['config', 'check'], ['run']]) {
    const { code, out, err } = await tributary(args, { directory })
    assert.equal([code, out], [78, ''])
    assert.equal(err.split('\n'), [
      'tributary.yaml:1: unknown key gatway; did you mean gateway?',
      'tributary.yaml:2: kafka.listeners[0]: "9092" does not fit; expected host:port',
      '',
    ])
  }
})

test('without any configuration run says where it looked', async () => {
  const { code, err } = await tributary(['run'], { directory: folder() })
  assert.is(code, 78)
  assert.match(err, /^no configuration: looked for .*; tributary init writes one\n$/)
})

test('config show prints the effective values without secrets', async () => {
  const directory = folder(
    'gateway: g\nupstream:\n  bootstrapServers: ["k:9"]\n  security: { protocol: SASL_SSL, mechanism: PLAIN, username: u, password: hunter2 }\n',
  )
  const environment = { TRIBUTARY_UPSTREAM_LINGER: '250ms' }
  const { code, out } = await tributary(['config', 'show'], { directory, environment })
  assert.is(code, 0)
  assert.match(out, 'topicPrefix: g.')
  assert.match(out, 'linger: 250ms')
  assert.match(out, 'password: "********"')
  assert.not.match(out, 'hunter2')
})

test('warnings go to stderr and change no exit code', async () => {
  const directory = folder('admin: { listeners: ["0.0.0.0:9883"] }\n')
  const { code, err } = await tributary(['config', 'check'], { directory })
  assert.is(code, 0)
  assert.is(
    err,
    'warning: tributary.yaml:1: admin.listeners: 0.0.0.0:9883 is open to the network, without a password\n',
  )
})

const clock = { ...systemClock, now: () => Date.parse('2026-11-24T12:00:00Z') }

test('routes test shows what becomes of a message', async () => {
  const directory = folder(ROUTED)
  const args = ['routes', 'test', 'sensors/a/temp', '{"ts":"2026-11-24T11:59:00Z"}']
  assert.equal(await tributary(args, { directory, clock }), {
    code: 0,
    out: [
      'route      routes[0] sensors/{device}/{metric}',
      'topic      plant-7.sensors',
      'key        "a"',
      'partition  4 of 6',
      'timestamp  2026-11-24T11:59:00.000Z (event time)',
      'header     mqtt.topic=sensors/a/temp',
      'header     metric=temp',
      '',
    ].join('\n'),
    err: '',
  })
})

test('routes test tells a missing time, a turn and a missing key', async () => {
  const directory = folder(ROUTED)
  const timeless = await tributary(['routes', 'test', 'sensors/a/temp', '{}'], { directory, clock })
  assert.match(timeless.out, 'timestamp  2026-11-24T12:00:00.000Z (arrival)')
  assert.match(timeless.out, 'header     event.time.error=missing')
  const raw = await tributary(['routes', 'test', 'raw/7'], { directory, clock })
  assert.match(raw.out, 'key        none\npartition  in turn, of 6')
})

test('routes test exits 1 for what no route takes and for a dead letter', async () => {
  const directory = folder(ROUTED)
  assert.equal(await tributary(['routes', 'test', 'sensor/a/temp'], { directory }), {
    code: 1,
    out: 'no route for "sensor/a/temp"; nearest: sensors/{device}/{metric}\n',
    err: '',
  })
  const dead = await tributary(['routes', 'test', 'lane/9'], { directory })
  assert.is(dead.code, 1)
  assert.match(
    dead.out,
    'topic   plant-7.dead-letter (dead letter)\nreason  partition is "9", expected 0 to 5',
  )
})

test('routes test refuses what MQTT does not let publish', async () => {
  const { code, err } = await tributary(['routes', 'test', 'a/+'], { directory: folder(ROUTED) })
  assert.is(code, 2)
  assert.match(err, '"a/+" cannot be published to: a wildcard in a topic name')
})

test.run()
