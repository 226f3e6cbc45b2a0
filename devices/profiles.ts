// Profiles for devices that people own, written as a user would write them in a file.
//
// They name what a device's own documentation promises and keep ranges wide: a profile is there to
// catch what cannot be a reading, not to judge the weather.

import { checkProfile, type Profile } from './profile.ts'

const CELSIUS = { type: 'number', unit: '°C', min: -60, max: 300 }
const PERCENT = { type: 'number', unit: '%', min: 0, max: 100 }

/** The solar controller writes these where no sensor is connected. */
const SOLAR_SENTINELS = [888.8, -88.8, -999.9, -9999]

function solarFields(): object[] {
  const temperature = (sensor: number) => ({
    name: `temperature${sensor}`,
    path: `values.temperatur_sensor_${sensor}`,
    type: 'number',
    unit: '°C',
    min: -60,
    max: 400,
    sentinels: SOLAR_SENTINELS,
  })
  const numbers = [1, 2, 3, 4]
  return [
    ...[1, 2, 3, 4, 5, 6, 8].map(temperature),
    {
      name: 'pressure7',
      path: 'values.druck_sensor_7',
      unit: 'bar',
      min: 0,
      max: 100,
      sentinels: SOLAR_SENTINELS,
    },
    {
      name: 'flow9',
      path: 'values.durchfluss_sensor_9',
      unit: 'l/h',
      min: 0,
      sentinels: SOLAR_SENTINELS,
    },
    {
      name: 'flowV40',
      path: 'values.durchfluss_v40',
      unit: 'l/h',
      min: 0,
      sentinels: SOLAR_SENTINELS,
    },
    { name: 'pwm1', path: 'values.pwm_1', ...PERCENT },
    { name: 'pwm2', path: 'values.pwm_2', ...PERCENT },
    ...numbers.map((n) => ({
      name: `relay${n}Speed`,
      path: `values.drehzahl_relais_${n}`,
      ...PERCENT,
    })),
    ...numbers.map((n) => ({
      name: `relay${n}Seconds`,
      path: `values.betriebssekunden_relais_${n}`,
      type: 'integer',
      unit: 's',
      min: 0,
    })),
    { name: 'errorMask', path: 'values.fehlermaske', type: 'integer', min: 0 },
    { name: 'statusMask', path: 'values.statusmaske', type: 'integer', min: 0 },
    { name: 'heat', path: 'values.waerme', unit: 'Wh', min: 0 },
  ]
}

const BUILT_IN: readonly object[] = [
  {
    // Plus/Pro/Gen2 and later: {device}/status/switch:0 and the like, one component each.
    name: 'shelly',
    mqttTopic: '{device}/status/{component}',
    key: '{device}',
    fields: [
      { name: 'power', path: 'apower', unit: 'W' },
      { name: 'voltage', unit: 'V', min: 0, max: 500 },
      { name: 'current', unit: 'A' },
      { name: 'energy', path: 'aenergy.total', unit: 'Wh' },
      { name: 'temperature', path: 'temperature.tC', ...CELSIUS },
      { name: 'output', type: 'boolean' },
    ],
  },
  {
    // The same devices' notifications, which carry the time.
    name: 'shelly-events',
    mqttTopic: '{device}/events/rpc',
    key: '{device}',
    time: { path: 'params.ts', format: 's' },
    fields: [
      { name: 'method', type: 'string', required: true },
      { name: 'source', path: 'src', type: 'string' },
    ],
  },
  {
    // First generation H&T: one plain number per topic, 999 when the sensor does not answer.
    name: 'shelly-ht',
    mqttTopic: 'shellies/{device}/sensor/{metric}',
    key: '{device}',
    fields: [{ name: 'value', path: '', required: true, sentinels: [999] }],
  },
  {
    // Its Time is local and without a zone: copy this profile and set time.zone to use it. Units are
    // the owner's choice there, and power is a list on devices of several channels.
    name: 'tasmota',
    mqttTopic: 'tele/{device}/SENSOR',
    key: '{device}',
    time: { path: 'Time', format: 'iso' },
    fields: [
      { name: 'total', path: 'ENERGY.Total', unit: 'kWh' },
      { name: 'ds18b20', path: 'DS18B20.Temperature' },
      { name: 'am2301', path: 'AM2301.Temperature' },
      { name: 'am2301Humidity', path: 'AM2301.Humidity', ...PERCENT },
      { name: 'bme280', path: 'BME280.Temperature' },
      { name: 'bme280Humidity', path: 'BME280.Humidity', ...PERCENT },
      { name: 'bme280Pressure', path: 'BME280.Pressure' },
    ],
  },
  {
    // The Zigbee "invalid" readings (0x8000, 0xffff) come through scaled; they are no weather.
    name: 'zigbee2mqtt',
    mqttTopic: 'zigbee2mqtt/{device...}',
    key: '{device}',
    time: { path: 'last_seen', format: 'auto' },
    fields: [
      { name: 'temperature', unit: '°C', min: -100, max: 300, sentinels: [-327.68] },
      { name: 'humidity', ...PERCENT, sentinels: [655.35] },
      { name: 'pressure' },
      { name: 'battery', ...PERCENT },
      { name: 'linkquality', type: 'integer', min: 0, max: 255 },
      { name: 'occupancy', type: 'boolean' },
      { name: 'contact', type: 'boolean' },
    ],
  },
  {
    name: 'json-sensor',
    mqttTopic: 'sensors/{device}/{metric}',
    key: '{device}',
    time: { path: 'ts', format: 'auto' },
  },
  {
    name: 'cbor-sensor',
    mqttTopic: 'sensors/{device}/{metric}',
    format: 'cbor',
    key: '{device}',
    time: { path: 'ts', format: 'auto' },
  },
  {
    name: 'thermal-solar-controller',
    mqttTopic: 'sensors/{device}/row',
    key: '{device}',
    time: { path: 'ts', format: 'ms', required: true },
    fields: solarFields(),
  },
]

const byName = new Map<string, Profile>()

/** The names that a route may give without a profile file. */
export function builtInProfileNames(): string[] {
  return [...builtIn().keys()]
}

export function builtInProfile(name: string): Profile | undefined {
  return builtIn().get(name)
}

function builtIn(): ReadonlyMap<string, Profile> {
  if (byName.size > 0) return byName
  for (const data of BUILT_IN) {
    const check = checkProfile(data, 'a built-in profile')
    if (check.kind === 'invalid') throw new Error(check.problems.join('\n'))
    byName.set(check.profile.name, check.profile)
  }
  return byName
}
