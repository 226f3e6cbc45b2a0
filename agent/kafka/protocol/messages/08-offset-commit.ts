// OffsetCommit: v2-9. v2-4 may name a retention, v3 adds throttleTimeMs, v5 drops the retention, v6
// adds leader epochs (KIP-320), v7 static members (KIP-345). v8 is flexible. v9 takes a member epoch
// in place of the generation (KIP-848).

import {
  array,
  between,
  int16,
  int32,
  int64,
  int64Big,
  message,
  nullable,
  since,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'OffsetCommit'
export const apiKey = 8
export const versions = [2, 9] as const

export const request = message(
  { versions, flexible: 8 },
  {
    groupId: string(),
    /** -1 with an empty memberId: a commit from outside the group. */
    generationIdOrMemberEpoch: withDefault(int32(), -1),
    memberId: withDefault(string(), ''),
    groupInstanceId: since(7, nullable(string()), null),
    /** -1: the broker's own. Clients send up to the greatest int64 here. */
    retentionTimeMs: between(2, 4, int64Big(), -1n),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({
            partitionIndex: int32(),
            committedOffset: int64(),
            committedLeaderEpoch: since(6, int32(), -1),
            committedMetadata: nullable(string()),
          }),
        ),
      }),
    ),
  },
)

export const response = message(
  { versions, flexible: 8 },
  {
    throttleTimeMs: since(3, int32(), 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(struct({ partitionIndex: int32(), errorCode: int16() })),
      }),
    ),
  },
)
