// Where does a mirror partition stand, and may this gateway go on there? Asked on every new
// connection, leader change and unknown outcome, before anything is sent.
//
//   1. identity   cluster id and topic id are those of the cursor, or there is no cursor yet
//   2. L          log end of the leader's current epoch, read until two reads apart agree: requests
//                 of a connection that died may still land after the first read
//   3. judgement  acked ≤ L ≤ local durable end
//   4. ack        what lies below L is never sent again: it counts as acked once the high watermark
//                 has reached L
//   5. proof      the records below L are ours; asked last, for no consumer sees beyond the high
//                 watermark
//
// Every question goes over the connection that the batches will take: it stands behind whatever that
// connection still has to do, and a connection that ends takes the answers' worth with it.
//
// OffsetForLeaderEpoch rather than ListOffsets: right after an election the latter answers
// OFFSET_NOT_AVAILABLE, and it tells only the high watermark.

import type { Codecs } from '../../wasm/codecs.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import type { Cluster } from '../kafka/client/cluster.ts'
import { refusedBy } from '../kafka/client/kafka-fault.ts'
import { errorName } from '../kafka/protocol/error-codes.ts'
import * as listOffsets from '../kafka/protocol/messages/02-list-offsets.ts'
import * as offsetForLeaderEpoch from '../kafka/protocol/messages/23-offset-for-leader-epoch.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import type { Cursor } from './cursor.ts'
import { type MirrorLeader, type OffsetRange, proveTail } from './tail-proof.ts'

export type HandshakeOutcome =
  | { kind: 'continue'; leader: MirrorLeader; cursor: Cursor }
  /** This partition cannot go on without an operator. */
  | { kind: 'frozen'; reason: string }

export interface HandshakeOptions {
  cluster: Cluster
  clock: Clock
  codecs: Codecs
  log: PartitionLog
  cursor: Cursor | undefined
  /** End of what this process has sent there: up to here, what is found there may well be ours. */
  sentOffset: number
  /** The mirror has records that this log has lost to damage: said, and no divergence. */
  lostHere: (range: OffsetRange) => void
  isClosed: () => boolean
}

const READ_APART_MS = 100
const READS_MAX = 50
const HIGH_WATERMARK_POLL_MS = 50
const HIGH_WATERMARK_POLLS = 400
/** Below the end this many records are compared when nothing is known of the mirror yet. */
const PROOF_RECORDS = 1000

/** Faults: UPSTREAM_* (some pass), CLOSED. */
export async function shakeHands(options: HandshakeOptions): Promise<HandshakeOutcome> {
  const { cluster, log, cursor } = options
  const topic = await cluster.topic(log.topic.name, 0)
  if (topic === undefined) {
    throw new AgentError(
      'UPSTREAM_RETRY',
      `${cluster.name}: ${log.topic.name} is not there any more`,
    )
  }
  const { topicId } = topic
  const clusterId = cluster.clusterId ?? ''
  const stranger = cursor && strangeness(log.name, cursor, clusterId, topicId)
  if (stranger !== undefined) return { kind: 'frozen', reason: stranger }
  const leader = await connectToLeader(options)
  const end = await stableEnd(options, leader)
  const misfit = judgeEnd(options, end)
  if (misfit !== undefined) return { kind: 'frozen', reason: misfit }
  await highWatermarkAt(options, leader, end)
  const doubt = await judgeTail(options, { leader, topicId, end })
  if (doubt !== undefined) return { kind: 'frozen', reason: doubt }
  const { leaderEpoch } = leader
  return { kind: 'continue', leader, cursor: { clusterId, topicId, leaderEpoch, acked: end } }
}

/** Why this is not the mirror that the cursor is about; undefined when it is. */
function strangeness(
  name: string,
  cursor: Cursor,
  clusterId: string,
  topicId: string,
): string | undefined {
  if (cursor.clusterId !== clusterId) {
    return `${name}: the upstream is another cluster (${clusterId}, before ${cursor.clusterId}) → point upstream.bootstrapServers back, or give this gateway a new store`
  }
  if (cursor.topicId !== topicId) {
    return `${name}: the topic was deleted and made again upstream (id ${topicId}, before ${cursor.topicId}); ${cursor.acked} records were there → replication remirror`
  }
  return undefined
}

async function connectToLeader({ cluster, log }: HandshakeOptions): Promise<MirrorLeader> {
  const { nodeId, leaderEpoch } = await cluster.leaderOf(log.topic.name, log.partition)
  return { connection: await cluster.connectionTo(nodeId), nodeId, leaderEpoch }
}

