// OffsetForLeaderEpoch: v2-4. There is one leader epoch, 0, and it ends at the durable end of the log.
//
// A Kafka broker answers with its log end, which may be above the high watermark. Here that would
// promise what a power cut can take back: records above the durable end were confirmed to nobody. A
// replicator that goes on from this offset sends them again, and they are recognised by their
// sequence numbers or, if they are gone, appended.

import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/23-offset-for-leader-epoch.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { leaderEpochError, partitionOf } from '../partition-lookup.ts'
import { type Call, now, serve } from '../served-api.ts'

type Request = Decoded<typeof api.request>
type PartitionResponse = Encodable<typeof api.response>['topics'][number]['partitions'][number]
type Wanted = Request['topics'][number]['partitions'][number]

export const offsetForLeaderEpoch = serve(api, [2, 4], (request, call) =>
  now({
    topics: request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map((wanted) => answerOne(topic, wanted, call)),
    })),
  }),
)

function answerOne(topic: string, wanted: Wanted, { broker }: Call): PartitionResponse {
  const { partition: index, currentLeaderEpoch, leaderEpoch } = wanted
  const partition = partitionOf(broker.log, topic, index)
  if (partition === undefined) {
    return { partition: index, errorCode: errorCode('UNKNOWN_TOPIC_OR_PARTITION') }
  }
  const error = leaderEpochError(partition, currentLeaderEpoch)
  if (error !== undefined) return { partition: index, errorCode: errorCode(error) }
  // An epoch that never was has no end: both fields stay unknown, which is no error.
  const isKnown = leaderEpoch === partition.leaderEpoch
  return {
    partition: index,
    errorCode: errorCode('NONE'),
    ...(isKnown && { leaderEpoch, endOffset: partition.highWatermark }),
  }
}
