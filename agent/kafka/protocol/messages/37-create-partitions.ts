// CreatePartitions: v0-3. v2 is flexible. v3 may answer THROTTLING_QUOTA_EXCEEDED (KIP-599).

import {
  array,
  boolean,
  int16,
  int32,
  message,
  nullable,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'CreatePartitions'
export const apiKey = 37
export const versions = [0, 3] as const

export const request = message(
  { versions, flexible: 2 },
  {
    topics: array(
      struct({
        name: string(),
        /** Of the topic afterwards, not of what is added. */
        count: int32(),
        assignments: withDefault(nullable(array(struct({ brokerIds: array(int32()) }))), null),
      }),
    ),
    timeoutMs: int32(),
    validateOnly: withDefault(boolean(), false),
  },
)

export const response = message(
  { versions, flexible: 2 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    results: array(
      struct({
        name: string(),
        errorCode: int16(),
        errorMessage: withDefault(nullable(string()), null),
      }),
    ),
  },
)
