// A segment file made anew: parts of the old one, byte for byte, and hollow batches where offsets are
// lost. Written beside it as `.log.rewrite`, synced, and renamed over it: whatever happens on the way,
// the name stands for the old bytes or for the new ones.
//
// - What lies in `.log.rewrite` at a start was never finished; nobody reads it.
// - Whoever has the old file open goes on in it.
// - Needs no log that runs: a repair of a stopped store uses it too.

import type { Codecs } from '../../wasm/codecs.ts'
import { assert } from '../base/assert.ts'
import { AgentError } from '../base/errors.ts'
import { isUnreadable, tolerant } from './bad-sectors.ts'
import type { FileSystem, OpenFile } from './file-system.ts'
import type { JournaledBatch } from './journal-records.ts'
import type { LossReason, LostRange } from './loss.ts'
import { hollowBatch, isHollow } from './made-batch.ts'
import { type Damage, type SalvageRange, salvage } from './salvage.ts'
import { copyRange, type ScannedBatch } from './segment-scan.ts'

/**
 * `keep`: positions in the old file; `copy`: the same, rot included, and zeros where the disk gives
 * nothing; `hollow`: offsets; `batch`: what is put back.
 */
export type Part =
  | { kind: 'copy'; from: number; to: number }
  | { kind: 'batch'; bytes: Buffer }
  | { kind: 'keep'; from: number; to: number }
  | (LostRange & { kind: 'hollow'; timestamp: number })

/** What a segment consists of, and what it shall become. */
export interface SegmentPlan {
  parts: Part[]
  /** What did not hold, and was not asked for. */
  damages: Damage[]
  /** The offsets that are lost with it. */
  lost: LostRange[]
  /** Bytes of the old file that were looked at. */
  size: number
}

/** Its positions are those of the file that had been replaced so often. */
export type PlacedPlan = SegmentPlan & { rewrites: number }

export const REWRITE_SUFFIX = '.rewrite'

/**
 * Looks at every byte of a segment and plans what it shall become: hollow where it is damaged and
 * where `ranges` (whole batches, ascending) say so. `fallbackTime`: for a hollow without a neighbour.
 */
export async function planRewrite(
  file: Pick<OpenFile, 'read'>,
  range: SalvageRange,
  ranges: readonly LostRange[],
  codecs: Codecs,
  fallbackTime: number,
): Promise<SegmentPlan> {
  const builder = new PlanBuilder(ranges)
  const { size, endOffset: end } = range
  const position = await salvage(file, range, codecs, builder)
  // Left of a write that failed, with the next segment begun instead.
  if (position < size) {
    builder.damaged({ position, end: size, from: end, to: end, reason: 'behind the end' })
  }
  return { ...builder.finish(fallbackTime), size: range.size }
}

/** What is lost as far as the segment goes, and is put back from elsewhere. Batches ascend. */
export function withBatches<T extends SegmentPlan>(plan: T, batches: readonly JournaledBatch[]): T {
  const parts = plan.parts.flatMap((part): Part[] => {
    if (part.kind !== 'hollow') return [part]
    const within = batches.filter(({ from, to }) => part.from <= from && to <= part.to)
    const pieces = within.map(({ from, bytes }) => ({ from, kind: 'batch', bytes }) as const)
    return [...pieces, ...rest(part, within)].sort((a, b) => a.from - b.from)
  })
  return { ...plan, parts, lost: plan.lost.flatMap((range) => rest(range, batches)) }
}

/** The same, with what is left of the damage as it is: whoever finds it then tells the loss. */
export function withBatchesOnly<T extends SegmentPlan>(
  plan: T,
  batches: readonly JournaledBatch[],
): T {
  const mended = withBatches(plan, batches)
  const parts = mended.parts.flatMap((part): Part[] => {
    if (part.kind !== 'hollow') return [part]
    // In each hole of it anew: a good batch that is not where it is expected may be passed over.
    return plan.damages
      .filter(({ from, to }) => from <= part.from && part.to <= to)
      .map(({ position, end }) => ({ kind: 'copy', from: position, to: end }))
  })
  return { ...mended, parts }
}

