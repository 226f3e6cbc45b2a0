// DescribeCluster: v0-2, flexible. v1 asks for brokers or for controllers (KIP-919), v2 may list
// fenced brokers too (KIP-1073).

import {
  array,
  boolean,
  int8,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
  withDefault,
} from '../schema.ts'

export const apiName = 'DescribeCluster'
export const apiKey = 60
export const versions = [0, 2] as const

/** Authorized operations were not asked for: the smallest int32. */
const NO_OPERATIONS = -0x8000_0000
/** Value of endpointType; 2 stands for controllers. */
export const BROKER_ENDPOINTS = 1

export const request = message(
  { versions, flexible: 0 },
  {
    includeClusterAuthorizedOperations: withDefault(boolean(), false),
    endpointType: since(1, int8(), BROKER_ENDPOINTS),
    includeFencedBrokers: since(2, boolean(), false),
  },
)

export const response = message(
  { versions, flexible: 0 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    errorCode: int16(),
    errorMessage: withDefault(nullable(string()), null),
    endpointType: since(1, int8(), BROKER_ENDPOINTS),
    clusterId: string(),
    controllerId: int32(),
    brokers: array(
      struct({
        brokerId: int32(),
        host: string(),
        port: int32(),
        rack: nullable(string()),
        isFenced: since(2, boolean(), false),
      }),
    ),
    clusterAuthorizedOperations: withDefault(int32(), NO_OPERATIONS),
  },
)
