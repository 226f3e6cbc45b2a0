// The routes of the configuration, compiled: mqttTopic → Kafka topic, key, partition, headers, time.
//
// - The first route that matches wins; a route that an earlier one shadows is an error.
// - Whatever a name brings into a Kafka topic, characters that Kafka forbids become `_`.
// - No routes: everything goes to topic `mqtt`.

import { TIME_FORMATS, type TimeFormat } from '../../devices/event-time.ts'
import { AgentError } from '../base/errors.ts'
import { Template, type TemplateValues } from './template.ts'
import { TopicPattern } from './topic-pattern.ts'

export interface RouteOptions {
  mqttTopic: string
  topic: string
  /** Default "{mqttTopic}"; empty = no key. */
  key?: string | undefined
  /** byKey | roundRobin | a number | "{name}". */
  partition?: string | number | undefined
  timestamp?: string | undefined
  timestampFormat?: TimeFormat | undefined
  profile?: string | undefined
  headers?: Readonly<Record<string, string>> | undefined
}

/** What a device profile does with a payload; `devices/` has the built-in ones. */
export interface PayloadProfile {
  decode(payload: Buffer, mqttTopic: string): ProfileOutcome
}

type ProfileOutcome =
  | {
      readonly kind: 'ok'
      readonly timestamp?: number
      readonly key?: string
      readonly value?: Buffer
    }
  | { readonly kind: 'invalid'; readonly reason: string }

export type PartitionRule =
  | { readonly kind: 'byKey' }
  | { readonly kind: 'roundRobin' }
  | { readonly kind: 'named'; readonly template: Template }

export interface Route {
  readonly index: number
  readonly pattern: TopicPattern
  readonly topic: Template
  readonly key: Template
  /** The key stands in the configuration: a profile's own key does not replace it. */
  readonly hasOwnKey: boolean
  readonly partition: PartitionRule
  readonly timestamp: Template | undefined
  readonly timestampFormat: TimeFormat
  readonly profile: PayloadProfile | undefined
  readonly headers: readonly (readonly [name: string, value: Template])[]
  /** Key, partition or headers depend on the payload: nothing of it can be cached. */
  readonly usesPayload: boolean
  readonly usesClient: boolean
}

export interface RoutesOptions {
  gateway: string
  topicPrefix: string
  routes: readonly RouteOptions[]
  profiles: ReadonlyMap<string, PayloadProfile>
}

export interface RouteMatch {
  readonly route: Route
  readonly captures: readonly string[]
}

export class Routes {
  readonly gateway: string
  readonly #prefix: string
  readonly #routes: readonly Route[]
  /** Some route looks at who publishes, so that one mqttTopic is not one destination. */
  readonly usesClient: boolean

  /** Throws AgentError INPUT_CONFIG that names the route and the key. */
  constructor(options: RoutesOptions) {
    this.gateway = options.gateway
    this.#prefix = options.topicPrefix.replaceAll('{gateway}', options.gateway)
    const given = options.routes.length === 0 ? [{ mqttTopic: '#', topic: 'mqtt' }] : options.routes
    this.#routes = given.map((route, index) => compile(route, index, options.profiles))
    for (const route of this.#routes) {
      const before = this.#routes.slice(0, route.index)
      const shadow = before.find((earlier) => earlier.pattern.covers(route.pattern))
      if (shadow === undefined) continue
      throw new AgentError(
        'INPUT_CONFIG',
        `routes[${route.index}].mqttTopic ${route.pattern.text} is never reached: ` +
          `routes[${shadow.index}] ${shadow.pattern.text} takes all of it and stands before it`,
      )
    }
    this.usesClient = this.#routes.some((route) => route.usesClient)
  }

  match(mqttTopic: string): RouteMatch | undefined {
    for (const route of this.#routes) {
      const captures = route.pattern.match(mqttTopic)
      if (captures !== undefined) return { route, captures }
    }
    return undefined
  }

  /** The pattern that a topic without a route comes closest to. */
  nearest(mqttTopic: string): string {
    let best = this.#routes[0]!.pattern
    let bestDistance = Number.POSITIVE_INFINITY
    for (const { pattern } of this.#routes) {
      const distance = pattern.distance(mqttTopic)
      if (distance < bestDistance) [best, bestDistance] = [pattern, distance]
    }
    return best.text
  }

  /** The Kafka topic without and with the prefix; undefined when no legal name comes out. */
  topicOf(route: Route, values: TemplateValues): { short: string; name: string } | undefined {
    const rendered = route.topic.render(values)
    if (rendered === undefined || rendered === '') return undefined
    const short = legal(rendered)
    return { short, name: this.prefixed(short) } satisfies { short: string; name: string }
  }

  /** A configured topic name with the prefix of this gateway. */
  prefixed(topic: string): string {
    return legal(this.#prefix + topic)
  }
}

function legal(name: string): string {
  return name.replace(/[^a-zA-Z0-9._-]/gu, '_')
}

function compile(
  options: RouteOptions,
  index: number,
  profiles: ReadonlyMap<string, PayloadProfile>,
): Route {
  const fail = (key: string, text: string): never => {
    throw new AgentError('INPUT_CONFIG', `routes[${index}].${key} ${text}`)
  }
  const found = TopicPattern.parse(options.mqttTopic)
  const pattern = typeof found === 'string' ? fail('mqttTopic', found) : found
  const template = (key: string, text: string): Template => {
    const parsed = Template.parse(text, pattern.names)
    return typeof parsed === 'string' ? fail(key, parsed) : parsed
  }
  const topic = template('topic', options.topic)
  if (topic.isEmpty) fail('topic', 'is empty')
  if (topic.usesPayload) fail('topic', 'may not use the payload')
  const key = template('key', options.key ?? '{mqttTopic}')
  const partition = partitionRule(options.partition ?? 'byKey', template, fail)
  const headers = Object.entries(options.headers ?? {}).map(
    ([name, text]) => [name, template(`headers.${name}`, text)] as const,
  )
  const profile = options.profile === undefined ? undefined : profiles.get(options.profile)
  if (options.profile !== undefined && profile === undefined) {
    const known = [...profiles.keys()].join(', ') || 'none'
    fail('profile', `${options.profile} is not a known profile; known: ${known}`)
  }
  const timestampFormat = options.timestampFormat ?? 'auto'
  if (!TIME_FORMATS.includes(timestampFormat)) {
    fail('timestampFormat', `is one of ${TIME_FORMATS.join(', ')}`)
  }
  const used = [key, ...headers.map(([, value]) => value)]
  if (partition.kind === 'named') used.push(partition.template)
  return {
    index,
    pattern,
    topic,
    key,
    hasOwnKey: options.key !== undefined,
    partition,
    timestamp:
      options.timestamp === undefined ? undefined : template('timestamp', options.timestamp),
    timestampFormat,
    profile,
    headers,
    usesPayload: used.some((each) => each.usesPayload),
    usesClient: [topic, ...used].some((each) => each.usesClient),
  }
}

function partitionRule(
  rule: string | number,
  template: (key: string, text: string) => Template,
  fail: (key: string, text: string) => never,
): PartitionRule {
  if (rule === 'byKey' || rule === 'roundRobin') return { kind: rule }
  const text = String(rule)
  if (!/^\d{1,6}$/.test(text) && !/^\{[^{}]+\}$/.test(text)) {
    fail('partition', 'is byKey, roundRobin, a number or "{name}"')
  }
  return { kind: 'named', template: template('partition', text) }
}
