// What an operator does about an upstream that refuses: the second half of a reason.

import { AgentError } from '../base/errors.ts'
import { kafkaErrorOf } from '../kafka/client/kafka-fault.ts'

const LONG_MAX = '9223372036854775807'

/** For a Kafka error about batches or a topic. */
export function adviceFor(kafkaError: string, topic: string): string {
  const alter = `kafka-configs.sh --alter --topic ${topic} --add-config`
  if (kafkaError.includes('AUTHORIZATION')) {
    return `grant Describe, Read and Write on topic ${topic} to this gateway's principal`
  }
  if (kafkaError === 'MESSAGE_TOO_LARGE') {
    return `run: ${alter} max.message.bytes=2097152`
  }
  if (kafkaError === 'INVALID_TIMESTAMP') {
    const limits = ['before', 'after'].map((side) => `message.timestamp.${side}.max.ms=${LONG_MAX}`)
    return `run: ${alter} ${limits.join(',')}`
  }
  return 'check the settings of the mirror topic'
}

/** Why a partition is parked by a fault that waiting does not cure. */
export function parkedBy(fault: unknown, topic: string): string {
  if (!(fault instanceof AgentError)) return `${String(fault)} → please report this`
  const kafkaError = kafkaErrorOf(fault)
  if (kafkaError !== undefined) return `${fault.message} → ${adviceFor(kafkaError, topic)}`
  if (fault.code.startsWith('UPSTREAM')) {
    return `${fault.message} → check upstream in the configuration`
  }
  return `${fault.message} → tributary verify`
}
