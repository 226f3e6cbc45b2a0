// tributary routes test MQTT_TOPIC [PAYLOAD]: what the agent would make of a message.

import { readProfiles } from '../config/part-checks.ts'
import type { Config } from '../config/schema.ts'
import { topicSettings } from '../config/topic-settings.ts'
import { type MessageFields, readMessage, templateValues } from '../ingest/message-fields.ts'
import { topicNameFault } from '../ingest/mqtt-text.ts'
import { type RouteMatch, Routes } from '../ingest/routes.ts'
import { isTopicName } from '../log/topic.ts'
import { readVarint } from '../record/varint.ts'
import { parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, type ExitCode, printLine, type Terminal } from './command.ts'
import { loadedConfig } from './loaded-config.ts'
import { table } from './table.ts'

export const command: Command = {
  help: `tributary routes test MQTT_TOPIC [PAYLOAD]

Says which route takes the message and what becomes of it. Exits 1 when none does, or when the
message would go to the dead-letter topic.

  --client-id ID       as whom it is published (default: client)
  --username NAME      (default: none)
  -c, --config FILE    the configuration`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: {
        config: { type: 'string', short: 'c' },
        'client-id': { type: 'string' },
        username: { type: 'string' },
      },
      positionals: ['test', 'MQTT_TOPIC', '[PAYLOAD]'],
    })
    const [action, mqttTopic, payload = ''] = positionals as [string, string, string?]
    if (action !== 'test') throw usageError(`"${action}" is not test`)
    const name = Buffer.from(mqttTopic)
    const fault = topicNameFault(name, 0, name.length)
    if (fault !== undefined) throw usageError(`"${mqttTopic}" cannot be published to: ${fault}`)
    const { config } = await loadedConfig(terminal, { file: values.config, required: true })
    const client = { clientId: values['client-id'] ?? 'client', username: values.username }
    return trace(config, { mqttTopic, payload: Buffer.from(payload), ...client }, terminal)
  },
}

interface Message {
  readonly mqttTopic: string
  readonly payload: Buffer
  readonly clientId: string
  readonly username: string | undefined
}

async function trace(config: Config, message: Message, terminal: Terminal): Promise<ExitCode> {
  const { gateway = '', topicPrefix } = config
  // Whatever is wrong with a profile, loading the configuration has said it.
  const profiles = await readProfiles(config, () => {})
  const routes = new Routes({ gateway, topicPrefix, routes: config.routes, profiles })
  const match = routes.match(message.mqttTopic)
  if (match === undefined) {
    const fate =
      config.unrouted === undefined ? '' : `, stored in ${routes.prefixed(config.unrouted)}`
    const near = routes.nearest(message.mqttTopic)
    await printLine(terminal.stdout, `no route for "${message.mqttTopic}"${fate}; nearest: ${near}`)
    return EXIT.notGood
  }
  const values = templateValues(
    match.route,
    {
      gateway,
      clientId: message.clientId,
      username: message.username,
      mqttTopic: message.mqttTopic,
      captures: match.captures,
    },
    message.payload,
  )
  const topic = routes.topicOf(match.route, values)
  if (topic === undefined || !isTopicName(topic.name)) {
    const name = topic === undefined ? 'nothing' : `"${topic.name}"`
    await printLine(
      terminal.stdout,
      `routes[${match.route.index}] makes ${name} of "${message.mqttTopic}", which cannot be a Kafka topic`,
    )
    return EXIT.notGood
  }
  const { partitions } = topicSettings(config, topic.name)
  const arrival = terminal.clock.now()
  const { payload } = message
  const context = { values, payload, arrival, partitionsCount: partitions, turn: 0 }
  const fields = readMessage(match.route, context)
  const rows =
    fields.kind === 'invalid'
      ? [
          ['route', routeName(match)],
          ['topic', `${routes.prefixed(config.deadLetter)} (dead letter)`],
          ['reason', fields.reason],
        ]
      : recordRows(match, fields, { topic: topic.name, partitions, arrival })
  for (const line of table(rows)) await printLine(terminal.stdout, line)
  return fields.kind === 'invalid' ? EXIT.notGood : EXIT.good
}

function routeName({ route }: RouteMatch): string {
  return `routes[${route.index}] ${route.pattern.text}`
}

function recordRows(
  match: RouteMatch,
  fields: Extract<MessageFields, { kind: 'record' }>,
  { topic, partitions, arrival }: { topic: string; partitions: number; arrival: number },
): string[][] {
  const { key, partition, timestamp, value, headers } = fields
  const { kind } = match.route.partition
  const isTurn = kind === 'roundRobin' || (kind === 'byKey' && key === null)
  const time = new Date(timestamp).toISOString()
  return [
    ['route', routeName(match)],
    ['topic', topic],
    ['key', key === null ? 'none' : JSON.stringify(key.toString())],
    ['partition', isTurn ? `in turn, of ${partitions}` : `${partition} of ${partitions}`],
    ['timestamp', timestamp === arrival ? `${time} (arrival)` : `${time} (event time)`],
    ...headers.map((bytes) => ['header', headerText(bytes)]),
    ...(value === undefined ? [] : [['value', value.toString()]]),
  ]
}

/** `name=value` of one encoded header. */
function headerText(bytes: Buffer): string {
  const cursor = { position: 0 }
  const next = () => {
    const length = readVarint(bytes, cursor, bytes.length)
    const start = cursor.position
    cursor.position = start + Math.max(0, length)
    return bytes.toString('utf8', start, cursor.position)
  }
  return `${next()}=${next()}`
}
