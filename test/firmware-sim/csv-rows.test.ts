import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { type CsvItem, CsvReader, type CsvRow, SOLAR_PLANT } from '../../firmware-sim/csv-rows.ts'
import { suite } from '../support/suite.ts'

const test = suite('firmware-sim/csv-rows')
const folder = mkdtempSync(join(tmpdir(), 'csv-rows-'))
test.after(() => rmSync(folder, { recursive: true }))

const HEADER = 'Datum & Uhrzeit\tTemperatur Sensor 1 [ °C]\tWärme [ Wh]\tSystemzeit'
const plant = join(process.env.TRIBUTARY_DATA ?? '../shared/data', 'thermal-solar-plant')

async function read(lines: readonly string[]): Promise<{ items: CsvItem[]; reader: CsvReader }> {
  const path = join(folder, 'day.csv')
  writeFileSync(path, lines.map((line) => `${line}\n`).join(''), 'latin1')
  const reader = new CsvReader(SOLAR_PLANT)
  const items: CsvItem[] = []
  for await (const item of reader.read(path)) items.push(item)
  return { items, reader }
}

function rowsOf(items: readonly CsvItem[]): CsvRow[] {
  return items.filter((item) => item.kind === 'row')
}

test('reads decimal commas, sentinels, text and umlauts of ISO-8859-1', async () => {
  const { items } = await read([
    HEADER,
    '12.06.2017 00:00\t-18,6\t888,8\t0:0\t',
    '12.06.2017 00:01\t\t7\t0:1',
  ])
  assert.equal(
    rowsOf(items).map(({ line, timeMs, values }) => ({ line, timeMs, values })),
    [
      {
        line: 2,
        timeMs: Date.UTC(2017, 5, 11, 22),
        values: { temperatur_sensor_1: -18.6, waerme: null, systemzeit: '0:0' },
      },
      {
        line: 3,
        timeMs: Date.UTC(2017, 5, 11, 22, 1),
        values: { temperatur_sensor_1: null, waerme: 7, systemzeit: '0:1' },
      },
    ],
  )
})

test('damaged rows are named with file, line and reason, and counted', async () => {
  const { items, reader } = await read([
    HEADER,
    '12.06.2017 00:00\t1\t2\t0:0',
    '12.06.2017 00:01\t1',
    '12.06.17 00:02\t1\t2\t0:2',
    '31.06.2017 00:03\t1\t2\t0:3',
    '12.06.2017 00:04\t1x\t2\t0:4',
    '12.06.2017 00:05\t1\t2\t\0\0\0',
    '',
    '12.06.2017 00:06\t1\t2\t0:6\t9\t9',
  ])
  const reasons = items.flatMap((item) =>
    item.kind === 'damaged' ? [`${item.line}: ${item.reason}`] : [],
  )
  assert.equal(reasons, [
    '3: 2 cells, expected 4',
    '4: time is "12.06.17 00:02", expected dd.MM.yyyy HH:mm',
    '5: time "31.06.2017 00:03" does not exist',
    '6: temperatur_sensor_1 is "1x", expected a number',
    '7: control characters: the storage was damaged',
    '8: empty line',
    '9: 6 cells, expected 4',
  ])
  assert.equal(reader.counts, { lines: 9, headers: 1, rows: 1, damaged: 7 })
})

test('a header in the middle of a file is a header', async () => {
  const { reader } = await read([
    HEADER,
    '12.06.2017 00:00\t1\t2\t0:0',
    HEADER,
    '12.06.2017 00:01\t1\t2\t0:1',
  ])
  assert.equal(reader.counts, { lines: 4, headers: 2, rows: 2, damaged: 0 })
})

