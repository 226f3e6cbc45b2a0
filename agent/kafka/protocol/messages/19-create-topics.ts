// CreateTopics: v2-7. v4 takes -1 for the broker's own partition count and replication factor
// (KIP-464). v5 is flexible and returns the topic's configuration (KIP-525), v6 may answer
// THROTTLING_QUOTA_EXCEEDED (KIP-599), v7 returns the topic id.

import {
  array,
  boolean,
  int8,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
  tagged,
  uuid,
  withDefault,
} from '../schema.ts'
import { ZERO_UUID } from '../wire.ts'

export const apiName = 'CreateTopics'
export const apiKey = 19
export const versions = [2, 7] as const

export const request = message(
  { versions, flexible: 5 },
  {
    topics: array(
      struct({
        name: string(),
        /** -1 with assignments, or from v4 on for the broker's default. */
        numPartitions: int32(),
        replicationFactor: int16(),
        assignments: withDefault(
          array(struct({ partitionIndex: int32(), brokerIds: array(int32()) })),
          [],
        ),
        configs: withDefault(array(struct({ name: string(), value: nullable(string()) })), []),
      }),
    ),
    timeoutMs: int32(),
    validateOnly: withDefault(boolean(), false),
  },
)

export const response = message(
  { versions, flexible: 5 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    topics: array(
      struct({
        name: string(),
        topicId: since(7, uuid(), ZERO_UUID),
        errorCode: int16(),
        errorMessage: withDefault(nullable(string()), null),
        topicConfigErrorCode: tagged(0, int16(), 0),
        numPartitions: since(5, int32(), -1),
        replicationFactor: since(5, int16(), -1),
        configs: since(
          5,
          nullable(
            array(
              struct({
                name: string(),
                value: nullable(string()),
                readOnly: boolean(),
                configSource: int8(),
                isSensitive: boolean(),
              }),
            ),
          ),
          null,
        ),
      }),
    ),
  },
)
