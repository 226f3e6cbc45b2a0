// The format of a store is one number. A file that changes takes the number of the store's format it
// changes with, so the store's format is the greatest version of its files: FORMAT.md, "Versions".

import { AgentError } from '../base/errors.ts'

export const STORE_FORMAT = 2

export function newerFormat(version: number): AgentError {
  const message = `store format ${version}, this version reads ${STORE_FORMAT}; nothing touched`
  return new AgentError('STORE_MISMATCH', message)
}
