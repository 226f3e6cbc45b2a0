// DescribeProducers: v0, flexible (KIP-664). What a leader remembers of each producer of a partition.

import {
  array,
  int16,
  int32,
  int64,
  int64Big,
  message,
  nullable,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'DescribeProducers'
export const apiKey = 61
export const versions = [0, 0] as const

export const request = message(
  { versions, flexible: 0 },
  { topics: array(struct({ name: string(), partitionIndexes: array(int32()) })) },
)

export const response = message(
  { versions, flexible: 0 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            errorMessage: withDefault(nullable(string()), null),
            activeProducers: array(
              struct({
                producerId: int64Big(),
                producerEpoch: int32(),
                lastSequence: int32(),
                lastTimestamp: int64(),
                coordinatorEpoch: int32(),
                /** -1: no transaction is open. */
                currentTxnStartOffset: int64(),
              }),
            ),
          }),
        ),
      }),
    ),
  },
)
