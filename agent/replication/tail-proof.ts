// Is what the mirror holds below its end the same as what this log holds? Asked before anything is
// sent after a connection was new: dedup in the broker hides a second writer with other contents.
//
// The leader itself is asked, with its epoch: a follower answers a Fetch with stale data too. Records
// are compared, not bytes: a batch that was sealed again after a crash may have other boundaries.

import type { Codecs } from '../../wasm/codecs.ts'
import type { Cluster, Leader } from '../kafka/client/cluster.ts'
import { errorName } from '../kafka/protocol/error-codes.ts'
import * as fetchApi from '../kafka/protocol/messages/01-fetch.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { type DecodedRecord, decodeRecords, readBatchHeader } from '../record/record-batch.ts'

const FETCH_BYTES = 1024 * 1024
/** Records of the last upstream batches that are compared at most. */
const COMPARED_MAX = 2_000

export type ProofOutcome =
  | { kind: 'same' }
  | { kind: 'different'; offset: number }
  /** The local records are gone (retention), or the mirror answered with an error: no proof. */
  | { kind: 'unproven'; reason: string }

export interface ProofQuestion {
  cluster: Cluster
  codecs: Codecs
  log: PartitionLog
  topicId: string
  leader: Leader
}

/** Compares the records from `from` up to `end`, which the mirror holds. */
export async function proveTail(
  question: ProofQuestion,
  from: number,
  end: number,
): Promise<ProofOutcome> {
  const { log, codecs } = question
  let offset = Math.max(from, log.logStartOffset, end - COMPARED_MAX)
  if (offset >= end) return { kind: 'unproven', reason: 'the local records are gone' }
  while (offset < end) {
    const fetched = await fetchFrom(question, offset)
    if (typeof fetched === 'string') return { kind: 'unproven', reason: fetched }
    const upstream = recordsOf(fetched, codecs, offset, end)
    if (upstream.length === 0) return { kind: 'unproven', reason: 'the mirror answered no records' }
    const local = await localRecords(log, codecs, offset, upstream.at(-1)!.offset + 1)
    for (const [index, record] of upstream.entries()) {
      const own = local[index]
      if (own === undefined || !isSame(own, record))
        return { kind: 'different', offset: record.offset }
    }
    offset = upstream.at(-1)!.offset + 1
  }
  return { kind: 'same' }
}

async function fetchFrom(question: ProofQuestion, offset: number): Promise<Buffer | string> {
  const { cluster, log, leader, topicId } = question
  const partition = {
    partition: log.partition,
    currentLeaderEpoch: leader.leaderEpoch,
    fetchOffset: offset,
    partitionMaxBytes: FETCH_BYTES,
  }
  const answer = await cluster.sendToNode(leader.nodeId, fetchApi, {
    maxWaitMs: 500,
    minBytes: 1,
    maxBytes: FETCH_BYTES,
    topics: [{ topic: log.topic.name, topicId, partitions: [partition] }],
  })
  const found = answer.responses[0]?.partitions[0]
  if (found === undefined) return `the mirror answered ${errorName(answer.errorCode)}`
  if (found.errorCode !== 0) return `the mirror answered ${errorName(found.errorCode)}`
  const { records } = found
  if (records === null) return 'the mirror answered no records'
  return Buffer.isBuffer(records) ? records : Buffer.concat(records)
}

/** The records of whole batches within [from, end). */
export function recordsOf(
  bytes: Buffer,
  codecs: Codecs,
  from: number,
  end: number,
): DecodedRecord[] {
  const found: DecodedRecord[] = []
  for (let at = 0; at + 61 <= bytes.length; ) {
    const { size } = readBatchHeader(bytes, at)
    if (at + size > bytes.length) break
    for (const record of decodeRecords(bytes.subarray(at, at + size), codecs)) {
      if (record.offset >= from && record.offset < end) found.push(record)
    }
    at += size
  }
  return found
}

async function localRecords(
  log: PartitionLog,
  codecs: Codecs,
  from: number,
  end: number,
): Promise<DecodedRecord[]> {
  const found: DecodedRecord[] = []
  let offset = from
  while (offset < end) {
    const read = await log.read(offset, FETCH_BYTES)
    if (read.kind !== 'batches') break
    found.push(...recordsOf(read.bytes, codecs, offset, end))
    offset = read.nextOffset
  }
  return found
}

export function isSame(a: DecodedRecord, b: DecodedRecord): boolean {
  if (a.offset !== b.offset || a.timestamp !== b.timestamp) return false
  if (!isSameBytes(a.key, b.key) || !isSameBytes(a.value, b.value)) return false
  if (a.headers.length !== b.headers.length) return false
  return a.headers.every(([name, value], index) => {
    const [otherName, otherValue] = b.headers[index]!
    return name.equals(otherName) && isSameBytes(value, otherValue)
  })
}

function isSameBytes(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b)
}
