// What the log promises when the disk loses what was on it: nothing that holds is given up, nothing
// that does not is served, and what is lost is counted.

import {
  damagedMutant,
  MENDING,
  type Mutant,
  READER,
  REWRITE,
  SALVAGE,
  SEGMENT_RECOVERY,
} from './mutant.ts'

export const damageMutants: readonly Mutant[] = [
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
  damagedMutant('damage: what a start cuts stays in the file', [
    SEGMENT_RECOVERY,
    '  if (size === fileBytes) return\n  await file.truncate(size)',
    '  if (size === fileBytes) return',
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
]
