// When a reading was taken, from whatever a device writes: ISO text, or a number of some unit.
//
// `auto` tells seconds, milliseconds and microseconds apart by size: each range below covers
// 1970 … 5138 in its unit, and a sensible moment of one unit is not a sensible one of another.

import { type TimeZone, wallClock } from './time-zone.ts'

export const TIME_FORMATS = ['auto', 'iso', 's', 'ms', 'us'] as const
export type TimeFormat = (typeof TIME_FORMATS)[number]

const SECONDS_BELOW = 1e11
const MILLISECONDS_BELOW = 1e14
const MICROSECONDS_BELOW = 1e17
const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s?(Z|z|[+-]\d\d:?\d\d)?)?$/

/** Milliseconds since the epoch, or a sentence's end that says what was expected. */
export function readEventTime(
  value: unknown,
  format: TimeFormat,
  zone: TimeZone | undefined,
): number | string {
  if (value instanceof Date) {
    const ms = value.getTime()
    return Number.isNaN(ms) ? 'a valid date' : ms
  }
  if (typeof value === 'string' && format !== 'iso' && /^\d{1,17}(\.\d+)?$/.test(value)) {
    return fromNumber(Number(value), format)
  }
  if (typeof value === 'string') {
    return format === 'auto' || format === 'iso' ? fromText(value, zone) : expectation(format)
  }
  if (typeof value === 'bigint') return fromNumber(Number(value), format)
  return typeof value === 'number' ? fromNumber(value, format) : expectation(format)
}

function fromNumber(value: number, format: TimeFormat): number | string {
  if (format === 'iso' || !Number.isFinite(value) || value < 0) return expectation(format)
  let ms: number
  if (format === 's' || (format === 'auto' && value < SECONDS_BELOW)) ms = value * 1000
  else if (format === 'ms' || (format === 'auto' && value < MILLISECONDS_BELOW)) ms = value
  else if (format === 'us' || value < MICROSECONDS_BELOW) ms = value / 1000
  else return expectation(format)
  return ms < MILLISECONDS_BELOW ? Math.round(ms) : expectation(format)
}

function fromText(value: string, zone: TimeZone | undefined): number | string {
  const found = ISO.exec(value)
  if (found === null) return expectation('iso')
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', offset] = found
  const ms = Math.floor(Number(`0.${fraction || '0'}`) * 1000)
  const wall = wallClock(+year!, +month!, +day!, +hour, +minute, +second, ms)
  if (wall === undefined) return 'a moment that exists'
  if (offset !== undefined) return wall - offsetOf(offset)
  if (zone === undefined) return 'a time with its zone (Z or +02:00), or time.zone in the profile'
  const moment = zone.moment(wall)
  if (moment.kind === 'one') return moment.epochMs
  return moment.kind === 'two' ? moment.earlierMs : `a moment that exists in ${zone.name}`
}

function offsetOf(text: string): number {
  if (text === 'Z' || text === 'z') return 0
  const digits = text.slice(1).replace(':', '')
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2))
  return (text.startsWith('-') ? -1 : 1) * minutes * 60_000
}

function expectation(format: TimeFormat): string {
  switch (format) {
    case 'iso':
      return 'ISO 8601, such as 2026-01-31T12:00:00Z'
    case 's':
      return 'seconds since 1970'
    case 'ms':
      return 'milliseconds since 1970'
    case 'us':
      return 'microseconds since 1970'
    case 'auto':
      return 'ISO 8601, or seconds, milliseconds or microseconds since 1970'
  }
}
