// The batches of one partition as they lie on disk, on the gateway and on Kafka, side by side: both
// keep the same file format. What Kafka stores differs from ours in the leader epoch and in producer
// id, epoch and sequence; taken back out, with the CRC patched by them, the bytes must be the same.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  BATCH_HEADER_BYTES,
  decodeRecords,
  readBatchHeader,
  unpatch,
} from '../../agent/record/record-batch.ts'
import { isSame } from '../../agent/replication/tail-proof.ts'
import { codecs, kernel } from '../support/batches.ts'

const FAULTS_KEPT = 10

export interface BatchComparison {
  /** Batches upstream, and how many of them are ours byte for byte. */
  batches: number
  identicalBatches: number
  /** Records upstream, and how many are ours at the same offset. */
  records: number
  identicalRecords: number
  /** Offsets upstream that are missing, double or not in order. */
  faults: string[]
}

/** Every batch of a partition's segment files, in order; none where nothing was stored. */
export function storedBatches(folder: string): Buffer[] {
  if (!existsSync(folder)) return []
  const files = readdirSync(folder).filter((name) => name.endsWith('.log'))
  return files.sort().flatMap((name) => {
    const bytes = readFileSync(join(folder, name))
    const batches: Buffer[] = []
    for (let at = 0; at + BATCH_HEADER_BYTES <= bytes.length; ) {
      const { size } = readBatchHeader(bytes, at)
      if (at + size > bytes.length || size <= BATCH_HEADER_BYTES) break
      batches.push(bytes.subarray(at, at + size))
      at += size
    }
    return batches
  })
}

/** Compares two partition folders; adds up over several partitions in `into`. */
export function compareStored(ours: string, theirs: string, into: BatchComparison): void {
  const local = new Map(
    storedBatches(ours).map((bytes) => [readBatchHeader(bytes).baseOffset, bytes]),
  )
  const records = [...local.values()].flatMap((bytes) => [...decodeRecords(bytes, codecs)])
  const fault = (text: string) => {
    if (into.faults.length < FAULTS_KEPT) into.faults.push(`${theirs}: ${text}`)
  }
  let expected = 0
  for (const sent of storedBatches(theirs)) {
    const { baseOffset, crc } = readBatchHeader(sent)
    if (codecs.crc32c(sent.subarray(21)) !== crc) fault(`bad CRC at ${baseOffset}`)
    if (baseOffset !== expected) fault(`a batch at ${baseOffset} where ${expected} was due`)
    const plain = Buffer.from(sent)
    unpatch(plain, baseOffset, kernel)
    into.batches++
    if (local.get(baseOffset)?.equals(plain)) into.identicalBatches++
    for (const record of decodeRecords(sent, codecs)) {
      const own = records[record.offset]
      into.records++
      if (own !== undefined && isSame(own, record)) into.identicalRecords++
      else fault(`the record at ${record.offset} is another one`)
      expected = record.offset + 1
    }
  }
  if (expected !== records.length) fault(`${expected} records there, ${records.length} here`)
}

export function noComparison(): BatchComparison {
  return { batches: 0, identicalBatches: 0, records: 0, identicalRecords: 0, faults: [] }
}
