// The segments of one partition, oldest first; the last one is written to.
//
//   segment i ends where segment i + 1 begins; everything below the recovery point is synced
//
// A segment is rolled at `segmentBytes`. Its arrival time (of its newest record, wall time of the
// commit) is what retention goes by; it lives in the checkpoint.

import type { Clock } from '../base/clock.ts'
import { AgentError, codeOf } from '../base/errors.ts'
import type { SegmentMark } from './checkpoint.ts'
import { type RetentionLimits, segmentsToRemove } from './retention.ts'
import { baseOffsetOf, Segment, type SegmentContext } from './segment.ts'

export interface SegmentListContext extends SegmentContext {
  clock: Clock
  segmentBytes: number
}

export class SegmentList {
  readonly #context: SegmentListContext
  readonly #directory: string
  readonly #segments: Segment[] = []
  readonly #arrivals = new Map<Segment, number>()
  /** Rolled since the last sync: their indexes are completed there. */
  readonly #rolled = new Set<Segment>()
  #hasNewNames = false
  #hasDirectory = false
  /** Could not be written to: the next batch goes to a new one. */
  #damaged: Segment | undefined
  #appending: Promise<unknown> = Promise.resolve()
  #isRemoved = false

  constructor(context: SegmentListContext, directory: string) {
    this.#context = context
    this.#directory = directory
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.size, 0)
  }

  get count(): number {
    return this.#segments.length
  }

  /**
   * Finds the segments on disk and checks those above the recovery point: what does not hold there
   * is cut, with all segments behind it, because the journal has it. Returns the end.
   */
  async open(recoveryOffset: number, marks: readonly SegmentMark[]): Promise<number> {
    const bases = await this.#findBases()
    let end = 0
    for (const [index, baseOffset] of bases.entries()) {
      const nextBase = bases[index + 1]
      // Names and bytes above the recovery point reach the disk in any order, or not at all.
      if (index === 0 ? baseOffset > recoveryOffset : baseOffset !== end) {
        await this.#removeFiles(bases.slice(index))
        break
      }
      // One that ends right at the recovery point may have been rolled after it was synced.
      const isSynced = nextBase !== undefined && nextBase < recoveryOffset
      const segment = await Segment.open(this.#context, this.#directory, baseOffset, nextBase)
      if (!isSynced) {
        await segment.recover(Math.max(recoveryOffset, baseOffset))
        // Its name may be one that no checkpoint has synced, and its indexes are not complete.
        this.#hasNewNames = true
        if (nextBase !== undefined) this.#rolled.add(segment)
      }
      const mark = marks.find((candidate) => candidate.baseOffset === baseOffset)
      this.#arrivals.set(segment, mark?.arrival ?? this.#context.clock.now())
      this.#segments.push(segment)
      end = segment.nextOffset
    }
    return end
  }

  /** Appends one sealed batch, rolling first if need be. Written, not durable, when it resolves. */
  append(
    batch: Uint8Array,
    place: { baseOffset: number; endOffset: number; arrival: number },
  ): Promise<void> {
    const appending = this.#append(batch, place)
    this.#appending = appending.catch(() => {})
    return appending
  }

  async #append(
    batch: Uint8Array,
    place: { baseOffset: number; endOffset: number; arrival: number },
  ): Promise<void> {
    if (this.#isRemoved) return
    let active = this.#segments.at(-1)
    // Retention may have moved the log start past everything that a crash left in the segments.
    const isFull =
      active !== undefined &&
      (active.nextOffset !== place.baseOffset ||
        (active.size > 0 && active.size + batch.length > this.#context.segmentBytes) ||
        (active.size > 0 && active === this.#damaged) ||
        !active.canTake(batch.length, place.endOffset - 1))
    if (active === undefined || isFull) {
      if (active !== undefined) this.#rolled.add(active)
      active = await this.#create(place.baseOffset)
    }
    try {
      await active.append(batch)
    } catch (error) {
      // One bad place on the disk must not hold up a partition for ever; a full disk is no damage.
      if (codeOf(error) !== 'ENOSPC') this.#damaged = active
      throw error
    }
    this.#arrivals.set(active, place.arrival)
  }

  /** Whole batches from the one that holds `offset`; undefined when retention took it. */
  async read(
    offset: number,
    maxBytes: number,
  ): Promise<{ bytes: Buffer; baseOffset: number; nextOffset: number } | undefined> {
    const segment = this.#holding(offset)
    if (segment === undefined) return undefined
    const read = await segment.readBatchesAt(offset, maxBytes)
    if (read.kind === 'batches') return read
    if (read.kind === 'empty') return undefined
    throw new AgentError('CORRUPT_STORE', `${segment.path} at ${read.position}: ${read.reason}`)
  }

  async offsetForTime(
    timestamp: number,
    fromOffset: number,
  ): Promise<{ offset: number; timestamp: number } | undefined> {
    for (const segment of [...this.#segments]) {
      if (segment.nextOffset <= fromOffset) continue
      const from = Math.max(fromOffset, segment.baseOffset)
      const found = await segment.offsetForTime(timestamp, from).catch((error) => {
        if (segment.isRemoved) return undefined
        throw error
      })
      if (found !== undefined) return found
    }
    return undefined
  }

  /** Everything appended before the call is durable, names included. Returns where that ends. */
  async sync(): Promise<number> {
    const end = this.#segments.at(-1)?.nextOffset ?? 0
    for (const segment of [...this.#rolled]) {
      await segment.finish()
      this.#rolled.delete(segment)
    }
    for (const segment of [...this.#segments]) if (segment.isUnsynced) await segment.sync()
    if (this.#hasNewNames) {
      this.#hasNewNames = false
      try {
        await this.#context.fs.syncDirectory(this.#directory)
        await this.#context.fs.syncDirectory(parentOf(this.#directory))
      } catch (error) {
        this.#hasNewNames = true
        throw error
      }
    }
    return end
  }

  marks(): SegmentMark[] {
    return this.#segments.map((segment) => ({
      baseOffset: segment.baseOffset,
      arrival: this.#arrivals.get(segment) ?? 0,
    }))
  }

  /** Where the log may start after retention; undefined when nothing may go. */
  expire(limits: RetentionLimits): number | undefined {
    const facts = this.#segments.map((segment) => ({
      baseOffset: segment.baseOffset,
      nextOffset: segment.nextOffset,
      bytes: segment.size,
      lastArrivalMs: this.#arrivals.get(segment) ?? 0,
    }))
    const count = segmentsToRemove(facts, limits)
    return count === 0 ? undefined : facts[count - 1]!.nextOffset
  }

  /** Deletes the segments that end at or below `offset`. */
  async removeBelow(offset: number): Promise<void> {
    while (this.#segments.length > 1 && this.#segments[0]!.nextOffset <= offset) {
      const segment = this.#segments.shift()!
      this.#rolled.delete(segment)
      this.#arrivals.delete(segment)
      await segment.remove()
    }
  }

  /** Deletes everything, the directory too. */
  async removeAll(): Promise<void> {
    this.#isRemoved = true
    await this.#appending
    for (const segment of this.#segments.splice(0)) await segment.remove()
    this.#rolled.clear()
    this.#arrivals.clear()
    await removeDirectory(this.#context, this.#directory)
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await segment.close()
  }

  async #findBases(): Promise<number[]> {
    const { fs } = this.#context
    const names = await fs.list(this.#directory).catch((error) => {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    })
    this.#hasDirectory = names !== undefined
    const bases = (names ?? []).map(baseOffsetOf).filter((base) => base !== undefined)
    return bases.sort((a, b) => a - b)
  }

  async #create(baseOffset: number): Promise<Segment> {
    if (!this.#hasDirectory) {
      await this.#context.fs.makeDirectory(this.#directory)
      this.#hasDirectory = true
    }
    const segment = await Segment.create(this.#context, this.#directory, baseOffset)
    this.#segments.push(segment)
    this.#hasNewNames = true
    return segment
  }

  #holding(offset: number): Segment | undefined {
    let [low, high] = [0, this.#segments.length - 1]
    while (low <= high) {
      const middle = (low + high) >> 1
      const segment = this.#segments[middle]!
      if (offset < segment.baseOffset) high = middle - 1
      else if (offset >= segment.nextOffset) low = middle + 1
      else return segment
    }
    return undefined
  }

  async #removeFiles(bases: readonly number[]): Promise<void> {
    for (const baseOffset of bases) {
      const segment = await Segment.open(this.#context, this.#directory, baseOffset)
      await segment.remove()
    }
  }
}

/** The directory that holds the name of `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf('/')
  if (slash < 0) return '.'
  return slash === 0 ? '/' : path.slice(0, slash)
}

/** Deletes what is in a partition's directory, and the directory; fine when it is gone. */
export async function removeDirectory(context: SegmentContext, path: string): Promise<void> {
  const { fs } = context
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
