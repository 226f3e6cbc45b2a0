import * as assert from 'uvu/assert'
import { createDecoder, type DecodeOutcome } from '../../devices/payload.ts'
import { builtInProfile, builtInProfileNames } from '../../devices/profiles.ts'
import { suite } from '../support/suite.ts'

const test = suite('devices/profiles')

function decode(profile: string, mqttTopic: string, payload: unknown): DecodeOutcome {
  const found = builtInProfile(profile)
  if (found === undefined) throw new Error(`no profile ${profile}`)
  assert.ok(found.mqttTopic.match(mqttTopic), `${mqttTopic} does not fit ${found.mqttTopic.text}`)
  return createDecoder(found).decode(Buffer.from(JSON.stringify(payload)), mqttTopic)
}

test('every built-in profile is valid and found by its name', () => {
  assert.ok(builtInProfileNames().length >= 8)
  for (const name of builtInProfileNames()) assert.is(builtInProfile(name)?.name, name)
  assert.is(builtInProfile('toaster'), undefined)
})

test('a Shelly switch status and its notification', () => {
  const status = {
    id: 0,
    source: 'init',
    output: true,
    apower: 8.9,
    voltage: 237.5,
    current: 0.041,
    aenergy: { total: 6.532, by_minute: [45.199, 47.141, 88.397], minute_ts: 1626935779 },
    temperature: { tC: 23.5, tF: 74.4 },
  }
  assert.equal(decode('shelly', 'shellyplus1pm-a8032abe54dc/status/switch:0', status), {
    kind: 'ok',
    key: 'shellyplus1pm-a8032abe54dc',
  })
  const event = {
    src: 'shellyplus1pm-a8032abe54dc',
    dst: 'shellyplus1pm-a8032abe54dc/events',
    method: 'NotifyStatus',
    params: { ts: 1631266595.44, 'switch:0': { id: 0, apower: 8.9 } },
  }
  const outcome = decode('shelly-events', 'shellyplus1pm-a8032abe54dc/events/rpc', event)
  assert.is(outcome.kind === 'ok' && outcome.timestamp, 1631266595440)
})

test('a Tasmota telemetry message, whose local time is not guessed', () => {
  const payload = {
    Time: '2026-01-31T13:00:00',
    DS18B20: { Id: '0000000DE0AF', Temperature: 20.6 },
    AM2301: { Temperature: null, Humidity: null },
    ENERGY: { Total: 1.5, Power: [12, 0] },
    TempUnit: 'C',
  }
  assert.equal(decode('tasmota', 'tele/plug/SENSOR', payload), { kind: 'ok', key: 'plug' })
})

test('a Zigbee2MQTT sensor in a group of rooms, with an invalid reading', () => {
  const payload = {
    temperature: -327.68,
    humidity: 45.1,
    linkquality: 120,
    last_seen: 1769860800000,
  }
  assert.equal(decode('zigbee2mqtt', 'zigbee2mqtt/kitchen/window', payload), {
    kind: 'ok',
    timestamp: 1769860800000,
    key: 'kitchen/window',
  })
  const dead = decode('zigbee2mqtt', 'zigbee2mqtt/x', { linkquality: 400 })
  assert.is(dead.kind === 'invalid' && dead.reason, 'linkquality is 400, expected at most 255')
})

test('a solar controller row, sentinels or nulls where no sensor is', () => {
  const row = (values: object) => ({ device: 'c1', seq: 1, ts: 1497218400000, values })
  for (const value of [888.8, -88.8, -999.9, -9999, null]) {
    const outcome = decode(
      'thermal-solar-controller',
      'sensors/c1/row',
      row({ temperatur_sensor_5: value }),
    )
    assert.equal(outcome, { kind: 'ok', timestamp: 1497218400000, key: 'c1' })
  }
  const outcome = decode(
    'thermal-solar-controller',
    'sensors/c1/row',
    row({ temperatur_sensor_5: 888 }),
  )
  assert.is(
    outcome.kind === 'invalid' && outcome.reason,
    'temperature5 (values.temperatur_sensor_5) is 888 °C, expected at most 400 °C',
  )
})

test.run()
