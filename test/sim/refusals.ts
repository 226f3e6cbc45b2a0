// What an error says of the one who refused: the disk, or a log that has given up.

import { AgentError, codeOf } from '../../agent/base/errors.ts'

/** The log has failed for good and says so. */
export function isFailure(error: unknown): boolean {
  if (!(error instanceof AgentError)) return false
  return ['STORAGE_IO', 'CLOSED'].includes(error.code) || error.message.includes('acked until')
}

/** The disk refused. */
export function isOfDisk(error: unknown): boolean {
  return ['EIO', 'ENOSPC', 'STORAGE_FULL'].includes(codeOf(error))
}

/** What was to become hollow cannot, because the disk refuses: it is tried again, after a while. */
export function isMendingLater(error: unknown): boolean {
  if (codeOf(error) !== 'CORRUPT_STORE') return false
  const { cause } = error as AgentError
  return isOfDisk(cause) || codeOf(cause) === 'STORAGE_IO'
}
