// OffsetFetch: v1-9. From v2 on null topics ask for all and the answer has an error of its own. v5
// adds leader epochs (KIP-320). v6 is flexible. v7 can insist on stable offsets (KIP-447). v8 asks
// for several groups at once and moves everything into `groups` (KIP-709), v9 adds member epochs
// (KIP-848).

import {
  array,
  between,
  boolean,
  int16,
  int32,
  int64,
  message,
  nullable,
  since,
  string,
  struct,
  until,
} from '../schema.ts'

export const apiName = 'OffsetFetch'
export const apiKey = 9
export const versions = [1, 9] as const

const requestedTopics = nullable(
  array(struct({ name: string(), partitionIndexes: array(int32()) })),
)

export const request = message(
  { versions, flexible: 6 },
  {
    groupId: until(7, string(), ''),
    topics: until(7, requestedTopics, null),
    groups: since(
      8,
      array(
        struct({
          groupId: string(),
          memberId: since(9, nullable(string()), null),
          memberEpoch: since(9, int32(), -1),
          topics: requestedTopics,
        }),
      ),
      [],
    ),
    requireStable: since(7, boolean(), false),
  },
)

const committedTopics = array(
  struct({
    name: string(),
    partitions: array(
      struct({
        partitionIndex: int32(),
        /** -1: the group has committed none. */
        committedOffset: int64(),
        committedLeaderEpoch: since(5, int32(), -1),
        metadata: nullable(string()),
        errorCode: int16(),
      }),
    ),
  }),
)

export const response = message(
  { versions, flexible: 6 },
  {
    throttleTimeMs: since(3, int32(), 0),
    topics: until(7, committedTopics, []),
    errorCode: between(2, 7, int16(), 0),
    groups: since(
      8,
      array(struct({ groupId: string(), topics: committedTopics, errorCode: int16() })),
      [],
    ),
  },
)
