// A log with something broken on purpose: which texts of its source, and in which lives it is judged.

import type { Change } from './compiled-copy.ts'
import type { SeedPlan } from './seed-run.ts'

export interface Mutant {
  /** `class: what is broken`. */
  name: string
  changes: readonly Change[]
  plan?: Partial<SeedPlan>
  /** Must live. */
  isControl?: boolean
}

export type Edit = readonly [file: string, find: string, replace: string]

/** In lives in which nothing rots: whatever is found there is the mutant's. */
export function mutant(name: string, ...edits: readonly Edit[]): Mutant {
  return { name, changes: edits.map(([file, find, replace]) => ({ file, find, replace })) }
}

/** In lives in which the disk loses what was on it. */
export function damagedMutant(name: string, ...edits: readonly Edit[]): Mutant {
  return { ...mutant(name, ...edits), plan: { isDamaged: true } }
}

/** In lives that begin with one partition: no other name makes those durable that should be by themselves. */
export function narrowMutant(name: string, ...edits: readonly Edit[]): Mutant {
  return { ...mutant(name, ...edits), plan: { isNarrow: true } }
}

export function control(
  name: string,
  plan: Partial<SeedPlan> = {},
  ...edits: readonly Edit[]
): Mutant {
  return { ...mutant(name, ...edits), plan, isControl: true }
}

export const CHECKPOINT = 'agent/log/checkpoint.ts'
export const CHECKPOINTER = 'agent/log/checkpointer.ts'
export const COMMITTER = 'agent/log/committer.ts'
export const DIRECTORY = 'agent/log/partition-directory.ts'
export const JOURNAL = 'agent/log/journal.ts'
export const MADE_BATCH = 'agent/log/made-batch.ts'
export const MENDING = 'agent/log/mending.ts'
export const PARTITION = 'agent/log/partition-log.ts'
export const READER = 'agent/log/journal-reader.ts'
export const RECOVERY = 'agent/log/recovery.ts'
export const REPLAY = 'agent/log/replay.ts'
export const RETAINER = 'agent/log/retainer.ts'
export const REWRITE = 'agent/log/segment-rewrite.ts'
export const SALVAGE = 'agent/log/salvage.ts'
export const SEGMENT = 'agent/log/segment.ts'
export const SEGMENT_FILE = 'agent/log/segment-file.ts'
export const SEGMENT_RECOVERY = 'agent/log/segment-recovery.ts'
export const SEGMENTS = 'agent/log/segment-list.ts'
export const SURVEY = 'agent/log/store-survey.ts'
export const TAILS = 'agent/log/tail-list.ts'