/** Undefined when sending may go on at `end`, else why not and what to do. */
function judgeEnd({ log, cursor }: HandshakeOptions, end: number): string | undefined {
  const { name, highWatermark } = log
  const acked = cursor?.acked ?? 0
  if (end < acked) {
    return `${name}: the upstream lost its tail: it ends at ${end}, ${acked} were acked → replication remirror`
  }
  if (end <= highWatermark) return undefined
  if (acked === 0) return newStore(log, end)
  return `${name} has ${counted(end)} records upstream, this store knows ${counted(highWatermark)}: somebody else wrote there, or this is an old copy of the store → stop the other writer, then replication remirror`
}

/** A store that has replicated nothing yet, before a mirror that is not empty. */
function newStore({ name, highWatermark }: PartitionLog, end: number): string {
  const store = highWatermark === 0 ? 'is empty' : `has ${counted(highWatermark)} others`
  return `${name} already has ${counted(end)} records and this store ${store}. New card? tributary replication adopt. Second gateway with this name? change gateway:`
}

async function judgeTail(
  options: HandshakeOptions,
  { leader, topicId, end }: { leader: MirrorLeader; topicId: string; end: number },
): Promise<string | undefined> {
  const { log, cursor, codecs, sentOffset } = options
  if (end === 0) return undefined
  const acked = cursor?.acked ?? 0
  const from = Math.min(end - 1, Math.max(acked, end - PROOF_RECORDS))
  const proof = await proveTail({ codecs, log, topicId, leader }, from, end)
  if (proof.kind === 'same') {
    if (proof.lost !== undefined) options.lostHere(proof.lost)
    // Where nothing is left to compare, a mirror that this store knows is still its own.
    if (proof.compared > 0 || cursor !== undefined || end <= sentOffset) return undefined
    return unproven(log.name, end, 'what was here at these offsets is lost')
  }
  if (proof.kind === 'different') {
    if (acked === 0 && sentOffset === 0) return newStore(log, end)
    return `${log.name}: someone else wrote offset ${proof.offset} → stop the other writer, then replication remirror`
  }
  // No proof either way: what was acked, or sent a moment ago, is believed.
  if (end === acked || end <= sentOffset) return undefined
  return unproven(log.name, end, proof.reason)
}

function unproven(name: string, end: number, reason: string): string {
  return `${name}: nothing proves that the ${counted(end)} records upstream are ours (${reason}) → replication adopt`
}

async function stableEnd(options: HandshakeOptions, leader: MirrorLeader): Promise<number> {
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

async function readEnd(
  { cluster, log }: HandshakeOptions,
  { connection, leaderEpoch }: MirrorLeader,
): Promise<number> {
  const partition = { partition: log.partition, currentLeaderEpoch: leaderEpoch, leaderEpoch }
  const answer = await connection.send(offsetForLeaderEpoch, {
    topics: [{ topic: log.topic.name, partitions: [partition] }],
  })
  const found = answer.topics[0]?.partitions[0]
  const code = found?.errorCode ?? -1
  if (found !== undefined && code === 0 && found.endOffset >= 0) return found.endOffset
  cluster.distrust(log.topic.name, code)
  throw refusedBy(cluster.name, `OffsetForLeaderEpoch ${log.name}`, code)
}

/** Right after an election these pass by themselves. */
const HIGH_WATERMARK_LATER = ['OFFSET_NOT_AVAILABLE', 'LEADER_NOT_AVAILABLE']

async function highWatermarkAt(
  options: HandshakeOptions,
  { connection, leaderEpoch }: MirrorLeader,
  end: number,
): Promise<void> {
  const { cluster, log } = options
  const { LATEST_TIMESTAMP: timestamp } = listOffsets
  const { partition: partitionIndex } = log
  const asked = { partitionIndex, currentLeaderEpoch: leaderEpoch, timestamp }
  for (let polls = 0; polls < HIGH_WATERMARK_POLLS; polls++) {
    const answer = await connection.send(listOffsets, {
      topics: [{ name: log.topic.name, partitions: [asked] }],
    })
    const found = answer.topics[0]?.partitions[0]
    const code = found?.errorCode ?? -1
    if (found !== undefined && code === 0 && found.offset >= end) return
    if (code !== 0 && !HIGH_WATERMARK_LATER.includes(errorName(code))) {
      cluster.distrust(log.topic.name, code)
      throw refusedBy(cluster.name, `ListOffsets ${log.name}`, code)
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

function counted(count: number): string {
  return count.toLocaleString('en-US')
}
