// Tells of each record of a partition, in order, whether it stands for one that was lost.
//
// The first record of every hollow batch has the header `edge-gap: <first>,<last>,<reason>`; what
// follows up to the last offset has neither key nor value nor headers. A hollow batch ends at a
// multiple of 65,536 at the latest: whoever begins at one knows of every record what it is.

import type { DecodedRecord } from '../record/record-batch.ts'
import { LOSS_REASONS, type LossReason } from './loss.ts'
import { HOLLOW_RECORDS_MAX } from './made-batch.ts'

const GAP_HEADER = Buffer.from('edge-gap')

export class GapTracker {
  #end = 0
  #reason: LossReason | undefined

  /** Why the record that would be here is lost; undefined when this is one of its own. */
  take(
    record: Pick<DecodedRecord, 'offset' | 'key' | 'value' | 'headers'>,
  ): LossReason | undefined {
    const { offset, key, value, headers } = record
    if (key !== null || value !== null) this.#end = 0
    else if (headers.length > 0) this.#begin(offset, headers)
    return offset < this.#end ? this.#reason : undefined
  }

  #begin(offset: number, headers: DecodedRecord['headers']): void {
    this.#end = 0
    const [name, content] = headers[0]!
    if (headers.length > 1 || content === null || !name.equals(GAP_HEADER)) return
    const [first, last, why] = content.toString('latin1').split(',')
    const reason = LOSS_REASONS.find((known) => known === why)
    if (reason === undefined || Number(first) !== offset) return
    this.#end = Number(last) + 1
    this.#reason = reason
  }
}

/** At or below `offset`: a tracker that begins there knows all. */
export function gapBoundary(offset: number): number {
  return offset - (offset % HOLLOW_RECORDS_MAX)
}
