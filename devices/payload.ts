// Decodes and judges one payload by its device profile.
//
// A payload comes from a device and may be anything: bytes are capped before a decoder sees them,
// nesting and item counts are limited, and only plain values come out. What does not fit is an
// outcome with one sentence that names the field, the value and the expectation; nothing throws.
// The payload's bytes stay untouched unless the profile asks for normalised JSON.

import { isUtf8 } from 'node:buffer'
import { Decoder as CborDecoder, setSizeLimits } from 'cbor-x/decode-no-eval'
import { scanCbor } from './cbor-scan.ts'
import { readEventTime } from './event-time.ts'
import type { FieldProfile, PayloadLimits, Profile, TimeProfile } from './profile.ts'
import { shorten } from './suggestion.ts'
import type { KeyPart } from './topic-template.ts'

export type DecodeOutcome =
  | {
      readonly kind: 'ok'
      /** Milliseconds since the epoch; absent when the payload has none that can be read. */
      readonly timestamp?: number
      readonly key?: string
      /** Only when the profile normalises: JSON of the named fields (of everything if none). */
      readonly value?: Buffer
    }
  | { readonly kind: 'invalid'; readonly reason: string }

export interface Decoder {
  decode(payload: Buffer, mqttTopic: string): DecodeOutcome
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
/** JSON and the dates that CBOR has a tag for. */
type Plain = null | undefined | boolean | number | string | Date | Plain[] | PlainObject
interface PlainObject {
  [key: string]: Plain
}

type Parsed =
  | { readonly kind: 'parsed'; readonly root: Plain }
  | { readonly kind: 'invalid'; readonly reason: string }

const KEY_LENGTH_MAX = 1_024

// The library's limits are global; these are far below its own and above every profile's.
setSizeLimits({ maxArraySize: 1_000_000, maxMapSize: 1_000_000, maxObjectSize: 1_000_000 })
const CBOR_OPTIONS = { useRecords: false, mapsAsObjects: true, int64AsNumber: true }

/** The decoder of one profile; it keeps nothing between payloads. */
export function createDecoder(profile: Profile): Decoder {
  const { limits, time, key, fields } = profile
  const parse = profile.format === 'cbor' ? cborParser(limits) : jsonParser(limits)
  return {
    decode(payload, mqttTopic) {
      if (payload.length > limits.maxBytes) {
        return invalid(`payload has ${payload.length} bytes, expected at most ${limits.maxBytes}`)
      }
      const parsed = parse(payload)
      if (parsed.kind === 'invalid') return parsed
      const { root } = parsed
      const readings = new Map<string, Json>()
      for (const field of fields) {
        const problem = judgeField(field, root, readings)
        if (problem !== undefined) return invalid(problem)
      }
      const timestamp = time === undefined ? undefined : timeOf(time, root)
      if (typeof timestamp === 'string') return invalid(timestamp)
      const outcome: { kind: 'ok'; timestamp?: number; key?: string; value?: Buffer } = {
        kind: 'ok',
      }
      if (timestamp !== undefined) outcome.timestamp = timestamp
      if (key !== undefined) {
        const made = keyOf(key, profile, root, mqttTopic)
        if (made !== undefined && 'problem' in made) return invalid(made.problem)
        if (made !== undefined) outcome.key = made.key
      }
      if (profile.normalise) outcome.value = normalised(profile, root, readings, timestamp)
      return outcome
    },
  }
}

function invalid(reason: string): { kind: 'invalid'; reason: string } {
  return { kind: 'invalid', reason }
}

function jsonParser(limits: PayloadLimits): (payload: Buffer) => Parsed {
  return (payload) => {
    if (payload.length === 0) return invalid('payload is empty, expected JSON')
    if (!isUtf8(payload)) return invalid('payload is not UTF-8, expected JSON')
    let root: Json
    try {
      root = JSON.parse(payload.toString('utf8'))
    } catch {
      const start = payload.toString('utf8', 0, 40)
      return invalid(`payload ${shorten(start)} is not JSON${cutHint(payload)}`)
    }
    const problem = judgeTree(root, limits)
    return problem === undefined ? { kind: 'parsed', root } : invalid(`payload ${problem}`)
  }
}

/** A message cut off on its way is the usual cause, and worth a word. */
function cutHint(payload: Buffer): string {
  const [first, last] = [payload[0], payload[payload.length - 1]]
  const isCut = (first === 0x7b && last !== 0x7d) || (first === 0x5b && last !== 0x5d)
  return isCut ? `; it ends after ${payload.length} bytes without its last bracket` : ''
}

function cborParser(limits: PayloadLimits): (payload: Buffer) => Parsed {
  const decoder = new CborDecoder(CBOR_OPTIONS)
  return (payload) => {
    if (payload.length === 0) return invalid('payload is empty, expected CBOR')
    const shape = scanCbor(payload, limits)
    if (shape !== undefined) {
      const isText = payload[0] === 0x7b ? '; it looks like JSON' : ''
      return invalid(`payload is not CBOR as expected: it ${shape}${isText}`)
    }
    try {
      return { kind: 'parsed', root: plain(decoder.decode(payload)) }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      return invalid(`payload is not CBOR as expected: ${shorten(why, 80)}`)
    }
  }
}

/** What the CBOR decoder built, as plain values; throws a sentence for what has no plain form. */
function plain(value: unknown): Plain {
  if (value === null || value === undefined) return value
  switch (typeof value) {
    case 'boolean':
    case 'number':
    case 'string':
      return value
    case 'bigint':
      return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
    case 'object':
      break
    default:
      throw new Error(`a ${typeof value} is not a value`)
  }
  if (Array.isArray(value)) return value.map(plain)
  if (value instanceof Date) return value
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (ArrayBuffer.isView(value) && Symbol.iterator in value) {
    return Array.from(value as unknown as Iterable<unknown>, plain)
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new Error(`a ${prototype.constructor?.name ?? 'foreign object'} is not a value`)
  }
  const object: PlainObject = {}
  for (const [key, item] of Object.entries(value)) object[key] = plain(item)
  return object
}

/** Walks with a stack of its own, so that no nesting can exhaust the engine's. */
function judgeTree(root: Json, limits: PayloadLimits): string | undefined {
  let level: Json[] = [root]
  let items = 0
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > limits.maxDepth) return `is nested deeper than ${limits.maxDepth} levels`
    const next: Json[] = []
    for (const value of level) {
      if (++items > limits.maxItems) return `has more than ${limits.maxItems} items`
      if (typeof value !== 'object' || value === null) continue
      for (const item of Array.isArray(value) ? value : Object.values(value)) next.push(item)
    }
    level = next
  }
  return undefined
}

