// Rows of a controller's CSV files, as controllers write them: ISO-8859-1, tabs, decimal comma, a
// trailing tab, local time without a zone, sentinels where no sensor is connected.
//
// Every line ends up in exactly one place: a header, a row, or damaged with file, line and reason;
// so rows + damaged = lines − headers, always. A gap in time, a step back and a local time that
// stands there twice are remarks beside a good row. A file is read once, in pieces.

import { createReadStream } from 'node:fs'
import { shorten } from '../devices/suggestion.ts'
import { TimeZone, wallClock } from '../devices/time-zone.ts'
import { causeOf, SimError } from './sim-error.ts'

export interface CsvOptions {
  /** Of the wall clock in the files. */
  readonly zone: string
  /** Values that mean "no sensor": null. */
  readonly sentinels: readonly number[]
  /** Columns whose cells are text, by their name in the file. */
  readonly textColumns: readonly string[]
  /** Expected time between rows; a longer one is remarked as a gap. */
  readonly intervalMs: number
}

export type Cell = number | string | null

export interface CsvRow {
  readonly kind: 'row'
  readonly file: string
  readonly line: number
  readonly timeMs: number
  readonly values: Readonly<Record<string, Cell>>
}

export type CsvItem =
  | CsvRow
  | {
      readonly kind: 'damaged'
      readonly file: string
      readonly line: number
      readonly reason: string
    }
  | { readonly kind: 'remark'; readonly file: string; readonly line: number; readonly text: string }

export interface CsvCounts {
  lines: number
  headers: number
  rows: number
  damaged: number
}

export const SOLAR_PLANT: CsvOptions = {
  zone: 'Europe/Berlin',
  sentinels: [888.8, -88.8, -999.9, -9999],
  textColumns: ['Version', 'Systemzeit', 'Systemdatum'],
  intervalMs: 60_000,
}

const LINE_LENGTH_MAX = 65_536
const TIME = /^(\d\d)\.(\d\d)\.(\d{4}) (\d\d):(\d\d)(?::(\d\d))?$/
const NUMBER = /^[+-]?\d+(?:,\d+)?$/

interface Column {
  readonly key: string
  readonly isText: boolean
}

/** Reads files one after the other; the counts are right whenever the iteration stands still. */
export class CsvReader {
  readonly counts: CsvCounts = { lines: 0, headers: 0, rows: 0, damaged: 0 }
  readonly #options: CsvOptions
  readonly #zone: TimeZone
  #columns: readonly Column[] | undefined
  #headerText = ''
  #lastTimeMs: number | undefined

  constructor(options: CsvOptions) {
    this.#options = options
    const zone = TimeZone.named(options.zone)
    if (zone === undefined) {
      throw new SimError(
        'SIM_INPUT',
        `zone is "${options.zone}", expected one such as Europe/Berlin`,
      )
    }
    this.#zone = zone
  }

  async *read(path: string): AsyncGenerator<CsvItem> {
    this.#columns = undefined
    let line = 0
    for await (const text of linesOf(path)) {
      line++
      this.counts.lines++
      if (this.#isHeader(text)) {
        this.counts.headers++
        continue
      }
      const row = this.#readRow(text)
      if (typeof row === 'string') {
        this.counts.damaged++
        yield { kind: 'damaged', file: path, line, reason: row }
        continue
      }
      this.counts.rows++
      const remark = this.#remarkOn(row.timeMs)
      if (row.remark !== undefined) yield { kind: 'remark', file: path, line, text: row.remark }
      if (remark !== undefined) yield { kind: 'remark', file: path, line, text: remark }
      yield { kind: 'row', file: path, line, timeMs: row.timeMs, values: row.values }
    }
  }

  /** The first line of a file, and its repetition where a controller started again. */
  #isHeader(text: string): boolean {
    if (this.#columns !== undefined) return text === this.#headerText
    this.#columns = columnsOf(text, this.#options.textColumns)
    this.#headerText = text
    return true
  }

