// InitProducerId: v0-5. v2 is flexible. v3 lets a producer go on with the id and epoch it has
// (KIP-360), v4 may answer PRODUCER_FENCED, v5 TRANSACTION_ABORTABLE (KIP-890).

import { int16, int32, int64Big, message, nullable, since, string, withDefault } from '../schema.ts'

export const apiName = 'InitProducerId'
export const apiKey = 22
export const versions = [0, 5] as const

/** No producer id yet. */
export const NO_PRODUCER_ID = -1n

export const request = message(
  { versions, flexible: 2 },
  {
    transactionalId: nullable(string()),
    transactionTimeoutMs: int32(),
    producerId: since(3, int64Big(), NO_PRODUCER_ID),
    producerEpoch: since(3, int16(), -1),
  },
)

export const response = message(
  { versions, flexible: 2 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    errorCode: int16(),
    producerId: int64Big(),
    producerEpoch: int16(),
  },
)
