// Reads whole partitions from a Kafka listener, the gateway's or the upstream's.

import { systemClock } from '../../agent/base/clock.ts'
import { silentLogger } from '../../agent/base/telemetry.ts'
import { Cluster } from '../../agent/kafka/client/cluster.ts'
import { type ConsumedRecord, consume } from '../../agent/kafka/client/consumer.ts'
import { findOffsets } from '../../agent/kafka/client/offsets.ts'
import { LATEST_TIMESTAMP } from '../../agent/kafka/protocol/messages/02-list-offsets.ts'
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

  async endOf(topic: string, partition: number): Promise<number> {
    const asked = [{ partition, timestamp: LATEST_TIMESTAMP }]
    const found = await findOffsets(this.#cluster, topic, asked)
    return found.get(partition)!.offset
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

  close(): void {
    this.#cluster.close()
  }
}
