// JoinGroup: v0-9. v1 adds the rebalance timeout (KIP-62), v2 throttleTimeMs, v4 asks new members to
// come back with the id they are given (KIP-394), v5 adds static members (KIP-345). v6 is flexible.
// v7 answers the protocol type (KIP-559), v8 takes a reason (KIP-800), v9 may skip the assignment
// (KIP-814).

import {
  array,
  boolean,
  bytes,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
} from '../schema.ts'

export const apiName = 'JoinGroup'
export const apiKey = 11
export const versions = [0, 9] as const

export const request = message(
  { versions, flexible: 6 },
  {
    groupId: string(),
    sessionTimeoutMs: int32(),
    /** -1: the session timeout serves as this one too. */
    rebalanceTimeoutMs: since(1, int32(), -1),
    memberId: string(),
    groupInstanceId: since(5, nullable(string()), null),
    protocolType: string(),
    protocols: array(struct({ name: string(), metadata: bytes() })),
    reason: since(8, nullable(string()), null),
  },
)

export const response = message(
  { versions, flexible: 6 },
  {
    throttleTimeMs: since(2, int32(), 0),
    errorCode: int16(),
    generationId: int32(),
    protocolType: since(7, nullable(string()), null),
    /** Null only from v7 on. */
    protocolName: nullable(string()),
    leader: string(),
    skipAssignment: since(9, boolean(), false),
    memberId: string(),
    /** Empty for everybody but the leader. */
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: since(5, nullable(string()), null),
        metadata: bytes(),
      }),
    ),
  },
)