function lookUp(root: Plain, path: readonly string[]): Plain {
  let value: Plain = root
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as PlainObject)[step]
  }
  return value
}

function pathText(path: readonly string[]): string {
  return path.length === 0 ? 'the payload' : path.join('.')
}

function label(field: FieldProfile): string {
  const path = pathText(field.path)
  return path === field.name ? field.name : `${field.name} (${path})`
}

/** Puts the field's value (null for a sentinel) into `readings`, or says what is wrong with it. */
function judgeField(
  field: FieldProfile,
  root: Plain,
  readings: Map<string, Json>,
): string | undefined {
  const value = lookUp(root, field.path)
  if (value === undefined) {
    if (!field.required) return undefined
    return `${label(field)} is missing, expected a ${field.type}`
  }
  const isSentinel = field.sentinels.some((sentinel) => Object.is(sentinel, value))
  if (value === null || isSentinel) {
    readings.set(field.name, null)
    return undefined
  }
  const expected = expectation(field, value)
  if (expected !== undefined) {
    const unit = typeof value === 'number' && field.unit !== undefined ? ` ${field.unit}` : ''
    return `${label(field)} is ${shorten(value)}${unit}, expected ${expected}`
  }
  readings.set(field.name, value as Json)
  return undefined
}

function expectation(field: FieldProfile, value: Plain): string | undefined {
  switch (field.type) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : 'true or false'
    case 'string':
      if (typeof value !== 'string') return 'a string'
      if (field.values === undefined || field.values.includes(value)) return undefined
      return `one of ${shorten(field.values.join(', '), 80)}`
    default:
      return numberExpectation(field, value)
  }
}

function numberExpectation(field: FieldProfile, value: Plain): string | undefined {
  const unit = field.unit === undefined ? '' : ` ${field.unit}`
  if (typeof value !== 'number' || !Number.isFinite(value)) return `a ${field.type}`
  if (field.type === 'integer' && !Number.isInteger(value)) return 'an integer'
  if (field.min !== undefined && value < field.min) return `at least ${field.min}${unit}`
  if (field.max !== undefined && value > field.max) return `at most ${field.max}${unit}`
  return undefined
}

function timeOf(time: TimeProfile, root: Plain): number | string | undefined {
  const value = lookUp(root, time.path)
  if (value === undefined || value === null) {
    return time.required ? `time (${pathText(time.path)}) is missing` : undefined
  }
  const read = readEventTime(value, time.format, time.zone)
  if (typeof read === 'number') return read
  if (!time.required) return undefined
  return `time (${pathText(time.path)}) is ${shorten(value)}, expected ${read}`
}

function keyOf(
  parts: readonly KeyPart[],
  profile: Profile,
  root: Plain,
  mqttTopic: string,
): { readonly key: string } | { readonly problem: string } | undefined {
  const names = profile.mqttTopic.match(mqttTopic)
  let key = ''
  for (const part of parts) {
    if (part.kind === 'text') key += part.text
    else if (part.kind === 'name') {
      const value = part.name === 'mqttTopic' ? mqttTopic : names?.get(part.name)
      // Another route's topic: the profile cannot name the key, the route's own template can.
      if (value === undefined) return undefined
      key += value
    } else {
      const value = lookUp(root, part.path)
      const problem = keyProblem(value)
      if (problem !== undefined) return { problem: `key {${part.text}} is ${problem}` }
      key += String(value)
    }
  }
  if (key.length <= KEY_LENGTH_MAX) return { key }
  return { problem: `key has ${key.length} characters, expected at most ${KEY_LENGTH_MAX}` }
}

function keyProblem(value: Plain): string | undefined {
  if (value === undefined) return 'missing, expected text or a number'
  if (typeof value === 'string' || typeof value === 'boolean') return undefined
  if (typeof value !== 'number') return `${shorten(value)}, expected text or a number`
  if (!Number.isFinite(value)) return `${value}, expected text or a number`
  // Two devices with ids beyond 2^53 would share one key without anybody noticing.
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return `${value}, expected a number below 2^53; send it as text`
  }
  return undefined
}

function normalised(
  profile: Profile,
  root: Plain,
  readings: ReadonlyMap<string, Json>,
  timestamp: number | undefined,
): Buffer {
  if (profile.fields.length === 0) return Buffer.from(JSON.stringify(root ?? null))
  const object: Record<string, Json> = Object.fromEntries(readings)
  if (timestamp !== undefined && !('time' in object))
    object.time = new Date(timestamp).toISOString()
  return Buffer.from(JSON.stringify(object))
}
