// Behind the greatest offset of a partition that the state speaks of. Below it records stood once, and
// were seen by others: when nothing else tells of them any more, their offsets must not be used again.

import { intentFrom, Losses } from './loss.ts'

interface State {
  get: (key: string) => Buffer | undefined
}

export function knownEndOf(state: State, logId: number): number {
  const losses = Losses.from(state.get(`lost/${logId}`)).ranges
  const ends = [...intentFrom(state.get(`hollow/${logId}`)), ...losses].map(({ to }) => to)
  const start = Number(state.get(`start/${logId}`)?.toString() ?? 0)
  return Math.max(ackedOffset(state, logId) ?? 0, start, ...ends)
}

/** Of the replicator's cursor, whose JSON is its own but for this; undefined without one. */
export function ackedOffset(state: State, logId: number): number | undefined {
  const cursor = state.get(`repl/${logId}`)?.toString()
  return cursor === undefined ? undefined : Number(JSON.parse(cursor).acked ?? 0)
}
