// What happens besides, to make rare moments less rare. In lives without damage: the power goes just
// when names, checkpoints or segments become durable, syncs fail and the process dies, journal files
// are filled faster than checkpoints are written. It has random numbers of its own.

import { forge } from './forgery.ts'
import type { Life } from './life.ts'
import { appendLong, commit } from './log-actions.ts'

/** Operation and path, or the beginning of them. */
const TARGETS = [
  'sync store/checkpoint-',
  'write store/checkpoint-',
  'rename',
  '.rewrite',
  'syncDirectory',
  'sync store/sim',
  'sync store/journal-',
] as const
/** A file of the journal whose name is not on the disk yet: the next process finds it, the power does not. */
const NEW_JOURNAL = 'sync store/journal-'
const FAILING = ['write store/journal-', 'sync store/checkpoint-', 'sync store/sim'] as const

export async function extraStep(life: Life): Promise<void> {
  const { extra } = life
  if (life.quietStepsLeft > 0) return quietStep(life)
  // With the header of a file gone, nobody could tell whose frame one is.
  if (extra.chance(0.015)) await forge(life)
  if (extra.chance(0.02)) await flood(life)
  if (extra.chance(0.02)) {
    const target = TARGETS[extra.below(TARGETS.length)]!
    const isKill = extra.chance(target === NEW_JOURNAL ? 0.9 : 0.1)
    life.crashBehind(target, extra.chance(0.5) ? 3 : 15, isKill)
  }
  if (extra.chance(0.02)) fail(life)
}

/** The journal has begun a file again, and no checkpoint has followed yet, when something is damaged. */
export async function damagedStep(life: Life): Promise<void> {
  const { extra } = life
  if (!extra.chance(0.02)) return
  if (extra.chance(0.7)) life.crashBehind('write store/checkpoint-', 4, extra.chance(0.7))
  await flood(life)
}

/** One that is believed to have worked, or to work when it is tried again, is seen by the next crash. */
function fail(life: Life): void {
  const { extra, fs } = life
  const target = FAILING[extra.below(FAILING.length)]!
  const [operation, path] = target.split(' ') as ['write' | 'sync', string]
  for (let times = 1 + extra.below(3); times > 0; times--) fs.failNext(operation, { path })
  if (extra.chance(0.7)) life.crashBehind(target, extra.chance(0.5) ? 4 : 20, extra.chance(0.7))
}

/** More than a file of the journal holds, as a rule before the last one is free. */
async function flood(life: Life): Promise<void> {
  if (!life.isDamaged && life.extra.chance(0.3)) failFirstCommit(life)
  for (let commits = 2 + life.extra.below(6); commits > 0; commits--) {
    for (let records = 0; records < 4; records++) appendLong(life)
    await commit(life)
  }
}

/** A checkpoint that does not wait for the first frame of its generation is there before it. */
function failFirstCommit(life: Life): void {
  const { fs, extra } = life
  for (let times = 1 + extra.below(4); times > 0; times--) {
    fs.failNext('write', { path: 'store/journal-', passes: extra.below(12) })
  }
  life.crashBehind('sync store/checkpoint-', 6, false)
}

async function quietStep(life: Life): Promise<void> {
  const { extra, quietStepsLeft } = life
  if (extra.chance(0.06)) await flood(life)
  if (extra.chance(0.02)) life.crashBehind(NEW_JOURNAL, 2, true)
  if (quietStepsLeft === 1 || extra.chance(0.005)) life.crashBehind(' ', 20, false)
}
