// SyncGroup: v0-5. v1 adds throttleTimeMs, v3 static members (KIP-345). v4 is flexible. v5 checks
// the protocol against the group's (KIP-559).

import { array, bytes, int16, int32, message, nullable, since, string, struct } from '../schema.ts'

export const apiName = 'SyncGroup'
export const apiKey = 14
export const versions = [0, 5] as const

export const request = message(
  { versions, flexible: 4 },
  {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: since(3, nullable(string()), null),
    protocolType: since(5, nullable(string()), null),
    protocolName: since(5, nullable(string()), null),
    /** Empty for everybody but the leader. */
    assignments: array(struct({ memberId: string(), assignment: bytes() })),
  },
)

export const response = message(
  { versions, flexible: 4 },
  {
    throttleTimeMs: since(1, int32(), 0),
    errorCode: int16(),
    protocolType: since(5, nullable(string()), null),
    protocolName: since(5, nullable(string()), null),
    assignment: bytes(),
  },
)
