// Heartbeat: v0-4. v1 adds throttleTimeMs, v3 static members (KIP-345). v4 is flexible.

import { int16, int32, message, nullable, since, string } from '../schema.ts'

export const apiName = 'Heartbeat'
export const apiKey = 12
export const versions = [0, 4] as const

export const request = message(
  { versions, flexible: 4 },
  {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: since(3, nullable(string()), null),
  },
)

export const response = message(
  { versions, flexible: 4 },
  { throttleTimeMs: since(1, int32(), 0), errorCode: int16() },
)
