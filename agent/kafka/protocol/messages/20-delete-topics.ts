// DeleteTopics: v1-6. v3 may answer TOPIC_DELETION_DISABLED. v4 is flexible. v5 adds error messages
// and THROTTLING_QUOTA_EXCEEDED (KIP-599), v6 takes names or ids (KIP-516).

import {
  array,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
  until,
  uuid,
  withDefault,
} from '../schema.ts'
import { ZERO_UUID } from '../wire.ts'

export const apiName = 'DeleteTopics'
export const apiKey = 20
export const versions = [1, 6] as const

export const request = message(
  { versions, flexible: 4 },
  {
    topics: since(
      6,
      array(struct({ name: nullable(string()), topicId: withDefault(uuid(), ZERO_UUID) })),
      [],
    ),
    topicNames: until(5, array(string()), []),
    timeoutMs: int32(),
  },
)

export const response = message(
  { versions, flexible: 4 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    responses: array(
      struct({
        name: nullable(string()),
        topicId: since(6, uuid(), ZERO_UUID),
        errorCode: int16(),
        errorMessage: since(5, nullable(string()), null),
      }),
    ),
  },
)
