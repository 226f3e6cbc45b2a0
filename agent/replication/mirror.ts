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
import type { Admin } from '../kafka/client/admin.ts'
import type { Cluster, TopicMetadata } from '../kafka/client/cluster.ts'
import { kafkaErrorOf } from '../kafka/client/kafka-fault.ts'
import type { Topic } from '../log/topic.ts'

const LONG_MAX = '9223372036854775807'

export const MIRROR_SETTINGS: Readonly<Record<string, string>> = {
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

export type MirrorOutcome =
  | { kind: 'ready'; topic: TopicMetadata }
  /** Nothing goes on until an operator has done what the reason says; asked again later. */
  | { kind: 'parked'; reason: string }

export interface MirrorOptions {
  cluster: Cluster
  admin: Admin
  createTopics: boolean
  /** Undefined: the cluster's default. */
  replicationFactor: number | undefined
  /** The largest batch that may be sent. */
  batchBytesMax: number
}

/** Makes or checks the mirror of one topic. Faults: UPSTREAM_UNREACHABLE, UPSTREAM_RETRY. */
export async function ensureMirror(topic: Topic, options: MirrorOptions): Promise<MirrorOutcome> {
  const { cluster, admin } = options
  const partitions = topic.partitions.length
  let found = await cluster.topic(topic.name, 0)
  if (found === undefined) {
    const refused = await create(topic, options)
    if (refused !== undefined) return refused
    found = await cluster.topic(topic.name, 0)
    if (found === undefined) {
      throw new AgentError('UPSTREAM_RETRY', `${topic.name} was made and is not known yet`)
    }
  }
  const have = found.partitions.length
  if (have > partitions) {
    const reason = `${topic.name} has ${have} partitions upstream and ${partitions} here → topics.<name>.partitions: ${have}`
    return { kind: 'parked', reason }
  }
  if (have < partitions) {
    const grown = await grow(topic, have, options)
    if (grown !== undefined) return grown
    found = (await cluster.topic(topic.name, 0)) ?? found
  }
  const wrong = await wrongSetting(admin, topic.name, options.batchBytesMax)
  return wrong === undefined ? { kind: 'ready', topic: found } : { kind: 'parked', reason: wrong }
}

/** The line that makes the mirror by hand. */
export function createLine(topic: Topic, options: MirrorOptions): string {
  const { cluster, replicationFactor } = options
  const factor = replicationFactor === undefined ? '' : ` --replication-factor ${replicationFactor}`
  const configs = Object.entries(MIRROR_SETTINGS).map(([key, value]) => ` --config ${key}=${value}`)
  return (
    `kafka-topics.sh --bootstrap-server ${cluster.name} --create --topic ${topic.name}` +
    ` --partitions ${topic.partitions.length}${factor}${configs.join('')}`
  )
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
      configs: MIRROR_SETTINGS,
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
  admin: Admin,
  name: string,
  batchBytesMax: number,
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
  if (largest >= batchBytesMax) return undefined
  return `${name} takes batches of ${largest} bytes upstream, batches here have up to ${batchBytesMax} → run: ${alter(`max.message.bytes=${batchBytesMax}`)}, or lower storage.batchBytes and mqtt.maxPacketSize`
}
