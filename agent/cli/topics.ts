// tributary topics list | describe T | create T | delete T, of the local listener or any Kafka.

import { AgentError } from '../base/errors.ts'
import type { Config } from '../config/schema.ts'
import { topicSettings } from '../config/topic-settings.ts'
import { Admin, type TopicDescription } from '../kafka/client/admin.ts'
import { kafkaErrorOf } from '../kafka/client/kafka-fault.ts'
import { numberOption, parseArguments, usageError } from './arguments.ts'
import { type Command, EXIT, printLine, type Terminal } from './command.ts'
import { KAFKA_HELP, KAFKA_OPTIONS, openSession } from './kafka-session.ts'
import { loadedConfig } from './loaded-config.ts'
import { formatCount, table } from './table.ts'

const ACTIONS = ['list', 'describe', 'create', 'delete'] as const

interface Values {
  readonly partitions?: string | undefined
  readonly 'bootstrap-server'?: string | undefined
  readonly upstream?: boolean | undefined
  readonly config?: string | undefined
  readonly json?: boolean | undefined
}

export const command: Command = {
  help: `tributary topics list
tributary topics describe TOPIC
tributary topics create TOPIC [--partitions N]
tributary topics delete TOPIC

  --partitions N                     of a new topic (default: the configuration's, or the cluster's)
  --json                             list and describe as JSON
${KAFKA_HELP}`,

  async run(args, terminal) {
    const { values, positionals } = parseArguments(args, {
      options: { ...KAFKA_OPTIONS, partitions: { type: 'string' }, json: { type: 'boolean' } },
      positionals: ['list, describe, create or delete', '[TOPIC]'],
    })
    const action = ACTIONS.find((known) => known === positionals[0])
    if (action === undefined)
      throw usageError(`"${positionals[0]}" is none of ${ACTIONS.join(', ')}`)
    const topic = positionals[1]
    if (topic === undefined && action !== 'list') throw usageError('TOPIC is missing')
    if (action === 'list' && topic !== undefined) {
      throw usageError('list takes no TOPIC; describe shows one')
    }
    const partitions = await partitionsOf(action, topic, values, terminal)
    const session = await openSession(values, terminal)
    try {
      const admin = new Admin(session.cluster)
      if (action === 'list') await list(admin, values.json === true, terminal)
      else if (action === 'describe') {
        await describe(admin, topic!, session.cluster.name, values.json === true, terminal)
      } else if (action === 'create') {
        await create(admin, topic!, partitions, terminal)
      } else {
        await admin.deleteTopic(topic!)
        await printLine(terminal.stdout, `deleted ${topic}`)
      }
    } finally {
      session.close()
    }
    return EXIT.good
  },
}

/** Asked for, else the configuration's for a topic of this gateway, else the cluster's default. */
async function partitionsOf(
  action: string,
  topic: string | undefined,
  values: Values,
  terminal: Terminal,
): Promise<number> {
  const asked = numberOption('--partitions', values.partitions, 1, 100_000)
  if (asked !== undefined && action !== 'create') throw usageError('--partitions is for create')
  if (asked !== undefined || action !== 'create' || topic === undefined) return asked ?? -1
  if (values['bootstrap-server'] !== undefined) return -1
  const { config }: { config: Config } = await loadedConfig(terminal, {
    file: values.config,
    required: false,
  })
  return topicSettings(config, topic).partitions
}

async function list(admin: Admin, json: boolean, terminal: Terminal): Promise<void> {
  const topics = (await admin.listTopics()).filter(({ isInternal }) => !isInternal)
  const shown = topics.map(({ name, partitions }) => ({
    topic: name ?? '',
    partitions: partitions.length,
  }))
  if (json) return printLine(terminal.stdout, JSON.stringify(shown))
  const rows = shown.map(({ topic, partitions }) => [topic, String(partitions)])
  for (const line of table([['TOPIC', 'PARTITIONS'], ...rows])) {
    await printLine(terminal.stdout, line)
  }
}

async function describe(
  admin: Admin,
  topic: string,
  cluster: string,
  json: boolean,
  terminal: Terminal,
): Promise<void> {
  const found = await admin.describeTopic(topic)
  if (found === undefined) {
    throw new AgentError('INPUT_TOPIC', `topic ${topic} does not exist on ${cluster}`)
  }
  const settings = [...(await ownSettings(admin, topic))]
  if (json) {
    const partitions = found.partitions.map((each) => ({
      partition: each.partitionIndex,
      leader: each.leaderId,
      replicas: each.replicaNodes,
      isr: each.isrNodes,
      startOffset: each.startOffset,
      endOffset: each.endOffset,
    }))
    const text = JSON.stringify({ topic, settings: Object.fromEntries(settings), partitions })
    return printLine(terminal.stdout, text)
  }
  for (const line of table(describeRows(found))) await printLine(terminal.stdout, line)
  for (const [key, value] of settings) await printLine(terminal.stdout, `${key}=${value}`)
}

function describeRows({ partitions }: TopicDescription): string[][] {
  return [
    ['P', 'LEADER', 'REPLICAS', 'IN SYNC', 'START', 'END', 'RECORDS'],
    ...partitions.map((each) => [
      String(each.partitionIndex),
      String(each.leaderId),
      each.replicaNodes.join(','),
      each.isrNodes.join(','),
      formatCount(each.startOffset),
      formatCount(each.endOffset),
      formatCount(each.endOffset - each.startOffset),
    ]),
  ]
}

/** What was set on this very topic; nothing where this user may not ask. */
async function ownSettings(admin: Admin, topic: string): Promise<Map<string, string>> {
  try {
    const all = [...(await admin.topicSettings(topic))].filter(([, { isOwn }]) => isOwn)
    return new Map(all.map(([key, { value }]) => [key, value ?? '']))
  } catch (error) {
    if (kafkaErrorOf(error) === undefined) throw error
    return new Map()
  }
}

async function create(
  admin: Admin,
  topic: string,
  partitions: number,
  terminal: Terminal,
): Promise<void> {
  await admin.createTopic(topic, { partitions, replicationFactor: -1 })
  const count = partitions > 0 ? ` with ${partitions} partition${partitions === 1 ? '' : 's'}` : ''
  await printLine(terminal.stdout, `created ${topic}${count}`)
}
