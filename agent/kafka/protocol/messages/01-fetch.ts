// Fetch: v4-18. v4 adds isolation (KIP-98), v5 logStartOffset, v7 sessions (KIP-227), v9 the leader
// epoch the reader believes in (KIP-320), v10 allows zstd, v11 racks and preferred replicas
// (KIP-392). v12 is flexible and tells of diverging epochs (KIP-595), v13 names topics by id, v15
// moves replicaId into a tagged struct, v16 adds node endpoints (KIP-951), v17 and v18 concern
// followers only.

import {
  array,
  int8,
  int16,
  int32,
  int64,
  int64Big,
  message,
  nullable,
  records,
  since,
  string,
  struct,
  tagged,
  until,
  uuid,
  withDefault,
} from '../schema.ts'
import { ZERO_UUID } from '../wire.ts'

export const apiName = 'Fetch'
export const apiKey = 1
export const versions = [4, 18] as const

/** What a follower sends as highWatermark when it knows none: the greatest int64. */
const NO_HIGH_WATERMARK = 0x7fff_ffff_ffff_ffffn

export const request = message(
  { versions, flexible: 12 },
  {
    clusterId: tagged(0, nullable(string()), null, 12),
    replicaId: until(14, int32(), -1),
    replicaState: tagged(1, struct({ replicaId: int32(), replicaEpoch: int64() }), null, 15),
    maxWaitMs: int32(),
    minBytes: int32(),
    maxBytes: int32(),
    /** 0: read uncommitted; 1: read committed. */
    isolationLevel: withDefault(int8(), 0),
    sessionId: since(7, int32(), 0),
    /** -1: no session wanted. */
    sessionEpoch: since(7, int32(), -1),
    topics: array(
      struct({
        topic: until(12, string(), ''),
        topicId: since(13, uuid(), ZERO_UUID),
        partitions: array(
          struct({
            partition: int32(),
            currentLeaderEpoch: since(9, int32(), -1),
            fetchOffset: int64(),
            lastFetchedEpoch: since(12, int32(), -1),
            logStartOffset: since(5, int64(), -1),
            partitionMaxBytes: int32(),
            replicaDirectoryId: tagged(0, uuid(), ZERO_UUID, 17),
            highWatermark: tagged(1, int64Big(), NO_HIGH_WATERMARK, 18),
          }),
        ),
      }),
    ),
    forgottenTopicsData: since(
      7,
      array(
        struct({
          topic: until(12, string(), ''),
          topicId: since(13, uuid(), ZERO_UUID),
          partitions: array(int32()),
        }),
      ),
      [],
    ),
    rackId: since(11, string(), ''),
  },
)

export const response = message(
  { versions, flexible: 12 },
  {
    throttleTimeMs: withDefault(int32(), 0),
    errorCode: since(7, int16(), 0),
    /** 0: no session was made. */
    sessionId: since(7, int32(), 0),
    responses: array(
      struct({
        topic: until(12, string(), ''),
        topicId: since(13, uuid(), ZERO_UUID),
        partitions: array(
          struct({
            partitionIndex: int32(),
            errorCode: int16(),
            highWatermark: int64(),
            lastStableOffset: withDefault(int64(), -1),
            logStartOffset: since(5, int64(), -1),
            divergingEpoch: tagged(0, struct({ epoch: int32(), endOffset: int64() }), null, 12),
            currentLeader: tagged(1, struct({ leaderId: int32(), leaderEpoch: int32() }), null, 12),
            snapshotId: tagged(2, struct({ endOffset: int64(), epoch: int32() }), null, 12),
            abortedTransactions: withDefault(
              nullable(array(struct({ producerId: int64Big(), firstOffset: int64() }))),
              null,
            ),
            preferredReadReplica: since(11, int32(), -1),
            records: nullable(records()),
          }),
        ),
      }),
    ),
    nodeEndpoints: tagged(
      0,
      array(struct({ nodeId: int32(), host: string(), port: int32(), rack: nullable(string()) })),
      [],
      16,
    ),
  },
)
