// What a segment that holds the recovery offset, or lies above it, is worth after a crash.
//
//   below the recovery offset   synced once, and nowhere else: never cut while something good is
//                               behind it. What does not hold is told, and mended when the log runs
//   at or above it              the journal has it: cut at the first batch that does not hold
//
// - Batches below are believed when the index knows where the recovery offset lies; when it does not,
//   every byte is checked.
// - Damage below that reaches the end of the file is handed out and cut; the offsets are a gap then.
// - What was kept above is written once more in its place: a sync that failed before the crash may
//   have left pages that are clean and not on the disk.

import type { Codecs } from '../../wasm/codecs.ts'
import { isUnreadable } from './bad-sectors.ts'
import type { OpenFile } from './file-system.ts'
import type { BatchStart, IndexPair } from './index-pair.ts'
import { type Damage, salvage } from './salvage.ts'
import { copyRange, type ScanOutcome, scanBatches } from './segment-scan.ts'

export interface SegmentToRecover {
  baseOffset: number
  recoveryOffset: number
  indexes: IndexPair
  codecs: Codecs
  /** Gets the damage whose bytes are about to be cut, and that no journal has. */
  keep: (damage: Damage) => Promise<void>
}

export interface SegmentRecovery {
  /** How the scan of what was not known to be synced ended. */
  outcome: ScanOutcome
  nextOffset: number
  size: number
  /** Where that began which was not known to be synced. */
  synced: BatchStart
  /** Bytes that were cut off. */
  cutBytes: number
  /** What does not hold below the recovery offset and is still there. */
  damages: Damage[]
}

export async function recoverSegment(
  file: OpenFile,
  segment: SegmentToRecover,
): Promise<SegmentRecovery> {
  const { recoveryOffset, indexes } = segment
  const fileBytes = await file.size()
  const damages: Damage[] = []
  let from = await indexes.cutAt(recoveryOffset).catch(unlessUnreadable)
  if (from?.baseOffset !== recoveryOffset) {
    from = await checkBelow(file, fileBytes, segment, damages)
    const last = damages.at(-1)
    if (last !== undefined && last.end === fileBytes) {
      await segment.keep(last)
      damages.pop()
      const { position, reason } = last
      await cut(file, position, fileBytes)
      const outcome = { kind: 'torn', position, reason } as const
      const cutBytes = fileBytes - position
      const synced = { position, baseOffset: last.from }
      return { outcome, nextOffset: last.from, size: position, synced, cutBytes, damages }
    }
  }
  const { outcome, nextOffset } = await checkAbove(file, fileBytes, segment, from)
  const size = outcome.position
  await cut(file, size, fileBytes)
  try {
    await copyRange(file, file, from.position, size)
  } catch (error) {
    // Read a moment ago, and not any more: the journal has it.
    unlessUnreadable(error)
    const { position } = from
    await cut(file, position, size)
    await indexes.cutAt(recoveryOffset)
    const outcome = { kind: 'corrupt', position, reason: String(error) } as const
    const end = { nextOffset: recoveryOffset, size: position, synced: from }
    return { outcome, ...end, cutBytes: fileBytes - position, damages }
  }
  return { outcome, nextOffset, size, synced: from, cutBytes: fileBytes - size, damages }
}

/**
 * Durable: when a damaged journal has less than the segment had, other records come to stand at these
 * offsets, and the next crash must not bring the old ones back.
 */
async function cut(file: OpenFile, size: number, fileBytes: number): Promise<void> {
  if (size === fileBytes) return
  await file.truncate(size)
  await file.sync()
}

/** Checks every byte below the recovery offset; returns where that begins. */
async function checkBelow(
  file: OpenFile,
  size: number,
  { baseOffset, recoveryOffset, indexes, codecs }: SegmentToRecover,
  damages: Damage[],
): Promise<BatchStart> {
  indexes.clear()
  const range = { size, offset: baseOffset, endOffset: recoveryOffset }
  const position = await salvage(file, range, codecs, {
    good: (batch) => indexes.add(batch),
    damaged: (damage) => damages.push(damage),
  })
  return { position, baseOffset: recoveryOffset }
}

async function checkAbove(
  file: OpenFile,
  size: number,
  { indexes, codecs }: SegmentToRecover,
  from: BatchStart,
): Promise<{ outcome: ScanOutcome; nextOffset: number }> {
  let { position, baseOffset: nextOffset } = from
  const range = { from: position, to: size, offset: nextOffset, codecs }
  try {
    const outcome = await scanBatches(file, range, (batch) => {
      indexes.add(batch)
      position = batch.position + batch.size
      nextOffset = batch.nextOffset
    })
    return { outcome, nextOffset }
  } catch (error) {
    unlessUnreadable(error)
    return { outcome: { kind: 'corrupt', position, reason: String(error) }, nextOffset }
  }
}

function unlessUnreadable(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
  return undefined
}
