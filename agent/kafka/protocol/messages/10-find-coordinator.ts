// FindCoordinator: v0-6. v1 adds transactional ids as a kind of key. v3 is flexible. v4 asks for
// several keys at once (KIP-699), v5 may answer TRANSACTION_ABORTABLE (KIP-890), v6 adds share
// groups as a kind of key (KIP-932).

import {
  array,
  between,
  int8,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
  until,
} from '../schema.ts'

export const apiName = 'FindCoordinator'
export const apiKey = 10
export const versions = [0, 6] as const

/** Values of keyType. */
export const GROUP_KEY = 0
export const TRANSACTION_KEY = 1

export const request = message(
  { versions, flexible: 3 },
  {
    key: until(3, string(), ''),
    keyType: since(1, int8(), GROUP_KEY),
    coordinatorKeys: since(4, array(string()), []),
  },
)

export const response = message(
  { versions, flexible: 3 },
  {
    throttleTimeMs: since(1, int32(), 0),
    errorCode: until(3, int16(), 0),
    errorMessage: between(1, 3, nullable(string()), null),
    nodeId: until(3, int32(), -1),
    host: until(3, string(), ''),
    port: until(3, int32(), -1),
    coordinators: since(
      4,
      array(
        struct({
          key: string(),
          nodeId: int32(),
          host: string(),
          port: int32(),
          errorCode: int16(),
          errorMessage: nullable(string()),
        }),
      ),
      [],
    ),
  },
)
