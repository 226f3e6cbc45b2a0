// Deletes what retention allows, every half minute; which segments those are is said in retention.ts.

import type { Timer } from '../base/clock.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Committer } from './committer.ts'
import type { LogTime } from './log-time.ts'
import type { TopicSet } from './topic-set.ts'

const RETENTION_EVERY_MS = 30_000

export interface RetainerOptions {
  topics: TopicSet
  committer: Committer
  time: LogTime
  logger: Logger
  healWindowMs: number
}

export class Retainer {
  readonly #options: RetainerOptions
  #timer: Timer | undefined
  #isClosed = false

  constructor(options: RetainerOptions) {
    this.#options = options
  }

  start(): void {
    if (this.#isClosed) return
    const { time, logger } = this.#options
    this.#timer = time.after(RETENTION_EVERY_MS, () => {
      this.retain()
        .catch((error) => logger.warn('retention failed', { error: String(error) }))
        .finally(() => this.start())
    })
  }

  /** The log start is durable before anything is deleted. */
  async retain(): Promise<void> {
    const { topics, committer, time, healWindowMs } = this.#options
    const now = time.steadyNow()
    for (const topic of topics.all()) {
      const { retentionBytes, replicated } = topic.settings
      // How old anything is can only be said by a clock that is right.
      const retentionMs = time.isSynchronized ? topic.settings.retentionMs : undefined
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
