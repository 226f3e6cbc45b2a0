// SaslAuthenticate: v0-2. v1 adds the session's lifetime (KIP-368). v2 is flexible.

import { bytes, int16, int64, message, nullable, since, string } from '../schema.ts'

export const apiName = 'SaslAuthenticate'
export const apiKey = 36
export const versions = [0, 2] as const

export const request = message({ versions, flexible: 2 }, { authBytes: bytes() })

export const response = message(
  { versions, flexible: 2 },
  {
    errorCode: int16(),
    errorMessage: nullable(string()),
    authBytes: bytes(),
    /** After this the connection must authenticate again; 0: never. */
    sessionLifetimeMs: since(1, int64(), 0),
  },
)
