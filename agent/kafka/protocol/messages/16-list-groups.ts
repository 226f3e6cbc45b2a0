// ListGroups: v0-5. v1 adds throttleTimeMs. v3 is flexible. v4 filters by state (KIP-518), v5 by type
// of group (KIP-848).

import { array, int16, int32, message, since, string, struct } from '../schema.ts'

export const apiName = 'ListGroups'
export const apiKey = 16
export const versions = [0, 5] as const

export const request = message(
  { versions, flexible: 3 },
  /** Empty filters let everything through. */
  { statesFilter: since(4, array(string()), []), typesFilter: since(5, array(string()), []) },
)

export const response = message(
  { versions, flexible: 3 },
  {
    throttleTimeMs: since(1, int32(), 0),
    errorCode: int16(),
    groups: array(
      struct({
        groupId: string(),
        protocolType: string(),
        groupState: since(4, string(), ''),
        groupType: since(5, string(), ''),
      }),
    ),
  },
)
