// One partition of a fake broker that stores what is produced and serves it back.

import { errorCode } from '../../../agent/kafka/protocol/error-codes.ts'
import * as produce from '../../../agent/kafka/protocol/messages/00-produce.ts'
import * as fetch from '../../../agent/kafka/protocol/messages/01-fetch.ts'
import * as listOffsets from '../../../agent/kafka/protocol/messages/02-list-offsets.ts'
import * as metadata from '../../../agent/kafka/protocol/messages/03-metadata.ts'
import * as initProducerId from '../../../agent/kafka/protocol/messages/22-init-producer-id.ts'
import { BATCH, placeAt, readBatchHeader } from '../../../agent/record/record-batch.ts'
import { FakeBroker } from './fake-broker.ts'

/** Topic `t`, partition 0. */
export class FakePartition {
  readonly broker: FakeBroker
  readonly batches: Buffer[] = []
  logStart = 0
  /** Codes for the next produces, instead of storing. */
  readonly produceErrors: number[] = []
  /** Codes for the next fetches, instead of records. */
  readonly fetchErrors: number[] = []
  /** Drops the connection after storing, this many times. */
  lostAnswers = 0
  readonly sequences: number[] = []

  private constructor(broker: FakeBroker) {
    this.broker = broker
  }

  get end(): number {
    const last = this.batches.at(-1)
    if (last === undefined) return 0
    const { baseOffset, lastOffsetDelta } = readBatchHeader(last)
    return baseOffset + lastOffsetDelta + 1
  }

  static async start(): Promise<FakePartition> {
    const partition = new FakePartition(await FakeBroker.start())
    partition.#serve()
    return partition
  }

  #serve(): void {
    const { broker } = this
    const where = { partitionIndex: 0, leaderId: 1, replicaNodes: [1], isrNodes: [1] }
    const topic = { name: 't', topicId: '00000000-0000-0000-0000-000000000001' }
    broker.on(metadata, ({ topics }) => ({
      brokers: [{ nodeId: 1, host: '127.0.0.1', port: broker.port }],
      topics: (topics ?? []).map(({ name }) => {
        if (name === 't')
          return { ...topic, errorCode: 0, partitions: [{ ...where, errorCode: 0 }] }
        return { name, errorCode: errorCode('UNKNOWN_TOPIC_OR_PARTITION'), partitions: [] }
      }),
    }))
    broker.on(initProducerId, () => ({ errorCode: 0, producerId: 77n, producerEpoch: 0 }))
    broker.on(listOffsets, ({ topics }) => {
      const timestamp = topics[0]!.partitions[0]!.timestamp
      const offset = timestamp === listOffsets.EARLIEST_TIMESTAMP ? this.logStart : this.end
      return { topics: [{ name: 't', partitions: [{ partitionIndex: 0, errorCode: 0, offset }] }] }
    })
    broker.on(produce, ({ topicData }, { socket }) => {
      const records = topicData[0]!.partitionData[0]!.records!
      const answer = this.#append(Buffer.from(records))
      if (answer.errorCode === 0 && this.lostAnswers > 0) {
        this.lostAnswers--
        socket.destroy()
        return undefined
      }
      return { responses: [{ name: 't', partitionResponses: [{ index: 0, ...answer }] }] }
    })
    broker.on(fetch, ({ topics }) => {
      const { fetchOffset } = topics[0]!.partitions[0]!
      return { responses: [{ topic: 't', partitions: [this.#read(fetchOffset)] }] }
    })
  }

  /** Kafka's rule in short: the last batch again is answered again, a gap is refused. */
  #append(batch: Buffer): { errorCode: number; baseOffset: number } {
    const { baseSequence, lastOffsetDelta } = readBatchHeader(batch)
    this.sequences.push(baseSequence)
    const refused = this.produceErrors.shift()
    if (refused !== undefined) return { errorCode: refused, baseOffset: -1 }
    const last = this.batches.at(-1)
    if (last?.subarray(BATCH.crc).equals(batch.subarray(BATCH.crc))) {
      return { errorCode: 0, baseOffset: readBatchHeader(last).baseOffset }
    }
    if (baseSequence !== this.end || lastOffsetDelta < 0) return { errorCode: 45, baseOffset: -1 }
    placeAt(batch, this.end, 3)
    this.batches.push(batch)
    return { errorCode: 0, baseOffset: readBatchHeader(batch).baseOffset }
  }

  #read(offset: number): {
    partitionIndex: number
    errorCode: number
    highWatermark: number
    records: Buffer
  } {
    const refused = this.fetchErrors.shift()
    const isOutside = offset < this.logStart || offset > this.end
    const found = this.batches.filter((batch) => {
      const { baseOffset, lastOffsetDelta } = readBatchHeader(batch)
      return baseOffset + lastOffsetDelta >= offset
    })
    // As a real one does it: the answer ends in the middle of a batch.
    const cut = found[2]?.subarray(0, 30) ?? Buffer.alloc(0)
    return {
      partitionIndex: 0,
      errorCode: refused ?? (isOutside ? 1 : 0),
      highWatermark: this.end,
      records: Buffer.concat([...found.slice(0, 2), cut]),
    }
  }
}
