// DeleteRecords: v0-2. v2 is flexible.

import { array, int16, int32, int64, message, string, struct, withDefault } from '../schema.ts'

export const apiName = 'DeleteRecords'
export const apiKey = 21
export const versions = [0, 2] as const

export const request = message(
  { versions, flexible: 2 },
  {
    topics: array(
      struct({
        name: string(),
        /** `offset` becomes the log start; -1: the high watermark does. */
        partitions: array(struct({ partitionIndex: int32(), offset: int64() })),
      }),
    ),
    timeoutMs: int32(),
  },
)

export const response = message(
  { versions, flexible: 2 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    topics: array(
      struct({
        name: string(),
        partitions: array(
          struct({ partitionIndex: int32(), lowWatermark: int64(), errorCode: int16() }),
        ),
      }),
    ),
  },
)
