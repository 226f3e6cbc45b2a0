// What must hold between keys, once each of them is right by itself.

import { isTopicName } from '../log/topic.ts'
import { didYouMean } from './did-you-mean.ts'
import { isLoopback, parseHostPort, parseMqttAddress } from './listen-address.ts'
import { type Config, TOPIC_NAME } from './schema.ts'

/** Reports one problem or warning at a key. */
export type Report = (key: string, sentence: string) => void

/** Puts the gateway's name where the configuration says `{gateway}`. */
export function resolveNames(config: Config, problem: Report): Config {
  const { gateway } = config
  const fill = (key: string, template: string, unnamed: string): string => {
    const unknown = [...template.matchAll(/\{([^{}]*)\}/g)].find(([, name]) => name !== 'gateway')
    if (unknown !== undefined) {
      problem(key, `${key}: ${unknown[0]} is unknown; only {gateway} stands here`)
      return ''
    }
    if (!template.includes('{gateway}') || gateway !== undefined) {
      return template.replaceAll('{gateway}', gateway ?? '')
    }
    if (template !== unnamed) problem(key, `${key} uses {gateway}: set gateway`)
    return ''
  }
  const topicPrefix = fill('topicPrefix', config.topicPrefix, '{gateway}.')
  const { upstream } = config
  if (upstream === undefined) return { ...config, topicPrefix }
  const clientId = fill('upstream.clientId', upstream.clientId, 'tributary-{gateway}')
  return { ...config, topicPrefix, upstream: { ...upstream, clientId } }
}

/** Checks the relations between keys. */
export function checkRelations(config: Config, problem: Report, warn: Report): void {
  checkMqtt(config, problem)
  checkTopics(config, problem)
  checkUpstream(config, problem)
  const { segmentBytes, batchBytes } = config.storage
  if (segmentBytes < batchBytes) {
    problem(
      'storage.segmentBytes',
      `storage.segmentBytes (${segmentBytes}) must be at least storage.batchBytes (${batchBytes}): a segment holds whole batches`,
    )
  }
  for (const part of ['kafka', 'admin'] as const) {
    for (const listener of config[part].listeners) {
      const { host } = parseHostPort(listener)!
      if (!isLoopback(host)) {
        warn(
          `${part}.listeners`,
          `${part}.listeners: ${listener} is open to the network, without a password`,
        )
      }
    }
  }
}

function checkMqtt({ mqtt }: Config, problem: Report): void {
  const { certFile, keyFile, clientCaFile } = mqtt.tls
  const key = 'mqtt.listeners'
  for (const listener of mqtt.listeners) {
    const { scheme, host } = parseMqttAddress(listener)!
    const isSecure = scheme === 'mqtts' || scheme === 'wss'
    if (isSecure && (certFile === undefined || keyFile === undefined)) {
      problem(key, `${key}: ${listener} needs mqtt.tls.certFile and mqtt.tls.keyFile`)
    }
    if (isLoopback(host) || mqtt.usersFile !== undefined || mqtt.allowAnonymous === true) continue
    problem(
      key,
      `${key}: ${listener} is open to the network; set mqtt.usersFile (mosquitto_passwd writes one), or mqtt.allowAnonymous: true`,
    )
  }
  if ((certFile === undefined) !== (keyFile === undefined)) {
    problem('mqtt.tls', 'mqtt.tls: certFile and keyFile belong together')
  }
  if (clientCaFile !== undefined && certFile === undefined) {
    problem('mqtt.tls.clientCaFile', 'mqtt.tls.clientCaFile needs mqtt.tls.certFile and keyFile')
  }
}

function checkTopics(config: Config, problem: Report): void {
  const { topicPrefix } = config
  const check = (key: string, topic: string): void => {
    const name = topicPrefix + topic.replace(/\{[^{}]*\}/g, 'x').replace(/[^A-Za-z0-9._-]/g, '_')
    if (!TOPIC_NAME.test(name)) {
      problem(key, `${key}: "${name}" is ${name.length} characters; Kafka takes 1 to 249`)
    } else if (name === '.' || name === '..') {
      problem(key, `${key}: "${name}" is no name Kafka takes`)
    } else if (!isTopicName(name)) {
      problem(key, `${key}: "${name}" is the name of a file of the store; choose another one`)
    }
  }
  if (topicPrefix !== '' && !TOPIC_NAME.test(topicPrefix)) {
    problem(
      'topicPrefix',
      `topicPrefix: "${topicPrefix}" has other than letters, digits, ".", "_" and "-"`,
    )
    return
  }
  check('deadLetter', config.deadLetter)
  if (config.unrouted !== undefined) check('unrouted', config.unrouted)
  for (const [index, route] of config.routes.entries()) check(`routes[${index}].topic`, route.topic)
  for (const topic of Object.keys(config.topics)) {
    const key = `topics.${topic}`
    if (TOPIC_NAME.test(topic)) check(key, topic)
    else problem(key, `${key} is no topic name: letters, digits, ".", "_" and "-", at most 249`)
  }
}

function checkUpstream({ gateway, upstream }: Config, problem: Report): void {
  if (upstream === undefined) return
  if (gateway === undefined) {
    problem('upstream', "upstream needs gateway: it names this gateway's topics for ever")
  }
  if (upstream.bootstrapServers.length === 0) {
    problem('upstream', 'upstream needs bootstrapServers, such as ["kafka.example.com:9092"]')
  }
  const { protocol, mechanism, username, password, passwordFile, ...tls } = upstream.security
  const key = 'upstream.security'
  const sasl = protocol.startsWith('SASL')
  if (sasl && mechanism === undefined) {
    problem(
      key,
      `${key}: protocol ${protocol} needs mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`,
    )
  }
  if (sasl && username === undefined) problem(key, `${key}: protocol ${protocol} needs username`)
  if (sasl && password === undefined && passwordFile === undefined) {
    problem(key, `${key}: protocol ${protocol} needs passwordFile (or password)`)
  }
  if (password !== undefined && passwordFile !== undefined) {
    problem(key, `${key}: password and passwordFile are both set; keep one`)
  }
  if (!sasl && (mechanism !== undefined || username !== undefined)) {
    const meant = protocol === 'SSL' ? 'SASL_SSL' : 'SASL_PLAINTEXT or SASL_SSL'
    problem(key, `${key}: protocol ${protocol} sends no password; set protocol: ${meant}`)
  }
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    problem(key, `${key}: certFile and keyFile belong together`)
  }
  const tlsKey = (['caFile', 'certFile'] as const).find((name) => tls[name] !== undefined)
  if (tlsKey !== undefined && !protocol.endsWith('SSL')) {
    const meant = sasl ? 'SASL_SSL' : 'SSL'
    problem(key, `${key}: ${tlsKey} has no use with protocol ${protocol}; set protocol: ${meant}`)
  }
}

/** Reports the names under `topics` that no route, dead-letter or unrouted topic can have. */
export function warnOfIdleTopics(config: Config, warn: Report): void {
  const written = config.routes.map(({ topic }) => topic)
  if (written.some((topic) => topic.includes('{')) || written.length === 0) return
  const known = [...written, config.deadLetter, config.unrouted ?? config.deadLetter]
  for (const topic of Object.keys(config.topics)) {
    if (known.includes(topic)) continue
    warn(`topics.${topic}`, `topics.${topic}: no route writes to it${didYouMean(topic, known)}`)
  }
}
