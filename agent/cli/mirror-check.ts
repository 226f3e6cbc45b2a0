// A whole gateway against its mirror: every replicated topic, every partition, record for record.

import type { Codecs } from '../../wasm/codecs.ts'
import { AgentError } from '../base/errors.ts'
import { Admin } from '../kafka/client/admin.ts'
import type { Cluster } from '../kafka/client/cluster.ts'
import { consume } from '../kafka/client/consumer.ts'
import { gapBoundary } from '../log/gap-tracker.ts'
import type { PartitionLog } from '../log/partition-log.ts'
import { type DecodedRecord, decodeRecords, readBatchHeader } from '../record/record-batch.ts'
import { printLine, type Terminal } from './command.ts'
import type { KafkaSession } from './kafka-session.ts'
import { compareRecords } from './mirror-comparison.ts'
import { formatCount } from './table.ts'

/** One partition on the gateway's side. */
export interface LocalPartition {
  readonly topic: string
  readonly partition: number
  /** The mirror acked everything below; 0 where that is not known. */
  readonly acked: number
  /** Asked after the mirror's end is known: whatever the mirror holds must be here. */
  bounds(): Promise<{ readonly start: number; readonly end: number }>
  read(from: number, to: number): AsyncIterable<DecodedRecord>
}

const READ_BYTES = 1 << 20

/** A partition of the opened store of a stopped agent. */
export function storedPartition(log: PartitionLog, codecs: Codecs): LocalPartition {
  return {
    topic: log.topic.name,
    partition: log.partition,
    acked: log.replicatedOffset,
    bounds: async () => ({ start: log.logStartOffset, end: log.highWatermark }),
    read: (from, to) => readStore(log, codecs, from, to),
  }
}

async function* readStore(
  log: PartitionLog,
  codecs: Codecs,
  from: number,
  to: number,
): AsyncGenerator<DecodedRecord> {
  for (let offset = from; offset < to; ) {
    const read = await log.read(offset, READ_BYTES)
    if (read.kind !== 'batches') {
      throw new AgentError('CORRUPT_STORE', `${log.name} cannot be read at offset ${offset}`)
    }
    for (let at = 0; at < read.bytes.length; ) {
      const { size } = readBatchHeader(read.bytes, at)
      for (const record of decodeRecords(read.bytes.subarray(at, at + size), codecs)) {
        if (record.offset >= from && record.offset < to) yield record
      }
      at += size
    }
    offset = read.nextOffset
  }
}

/** A partition of a cluster, such as the local listener of a running agent. */
export function servedPartition(
  session: KafkaSession,
  topic: string,
  partition: number,
  terminal: Terminal,
): LocalPartition {
  return {
    topic,
    partition,
    acked: 0,
    bounds: () => boundsOf(session.cluster, topic, partition),
    read: (from, to) => readCluster(session, { topic, partition, from, to }, terminal),
  }
}

export async function boundsOf(cluster: Cluster, topic: string, partition: number) {
  const description = await new Admin(cluster).describeTopic(topic)
  const found = description?.partitions.find((each) => each.partitionIndex === partition)
  if (found !== undefined) return { start: found.startOffset, end: found.endOffset }
  throw new AgentError('INPUT_TOPIC', `${topic}-${partition} is not on ${cluster.name}`)
}

export async function* readCluster(
  { cluster, codecs, logger }: KafkaSession,
  range: { topic: string; partition: number; from: number; to: number },
  { clock }: Terminal,
): AsyncGenerator<DecodedRecord> {
  const { topic, partition, from, to } = range
  if (from >= to) return
  const records = consume({
    ...{ cluster, codecs, logger, clock, topic, partitions: [partition] },
    from: { kind: 'offset', offset: from },
    untilEnd: true,
  })
  for await (const record of records) {
    if (record.offset >= to) return
    yield record
  }
}

/** Prints a line for each partition and the sum; true when the mirror has nothing else. */
export async function checkMirror(
  partitions: readonly LocalPartition[],
  mirror: KafkaSession,
  terminal: Terminal,
): Promise<boolean> {
  let [compared, identical, isGood] = [0, 0, true]
  for (const local of partitions) {
    const { topic, partition } = local
    const name = `${topic}-${partition}`
    const there = await boundsOf(mirror.cluster, topic, partition)
    const here = await local.bounds()
    const [from, to] = [Math.max(here.start, there.start), Math.min(here.end, there.end)]
    const result = await compareRecords(
      local.read(Math.max(here.start, gapBoundary(from)), Math.max(from, to)),
      readCluster(mirror, { topic, partition, from, to }, terminal),
      from,
    )
    compared += result.compared
    identical += result.identical
    const faults = [...result.differences]
    if (there.end > here.end) {
      faults.push(`${formatCount(there.end - here.end)} records there that are not here`)
    }
    if (there.end < local.acked) {
      faults.push(`${formatCount(local.acked - there.end)} records that were acked are gone there`)
    }
    const behind = here.end - there.end
    const range = to > from ? ` from offset ${formatCount(from)} on` : ''
    const lost =
      result.lostHere > 0 ? `, ${formatCount(result.lostHere)} lost here and had there` : ''
    const rest = behind > 0 ? `, ${formatCount(behind)} not there yet` : ''
    const counts = `${formatCount(result.identical)} of ${formatCount(result.compared)}`
    await printLine(terminal.stdout, `${name}: ${counts} records identical${range}${lost}${rest}`)
    for (const fault of faults) await printLine(terminal.stdout, `  DIFFERENT: ${fault}`)
    if (faults.length > 0) isGood = false
  }
  const percent = compared === 0 ? 100 : Math.floor((identical / compared) * 10_000) / 100
  await printLine(
    terminal.stdout,
    `${mirror.cluster.name}: ${formatCount(identical)} of ${formatCount(compared)} records identical in offset and content (${percent} %)`,
  )
  return isGood
}
