// Every record of a replicated topic, read through the gateway's Kafka listener and from the real
// Kafka, side by side: same offset, key, value, headers and timestamp; offsets dense; both ends the
// same. What the gateway has given up for room the upstream must have. Goes on at each call where the
// last one stopped.

import { isDeepStrictEqual } from 'node:util'
import type { ConsumedRecord } from '../../agent/kafka/client/consumer.ts'
import type { AgentStatus } from '../support/agent-process.ts'
import { TopicReader } from './topic-reader.ts'

const FAULTS_KEPT = 20

export class MirrorCheck {
  readonly faults: string[] = []
  readonly #gatewayAddress: string
  readonly #upstreamAddress: string
  /** topic-partition → first offset not compared yet. */
  readonly #checked = new Map<string, number>()

  constructor(gatewayAddress: string, upstreamAddress: string) {
    this.#gatewayAddress = gatewayAddress
    this.#upstreamAddress = upstreamAddress
  }

  /** Compares what came since the last call; hands every record to `enter`, in order of offsets. */
  async compare(
    status: AgentStatus,
    enter: (place: string, value: Buffer | null) => void,
  ): Promise<void> {
    const gateway = new TopicReader(this.#gatewayAddress)
    const upstream = new TopicReader(this.#upstreamAddress)
    try {
      for (const { topic, replicated, partitions } of status.topics) {
        if (!replicated) continue
        for (const { partition, highWatermark } of partitions) {
          const name = `${topic}-${partition}`
          const from = this.#checked.get(name) ?? 0
          const end = await upstream.endOf(topic, partition)
          if (end !== highWatermark) {
            this.#fault(`${name} ends at ${highWatermark} on the gateway, at ${end} upstream`)
          }
          if (from >= highWatermark) continue
          const theirs = await upstream.read(topic, partition, from)
          const served = await gateway.read(topic, partition, from)
          const start = Math.max(from, await gateway.startOf(topic, partition))
          const ours = [
            ...theirs.slice(0, start - from),
            ...served.filter(({ offset }) => offset >= start),
          ]
          for (const text of differences(name, from, highWatermark, ours, theirs)) this.#fault(text)
          for (const { offset, value } of ours) enter(`${name}@${offset}`, value)
          this.#checked.set(name, highWatermark)
        }
      }
    } finally {
      gateway.close()
      upstream.close()
    }
  }

  #fault(text: string): void {
    if (this.faults.length < FAULTS_KEPT) this.faults.push(text)
  }
}

/** What is not the same, or not at its offset, between `from` and `end` of one partition. */
export function differences(
  name: string,
  from: number,
  end: number,
  ours: readonly ConsumedRecord[],
  theirs: readonly ConsumedRecord[],
): string[] {
  const found: string[] = []
  const count = end - from
  if (ours.length !== count) found.push(`${name}: ${ours.length} of ${count} on the gateway`)
  if (theirs.length !== count) found.push(`${name}: ${theirs.length} of ${count} upstream`)
  for (let index = 0; index < count; index++) {
    const [a, b] = [ours[index], theirs[index]]
    if (a === undefined || b === undefined) return found
    const place = `${name}@${from + index}`
    if (a.offset !== from + index || b.offset !== from + index) {
      found.push(`${place}: offset ${a.offset} on the gateway, ${b.offset} upstream`)
    } else if (!isSameRecord(a, b)) found.push(`${place}: the records differ`)
  }
  return found
}

function isSameRecord(a: ConsumedRecord, b: ConsumedRecord): boolean {
  return (
    a.timestamp === b.timestamp &&
    isDeepStrictEqual(a.key, b.key) &&
    isDeepStrictEqual(a.value, b.value) &&
    isDeepStrictEqual(a.headers, b.headers)
  )
}
