// Where does a mirror partition stand, and may this gateway go on there? Asked on every new
// connection, leader change and unknown outcome, before anything is sent.
//
//   1. identity   cluster id and topic id are those of the cursor, or there is no cursor yet
//   2. L          log end of the leader's current epoch, read until two reads apart agree: requests
//                 of a connection that died may still land after the first read
//   3. judgement  acked ≤ L ≤ local durable end, and the records below L are ours
//   4. ack        what lies below L is never sent again: it counts as acked once the high watermark
//                 has reached L
//
// OffsetForLeaderEpoch rather than ListOffsets: right after an election the latter answers
// OFFSET_NOT_AVAILABLE, and it tells only the high watermark.

import type { Codecs } from '../../wasm/codecs.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Cluster, Leader, TopicMetadata } from '../kafka/client/cluster.ts'
import { refusedBy } from '../kafka/client/kafka-fault.ts'
import * as listOffsets from '../kafka/protocol/messages/02-list-offsets.ts'
import * as offsetForLeaderEpoch from '../kafka/protocol/messages/23-offset-for-leader-epoch.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { Cursor } from './cursor.ts'
import { proveTail } from './tail-proof.ts'

export type HandshakeOutcome =
  | { kind: 'continue'; offset: number; leader: Leader; cursor: Cursor }
  /** This partition cannot go on without an operator. */
  | { kind: 'frozen'; reason: string }

export interface HandshakeOptions {
  cluster: Cluster
  clock: Clock
  codecs: Codecs
  log: PartitionLog
  topic: TopicMetadata
  cursor: Cursor | undefined
  isClosed: () => boolean
}

const READ_APART_MS = 100
const READS_MAX = 50
const HIGH_WATERMARK_POLL_MS = 50
const HIGH_WATERMARK_POLLS = 400
/** Below the end this many records are compared when nothing is known of the mirror yet. */
const PROOF_RECORDS = 1000

/** Faults: UPSTREAM_* (try again), CLOSED. */
export async function shakeHands(options: HandshakeOptions): Promise<HandshakeOutcome> {
  const { cluster, log, topic, cursor } = options
  const { name } = log
  const clusterId = cluster.clusterId ?? ''
  if (cursor !== undefined && cursor.clusterId !== clusterId) {
    const reason = `${name}: the upstream is another cluster (${clusterId}, before ${cursor.clusterId}) → point upstream.bootstrapServers back, or give this gateway a new store`
    return { kind: 'frozen', reason }
  }
  if (cursor !== undefined && cursor.topicId !== topic.topicId) {
    const reason = `${name}: the topic was deleted and made again upstream (id ${topic.topicId}, before ${cursor.topicId}); ${cursor.acked} records were there → replication remirror`
    return { kind: 'frozen', reason }
  }
  const leader = await cluster.leaderOf(topic.name ?? log.topic.name, log.partition)
  const end = await stableEnd(options, leader)
  const verdict = await judge(options, leader, end)
  if (verdict !== undefined) return { kind: 'frozen', reason: verdict }
  await highWatermarkAt(options, leader, end)
  const { topicId } = topic
  const { leaderEpoch } = leader
  const next: Cursor = { clusterId, topicId, leaderEpoch, acked: end }
  return { kind: 'continue', offset: end, leader, cursor: next }
}

/** Undefined when all is well, else why not and what to do. */
async function judge(
  { log, cursor, cluster, codecs, topic }: HandshakeOptions,
  leader: Leader,
  end: number,
): Promise<string | undefined> {
  const { name, highWatermark } = log
  const acked = cursor?.acked ?? 0
  if (end > highWatermark) {
    const count = end.toLocaleString('en-US')
    return highWatermark === 0
      ? `${name} already has ${count} records and this store is empty. New card? tributary replication adopt. Second gateway with this name? change gateway:`
      : `${name} has ${count} records upstream, this store knows ${highWatermark.toLocaleString('en-US')}: somebody else wrote there, or this is an old copy of the store → stop the other writer, then replication remirror`
  }
  if (end < acked) {
    return `${name}: the upstream lost its tail: it ends at ${end}, ${acked} were acked → replication remirror`
  }
  if (end === 0) return undefined
  const from = Math.min(end - 1, Math.max(acked, end - PROOF_RECORDS))
  const proof = await proveTail({ cluster, codecs, log, topicId: topic.topicId, leader }, from, end)
  if (proof.kind === 'different') {
    return `${name}: someone else wrote offset ${proof.offset} → stop the other writer, then replication remirror`
  }
  // Without local records there is no proof; a cursor that says the same is one.
  if (proof.kind === 'unproven' && end !== acked) {
    return `${name}: nothing proves that the ${end} records upstream are ours (${proof.reason}) → replication adopt`
  }
  return undefined
}

async function stableEnd(options: HandshakeOptions, leader: Leader): Promise<number> {
  let before = await readEnd(options, leader)
  for (let reads = 0; reads < READS_MAX; reads++) {
    await pause(options, READ_APART_MS)
    const end = await readEnd(options, leader)
    if (end === before) return end
    before = end
  }
  throw new AgentError(
    'UPSTREAM_RETRY',
    `${options.log.name}: somebody keeps writing to the mirror`,
  )
}

async function readEnd({ cluster, log }: HandshakeOptions, leader: Leader): Promise<number> {
  const { leaderEpoch } = leader
  const partition = { partition: log.partition, currentLeaderEpoch: leaderEpoch, leaderEpoch }
  const answer = await cluster.sendToNode(leader.nodeId, offsetForLeaderEpoch, {
    topics: [{ topic: log.topic.name, partitions: [partition] }],
  })
  const found = answer.topics[0]?.partitions[0]
  const code = found?.errorCode ?? -1
  if (found === undefined || code !== 0 || found.endOffset < 0) {
    cluster.distrust(log.topic.name, code)
    throw refusedBy(cluster.name, `OffsetForLeaderEpoch ${log.name}`, code)
  }
  return found.endOffset
}

async function highWatermarkAt(
  options: HandshakeOptions,
  leader: Leader,
  end: number,
): Promise<void> {
  const { cluster, log } = options
  for (let polls = 0; polls < HIGH_WATERMARK_POLLS; polls++) {
    const partition = {
      partitionIndex: log.partition,
      currentLeaderEpoch: leader.leaderEpoch,
      timestamp: listOffsets.LATEST_TIMESTAMP,
    }
    const answer = await cluster.sendToNode(leader.nodeId, listOffsets, {
      topics: [{ name: log.topic.name, partitions: [partition] }],
    })
    const found = answer.topics[0]?.partitions[0]
    if (found?.errorCode === 0 && found.offset >= end) return
    if (found !== undefined && found.errorCode !== 0) {
      cluster.distrust(log.topic.name, found.errorCode)
    }
    await pause(options, HIGH_WATERMARK_POLL_MS)
  }
  const what = `the high watermark of ${log.name} stays below ${end}`
  throw new AgentError('UPSTREAM_RETRY', `${cluster.name}: ${what}: are enough replicas in sync?`)
}

async function pause({ clock, isClosed }: HandshakeOptions, ms: number): Promise<void> {
  await sleep(clock, ms)
  if (isClosed()) throw new AgentError('CLOSED', 'replication was closed')
}
