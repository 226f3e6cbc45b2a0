// What happens besides in lives without damage, to make rare moments less rare: the power goes just
// when names, checkpoints or segments become durable, syncs fail and the process dies, journal files
// are filled faster than checkpoints are written. It has random numbers of its own, so that damaged
// lives are what they were without it.

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
] as const
const FAILING = ['write store/journal-', 'sync store/checkpoint-', 'sync store/sim'] as const

export async function extraStep(life: Life): Promise<void> {
  const { extra } = life
  if (life.quietStepsLeft > 0) return quietStep(life)
  // With the header of a file gone, nobody could tell whose frame one is.
  if (extra.chance(0.015)) await forge(life)
  if (extra.chance(0.02)) await flood(life)
  if (extra.chance(0.02)) {
    const target = TARGETS[extra.below(TARGETS.length)]!
    life.crashBehind(target, extra.chance(0.5) ? 3 : 15, extra.chance(0.1))
  }
  if (extra.chance(0.02)) fail(life)
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
  for (let commits = 2 + life.extra.below(6); commits > 0; commits--) {
    for (let records = 0; records < 4; records++) appendLong(life)
    await commit(life)
  }
}

async function quietStep(life: Life): Promise<void> {
  const { extra, quietStepsLeft } = life
  if (extra.chance(0.03)) await flood(life)
  if (quietStepsLeft === 1 || extra.chance(0.005)) life.crashBehind(' ', 20, false)
}