test('gaps and steps back are remarks beside good rows', async () => {
  const times = ['00:00', '00:01', '00:05', '00:04', '00:04']
  const { items } = await read([HEADER, ...times.map((time) => `12.06.2017 ${time}\t1\t2\t0:0`)])
  const remarks = items.flatMap((item) =>
    item.kind === 'remark' ? [`${item.line}: ${item.text}`] : [],
  )
  assert.equal(remarks, [
    '4: gap of 240 s behind 2017-06-11T22:01:00.000Z: 3 rows missing',
    '5: time steps back by 60 s from 2017-06-11T22:05:00.000Z',
    '6: time steps back by 0 s from 2017-06-11T22:04:00.000Z',
  ])
  assert.is(rowsOf(items).length, 5)
})

test('the night that the clocks go back keeps all its rows in order', async () => {
  const minutes = (hour: string) =>
    ['00', '30'].map((minute) => `29.10.2017 ${hour}:${minute}\t1\t2\t0:0`)
  const { items } = await read([
    HEADER,
    ...minutes('01'),
    ...minutes('02'),
    ...minutes('02'),
    ...minutes('03'),
  ])
  const times = rowsOf(items).map(({ timeMs }) => timeMs)
  const first = Date.UTC(2017, 9, 28, 23)
  assert.equal(
    times,
    Array.from({ length: 8 }, (_, at) => first + at * 1_800_000),
  )
})

test('the night that the clocks go forward has no rows in the hour that is not', async () => {
  const rows = ['01:59', '02:30', '03:00'].map((time) => `26.03.2017 ${time}\t1\t2\t0:0`)
  const { items, reader } = await read([HEADER, ...rows])
  assert.equal(reader.counts, { lines: 4, headers: 1, rows: 2, damaged: 1 })
  const [before, after] = rowsOf(items)
  assert.is(after!.timeMs - before!.timeMs, 60_000)
})

test('a file without line ends is damaged, not memory', async () => {
  const path = join(folder, 'long.csv')
  writeFileSync(path, `${HEADER}\n${'x'.repeat(3_000_000)}`)
  const reader = new CsvReader(SOLAR_PLANT)
  for await (const item of reader.read(path)) assert.is(item.kind, 'damaged')
  assert.equal(reader.counts, { lines: 2, headers: 1, rows: 0, damaged: 1 })
})

test('a file that is not there, or a zone that is none, is a fault', async () => {
  assert.throws(() => new CsvReader({ ...SOLAR_PLANT, zone: 'Nowhere' }), /zone is "Nowhere"/)
  try {
    for await (const _ of new CsvReader(SOLAR_PLANT).read(join(folder, 'none.csv')))
      assert.unreachable()
    assert.unreachable()
  } catch (error) {
    assert.is((error as { code?: string }).code, 'SIM_INPUT', String(error))
  }
})

test('every line of seven real days is accounted for', async () => {
  if (!existsSync(plant)) {
    console.log(`skipped: no data in ${plant} (set TRIBUTARY_DATA)`)
    return
  }
  const reader = new CsvReader(SOLAR_PLANT)
  const rows: CsvRow[] = []
  let [lines, remarks] = [0, 0]
  const files = readdirSync(plant)
    .filter((name) => name.endsWith('.csv'))
    .sort()
  for (const name of files) {
    const text = readFileSync(join(plant, name), 'latin1')
    lines += text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
    for await (const item of reader.read(join(plant, name))) {
      if (item.kind === 'row') rows.push(item)
      if (item.kind === 'remark') remarks++
    }
  }
  const { counts } = reader
  assert.is(files.length, 7)
  assert.is(counts.lines, lines)
  assert.is(counts.headers, files.length)
  assert.is(counts.rows + counts.damaged, lines - counts.headers)
  assert.is(counts.rows, rows.length)
  assert.is(remarks, 1, 'one minute is missing on the 13th')
  // Seven days of summer time, a minute a row, one of them missing.
  assert.is(rows.length, 7 * 1_440 - 1)
  assert.is(rows[0]!.timeMs, Date.UTC(2017, 5, 11, 22))
  assert.is(rows[rows.length - 1]!.timeMs, Date.UTC(2017, 5, 18, 21, 59))
  for (const { values } of rows) {
    assert.is(values.temperatur_sensor_5, null)
    assert.is(typeof values.temperatur_sensor_1, 'number')
  }
})

test.run()
