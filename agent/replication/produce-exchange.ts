// One Produce request: a batch of each of many partitions, and what was said about each.

import type { BrokerConnection } from '../kafka/client/broker-connection.ts'
import * as produce from '../kafka/protocol/messages/00-produce.ts'
import type { ProduceAnswer, Sending } from './partition-replicator.ts'

const PRODUCE_TIMEOUT_MS = 30_000
/** Longer than the broker's own limit: an abandoned request could still be stored. */
const ANSWER_TIMEOUT_MS = 60_000
const ALL_IN_SYNC_REPLICAS = -1

/**
 * Written to the socket before it returns, so that requests go in the order of the calls. Resolves
 * with the answers there were; rejects with AgentErrors when nobody knows.
 */
export async function exchangeBatches(
  connection: BrokerConnection,
  sendings: readonly Sending[],
): Promise<Map<Sending, ProduceAnswer>> {
  const topics = new Map<string, Sending[]>()
  for (const sending of sendings) {
    const { name } = sending.replicator.log.topic
    const known = topics.get(name)
    if (known === undefined) topics.set(name, [sending])
    else known.push(sending)
  }
  // From version 13 on topics go by id: a batch cannot land in a topic that was made again.
  const topicData = [...topics].map(([name, list]) => ({
    name,
    topicId: list[0]!.replicator.topicId,
    partitionData: list.map(({ replicator, batch }) => ({
      index: replicator.log.partition,
      records: batch.bytes,
    })),
  }))
  const settings = {
    transactionalId: null,
    acks: ALL_IN_SYNC_REPLICAS,
    timeoutMs: PRODUCE_TIMEOUT_MS,
  }
  const options = { timeoutMs: ANSWER_TIMEOUT_MS }
  const answer = await connection.send(produce, { ...settings, topicData }, options)
  const answers = new Map<Sending, ProduceAnswer>()
  for (const { name, topicId, partitionResponses } of answer.responses) {
    const asked = topicData.find((topic) =>
      name === '' ? topic.topicId === topicId : topic.name === name,
    )
    const list = topics.get(asked?.name ?? '') ?? []
    for (const found of partitionResponses) {
      const sending = list.find(({ replicator }) => replicator.log.partition === found.index)
      if (sending !== undefined) answers.set(sending, found)
    }
  }
  return answers
}
