import * as assert from 'uvu/assert'
import { checkSimFile, type SimOptions } from '../../firmware-sim/sim-file.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/sim-file')

function valid(value: unknown): SimOptions {
  const check = checkSimFile(value, 'sim.yaml')
  if (check.kind === 'invalid') throw new Error(check.problems.join('\n'))
  return check.options
}

function problemOf(value: unknown): string {
  const check = checkSimFile(value, 'sim.yaml')
  const problems = check.kind === 'invalid' ? check.problems : []
  assert.is(problems.length, 1, problems.join('\n'))
  return problems[0]!
}

test('no file is a small fleet on the local gateway', () => {
  const options = valid(null)
  assert.equal(
    [options.broker, options.devices, options.rate, options.seconds, options.qos, options.format],
    ['mqtt://127.0.0.1:1883', 10, 10, undefined, 1, 'json'],
  )
  assert.is(options.mqttTopic, 'sensors/{device}/{metric}')
  assert.ok(options.isPersistent && options.hasFlash)
})

test('durations are text with a unit or seconds', () => {
  const options = valid({
    seconds: '2m',
    keepAlive: '30s',
    drain: 0.5,
    faults: { cutEvery: '1.5s', down: '250ms' },
    duty: { awake: '10s', asleep: '1h' },
    configuration: { url: 'http://127.0.0.1:1/{device}', every: '1d' },
  })
  assert.equal(
    [
      options.seconds,
      options.keepAliveS,
      options.drainMs,
      options.faults.cutEveryMs,
      options.faults.downMs,
    ],
    [120, 30, 500, 1_500, 250],
  )
  assert.equal(options.duty, { awakeMs: 10_000, asleepMs: 3_600_000 })
  assert.is(options.configuration?.everyMs, 86_400_000)
})

test('a replay has the rules of the solar plant unless told otherwise', () => {
  const { replay, mqttTopic } = valid({ replay: { files: 'plant/', speed: 60 } })
  assert.equal(replay?.paths, ['plant/'])
  assert.is(replay?.speed, 60)
  assert.is(replay?.csv.zone, 'Europe/Berlin')
  assert.ok(replay?.csv.sentinels.includes(-999.9))
  assert.is(mqttTopic, 'sensors/{device}/row')
  assert.is(valid({ replay: { files: ['a.csv'], speed: 'max' } }).replay?.speed, undefined)
})

test('each mistake is one sentence that names the key and the way out', () => {
  const cases: [unknown, string][] = [
    [{ devises: 5 }, 'unknown key "devises"; did you mean devices?'],
    [{ devices: 0 }, 'devices is 0, expected a whole number from 1 to 10000'],
    [{ devices: 2.5 }, 'devices is 2.5, expected a whole number'],
    [{ rate: '10/s' }, 'rate is "10/s", expected a number'],
    [{ qos: 3 }, 'qos is 3, expected 0, 1, 2'],
    [{ format: 'josn' }, 'did you mean json?'],
    [{ broker: '127.0.0.1:1883' }, 'expected a URL such as mqtt://127.0.0.1:1883'],
    [{ broker: 'http://x' }, 'expected a URL such as mqtt://'],
    [{ broker: 5 }, 'broker is 5, expected a URL'],
    [{ mqttTopic: 'a/#' }, 'without + and #'],
    [{ mqttTopic: 'a/{devise}' }, 'has {devise}; it may use {device}, {metric}'],
    [{ seconds: 'a while' }, 'expected a duration such as 500ms'],
    [{ persistent: 'yes' }, 'expected true or false'],
    [{ credentials: { username: { device: null } } }, 'quoted'],
    [
      { faults: { cutEvry: '1s' } },
      'sim.yaml: faults: unknown key "cutEvry"; did you mean cutEvery?',
    ],
    [{ faults: 7 }, 'faults is 7, expected a mapping'],
    [{ duty: { awake: '1s' } }, 'duty needs awake and asleep'],
    [{ configuration: { url: 'x' } }, 'configuration.url'],
    [{ replay: { files: [] } }, 'replay.files is a list of 0, expected files or folders'],
    [{ replay: { files: 'a', zone: 'Nowhere' } }, 'replay.zone'],
    [{ replay: { files: 'a', sentinels: 'x' } }, 'replay.sentinels'],
    [[], 'expected a mapping'],
  ]
  for (const [value, expected] of cases) assert.match(problemOf(value), expected)
})

test.run()
