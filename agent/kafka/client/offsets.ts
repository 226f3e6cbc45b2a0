// ListOffsets over the leaders of many partitions.

import { errorCode } from '../protocol/error-codes.ts'
import * as listOffsets from '../protocol/messages/02-list-offsets.ts'
import type { Cluster } from './cluster.ts'
import { refusedBy } from './kafka-fault.ts'

/** What to ask each partition for: a timestamp, or one of the constants of 02-list-offsets. */
export interface OffsetQuestion {
  partition: number
  timestamp: number
}

export interface FoundOffset {
  /** -1: no record is as young as that. */
  offset: number
  timestamp: number
  leaderEpoch: number
}

/** partition → offset, each from the partition's leader; tried again while leaders move. */
export async function findOffsets(
  cluster: Cluster,
  topic: string,
  questions: readonly OffsetQuestion[],
): Promise<Map<number, FoundOffset>> {
  const found = new Map<number, FoundOffset>()
  await cluster.retrying(async () => {
    const byLeader = new Map<number, OffsetQuestion[]>()
    for (const question of questions) {
      if (found.has(question.partition)) continue
      const { nodeId } = await cluster.leaderOf(topic, question.partition)
      const group = byLeader.get(nodeId) ?? []
      byLeader.set(nodeId, group)
      group.push(question)
    }
    for (const [nodeId, group] of byLeader) await askLeader(cluster, topic, nodeId, group, found)
  })
  return found
}

async function askLeader(
  cluster: Cluster,
  topic: string,
  nodeId: number,
  questions: readonly OffsetQuestion[],
  found: Map<number, FoundOffset>,
): Promise<void> {
  const partitions = questions.map(({ partition, timestamp }) => ({
    partitionIndex: partition,
    timestamp,
  }))
  const answer = await cluster.sendToNode(nodeId, listOffsets, {
    topics: [{ name: topic, partitions }],
  })
  for (const { partitionIndex, errorCode: code, ...rest } of answer.topics[0]?.partitions ?? []) {
    if (code === errorCode('NONE')) {
      found.set(partitionIndex, rest)
      continue
    }
    cluster.distrust(topic, code)
    throw refusedBy(cluster.name, `ListOffsets of ${topic}-${partitionIndex}`, code)
  }
}
