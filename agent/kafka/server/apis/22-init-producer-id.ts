// InitProducerId: v0-5, for idempotent producers only: there are no transactions. As in Kafka, an id
// and epoch that come with the request (v3 on) are ignored and a new id is given; it is durable, so it
// is never given twice, also after a crash.

import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/22-init-producer-id.ts'
import type { Decoded, Encodable } from '../../protocol/schema.ts'
import { failureOf } from '../error-map.ts'
import { type Answer, type Call, now, serve } from '../served-api.ts'

export const initProducerId = serve(api, [0, 5], handle)

const NOBODY = { producerId: api.NO_PRODUCER_ID, producerEpoch: -1 }

async function handle(
  { transactionalId }: Decoded<typeof api.request>,
  { broker }: Call,
): Promise<Answer<Encodable<typeof api.response>>> {
  if (transactionalId !== null) {
    return now({ errorCode: errorCode('TRANSACTIONAL_ID_AUTHORIZATION_FAILED'), ...NOBODY })
  }
  try {
    const producerId = await broker.producers.newProducerId()
    return now({ errorCode: errorCode('NONE'), producerId, producerEpoch: 0 })
  } catch (fault) {
    return now({ errorCode: failureOf(fault).errorCode, ...NOBODY })
  }
}
