// Waits for the upstream on behalf of all partitions: one attempt at a time, however many there are,
// and all of them go on in the moment in which a broker answers.
//
// Attempts stay close to each other for as long as the outage lasts: an attempt costs next to nothing,
// and after a week without a link the first record is to leave within seconds.

import { type Clock, sleep } from '../base/clock.ts'
import { AgentError } from '../base/errors.ts'
import { Backoff } from '../kafka/client/backoff.ts'
import type { Cluster } from '../kafka/client/cluster.ts'

const RETRY = { firstMs: 100, longestMs: 1_000, random: Math.random }

export class UpstreamLink {
  readonly #cluster: Cluster
  readonly #clock: Clock
  #reaching: Promise<void> | undefined

  constructor(cluster: Cluster, clock: Clock) {
    this.#cluster = cluster
    this.#clock = clock
  }

  /** Resolves when some broker is connected; faults: what waiting does not cure, CLOSED. */
  reach(): Promise<void> {
    this.#reaching ??= this.#reach().finally(() => {
      this.#reaching = undefined
    })
    return this.#reaching
  }

  async #reach(): Promise<void> {
    const backoff = new Backoff(RETRY)
    for (;;) {
      try {
        await this.#cluster.anyConnection()
        return
      } catch (error) {
        if (!(error instanceof AgentError) || !error.retriable) throw error
        await sleep(this.#clock, backoff.next())
      }
    }
  }
}
