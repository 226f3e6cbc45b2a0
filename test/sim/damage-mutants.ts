// What the log promises when the disk loses what was on it: nothing that holds is given up, nothing
// that does not is served, and what is lost is counted.

import {
  CHECKPOINT,
  CHECKPOINTER,
  damagedMutant,
  MENDING,
  type Mutant,
  READER,
  REWRITE,
  SALVAGE,
  SEGMENT_RECOVERY,
  SEGMENTS,
} from './mutant.ts'

export const damageMutants: readonly Mutant[] = [
  damagedMutant('damage: a gap at the end moves the recovery offset back', [
    SEGMENTS,
    'return { recoveryOffset: Math.max(this.end, this.#recoveryOffset), segments }',
    'return { recoveryOffset: this.end, segments }',
  ]),
  damagedMutant('damage: a checkpoint without its CRC', [
    CHECKPOINT,
    'codecs.crc32c(body) !== bytes.readUInt32BE(body.length)',
    'false',
  ]),
  damagedMutant('damage: no second copy of a checkpoint', [
    CHECKPOINTER,
    'if (isTwice) await this.#writeTwin(content)',
    'if (isTwice) void this.#writeTwin',
  ]),
  damagedMutant('damage: CRCs are not looked at on reading', [
    'agent/log/segment-scan.ts',
    'if (!crcs.holds(length, size)) {',
    'if (!crcs.holds(length, size) && size < 0) {',
  ]),
  damagedMutant('damage: rot ends the journal', [
    READER,
    'if (frame !== undefined && frame.sequence > sequence) return frame',
    'if (frame !== undefined && frame.sequence < 0) return frame',
  ]),
  damagedMutant('damage: not counted', [
    MENDING,
    'for (const range of added) this.#losses.add(range)',
    'void added',
  ]),
  damagedMutant('damage: one offset more is hollow', [
    REWRITE,
    'hollowBatch({ ...range, from }, range.timestamp, codecs)',
    'hollowBatch({ ...range, from, to: range.to + 1 }, range.timestamp, codecs)',
  ]),
  damagedMutant('damage: salvage without CRCs', [
    SALVAGE,
    'return actual === stored\n',
    'return true || actual === stored\n',
  ]),
  damagedMutant('damage: salvage ends where it begins', [
    SALVAGE,
    'if (at === undefined) return undefined\n',
    'if (at !== undefined || at === undefined) return undefined\n',
  ]),
  damagedMutant('damage: what a start cuts may come back', [
    SEGMENT_RECOVERY,
    '  await file.truncate(size)\n  await file.sync()',
    '  await file.truncate(size)',
  ]),
  damagedMutant('damage: what fills a gap is read from the old file', [
    SEGMENTS,
    'await this.#context.files.forget(path)',
    '',
  ]),
]
