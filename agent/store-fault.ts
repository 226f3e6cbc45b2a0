// Faults of opening the store, as sentences that name the directory and the way out.

import { AgentError, codeOf } from './base/errors.ts'

const WAYS_OUT: Record<string, string> = {
  EROFS: 'its file system is read-only',
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  ENOSPC: 'its disk is full; make a little room, or move dataDir',
  EDQUOT: "this user's quota is used up",
}
/** What `mkdir` of the data directory may say beside that. */
const DIRECTORY_WAYS_OUT: Record<string, string> = {
  EEXIST: 'it is not a directory',
  ENOTDIR: 'it is not a directory',
  // Of a parent it can make no directory in, Node says this whatever the reason is.
  ENOENT: 'it cannot be made; is its file system there, and writable?',
}

/** What is no fault of the system comes back as it is. */
export function storeFault(error: unknown, directory: string): unknown {
  const code = codeOf(error)
  if (error instanceof AgentError || code === '') return error
  const isMaking = (error as NodeJS.ErrnoException).syscall === 'mkdir'
  const way = WAYS_OUT[code] ?? (isMaking ? DIRECTORY_WAYS_OUT[code] : undefined)
  const sentence =
    way === undefined
      ? `the store in ${directory} cannot be opened: ${String(error)}`
      : `dataDir ${directory} cannot be written (${code}): ${way}`
  return new AgentError('STORAGE_IO', sentence, { cause: error })
}
