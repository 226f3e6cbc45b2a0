// SaslHandshake: v0-1, never flexible. After v0 the tokens travel as bare size-prefixed bytes, after
// v1 inside SaslAuthenticate (KIP-152).

import { array, int16, message, string } from '../schema.ts'

export const apiName = 'SaslHandshake'
export const apiKey = 17
export const versions = [0, 1] as const

export const request = message({ versions }, { mechanism: string() })

export const response = message({ versions }, { errorCode: int16(), mechanisms: array(string()) })
