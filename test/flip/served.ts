// What a log serves: every record of every partition as text, and the state.

import type { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { decodeRecords, readBatchHeader } from '../../agent/record/record-batch.ts'
import { codecs } from '../support/batches.ts'

/** Stands for a record that is lost and served as an empty one. */
export const HOLLOW = 'hollow'

export interface ServedPartition {
  start: number
  /** By offset, from `start` on. */
  records: string[]
}

export interface Served {
  partitions: Map<string, ServedPartition>
  state: Map<string, string>
}

/** Reads everything. An exception, a gap or a record that came twice is a fault. */
export async function servedBy(log: Log): Promise<Served> {
  const partitions = new Map<string, ServedPartition>()
  for (const topic of log.topics()) {
    for (const partition of topic.partitions) {
      partitions.set(partition.name, await servedPartition(partition))
    }
  }
  const state = new Map(
    [...log.state.entries()].map(([key, value]) => [key, value.toString('hex')]),
  )
  return { partitions, state }
}

async function servedPartition(partition: PartitionLog): Promise<ServedPartition> {
  const start = partition.logStartOffset
  const records: string[] = []
  for (let next = start; next < partition.highWatermark; ) {
    const read = await partition.read(next, 3000)
    if (read.kind !== 'batches') throw new Error(`${partition.name} at ${next}: ${read.kind}`)
    if (read.nextOffset <= next) throw new Error(`${partition.name} at ${next}: no progress`)
    for (const record of recordsOf(read.bytes)) {
      if (record.offset < next) continue
      if (record.offset !== start + records.length) {
        throw new Error(`${partition.name}: ${record.offset} after ${start + records.length - 1}`)
      }
      records.push(record.text)
    }
    next = read.nextOffset
    if (start + records.length !== next) throw new Error(`${partition.name}: ends before ${next}`)
  }
  return { start, records }
}

function* recordsOf(bytes: Buffer): Generator<{ offset: number; text: string }> {
  for (let at = 0; at < bytes.length; ) {
    const batch = bytes.subarray(at)
    for (const { offset, timestamp, key, value, headers } of decodeRecords(batch, codecs)) {
      const named = headers.map(([name, content]) => `${name}=${content?.toString('hex')}`)
      const isHollow = key === null && value === null
      const text = `${timestamp} ${key?.toString('hex')} ${value?.toString('hex')} ${named}`
      yield { offset, text: isHollow ? HOLLOW : text }
    }
    at += readBatchHeader(batch).size
  }
}
