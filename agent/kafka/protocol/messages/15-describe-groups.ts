// DescribeGroups: v0-6. v1 adds throttleTimeMs, v3 authorized operations (KIP-430), v4 static members
// (KIP-345). v5 is flexible. v6 answers GROUP_ID_NOT_FOUND with a message (KIP-1043).

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

export const apiName = 'DescribeGroups'
export const apiKey = 15
export const versions = [0, 6] as const

/** Authorized operations were not asked for: the smallest int32. */
const NO_OPERATIONS = -0x8000_0000

export const request = message(
  { versions, flexible: 5 },
  { groups: array(string()), includeAuthorizedOperations: since(3, boolean(), false) },
)

export const response = message(
  { versions, flexible: 5 },
  {
    throttleTimeMs: since(1, int32(), 0),
    groups: array(
      struct({
        errorCode: int16(),
        errorMessage: since(6, nullable(string()), null),
        groupId: string(),
        groupState: string(),
        protocolType: string(),
        /** The name of the protocol the members agreed on. */
        protocolData: string(),
        members: array(
          struct({
            memberId: string(),
            groupInstanceId: since(4, nullable(string()), null),
            clientId: string(),
            clientHost: string(),
            memberMetadata: bytes(),
            memberAssignment: bytes(),
          }),
        ),
        authorizedOperations: since(3, int32(), NO_OPERATIONS),
      }),
    ),
  },
)
