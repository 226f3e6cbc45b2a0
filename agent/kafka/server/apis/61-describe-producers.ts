// DescribeProducers: v0. What each partition remembers of its producers. The timestamp is the time of
// the last append: that is what expiry goes by here, and a replicator judges by it whether a retry
// would still be recognised.

import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/61-describe-producers.ts'
import { failure } from '../error-map.ts'
import { partitionOf } from '../partition-lookup.ts'
import type { ProducerState } from '../producer-states.ts'
import { type Call, now, serve } from '../served-api.ts'

export const describeProducers = serve(api, [0, 0], (request, call) => {
  // Each partition once: an answer is many times its question.
  const told = new Set<string>()
  const answer = (name: string, partitionIndex: number) => {
    const partition = `${name}-${partitionIndex}`
    if (!told.has(partition)) {
      told.add(partition)
      return answerOne(name, partitionIndex, call)
    }
    const error = failure('INVALID_REQUEST', 'a partition is in the request twice')
    return { partitionIndex, ...error, activeProducers: [] }
  }
  return now({
    topics: request.topics.map(({ name, partitionIndexes }) => ({
      name,
      partitions: partitionIndexes.map((index) => answer(name, index)),
    })),
  })
})

function answerOne(name: string, partitionIndex: number, { broker }: Call) {
  const partition = partitionOf(broker.log, name, partitionIndex)
  if (partition === undefined) {
    return { partitionIndex, ...failure('UNKNOWN_TOPIC_OR_PARTITION'), activeProducers: [] }
  }
  return {
    partitionIndex,
    errorCode: errorCode('NONE'),
    activeProducers: Array.from(broker.producers.of(partition), describe),
  }
}

function describe({ producerId, epoch, batches, arrival }: ProducerState) {
  return {
    producerId,
    producerEpoch: epoch,
    lastSequence: batches.at(-1)!.lastSequence,
    lastTimestamp: arrival,
    coordinatorEpoch: -1,
    currentTxnStartOffset: -1,
  }
}
