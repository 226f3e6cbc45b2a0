// Reads a file that the disk does not give all of: what cannot be read is zeros.

import { type Clock, sleep } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { FileSystem, OpenFile } from './file-system.ts'

const WINDOW_BYTES = 1 << 20
const SECTOR_BYTES = 512
/** After so many refusals the disk is dying, and each costs seconds: pieces are as large as this. */
const REFUSALS_MAX = 256
const COARSE_BYTES = 64 * 1024
/** Whoever gives up believes something older. */
const TRIES = 3
/** Whoever gives up here loses something, and a disk that is reset is back after some seconds. */
const PATIENT_TRIES = 5
const PAUSE_MS = 1000

/** The disk refuses to give some sector, or the file system does not believe it. */
export function isUnreadable(error: unknown): boolean {
  return ['EIO', 'ENODATA', 'EBADMSG', 'EUCLEAN', 'EILSEQ', 'EREMOTEIO'].includes(codeOf(error))
}

/** Bytes that are not what was written, or that the disk does not give, or a file that is gone. */
export function isDamage(error: unknown): boolean {
  return isUnreadable(error) || ['CORRUPT_STORE', 'CORRUPT_BATCH', 'ENOENT'].includes(codeOf(error))
}

/** What `work` gives; undefined when the disk refuses to, again and again: with a clock, for some seconds. */
export async function tryToRead<T>(work: () => Promise<T>, clock?: Clock): Promise<T | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (!isUnreadable(error)) throw error
    }
    if (tries === (clock === undefined ? TRIES : PATIENT_TRIES)) return undefined
    if (clock !== undefined) await sleep(clock, PAUSE_MS)
  }
}

/** The whole file, or the beginning of it; undefined when it cannot even be opened. */
export function readTolerantly(
  fs: FileSystem,
  path: string,
  bytesMax = Number.POSITIVE_INFINITY,
): Promise<Buffer | undefined> {
  return tryToRead(async () => {
    const file = await fs.open(path, 'read')
    try {
      const bytes = Buffer.alloc(Math.min(await file.size(), bytesMax))
      const length = await fill(file, bytes)
      return bytes.subarray(0, length)
    } finally {
      await file.close()
    }
  })
}

/** Returns where the file ended. */
async function fill(file: OpenFile, target: Buffer): Promise<number> {
  const source = tolerant(file)
  for (let position = 0; position < target.length; ) {
    const to = Math.min(position + WINDOW_BYTES, target.length)
    const end = position + (await source.read(target.subarray(position, to), position))
    if (end < to) return end
    position = to
  }
  return target.length
}

/** The same file, with zeros in the sectors that the disk does not give. */
export function tolerant(file: Pick<OpenFile, 'read'>): Pick<OpenFile, 'read'> {
  let refusals = 0
  let again = -1
  const read = async (target: Uint8Array, position: number): Promise<number> => {
    try {
      return await file.read(target, position)
    } catch (error) {
      if (!isUnreadable(error)) throw error
    }
    // Whatever came with the refusal is not to be believed.
    target.fill(0)
    const { length } = target
    const smallest = ++refusals > REFUSALS_MAX ? COARSE_BYTES : SECTOR_BYTES
    if (length <= smallest && again === position) return length
    // A cable that was loose for once must not cost what is there.
    if (length <= smallest) {
      again = position
      return read(target, position)
    }
    const border = Math.floor((position + length / 2) / SECTOR_BYTES) * SECTOR_BYTES
    const first = (border > position ? border : border + SECTOR_BYTES) - position
    await read(target.subarray(0, first), position)
    return first + (await read(target.subarray(first), position + first))
  }
  return { read }
}
