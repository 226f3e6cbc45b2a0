// Behind the greatest offset of a partition that the state speaks of. Below it records stood once, and
// were seen by others: when nothing else tells of them any more, their offsets must not be used again.

import { Losses, type LostRange } from './loss.ts'

export function knownEndOf(
  state: { get: (key: string) => Buffer | undefined },
  logId: number,
): number {
  const textOf = (key: string) => state.get(`${key}/${logId}`)?.toString()
  const cursor = textOf('repl')
  const acked = cursor === undefined ? 0 : Number(JSON.parse(cursor).acked ?? 0)
  const intent = textOf('hollow')
  const intents = intent === undefined ? [] : (JSON.parse(intent) as LostRange[])
  const losses = Losses.from(state.get(`lost/${logId}`)).ranges
  const ends = [...intents, ...losses].map(({ to }) => to)
  return Math.max(acked, Number(textOf('start') ?? 0), ...ends)
}