  #readRow(
    text: string,
  ): { timeMs: number; values: Record<string, Cell>; remark: string | undefined } | string {
    if (text.length > LINE_LENGTH_MAX) return `longer than ${LINE_LENGTH_MAX} characters`
    if (text.trim() === '') return 'empty line'
    if (/[\x00-\x08\x0b-\x1f]/.test(text)) return 'control characters: the storage was damaged'
    const cells = text.split('\t')
    if (cells[cells.length - 1] === '') cells.pop()
    const columns = this.#columns!
    if (cells.length !== columns.length) {
      return `${cells.length} cells, expected ${columns.length}`
    }
    const moment = this.#timeOf(cells[0]!)
    if (typeof moment === 'string') return moment
    const values: Record<string, Cell> = {}
    for (let index = 1; index < cells.length; index++) {
      const { key, isText } = columns[index]!
      const cell = cells[index]!
      if (isText) values[key] = cell
      else if (cell === '') values[key] = null
      else if (!NUMBER.test(cell)) return `${key} is ${shorten(cell)}, expected a number`
      else values[key] = this.#numberOf(cell)
    }
    return { ...moment, values }
  }

  #numberOf(cell: string): number | null {
    const value = Number(cell.replace(',', '.'))
    return this.#options.sentinels.includes(value) ? null : value
  }

  #timeOf(cell: string): { timeMs: number; remark: string | undefined } | string {
    const found = TIME.exec(cell.trim())
    if (found === null) return `time is ${shorten(cell)}, expected dd.MM.yyyy HH:mm`
    const [, day, month, year, hour, minute, second = '0'] = found
    const wall = wallClock(+year!, +month!, +day!, +hour!, +minute!, +second)
    if (wall === undefined) return `time ${shorten(cell)} does not exist`
    const moment = this.#zone.moment(wall)
    if (moment.kind === 'one') return { timeMs: moment.epochMs, remark: undefined }
    if (moment.kind === 'none') {
      return `time ${shorten(cell)} does not exist in ${this.#zone.name}: the clocks go forward`
    }
    // The hour that stands there twice: the second pass begins where the first would step back.
    const isSecondPass = this.#lastTimeMs !== undefined && this.#lastTimeMs >= moment.earlierMs
    const timeMs = isSecondPass ? moment.laterMs : moment.earlierMs
    const pass = isSecondPass ? 'second' : 'first'
    return {
      timeMs,
      remark: `${cell.trim()} stands there twice in ${this.#zone.name}: ${pass} taken`,
    }
  }

  #remarkOn(timeMs: number): string | undefined {
    const last = this.#lastTimeMs
    this.#lastTimeMs = timeMs
    if (last === undefined) return undefined
    const step = timeMs - last
    const text = new Date(last).toISOString()
    if (step <= 0) return `time steps back by ${-step / 1_000} s from ${text}`
    const missing = Math.round(step / this.#options.intervalMs) - 1
    return missing > 0
      ? `gap of ${step / 1_000} s behind ${text}: ${missing} rows missing`
      : undefined
  }
}

/** "Temperatur Sensor 1 [ °C]" → temperatur_sensor_1: usable as a JSON key and in a profile's path. */
function columnsOf(header: string, textColumns: readonly string[]): Column[] {
  const names = header.split('\t')
  if (names[names.length - 1] === '') names.pop()
  const seen = new Map<string, number>()
  return names.map((name) => {
    const bare = name.replace(/\[[^\]]*\]/, '').trim()
    const key = keyOf(bare) || 'column'
    const count = (seen.get(key) ?? 0) + 1
    seen.set(key, count)
    return { key: count === 1 ? key : `${key}_${count}`, isText: textColumns.includes(bare) }
  })
}

function keyOf(name: string): string {
  const plain = name
    .toLowerCase()
    .replaceAll('ä', 'ae')
    .replaceAll('ö', 'oe')
    .replaceAll('ü', 'ue')
    .replaceAll('ß', 'ss')
  return plain.replace(/[^a-z0-9]+/g, '_').replace(/^_+|_+$/g, '')
}

/** Lines without their ends; a last one without its end counts, the emptiness behind it does not. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = ''
  try {
    for await (const chunk of createReadStream(path, { encoding: 'latin1' })) {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop()!
      // A file without line ends must not be gathered in memory: what is kept tells of its length.
      if (rest.length > 4 * LINE_LENGTH_MAX) rest = rest.slice(0, LINE_LENGTH_MAX + 1)
      for (const line of lines) yield line.endsWith('\r') ? line.slice(0, -1) : line
    }
  } catch (error) {
    throw new SimError('SIM_INPUT', `${path} cannot be read: ${causeOf(error)}`, { cause: error })
  }
  if (rest !== '') yield rest.endsWith('\r') ? rest.slice(0, -1) : rest
}