/** What is left of a range without batches. */
function rest<T extends LostRange>(range: T, batches: readonly JournaledBatch[]): T[] {
  const left: T[] = []
  let { from } = range
  for (const batch of batches.filter(({ to }) => to > range.from)) {
    if (batch.from > from) left.push({ ...range, from, to: Math.min(batch.from, range.to) })
    from = Math.max(from, batch.to)
    if (from >= range.to) return left
  }
  left.push({ ...range, from })
  return left
}

/** All of a segment becomes hollow. */
export function wholePlan(range: SalvageRange, reason: LossReason, timestamp: number): SegmentPlan {
  const { offset: from, endOffset: to, size } = range
  const parts: Part[] = from < to ? [{ kind: 'hollow', from, to, reason, timestamp }] : []
  return { parts, damages: [], lost: [], size }
}

/** Its file is gone. */
export function missingPlan(range: SalvageRange, timestamp: number): SegmentPlan {
  const { offset: from, endOffset: to } = range
  const damages = [{ position: 0, end: 0, from, to, reason: 'missing' }]
  return { ...wholePlan(range, 'file', timestamp), damages, lost: [{ from, to, reason: 'file' }] }
}

/** What is still there of offsets that were to become hollow. */
export async function surveyRange(
  file: Pick<OpenFile, 'read'>,
  range: SalvageRange,
  lost: LostRange,
  codecs: Codecs,
): Promise<{ intact: LostRange[]; hasDamage: boolean }> {
  const isInside = (from: number, to: number) => from < lost.to && lost.from < to
  const batches: ScannedBatch[] = []
  let hasDamage = false
  await salvage(file, range, codecs, {
    good: (batch) => isInside(batch.baseOffset, batch.nextOffset) && batches.push(batch),
    damaged: ({ from, to }) => (hasDamage ||= isInside(from, to)),
  })
  const intact: LostRange[] = []
  for (const { position, size, baseOffset, nextOffset } of batches) {
    const bytes = Buffer.alloc(size)
    await file.read(bytes, position)
    if (isHollow(bytes, codecs)) continue
    const [from, to] = [Math.max(baseOffset, lost.from), Math.min(nextOffset, lost.to)]
    const last = intact.at(-1)
    if (last?.to === from) last.to = to
    else intact.push({ ...lost, from, to })
  }
  return { intact, hasDamage }
}

/** Replaces a segment file; durable, name included, when it resolves. Returns its new size. */
export async function replaceSegment(
  fs: FileSystem,
  path: string,
  source: Pick<OpenFile, 'read'> | undefined,
  parts: readonly Part[],
  codecs: Codecs,
): Promise<number> {
  const size = await writeRewrite(fs, path, source, parts, codecs)
  await fs.rename(`${path}${REWRITE_SUFFIX}`, path)
  await fs.syncDirectory(path.slice(0, path.lastIndexOf('/')))
  return size
}

/** Writes and syncs the file that is to take the name; returns its size. */
export async function writeRewrite(
  fs: FileSystem,
  path: string,
  source: Pick<OpenFile, 'read'> | undefined,
  parts: readonly Part[],
  codecs: Codecs,
): Promise<number> {
  const fresh = `${path}${REWRITE_SUFFIX}`
  const target = await fs.open(fresh, 'create')
  try {
    await target.truncate(0)
    let position = 0
    for (const part of parts) {
      if (part.kind === 'batch') {
        await target.write([part.bytes], position)
        position += part.bytes.length
        continue
      }
      if (part.kind === 'hollow') {
        position = await writeHollow(target, position, part, codecs)
        continue
      }
      assert(source !== undefined, 'bytes are kept from a file that is there')
      const from = part.kind === 'copy' ? padded(source) : readable(source, path)
      await copyRange(from, target, part.from, part.to, position)
      position += part.to - part.from
    }
    await target.sync()
    return position
  } catch (error) {
    // Its room is needed: a disk that is full is why this fails as a rule.
    await target.truncate(0).catch(() => {})
    throw error
  } finally {
    await target.close()
  }
}

