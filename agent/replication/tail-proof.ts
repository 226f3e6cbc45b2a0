// Is what the mirror holds below its end the same as what this log holds? Asked before anything is
// sent on a new connection: dedup in the broker hides a second writer with other contents.
//
// The leader itself is asked, with its epoch: a follower answers a Fetch with stale data too. Records
// are compared, not bytes: a batch that was sealed again after a crash may have other boundaries.
//
// What this log has lost to damage stands in it as empty records; where the mirror has real ones it is
// right, and they prove nothing. What was given up on purpose was never sent before it was empty.

import type { Codecs } from '../../wasm/codecs.ts'
import { AgentError } from '../base/errors.ts'
import type { BrokerConnection } from '../kafka/client/broker-connection.ts'
import { refusedBy } from '../kafka/client/kafka-fault.ts'
import { errorName } from '../kafka/protocol/error-codes.ts'
import * as fetchApi from '../kafka/protocol/messages/01-fetch.ts'
import * as listOffsets from '../kafka/protocol/messages/02-list-offsets.ts'
import { GapTracker } from '../log/gap-tracker.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import {
  BATCH_HEADER_BYTES,
  type DecodedRecord,
  decodeRecords,
  readBatchHeader,
} from '../record/record-batch.ts'

const FETCH_BYTES = 1024 * 1024

/** Who leads the mirror partition: the connection to it, and its epoch when it was found. */
export interface MirrorLeader {
  connection: BrokerConnection
  nodeId: number
  leaderEpoch: number
}

/** `to` is the offset behind the last one. */
export interface OffsetRange {
  from: number
  to: number
}

export type ProofOutcome =
  /** `compared` records are; those between `lost.from` and `lost.to` are lost here and real there. */
  | { kind: 'same'; compared: number; lost: OffsetRange | undefined }
  | { kind: 'different'; offset: number }
  /** Retention took the records on one side, or the mirror may not be read: no proof. */
  | { kind: 'unproven'; reason: string }

export interface ProofQuestion {
  codecs: Codecs
  log: PartitionLog
  topicId: string
  leader: MirrorLeader
}

/**
 * Compares the records from `from` up to `end`, which the mirror holds, with those before them in
 * the same batch. Faults: UPSTREAM_*.
 */
export async function proveTail(
  question: ProofQuestion,
  from: number,
  end: number,
): Promise<ProofOutcome> {
  const { log, codecs } = question
  let offset = Math.max(from, log.logStartOffset)
  let compared = 0
  let lost: OffsetRange | undefined
  if (offset >= end) return { kind: 'unproven', reason: 'the local records are gone' }
  while (offset < end) {
    const fetched = await fetchFrom(question, offset)
    if (typeof fetched === 'string') {
      if (fetched !== 'OFFSET_OUT_OF_RANGE') return { kind: 'unproven', reason: fetched }
      const start = await mirrorStart(question)
      if (start >= end) return { kind: 'unproven', reason: 'the records upstream have expired' }
      if (start <= offset) throw refused(question, 'OFFSET_OUT_OF_RANGE', 1)
      offset = Math.max(start, log.logStartOffset)
      continue
    }
    const upstream = recordsOf(fetched, codecs, log.logStartOffset, end)
    if (typeof upstream === 'number') return { kind: 'different', offset: upstream }
    const [first, last] = [upstream[0], upstream.at(-1)]
    if (first === undefined || last === undefined || last.offset < offset) {
      throw new AgentError('UPSTREAM_RETRY', `${log.name}: the mirror answered no records`)
    }
    const local = await localRecords(log, codecs, first.offset, last.offset + 1)
    for (const [index, record] of upstream.entries()) {
      const own = local.records[index]
      if (own !== undefined && isSame(own, record)) compared++
      else if (own !== undefined && local.damaged.has(record.offset)) {
        lost = { from: lost?.from ?? record.offset, to: record.offset + 1 }
      } else return { kind: 'different', offset: record.offset }
    }
    offset = last.offset + 1
  }
  return { kind: 'same', compared, lost }
}

