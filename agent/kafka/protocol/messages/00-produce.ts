// Produce: v0-13. v0-2 carry the record formats before batches and are here so that they can be
// refused in their own words. v3 adds transactionalId and record batches (KIP-98), v4 allows
// KAFKA_STORAGE_ERROR, v5 adds logStartOffset, v7 zstd, v8 errors per record (KIP-467). v9 is
// flexible. v10 names the new leader (KIP-951), v11 and v12 concern transactions, v13 names topics
// by id (KIP-516).

import {
  array,
  int16,
  int32,
  int64,
  message,
  nullable,
  records,
  since,
  string,
  struct,
  tagged,
  until,
  uuid,
} from '../schema.ts'
import { ZERO_UUID } from '../wire.ts'

export const apiName = 'Produce'
export const apiKey = 0
export const versions = [0, 13] as const

export const request = message(
  { versions, flexible: 9 },
  {
    transactionalId: since(3, nullable(string()), null),
    /** -1: all in-sync replicas; 1: the leader; 0: no answer comes at all. */
    acks: int16(),
    timeoutMs: int32(),
    topicData: array(
      struct({
        name: until(12, string(), ''),
        topicId: since(13, uuid(), ZERO_UUID),
        partitionData: array(struct({ index: int32(), records: nullable(records()) })),
      }),
    ),
  },
)

export const response = message(
  { versions, flexible: 9 },
  {
    responses: array(
      struct({
        name: until(12, string(), ''),
        topicId: since(13, uuid(), ZERO_UUID),
        partitionResponses: array(
          struct({
            index: int32(),
            errorCode: int16(),
            baseOffset: int64(),
            /** -1 unless the topic stamps records with the time of the append. */
            logAppendTimeMs: since(2, int64(), -1),
            logStartOffset: since(5, int64(), -1),
            recordErrors: since(
              8,
              array(struct({ batchIndex: int32(), batchIndexErrorMessage: nullable(string()) })),
              [],
            ),
            errorMessage: since(8, nullable(string()), null),
            currentLeader: tagged(0, struct({ leaderId: int32(), leaderEpoch: int32() }), null, 10),
          }),
        ),
      }),
    ),
    throttleTimeMs: since(1, int32(), 0),
    nodeEndpoints: tagged(
      0,
      array(struct({ nodeId: int32(), host: string(), port: int32(), rack: nullable(string()) })),
      [],
      10,
    ),
  },
)
