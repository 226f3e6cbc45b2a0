// From where on a partition's segments may be cut, when no checkpoint says so: from where on the journal
// holds everything that they hold.
//
//   segments   … │ batch │ batch │ … │ last segment: batch │ damaged
//   journal            [from …………………………………………………………… to)       the run that reaches the end
//
// - It is always the boundary of a batch, or the journal has all from there on.
// - When no run reaches the end of the segments, nothing of them may be cut: it is that end. A batch
//   that does not hold and says its offsets counts with them: they were acked.

import type { Codecs } from '../../wasm/codecs.ts'
import { BATCH, BATCH_HEADER_BYTES } from '../record/record-batch.ts'
import { isUnreadable } from './bad-sectors.ts'
import type { FileSystem } from './file-system.ts'
import type { OffsetRun } from './journal-digest.ts'
import { salvage } from './salvage.ts'
import { segmentName } from './segment-file.ts'
import { readScanned } from './segment-scan.ts'

/** `bases`: first offsets of the segments in `directory`, ascending. */
export async function recoveryOffsetOf(
  { fs, codecs }: { fs: FileSystem; codecs: Codecs },
  directory: string,
  bases: readonly number[],
  runs: readonly OffsetRun[],
): Promise<number> {
  const last = bases.at(-1)
  if (last === undefined) return 0
  const pathOf = (base: number) => `${directory}/${segmentName(base)}.log`
  const newest = await boundariesOf(fs, pathOf(last), last, codecs)
  const { end } = newest
  const run = runs.findLast(({ from, to }) => from <= end && end <= to)
  if (run === undefined) return end
  // No segment above is to be believed: what nobody has synced may be torn, and the journal has it.
  const base = bases.findLast((candidate) => candidate <= run.from)
  if (base === undefined) return bases[0]!
  const { boundaries } = base === last ? newest : await boundariesOf(fs, pathOf(base), base, codecs)
  return boundaries.find((boundary) => boundary >= run.from) ?? run.from
}

/** Where the batches of a segment begin that hold, where they end, and where the segment ended once. */
async function boundariesOf(
  fs: FileSystem,
  path: string,
  baseOffset: number,
  codecs: Codecs,
): Promise<{ boundaries: number[]; end: number }> {
  const boundaries = [baseOffset]
  let file: Awaited<ReturnType<FileSystem['open']>> | undefined
  try {
    file = await fs.open(path, 'read')
    const size = await file.size()
    const range = { size, offset: baseOffset, endOffset: Number.MAX_SAFE_INTEGER }
    let damagedAt = size
    await salvage(file, range, codecs, {
      good: (batch) => {
        if (batch.baseOffset > boundaries.at(-1)!) boundaries.push(batch.baseOffset)
        boundaries.push(batch.nextOffset)
      },
      damaged: ({ position, to }) => {
        if (to === range.endOffset) damagedAt = position
      },
    })
    const end = boundaries.at(-1)!
    const header = Buffer.alloc(BATCH_HEADER_BYTES)
    if ((await file.read(header, damagedAt).catch(() => 0)) < header.length)
      return { boundaries, end }
    const batch = readScanned(header, 0, damagedAt)
    // Both of them must say so: a flipped bit is not to become a million offsets.
    const isNext =
      typeof batch !== 'string' &&
      batch.baseOffset === end &&
      header.readInt32BE(BATCH.count) === batch.nextOffset - end
    return { boundaries, end: isNext ? end + header.readInt32BE(BATCH.count) : end }
  } catch (error) {
    if (!isUnreadable(error)) throw error
    return { boundaries, end: boundaries.at(-1)! }
  } finally {
    await file?.close()
  }
}
