// From what a request names to the log's own topics and partitions.

import type { Log } from '../../log/log.ts'
import type { PartitionLog } from '../../log/partition-log.ts'
import type { Topic } from '../../log/topic.ts'
import type { KafkaErrorName } from '../protocol/error-codes.ts'

/** Linear: a gateway has a hundred topics at most. */
export function topicById(log: Log, id: string): Topic | undefined {
  for (const topic of log.topics()) if (topic.id === id) return topic
  return undefined
}

export function partitionOf(log: Log, topic: string, index: number): PartitionLog | undefined {
  return log.topic(topic)?.partitions[index]
}

/** What is wrong with the leader epoch a client believes in; -1 believes in none (KIP-320). */
export function leaderEpochError(
  partition: PartitionLog,
  currentLeaderEpoch: number,
): KafkaErrorName | undefined {
  if (currentLeaderEpoch < 0 || currentLeaderEpoch === partition.leaderEpoch) return undefined
  return currentLeaderEpoch < partition.leaderEpoch ? 'FENCED_LEADER_EPOCH' : 'UNKNOWN_LEADER_EPOCH'
}
