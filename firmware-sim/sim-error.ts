// The one error of the simulated fleet. Callers classify it by `code`, never by class.

export type SimErrorCode =
  /** The file, the data or an option says something impossible. */
  | 'SIM_INPUT'
  /** The broker or the configuration server does not answer. */
  | 'SIM_UNREACHABLE'
  /** It answered, and waiting will not change the answer. */
  | 'SIM_REFUSED'

/** One sentence that names the thing and the way out. */
export class SimError extends Error {
  override readonly name = 'SimError'
  readonly code: SimErrorCode
  readonly retriable: boolean

  constructor(code: SimErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retriable = code === 'SIM_UNREACHABLE'
  }
}

/** `code` and text of whatever was thrown, in a few words. */
export function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return error.message === '' ? code || error.name : error.message
}
