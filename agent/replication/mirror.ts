// The mirror topic upstream: made with the settings that identity needs, or checked for them.
//
// Why each setting (kafka-semantics: what a broker rewrites or refuses):
//   compression.type=producer           another codec would be a new batch with a new CRC
//   message.timestamp.type=CreateTime   LogAppendTime rewrites header and CRC
//   cleanup.policy=delete               compaction rewrites batches and leaves gaps
//   …timestamp.{before,after}.max.ms    a device clock must never get a batch refused
//   unclean.leader.election.enable      an unclean leader loses acked records
//   min.insync.replicas=2               harmless with one replica: the lesser of both counts

import { AgentError } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Admin } from '../kafka/client/admin.ts'
import type { Cluster } from '../kafka/client/cluster.ts'
import { kafkaErrorOf } from '../kafka/client/kafka-fault.ts'
import type { Topic } from '../log/topic.ts'

const LONG_MAX = '9223372036854775807'

const MIRROR_SETTINGS: Record<string, string> = {
  'compression.type': 'producer',
  'message.timestamp.type': 'CreateTime',
  'cleanup.policy': 'delete',
  'message.timestamp.before.max.ms': LONG_MAX,
  'message.timestamp.after.max.ms': LONG_MAX,
  'unclean.leader.election.enable': 'false',
  'min.insync.replicas': '2',
}

/** Without these the same bytes at the same offset cannot be had. */
const REQUIRED = ['compression.type', 'message.timestamp.type', 'cleanup.policy'] as const
/** What Kafka takes when a topic says nothing else. */
const BATCH_BYTES_DEFAULT = 1_048_588

export type MirrorOutcome =
  | { kind: 'ready' }
  /** Nothing goes on until an operator has done what the reason says; asked again later. */
  | { kind: 'parked'; reason: string }

export interface MirrorOptions {
  cluster: Cluster
  admin: Admin
  logger: Logger
  createTopics: boolean
  /** Undefined: the cluster's default. */
  replicationFactor: number | undefined
  /** The largest batch that may be sent. */
  batchBytesMax: number
}

/**
 * Makes or checks the mirror of one topic, of which `acked` records were there before. Faults:
 * UPSTREAM_*.
 */
export async function ensureMirror(
  topic: Topic,
  acked: number,
  options: MirrorOptions,
): Promise<MirrorOutcome> {
  const { cluster } = options
  const { name } = topic
  const partitions = topic.partitions.length
  let found = await cluster.topic(name, 0)
  if (found === undefined && acked > 0) {
    const reason = `${name} was deleted upstream; ${acked} records were there → replication remirror`
    return { kind: 'parked', reason }
  }
  if (found === undefined) {
    const refused = await create(topic, options)
    if (refused !== undefined) return refused
    found = await cluster.topic(name, 0)
  }
  if (found === undefined) {
    throw new AgentError('UPSTREAM_RETRY', `${name} was made and is not known yet`)
  }
  const have = found.partitions.length
  if (have > partitions) {
    const reason = `${name} has ${have} partitions upstream and ${partitions} here → topics.${name}.partitions: ${have}`
    return { kind: 'parked', reason }
  }
  const grown = have < partitions ? await grow(topic, have, options) : undefined
  if (grown !== undefined) return grown
  const wrong = await wrongSetting(name, options)
  return wrong === undefined ? { kind: 'ready' } : { kind: 'parked', reason: wrong }
}

/** The line that makes the mirror by hand. */
function createLine(topic: Topic, options: MirrorOptions): string {
  const { cluster, replicationFactor } = options
  const factor = replicationFactor === undefined ? '' : ` --replication-factor ${replicationFactor}`
  const configs = Object.entries(settingsFor(options)).map(
    ([key, value]) => ` --config ${key}=${value}`,
  )
  return (
    `kafka-topics.sh --bootstrap-server ${cluster.name} --create --topic ${topic.name}` +
    ` --partitions ${topic.partitions.length}${factor}${configs.join('')}`
  )
}

function settingsFor({ batchBytesMax }: MirrorOptions): Record<string, string> {
  if (batchBytesMax <= BATCH_BYTES_DEFAULT) return MIRROR_SETTINGS
  return { ...MIRROR_SETTINGS, 'max.message.bytes': String(batchBytesMax) }
}

async function create(topic: Topic, options: MirrorOptions): Promise<MirrorOutcome | undefined> {
  const { admin, createTopics, replicationFactor } = options
  const byHand = (why: string): MirrorOutcome => ({
    kind: 'parked',
    reason: `${topic.name} does not exist upstream${why} → run: ${createLine(topic, options)}`,
  })
  if (!createTopics) return byHand(' and upstream.createTopics is false')
  try {
    await admin.createTopic(topic.name, {
      partitions: topic.partitions.length,
      replicationFactor: replicationFactor ?? -1,
      configs: settingsFor(options),
    })
    return undefined
  } catch (error) {
    const name = kafkaErrorOf(error)
    if (name === 'TOPIC_ALREADY_EXISTS') return undefined
    if (name === undefined || (error as AgentError).retriable) throw error
    return byHand(` and cannot be made (${name})`)
  }
}

async function grow(
  topic: Topic,
  have: number,
  { admin, cluster, createTopics }: MirrorOptions,
): Promise<MirrorOutcome | undefined> {
  const wanted = topic.partitions.length
  const line = `kafka-topics.sh --bootstrap-server ${cluster.name} --alter --topic ${topic.name} --partitions ${wanted}`
  const reason = `${topic.name} has ${have} partitions upstream and ${wanted} here → run: ${line}`
  if (!createTopics) return { kind: 'parked', reason }
  try {
    await admin.addPartitions(topic.name, wanted)
    return undefined
  } catch (error) {
    if (kafkaErrorOf(error) === undefined || (error as AgentError).retriable) throw error
    return { kind: 'parked', reason }
  }
}

/** A sentence about the first setting that identity cannot live with. */
async function wrongSetting(
  name: string,
  { admin, batchBytesMax, logger }: MirrorOptions,
): Promise<string | undefined> {
  let settings: Awaited<ReturnType<Admin['topicSettings']>>
  try {
    settings = await admin.topicSettings(name)
  } catch (error) {
    // A principal may be denied DescribeConfigs; every answer's base offset is checked anyway.
    if (kafkaErrorOf(error) === undefined || (error as AgentError).retriable) throw error
    return undefined
  }
  const alter = (setting: string) =>
    `kafka-configs.sh --alter --topic ${name} --add-config ${setting}`
  for (const key of REQUIRED) {
    const value = settings.get(key)?.value
    const wanted = MIRROR_SETTINGS[key]
    if (value === undefined || value === null || value === wanted) continue
    return `${name} has ${key}=${value} upstream, which changes records → run: ${alter(`${key}=${wanted}`)}`
  }
  const largest = Number(settings.get('max.message.bytes')?.value ?? Number.POSITIVE_INFINITY)
  if (largest < batchBytesMax) {
    return `${name} takes batches of ${largest} bytes upstream, batches here have up to ${batchBytesMax} → run: ${alter(`max.message.bytes=${batchBytesMax}`)}, or lower storage.batchBytes and mqtt.maxPacketSize`
  }
  if (settings.get('unclean.leader.election.enable')?.value === 'true') {
    const line = alter('unclean.leader.election.enable=false')
    logger.warn(`${name} may lose acked records upstream in an unclean election → run: ${line}`)
  }
  return undefined
}
