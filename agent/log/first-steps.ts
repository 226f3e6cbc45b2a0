// What a log does before it is called open, and what of it is not waited for.
//
//   first commit → directories of deleted topics → what lies below log starts → mending
//
// All that was acked is there without it. So a store that has been there before is served although its
// disk refuses: a journal whose files are all needed takes no commit while there is no room for a
// segment or for another file of its own. These steps go on by themselves when there is some.

import type { Clock, Timer } from '../base/clock.ts'
import { isBug, unlessBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { Committer } from './committer.ts'
import type { PartitionLog } from './partition-log.ts'
import type { Sealer } from './sealer.ts'
import type { TopicSet } from './topic-set.ts'

/** Longer than a retry of whatever was refused. */
const PATIENCE_MS = 2000

/** `committer` begins its first commit now. */
export async function takeFirstSteps({
  committer,
  topics,
  sealer,
  logger,
}: {
  committer: Committer
  topics: TopicSet
  sealer: Sealer
  logger: Logger
}): Promise<void> {
  // As recovery found them, which is durable: what others change meanwhile need not be.
  const deleted = topics.deletedKeys()
  const starts = new Map<PartitionLog, number>()
  for (const partition of topics.partitions()) starts.set(partition, partition.logStartOffset)
  await committer.durable(committer.openCommit)
  await topics.removeDeleted(deleted)
  for (const [partition, start] of starts) {
    if (partition.isDeleted) continue
    await partition.segments.removeBelow(start).catch((error) => {
      unlessBug(error)
      const what = `what lies below log start ${start} cannot be deleted`
      logger.warn(`${partition.name}: ${what} (${String(error)}); retention tries it again`)
    })
    await partition.startMending()
    // What could not be sealed while recovering.
    sealer.enqueue(partition)
  }
}

/** Resolves with the steps, or before when the disk refuses what they need. */
export function unlessRefused(
  steps: Promise<void>,
  /** Well: the disk refuses nothing. One that is slow is waited for. */
  { clock, logger, isWell }: { clock: Clock; logger: Logger; isWell: () => boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    let isAwaited = true
    let timer: Timer
    const look = () => {
      timer = clock.after(PATIENCE_MS, () => {
        if (isWell()) return look()
        isAwaited = false
        resolve()
      })
    }
    const fail = (error: unknown) => {
      timer.cancel()
      if (isAwaited) return reject(error)
      // Faults of the disk have a code; anything else is a bug.
      if (!isBug(error)) return logger.warn(`after the start: ${String(error)}`)
      clock.soon(() => {
        throw error
      })
    }
    look()
    steps.then(() => {
      timer.cancel()
      resolve()
    }, fail)
  })
}
