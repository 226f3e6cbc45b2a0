// Key, value, time, partition and headers of one message whose route looks into the payload.
//
// - A time that is bad or missing is the arrival time, and header `event.time.error` says so; one
//   outside [arrival − 30 d, arrival + 1 h] is kept as header `event.time`, so that retention and
//   time indexes never follow a device whose clock says 1970 or 2099.
// - A key that is missing or too long makes no key, and header `key.error` says so.
// - A profile's refusal, or a partition that does not exist, makes a dead letter.

import { readEventTime } from '../../devices/event-time.ts'
import { partitionFor } from '../record/murmur2.ts'
import { encodeHeader } from '../record/record.ts'
import type { PartitionRule, Route } from './routes.ts'
import type { TemplateValues } from './template.ts'

const KEY_BYTES_MAX = 4_096
const HEADER_BYTES_MAX = 4_096
const EVENT_PAST_MS = 30 * 86_400_000
const EVENT_FUTURE_MS = 3_600_000

export type MessageFields =
  | {
      readonly kind: 'record'
      readonly timestamp: number
      readonly key: Buffer | null
      /** Undefined: the payload as it came. */
      readonly value: Buffer | undefined
      readonly partition: number
      /** Encoded, without `mqtt.retain`. */
      readonly headers: readonly Buffer[]
    }
  | { readonly kind: 'invalid'; readonly reason: string }

export interface MessageContext {
  readonly values: TemplateValues
  readonly payload: Buffer
  readonly arrival: number
  readonly partitionsCount: number
  /** Used where neither key nor rule chooses the partition. */
  readonly turn: number
}

/** Values of a route for one message; the payload is parsed only where the route asks for it. */
export function templateValues(
  route: Route,
  fixed: Omit<TemplateValues, 'payload'>,
  payload: Buffer,
): TemplateValues {
  const asks = route.usesPayload || route.timestamp?.usesPayload === true
  return { ...fixed, payload: asks ? parseJson(payload) : undefined }
}

function parseJson(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString())
  } catch {
    return undefined
  }
}

export function readMessage(route: Route, context: MessageContext): MessageFields {
  const { values, payload, arrival } = context
  const decoded = route.profile?.decode(payload, values.mqttTopic)
  if (decoded?.kind === 'invalid') return decoded
  const headers = routeHeaders(route, values)
  const ownKey = decoded?.key !== undefined && !route.hasOwnKey ? decoded.key : undefined
  const key = keyOf(ownKey ?? route.key.render(values), headers)
  const partition = choosePartition(route.partition, key, values, context)
  if (typeof partition === 'string') return { kind: 'invalid', reason: partition }
  const time = eventTime(route, values, decoded?.timestamp)
  const timestamp = typeof time === 'number' ? inWindow(time, arrival, headers) : arrival
  if (typeof time === 'string') headers.push(encodeHeader('event.time.error', Buffer.from(time)))
  return { kind: 'record', timestamp, key, value: decoded?.value, partition, headers }
}

/** `mqtt.topic` and the route's own headers; one whose value is missing is left out. */
export function routeHeaders(route: Route, values: TemplateValues): Buffer[] {
  const headers = [encodeHeader('mqtt.topic', Buffer.from(values.mqttTopic))]
  for (const [name, template] of route.headers) {
    const text = template.render(values)
    if (text === undefined) continue
    headers.push(encodeHeader(name, Buffer.from(text).subarray(0, HEADER_BYTES_MAX)))
  }
  return headers
}

/** The key's bytes; null for an empty one and, with a header that says so, for a missing one. */
export function keyOf(text: string | undefined, headers: Buffer[]): Buffer | null {
  if (text === '') return null
  const key = text === undefined ? null : Buffer.from(text)
  if (key !== null && key.length <= KEY_BYTES_MAX) return key
  headers.push(encodeHeader('key.error', Buffer.from(key === null ? 'missing' : 'too long')))
  return null
}

/** The partition, or the reason why there is none. */
export function choosePartition(
  rule: PartitionRule,
  key: Buffer | null,
  values: TemplateValues,
  { partitionsCount, turn }: Pick<MessageContext, 'partitionsCount' | 'turn'>,
): number | string {
  if (rule.kind !== 'named') {
    const byKey = rule.kind === 'byKey' && key !== null
    return byKey ? partitionFor(key, partitionsCount) : turn % partitionsCount
  }
  const text = rule.template.render(values)
  if (text !== undefined && /^\d{1,6}$/.test(text) && Number(text) < partitionsCount) {
    return Number(text)
  }
  const shown = text === undefined ? 'missing' : JSON.stringify(text.slice(0, 40))
  return `partition is ${shown}, expected 0 to ${partitionsCount - 1}`
}

/** Milliseconds, why there are none, or undefined when nobody asked for an event time. */
function eventTime(
  route: Route,
  values: TemplateValues,
  fromProfile: number | undefined,
): number | string | undefined {
  if (route.timestamp === undefined) return fromProfile
  const value = route.timestamp.value(values)
  if (value === undefined) return 'missing'
  const time = readEventTime(value, route.timestampFormat, undefined)
  return typeof time === 'number' ? time : `bad: expected ${time}`
}

function inWindow(time: number, arrival: number, headers: Buffer[]): number {
  if (time >= arrival - EVENT_PAST_MS && time <= arrival + EVENT_FUTURE_MS) return time
  const date = new Date(time)
  const text = Number.isNaN(date.getTime()) ? String(time) : date.toISOString()
  headers.push(encodeHeader('event.time', Buffer.from(text)))
  return arrival
}
