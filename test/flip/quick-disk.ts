// The real file system without its syncs: the files are real, and thousands of starts are affordable.
// The power never fails here, so nothing else changes.

import { type FileSystem, nodeFileSystem, type OpenFile } from '../../agent/log/file-system.ts'

export interface QuickDisk extends FileSystem {
  /** Operations that have begun and not ended. */
  readonly busy: number
  /** From now on opening a path that matches fails, as on a full disk. */
  refuse: RegExp | undefined
  /** How often that came true. */
  refusals: number
}

export function quickDisk(): QuickDisk {
  let busy = 0
  const counted = async <T>(work: Promise<T>): Promise<T> => {
    busy++
    try {
      return await work
    } finally {
      busy--
    }
  }
  const disk: QuickDisk = {
    ...nodeFileSystem,
    get busy() {
      return busy
    },
    refuse: undefined,
    refusals: 0,
    async open(path, mode) {
      if (disk.refuse?.test(path)) {
        disk.refusals++
        throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
      }
      const file = await counted(nodeFileSystem.open(path, mode))
      const quick: OpenFile = {
        read: (target, position) => file.read(target, position),
        write: (buffers, position) => counted(file.write(buffers, position)),
        sync: () => Promise.resolve(),
        truncate: (size) => counted(file.truncate(size)),
        size: () => file.size(),
        close: () => file.close(),
      }
      return quick
    },
    syncDirectory: () => Promise.resolve(),
  }
  return disk
}
