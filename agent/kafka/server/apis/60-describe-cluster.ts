// DescribeCluster: v0-1. One broker, which is its own controller; there is no controller endpoint
// (v1, KIP-919).

import { errorCode } from '../../protocol/error-codes.ts'
import * as api from '../../protocol/messages/60-describe-cluster.ts'
import { NODE_ID } from '../broker.ts'
import { failure } from '../error-map.ts'
import { now, serve } from '../served-api.ts'
import { advertisedAddress } from './03-metadata.ts'

export const describeCluster = serve(api, [0, 1], ({ endpointType }, call) => {
  const { clusterId } = call.broker.settings
  if (endpointType !== api.BROKER_ENDPOINTS) {
    const error = failure('UNSUPPORTED_ENDPOINT_TYPE', 'only brokers can be described')
    return now({ ...error, endpointType, clusterId, controllerId: NODE_ID, brokers: [] })
  }
  const { host, port } = advertisedAddress(call)
  return now({
    errorCode: errorCode('NONE'),
    clusterId,
    controllerId: NODE_ID,
    brokers: [{ brokerId: NODE_ID, host, port, rack: null }],
  })
})
