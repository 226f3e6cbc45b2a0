// Faults of the agent as Kafka errors: the only place where one becomes the other.

import { codeOf, ERROR_CODES, type ErrorCode } from '../../base/errors.ts'
import { errorCode, type KafkaErrorName } from '../protocol/error-codes.ts'

/** Codes that a call into the log can end with. What is not here is UNKNOWN_SERVER_ERROR. */
const KAFKA_ERROR_OF: Partial<Record<ErrorCode, KafkaErrorName>> = {
  INPUT_TOPIC: 'INVALID_TOPIC_EXCEPTION',
  INPUT_FRAME: 'INVALID_REQUEST',
  INPUT_BATCH: 'INVALID_RECORD',
  INPUT_CODEC: 'UNSUPPORTED_COMPRESSION_TYPE',
  CORRUPT_BATCH: 'CORRUPT_MESSAGE',
  CORRUPT_STORE: 'KAFKA_STORAGE_ERROR',
  STORAGE_FULL: 'NOT_ENOUGH_REPLICAS',
  STORAGE_IO: 'KAFKA_STORAGE_ERROR',
  PARTITION_FROZEN: 'POLICY_VIOLATION',
  TIMEOUT: 'REQUEST_TIMED_OUT',
  CLOSED: 'NOT_LEADER_OR_FOLLOWER',
}

/** Throws again what is no fault: a broken invariant of ours ends the process. */
export function kafkaErrorOf(fault: unknown): KafkaErrorName {
  const code = codeOf(fault)
  if (code === '') throw fault
  const known = KAFKA_ERROR_OF[code as ErrorCode]
  if (known !== undefined) return known
  // Codes of the system (EIO, ENOSPC …) can only come from the disk.
  return code in ERROR_CODES ? 'UNKNOWN_SERVER_ERROR' : 'KAFKA_STORAGE_ERROR'
}

export interface ErrorFields {
  errorCode: number
  errorMessage: string | null
}

/** Messages repeat names a client sent: as long as a string on the wire can be, or nearly. */
const MESSAGE_MAX = 1000

/** The fields of an answer, or of a part of one, that say what went wrong. */
export function failure(name: KafkaErrorName, message: string | null = null): ErrorFields {
  return { errorCode: errorCode(name), errorMessage: message?.slice(0, MESSAGE_MAX) ?? null }
}

export function failureOf(fault: unknown): ErrorFields {
  return failure(kafkaErrorOf(fault), fault instanceof Error ? fault.message : null)
}
