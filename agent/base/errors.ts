// The one error class of operational faults, and the catalogue of its codes.
//
// Three kinds are never mixed: an expected outcome is a returned value, a fault is an AgentError,
// a bug is a failed assertion. Callers classify a fault by `code` and `retriable`, never by class,
// so that a folder that imports nothing of ours can throw the same shape.

/** code → [may the same call succeed later, what it means]. Retired codes are never used again. */
export const ERROR_CODES = {
  INPUT_CONFIG: [false, 'the configuration says something impossible'],
  INPUT_USAGE: [false, 'the command line says something impossible'],
  INPUT_FRAME: [false, 'a peer sent bytes that its protocol does not allow'],
  INPUT_PAYLOAD: [false, 'a payload does not fit its device profile'],
  INPUT_TOPIC: [false, 'a topic or partition that does not exist or may not be named so'],
  INPUT_BATCH: [false, 'a record batch that the log must not take'],
  INPUT_CODEC: [false, 'a record batch is compressed in a way this version does not read'],
  CORRUPT_BATCH: [false, 'a record batch does not hold what its header says'],
  CORRUPT_STORE: [false, 'bytes on disk are not what was written'],
  STORE_IN_USE: [false, 'another process holds the store'],
  STORE_MISMATCH: [false, 'the store belongs to another gateway or to a newer version'],
  STORAGE_FULL: [true, 'no room: the sources wait until retention or an operator makes some'],
  STORAGE_IO: [
    false,
    'the disk failed: nothing written since the last sync may be assumed durable',
  ],
  LISTENER_IN_USE: [false, 'a port is taken'],
  UPSTREAM_UNREACHABLE: [true, 'the upstream cluster does not answer'],
  UPSTREAM_REFUSED: [
    false,
    'the upstream cluster answered with an error that waiting does not cure',
  ],
  UPSTREAM_RETRY: [true, 'the upstream cluster asks to try again'],
  PARTITION_FROZEN: [false, 'a partition cannot go on without an operator'],
  TIMEOUT: [true, 'no answer in time'],
  CLOSED: [false, 'the thing was closed while the call was waiting'],
} as const satisfies Record<string, readonly [retriable: boolean, meaning: string]>

export type ErrorCode = keyof typeof ERROR_CODES

/** A fault of operation: one clear sentence that names the thing and the way out. */
export class AgentError extends Error {
  override readonly name = 'AgentError'
  readonly code: ErrorCode
  readonly retriable: boolean
  readonly details: Readonly<Record<string, unknown>>

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown; retriable?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retriable = options.retriable ?? ERROR_CODES[code][0]
    this.details = options.details ?? {}
  }
}

/** The `code` of whatever was thrown: an AgentError's, a system error's (ENOSPC …) or ''. */
export function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return ''
  return typeof error.code === 'string' ? error.code : ''
}

/** A mistake of a program and no fault: what has no code, or is thrown at a wrong argument or a bad index. */
export function isBug(error: unknown): boolean {
  return codeOf(error) === '' || error instanceof RangeError || error instanceof TypeError
}

/** For whoever goes on after a fault: a bug is not one, and ends the process. */
export function unlessBug(error: unknown): void {
  if (isBug(error)) throw error
}
