// OffsetForLeaderEpoch: v2-4. v2 adds the leader epoch the asker believes in (KIP-320), v3 replicaId.
// v4 is flexible.

import {
  array,
  int16,
  int32,
  int64,
  message,
  since,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'OffsetForLeaderEpoch'
export const apiKey = 23
export const versions = [2, 4] as const

export const request = message(
  { versions, flexible: 4 },
  {
    /** -1: a consumer; -2: a debugging consumer. */
    replicaId: since(3, int32(), -1),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: withDefault(int32(), -1),
            leaderEpoch: int32(),
          }),
        ),
      }),
    ),
  },
)

export const response = message(
  { versions, flexible: 4 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    topics: array(
      struct({
        topic: string(),
        partitions: array(
          struct({
            errorCode: int16(),
            partition: int32(),
            leaderEpoch: withDefault(int32(), -1),
            /** Where the epoch ends: the offset after its last record; -1: unknown. */
            endOffset: withDefault(int64(), -1),
          }),
        ),
      }),
    ),
  },
)
