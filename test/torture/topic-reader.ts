// Reads whole partitions from a Kafka listener, the gateway's or the upstream's.

import { systemClock } from '../../agent/base/clock.ts'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Cluster } from '../../agent/kafka/client/cluster.ts'
import { type ConsumedRecord, consume } from '../../agent/kafka/client/consumer.ts'
import { findOffsets } from '../../agent/kafka/client/offsets.ts'
import {
  EARLIEST_TIMESTAMP,
  LATEST_TIMESTAMP,
} from '../../agent/kafka/protocol/messages/02-list-offsets.ts'
import { codecs } from '../support/batches.ts'

export class TopicReader {
  readonly #cluster: Cluster

  constructor(address: string) {
    this.#cluster = new Cluster({
      bootstrapServers: [address],
      clientId: 'topic-reader',
      clock: systemClock,
      logger: silentLogger,
    })
  }

  startOf(topic: string, partition: number): Promise<number> {
    return this.#find(topic, partition, EARLIEST_TIMESTAMP)
  }

  endOf(topic: string, partition: number): Promise<number> {
    return this.#find(topic, partition, LATEST_TIMESTAMP)
  }

  /** Every record from an offset on to the present end. */
  async read(topic: string, partition: number, from: number): Promise<ConsumedRecord[]> {
    const records: ConsumedRecord[] = []
    const reading = consume({
      cluster: this.#cluster,
      codecs,
      clock: systemClock,
      logger: silentLogger,
      topic,
      partitions: [partition],
      from: { kind: 'offset', offset: from },
      untilEnd: true,
    })
    for await (const record of reading) records.push(record)
    return records
  }

  async #find(topic: string, partition: number, timestamp: number): Promise<number> {
    const found = await findOffsets(this.#cluster, topic, [{ partition, timestamp }])
    return found.get(partition)!.offset
  }

  close(): void {
    this.#cluster.close()
  }
}
