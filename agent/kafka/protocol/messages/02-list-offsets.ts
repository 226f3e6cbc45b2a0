// ListOffsets: v1-10. v1 answers one offset with its timestamp, v2 adds isolation, v4 leader epochs
// (KIP-320), v5 allows OFFSET_NOT_AVAILABLE (KIP-207). v6 is flexible. v7 knows MAX_TIMESTAMP
// (KIP-734), v8 and v9 tiered storage (KIP-405, KIP-1005), v10 a timeout (KIP-1075).

import {
  array,
  int8,
  int16,
  int32,
  int64,
  message,
  since,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'ListOffsets'
export const apiKey = 2
export const versions = [1, 10] as const

/** Asked for instead of a timestamp: the offset after the newest visible record. */
export const LATEST_TIMESTAMP = -1
/** The first offset the log holds. */
export const EARLIEST_TIMESTAMP = -2
/** The offset of the record with the greatest timestamp, from v7 on. */
export const MAX_TIMESTAMP = -3
/** The first offset on local disk, from v8 on. */
export const EARLIEST_LOCAL_TIMESTAMP = -4

export const request = message(
  { versions, flexible: 6 },
  {
    replicaId: withDefault(int32(), -1),
    isolationLevel: since(2, int8(), 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            currentLeaderEpoch: since(4, int32(), -1),
            timestamp: int64(),
          }),
        ),
      }),
    ),
    timeoutMs: since(10, int32(), 0),
  },
)

export const response = message(
  { versions, flexible: 6 },
  {
    throttleTimeMs: since(2, int32(), 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            timestamp: withDefault(int64(), -1),
            /** -1: no record has such a timestamp. */
            offset: withDefault(int64(), -1),
            leaderEpoch: since(4, int32(), -1),
          }),
        ),
      }),
    ),
  },
)
