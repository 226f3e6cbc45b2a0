// What the kernels are measured on: sensor messages as JSON and as CBOR, real rows of a plant, noise.

import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Encoder } from 'cbor-x'
import { CsvReader, SOLAR_PLANT } from '../../firmware-sim/csv-rows.ts'
import { SeededRandom } from '../support/seeded-random.ts'

export interface DataSet {
  name: string
  bytes: (length: number) => Buffer
}

const DEVICES = 64
const BYTES_MAX = 1 << 20

/** Readings of 64 devices in random order, whose values walk at random. */
function* readings(): Generator<object> {
  const random = new SeededRandom(5)
  const between = (low: number, high: number) => low + random.next() * (high - low)
  const states = Array.from({ length: DEVICES }, () => ({
    seq: random.below(100_000),
    temp: between(15, 30),
    hum: between(30, 70),
    press: between(990, 1030),
    volt: between(2.8, 3.4),
  }))
  for (let ts = 1_763_870_000_156; ; ts += random.below(40)) {
    const device = random.below(DEVICES)
    const state = states[device]!
    state.seq++
    state.temp += between(-0.1, 0.1)
    state.hum += between(-0.5, 0.5)
    state.press += between(-0.15, 0.15)
    state.volt -= between(0, 0.001)
    yield {
      device: `th-${String(device * 5).padStart(4, '0')}`,
      ts,
      seq: state.seq,
      temp: Number(state.temp.toFixed(2)),
      hum: Number(state.hum.toFixed(2)),
      press: Number(state.press.toFixed(2)),
      volt: Number(state.volt.toFixed(3)),
      rssi: -50 - random.below(40),
      ok: true,
    }
  }
}

/** So many messages of JSON. */
export function jsonMessages(count: number): Buffer[] {
  const messages: Buffer[] = []
  for (const reading of readings()) {
    if (messages.push(Buffer.from(JSON.stringify(reading))) === count) break
  }
  return messages
}

/** A megabyte of messages, one behind the other. */
function megabyte(encode: (reading: object) => Buffer): Buffer {
  const parts: Buffer[] = []
  let length = 0
  for (const reading of readings()) {
    const part = encode(reading)
    parts.push(part)
    length += part.length
    if (length >= BYTES_MAX) break
  }
  return Buffer.concat(parts)
}

/** Rows of a real plant, as its simulated controller would publish them; undefined without the data. */
async function plantRows(): Promise<Buffer | undefined> {
  const plant = join(process.env.TRIBUTARY_DATA ?? '../shared/data', 'thermal-solar-plant')
  if (!existsSync(plant)) {
    console.error(`skipped: no data in ${plant} (set TRIBUTARY_DATA)`)
    return undefined
  }
  const reader = new CsvReader(SOLAR_PLANT)
  const rows: Buffer[] = []
  for (const file of readdirSync(plant).filter((name) => name.endsWith('.csv'))) {
    for await (const item of reader.read(join(plant, file))) {
      if (item.kind !== 'row') continue
      rows.push(Buffer.from(JSON.stringify({ ts: item.timeMs, ...item.values })))
    }
  }
  return Buffer.concat(rows)
}

/** JSON first: the goals are about it. */
export async function dataSets(): Promise<DataSet[]> {
  const json = megabyte((reading) => Buffer.from(JSON.stringify(reading)))
  const encoder = new Encoder({ useRecords: false })
  const cbor = megabyte((reading) => encoder.encode(reading))
  const random = new SeededRandom(6).bytes(BYTES_MAX)
  const plant = await plantRows()
  const sets = [
    { name: 'JSON', bytes: json },
    { name: 'CBOR', bytes: cbor },
    { name: 'random', bytes: random },
    ...(plant === undefined ? [] : [{ name: 'solar plant', bytes: plant }]),
  ]
  return sets.map(({ name, bytes }) => ({ name, bytes: (length) => bytes.subarray(0, length) }))
}
