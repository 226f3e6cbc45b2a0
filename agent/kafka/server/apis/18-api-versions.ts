// ApiVersions: v0-4, the first request of every client. What it tells is computed from the registry,
// so it cannot lie. A version that is not known is answered in v0 with error 35 and nothing but this
// API's own range, so that the client may ask again (KIP-511): see `answerUnknownVersion`.

import { errorCode } from '../../protocol/error-codes.ts'
import { encodeResponse } from '../../protocol/frame.ts'
import * as api from '../../protocol/messages/18-api-versions.ts'
import { now, serve } from '../served-api.ts'

export const apiVersions = serve(api, [0, 4], (_request, { broker }) =>
  now({ errorCode: errorCode('NONE'), apiKeys: broker.apis }),
)

/** The answer to a version from the future, whatever the rest of the request looks like. */
export function answerUnknownVersion(correlationId: number): Buffer[] {
  const [minVersion, maxVersion] = apiVersions.versions
  return encodeResponse(api, 0, correlationId, {
    errorCode: errorCode('UNSUPPORTED_VERSION'),
    apiKeys: [{ apiKey: api.apiKey, minVersion, maxVersion }],
  })
}
