// What the gateway remembers of a mirror, per partition, in the log's state under `repl/<log id>`.
//
// It rides along with commits, so after a crash it may be older than the truth; the handshake finds
// the truth in the mirror itself. `acked` is read by the log too: nothing at or above it is deleted.

import type { StateStore } from '../log/state-store.ts'

export interface Cursor {
  clusterId: string
  topicId: string
  leaderEpoch: number
  /** First offset that the upstream has not acked. */
  acked: number
}

export function loadCursor(state: StateStore, logId: number): Cursor | undefined {
  const stored = state.get(`repl/${logId}`)
  return stored === undefined ? undefined : (JSON.parse(stored.toString()) as Cursor)
}

export function saveCursor(
  state: StateStore,
  logId: number,
  cursor: Cursor,
  options: { ride: boolean },
): void {
  state.put(`repl/${logId}`, Buffer.from(JSON.stringify(cursor)), options)
}

/** The producer id of this store at a cluster: asked for once, never bumped, epoch always 0. */
export function loadProducerId(state: StateStore, clusterId: string): bigint | undefined {
  const stored = state.get(`repl/producer/${clusterId}`)
  return stored === undefined ? undefined : BigInt(stored.toString())
}

/** Durable with the open commit: wait for it before the first send. */
export function saveProducerId(state: StateStore, clusterId: string, producerId: bigint): void {
  state.put(`repl/producer/${clusterId}`, Buffer.from(String(producerId)))
}
