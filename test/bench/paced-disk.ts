// A disk in front of another that reads no faster than so many bytes a second, one read at a time, as
// the card of a small board does.

import type { FileSystem, OpenFile } from '../../agent/log/file-system.ts'

export function pacedDisk(fs: FileSystem, bytesPerSecond: number): FileSystem {
  let freeAt = 0
  const pass = async (bytes: number) => {
    const now = performance.now()
    freeAt = Math.max(freeAt, now) + (bytes / bytesPerSecond) * 1000
    // Timers are of whole milliseconds: what is shorter is waited for with the next one.
    const wait = freeAt - now
    if (wait >= 1) await new Promise((resolve) => setTimeout(resolve, wait))
  }
  const open: FileSystem['open'] = async (path, mode, options) => {
    const file = await fs.open(path, mode, options)
    const read: OpenFile['read'] = async (target, position) => {
      const length = await file.read(target, position)
      await pass(length)
      return length
    }
    return {
      read,
      write: (buffers, position) => file.write(buffers, position),
      sync: () => file.sync(),
      truncate: (size) => file.truncate(size),
      size: () => file.size(),
      close: () => file.close(),
    }
  }
  return { ...fs, open }
}
