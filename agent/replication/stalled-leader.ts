// Has the cluster given up a broker that owes us answers? A machine that stalls, or a link that drops
// packets silently, closes no connection; the rest of the cluster elects other leaders meanwhile.
//
// The question goes over connections of its own with short limits, for those of the replicator may
// all lead to the broker that hangs. A broker that leads still is waited for: its answer is due.

import { Cluster, type ClusterOptions } from '../kafka/client/cluster.ts'

const ANSWER_WITHIN_MS = 3_000
const RETRY_FOR_MS = 10_000

/** What a handshake found, a while ago. */
export interface KnownLeader {
  topic: string
  partition: number
  nodeId: number
  leaderEpoch: number
}

/** Whether one of these partitions is led by somebody else now; false when nobody says so. */
export async function hasMoved(
  known: readonly KnownLeader[],
  options: ClusterOptions,
): Promise<boolean> {
  const cluster = new Cluster({
    ...options,
    connectTimeoutMs: ANSWER_WITHIN_MS,
    requestTimeoutMs: ANSWER_WITHIN_MS,
    retryTimeoutMs: RETRY_FOR_MS,
  })
  try {
    for (const { topic, partition, nodeId, leaderEpoch } of known) {
      if ((await cluster.topic(topic)) === undefined) continue
      const now = cluster.knownLeader(topic, partition)
      if (now === undefined) continue
      if (now.leaderEpoch > leaderEpoch || now.nodeId !== nodeId) return true
    }
    return false
  } catch {
    return false
  } finally {
    cluster.close()
  }
}
