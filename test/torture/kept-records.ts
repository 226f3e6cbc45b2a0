// The records of one topic, read on after every blow: each publisher's messages are there as promised
// (ledger.ts), offsets are dense, and what was read once is still the same at the end.

import { isDeepStrictEqual } from 'node:util'
import type { ConsumedRecord } from '../../agent/kafka/client/consumer.ts'
import type { Crowd } from './crowd.ts'
import { Ledger } from './ledger.ts'
import { TopicReader } from './topic-reader.ts'

export class KeptRecords {
  readonly ledger: Ledger
  readonly #topic: string
  readonly #reader: TopicReader
  /** Of each partition, as read so far. */
  readonly #seen: ConsumedRecord[][]
  readonly #faults: string[] = []

  constructor(address: string, topic: string, partitions: number, crowd: Crowd) {
    this.#topic = topic
    this.#reader = new TopicReader(address)
    this.#seen = Array.from({ length: partitions }, () => [])
    this.ledger = new Ledger(crowd.publishers)
  }

  async readOn(): Promise<void> {
    for (const [partition, seen] of this.#seen.entries()) {
      const records = await this.#reader.read(this.#topic, partition, seen.length)
      for (const record of records) {
        const place = `${partition}@${seen.length}`
        if (record.offset !== seen.length) this.#faults.push(`${place}: found ${record.offset}`)
        this.ledger.enter(place, record.value)
        seen.push(record)
      }
    }
  }

  async compareFromStart(): Promise<void> {
    for (const [partition, seen] of this.#seen.entries()) {
      const records = await this.#reader.read(this.#topic, partition, 0)
      const at = seen.findIndex((record, offset) => !isDeepStrictEqual(record, records[offset]))
      if (at >= 0) this.#faults.push(`${partition}@${at} is not what it was`)
      if (records.length !== seen.length) {
        this.#faults.push(`${partition}: ${records.length} records, ${seen.length} before`)
      }
    }
  }

  /** Since the last call. */
  takeFaults(): string[] {
    return [...this.#faults.splice(0), ...this.ledger.faults.splice(0)]
  }

  close(): void {
    this.#reader.close()
  }
}
