// The directory of one partition: the name above it, and how it goes with all that is in it.

import { codeOf } from '../base/errors.ts'
import type { FileSystem } from './file-system.ts'

/** The directory that holds the name of `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash < 0) return '.'
  return slash === 0 ? '/' : path.slice(0, slash)
}

/** Deletes what is in a partition's directory, and the directory; fine when it is gone. */
export async function removeDirectory(fs: FileSystem, path: string): Promise<void> {
  const names = await fs.list(path).catch((error) => {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  })
  if (names === undefined) return
  for (const name of names) {
    await fs.remove(`${path}/${name}`).catch((error) => {
      if (codeOf(error) !== 'ENOENT') throw error
    })
  }
  await fs.removeDirectory(path)
  await fs.syncDirectory(parentOf(path))
}
