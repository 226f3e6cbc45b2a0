// How the client's faults are made: an AgentError that names the broker and ends in the way out.

import { AgentError, codeOf } from '../../base/errors.ts'
import { errorName, isRetriable, type KafkaErrorName } from '../protocol/error-codes.ts'

/** A fault that Kafka itself reported; `details.kafkaError` is the name of its error. */
export function refusedBy(broker: string, what: string, code: number, advice = ''): AgentError {
  const kafkaError = errorName(code)
  const known = kafkaError === 'UNKNOWN_SERVER_ERROR' ? `error ${code}` : kafkaError
  const rest = advice === '' ? '' : `: ${advice}`
  return new AgentError(
    isRetriable(code) ? 'UPSTREAM_RETRY' : 'UPSTREAM_REFUSED',
    `${broker} answered ${known} to ${what}${rest}`,
    { details: { kafkaError, broker } },
  )
}

/** The name of the Kafka error behind a fault; undefined when Kafka did not answer at all. */
export function kafkaErrorOf(error: unknown): KafkaErrorName | undefined {
  if (!(error instanceof AgentError)) return undefined
  return error.details.kafkaError as KafkaErrorName | undefined
}

export function unreachable(broker: string, why: string, cause?: unknown): AgentError {
  return new AgentError('UPSTREAM_UNREACHABLE', `${broker} ${why}`, {
    details: { broker },
    cause,
  })
}

/** System error codes → what a person should do about them. */
const ADVICE: Record<string, string> = {
  ECONNREFUSED: 'refused the connection: does Kafka run there, and is the port right?',
  ENOTFOUND: 'has no address: check the host name and the DNS',
  EAI_AGAIN: 'has no address for now: the DNS does not answer',
  EHOSTUNREACH: 'cannot be reached: check the network',
  ENETUNREACH: 'cannot be reached: check the network',
  ETIMEDOUT: 'does not answer: check the network and any firewall',
  ECONNRESET: 'closed the connection: a TLS listener closes plain connections, and the reverse',
  EPIPE: 'closed the connection',
}

/** Certificate problems that pass when the gateway's clock has been set. */
const CLOCK_CODES = ['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']

/** Certificate problems that waiting does not cure. */
const CERTIFICATE_CODES = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'ERR_TLS_CERT_ALTNAME_INVALID',
]

/** The fault of a connection that could not be made or has broken. */
export function connectionFault(broker: string, cause: unknown): AgentError {
  const code = codeOf(cause)
  const text = cause instanceof Error ? cause.message : String(cause)
  if (CLOCK_CODES.includes(code)) {
    return unreachable(broker, `has a certificate that is not valid now: check the clock`, cause)
  }
  if (CERTIFICATE_CODES.includes(code)) {
    return new AgentError(
      'UPSTREAM_REFUSED',
      `${broker} has a certificate that is not trusted (${text}): set caFile, and use the name in the certificate`,
      { details: { broker }, cause },
    )
  }
  return unreachable(broker, ADVICE[code] ?? `broke the connection (${text})`, cause)
}
