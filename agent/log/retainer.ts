// Deletes what retention allows, every half minute; which segments those are is said in retention.ts.

import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Committer } from './committer.ts'
import type { TopicSet } from './topic-set.ts'

const RETENTION_EVERY_MS = 30_000

export interface RetainerOptions {
  topics: TopicSet
  committer: Committer
  clock: Clock
  logger: Logger
  healWindowMs: number
}

export class Retainer {
  readonly #options: RetainerOptions
  readonly #openedAt: { wall: number; monotonic: number }
  #timer: Timer | undefined
  #isClosed = false

  constructor(options: RetainerOptions) {
    const { clock } = options
    this.#options = options
    this.#openedAt = { wall: clock.now(), monotonic: clock.monotonic() }
  }

  start(): void {
    if (this.#isClosed) return
    const { clock, logger } = this.#options
    this.#timer = clock.after(RETENTION_EVERY_MS, () => {
      this.retain()
        .catch((error) => logger.warn('retention failed', { error: String(error) }))
        .finally(() => this.start())
    })
  }

  /** The log start is durable before anything is deleted. */
  async retain(): Promise<void> {
    const { topics, committer, clock, healWindowMs } = this.#options
    // A wall clock that jumps while we run makes nothing old.
    const now = this.#openedAt.wall + clock.monotonic() - this.#openedAt.monotonic
    for (const topic of topics.all()) {
      const { retentionMs, retentionBytes, replicated } = topic.settings
      for (const partition of topic.partitions) {
        const limits = { retentionMs, retentionBytes, healWindowMs, now }
        const replicatedOffset = replicated ? partition.replicatedOffset : undefined
        const start = partition.segments.expire({ ...limits, replicatedOffset })
        if (start === undefined || partition.isDeleted) continue
        partition.logStartOffset = start
        topics.saveStart(partition)
        await committer.durable(committer.openCommit)
        await partition.segments.removeBelow(start)
      }
    }
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
  }
}
