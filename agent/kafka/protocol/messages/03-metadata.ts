// Metadata: v0-13. In v0 an empty topic list asks for all topics; from v1 on null does, and empty
// asks for none. v1 adds racks, controllerId and isInternal, v2 clusterId, v4 allowAutoTopicCreation,
// v5 offline replicas (KIP-112), v7 leader epochs (KIP-320), v8 authorized operations (KIP-430).
// v9 is flexible. v10 adds topic ids (KIP-516), v11 drops the cluster's operations (KIP-700), v12
// asks by topic id, v13 has an error of the whole answer (KIP-1102).

import {
  array,
  between,
  boolean,
  int16,
  int32,
  message,
  nullable,
  since,
  string,
  struct,
  uuid,
  withDefault,
} from '../schema.ts'
import { ZERO_UUID } from '../wire.ts'

export const apiName = 'Metadata'
export const apiKey = 3
export const versions = [0, 13] as const

/** Authorized operations were not asked for: the smallest int32. */
export const NO_OPERATIONS = -0x8000_0000

export const request = message(
  { versions, flexible: 9 },
  {
    topics: nullable(
      array(
        struct({
          topicId: since(10, uuid(), ZERO_UUID),
          name: withDefault(nullable(string()), null),
        }),
      ),
    ),
    allowAutoTopicCreation: since(4, boolean(), true),
    includeClusterAuthorizedOperations: between(8, 10, boolean(), false),
    includeTopicAuthorizedOperations: since(8, boolean(), false),
  },
)

export const response = message(
  { versions, flexible: 9 },
  {
    throttleTimeMs: since(3, int32(), 0),
    brokers: array(
      struct({
        nodeId: int32(),
        host: string(),
        port: int32(),
        rack: since(1, nullable(string()), null),
      }),
    ),
    clusterId: since(2, nullable(string()), null),
    controllerId: since(1, int32(), -1),
    topics: array(
      struct({
        errorCode: int16(),
        /** Null only in an answer to a question by topic id. */
        name: nullable(string()),
        topicId: since(10, uuid(), ZERO_UUID),
        isInternal: since(1, boolean(), false),
        partitions: array(
          struct({
            errorCode: int16(),
            partitionIndex: int32(),
            /** -1: there is none. */
            leaderId: int32(),
            leaderEpoch: since(7, int32(), -1),
            replicaNodes: array(int32()),
            isrNodes: array(int32()),
            offlineReplicas: since(5, array(int32()), []),
          }),
        ),
        topicAuthorizedOperations: since(8, int32(), NO_OPERATIONS),
      }),
    ),
    clusterAuthorizedOperations: between(8, 10, int32(), NO_OPERATIONS),
    errorCode: since(13, int16(), 0),
  },
)