/** Bytes of whole batches and perhaps a part, or the name of an error that says "not to be read". */
async function fetchFrom(question: ProofQuestion, offset: number): Promise<Buffer | string> {
  const { log, leader, topicId } = question
  const partition = {
    partition: log.partition,
    currentLeaderEpoch: leader.leaderEpoch,
    fetchOffset: offset,
    partitionMaxBytes: FETCH_BYTES,
  }
  const answer = await leader.connection.send(fetchApi, {
    maxWaitMs: 500,
    minBytes: 1,
    maxBytes: FETCH_BYTES,
    topics: [{ topic: log.topic.name, topicId, partitions: [partition] }],
  })
  const found = answer.responses[0]?.partitions[0]
  const code = found?.errorCode ?? answer.errorCode
  const error = errorName(code)
  if (error === 'OFFSET_OUT_OF_RANGE' || error === 'TOPIC_AUTHORIZATION_FAILED') return error
  if (found === undefined || code !== 0) throw refused(question, 'Fetch', code)
  const { records } = found
  if (records === null) return Buffer.alloc(0)
  return Buffer.isBuffer(records) ? records : Buffer.concat(records)
}

async function mirrorStart(question: ProofQuestion): Promise<number> {
  const { log, leader } = question
  const partition = {
    partitionIndex: log.partition,
    currentLeaderEpoch: leader.leaderEpoch,
    timestamp: listOffsets.EARLIEST_TIMESTAMP,
  }
  const answer = await leader.connection.send(listOffsets, {
    topics: [{ name: log.topic.name, partitions: [partition] }],
  })
  const found = answer.topics[0]?.partitions[0]
  if (found === undefined || found.errorCode !== 0) {
    throw refused(question, 'ListOffsets', found?.errorCode ?? -1)
  }
  return found.offset
}

function refused({ log, leader }: ProofQuestion, what: string, code: number): AgentError {
  return refusedBy(leader.connection.address, `${what} ${log.name}`, code)
}

/** Whole batches, one after the other; the offset of one that cannot be one ends it. */
function* batchesIn(bytes: Buffer): Generator<Buffer, number | undefined> {
  for (let at = 0; at + BATCH_HEADER_BYTES <= bytes.length; ) {
    const { size, baseOffset } = readBatchHeader(bytes, at)
    if (size < BATCH_HEADER_BYTES) return baseOffset
    if (at + size > bytes.length) break
    yield bytes.subarray(at, at + size)
    at += size
  }
  return undefined
}

/**
 * The records of whole batches within [from, end). A number: the batch there cannot be read, so
 * nobody here has written it. `see` gets every record of those batches, also from before `from`.
 */
export function recordsOf(
  bytes: Buffer,
  codecs: Codecs,
  from: number,
  end: number,
  see: (record: DecodedRecord) => void = () => {},
): DecodedRecord[] | number {
  const found: DecodedRecord[] = []
  const batches = batchesIn(bytes)
  for (let next = batches.next(); ; next = batches.next()) {
    if (next.done) return next.value ?? found
    const { baseOffset } = readBatchHeader(next.value)
    if (baseOffset >= end) return found
    try {
      for (const record of decodeRecords(next.value, codecs)) {
        see(record)
        if (record.offset >= from && record.offset < end) found.push(record)
      }
    } catch (error) {
      if (error instanceof AgentError) return baseOffset
      throw error
    }
  }
}

/** With the offsets of those that stand for what damage has taken. */
async function localRecords(
  log: PartitionLog,
  codecs: Codecs,
  from: number,
  end: number,
): Promise<{ records: DecodedRecord[]; damaged: Set<number> }> {
  let records: DecodedRecord[] = []
  const damaged = new Set<number>()
  const gaps = new GapTracker()
  const see = (record: DecodedRecord) => {
    const reason = gaps.take(record)
    if (reason !== undefined && reason !== 'dropped') damaged.add(record.offset)
  }
  let offset = from
  while (offset < end) {
    const read = await log.read(offset, FETCH_BYTES)
    if (read.kind !== 'batches') break
    const found = recordsOf(read.bytes, codecs, offset, end, see)
    if (typeof found === 'number') {
      throw new AgentError('CORRUPT_STORE', `${log.name}: the batch at ${found} cannot be read`)
    }
    records = records.concat(found)
    offset = read.nextOffset
  }
  return { records, damaged }
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