/** What the disk does not give is damage like any other, and not a fault of what is written. */
function readable(file: Pick<OpenFile, 'read'>, path: string): Pick<OpenFile, 'read'> {
  return {
    read: (target, position) =>
      file.read(target, position).catch((error) => {
        if (!isUnreadable(error)) throw error
        const message = `${path} at ${position}: ${String(error)}`
        const details = { path, position }
        throw new AgentError('CORRUPT_STORE', message, { details, retriable: true })
      }),
  }
}

/** Gives as many bytes as are asked for. */
function padded(source: Pick<OpenFile, 'read'>): Pick<OpenFile, 'read'> {
  const file = tolerant(source)
  return {
    read: async (target, position) => {
      target.fill(0, await file.read(target, position))
      return target.length
    },
  }
}

async function writeHollow(
  target: OpenFile,
  start: number,
  range: LostRange & { timestamp: number },
  codecs: Codecs,
): Promise<number> {
  let position = start
  for (let from = range.from; from < range.to; ) {
    const batch = hollowBatch({ ...range, from }, range.timestamp, codecs)
    await target.write([batch], position)
    position += batch.length
    from += batch.readInt32BE(23) + 1
  }
  return position
}

/** Joins what is kept, and what is lost for the same reason. */
class PlanBuilder {
  readonly damages: Damage[] = []
  readonly #parts: Part[] = []
  readonly #ranges: readonly LostRange[]
  #range = 0
  #timestamp: number | undefined
  #firstTimestamp: number | undefined

  constructor(ranges: readonly LostRange[]) {
    this.#ranges = ranges
  }

  good(batch: ScannedBatch): void {
    const { position, size, baseOffset, nextOffset, maxTimestamp } = batch
    this.#firstTimestamp ??= maxTimestamp
    this.#timestamp = maxTimestamp
    const wanted = this.#rangeAt(baseOffset)
    if (wanted !== undefined && wanted.from < nextOffset) {
      const isWhole = wanted.from <= baseOffset && nextOffset <= wanted.to
      assert(isWhole, `offset ${baseOffset}: hollowing goes by whole batches`)
      this.#hollow(baseOffset, nextOffset, wanted.reason)
      return
    }
    const last = this.#parts.at(-1)
    if (last?.kind === 'keep' && last.to === position) last.to += size
    else this.#parts.push({ kind: 'keep', from: position, to: position + size })
  }

  damaged(damage: Damage): void {
    const { from, to } = damage
    const wanted = this.#rangeAt(from)
    const isKnown = wanted !== undefined && wanted.from <= from && to <= wanted.to
    if (!isKnown) this.damages.push(damage)
    if (to > from) this.#hollow(from, to, isKnown ? wanted.reason : 'rot')
  }

  finish(fallbackTime: number): { parts: Part[]; damages: Damage[]; lost: LostRange[] } {
    const timestamp = this.#firstTimestamp ?? fallbackTime
    for (const part of this.#parts) {
      if (part.kind === 'hollow' && part.timestamp < 0) part.timestamp = timestamp
    }
    const lost = this.damages.filter(({ from, to }) => from < to)
    return {
      parts: this.#parts,
      damages: this.damages,
      lost: lost.map(({ from, to }) => ({ from, to, reason: 'rot' })),
    }
  }

  #hollow(from: number, to: number, reason: LossReason): void {
    // The neighbour's time, not the present one: searches by time go by it.
    const timestamp = this.#timestamp ?? -1
    const last = this.#parts.at(-1)
    if (last?.kind === 'hollow' && last.to === from && last.reason === reason) {
      last.to = to
      last.timestamp = Math.max(last.timestamp, timestamp)
    } else this.#parts.push({ kind: 'hollow', from, to, reason, timestamp })
  }

  /** The first range that ends behind an offset. */
  #rangeAt(offset: number): LostRange | undefined {
    while (this.#range < this.#ranges.length && this.#ranges[this.#range]!.to <= offset) {
      this.#range++
    }
    return this.#ranges[this.#range]
  }
}
