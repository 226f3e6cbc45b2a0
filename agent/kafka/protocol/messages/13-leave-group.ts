// LeaveGroup: v0-5. v1 adds throttleTimeMs, v3 lets several members leave at once (KIP-345). v4 is
// flexible. v5 takes a reason (KIP-800).

import { array, int16, int32, message, nullable, since, string, struct, until } from '../schema.ts'

export const apiName = 'LeaveGroup'
export const apiKey = 13
export const versions = [0, 5] as const

export const request = message(
  { versions, flexible: 4 },
  {
    groupId: string(),
    memberId: until(2, string(), ''),
    members: since(
      3,
      array(
        struct({
          memberId: string(),
          groupInstanceId: nullable(string()),
          reason: since(5, nullable(string()), null),
        }),
      ),
      [],
    ),
  },
)

export const response = message(
  { versions, flexible: 4 },
  {
    throttleTimeMs: since(1, int32(), 0),
    errorCode: int16(),
    members: since(
      3,
      array(
        struct({ memberId: string(), groupInstanceId: nullable(string()), errorCode: int16() }),
      ),
      [],
    ),
  },
)
