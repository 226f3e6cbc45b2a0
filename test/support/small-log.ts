// A log with small limits on a simulated disk, so that a few hundred records fill segments, seal
// tails and make checkpoints.

import { Metrics, silentLogger } from '../../agent/base/telemetry.ts'
import type { FileSystem } from '../../agent/log/file-system.ts'
import { Log } from '../../agent/log/log.ts'
import type { LogOptions } from '../../agent/log/log-options.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { kernel } from './batches.ts'
import { SeededRandom } from './seeded-random.ts'

export const STORE = '/store'

export function openSmallLog(fs: FileSystem, options: Partial<LogOptions> = {}): Promise<Log> {
  return Log.open({
    directory: STORE,
    fs,
    kernel,
    clock: new SimClock(Date.UTC(2026, 0, 1)),
    logger: silentLogger,
    metrics: new Metrics(),
    gateway: 'small',
    journalBytes: 64 * 1024,
    batchBytes: 2048,
    segmentBytes: 8192,
    carryTailBytes: 512,
    randomSalt: () => 4711,
    ...options,
  })
}

/** Appends durable records of about 100 bytes that do not compress, some with keys and headers. */
export async function appendRecords(
  log: Log,
  partition: PartitionLog,
  count: number,
): Promise<void> {
  const random = new SeededRandom(count)
  for (let order = 0; order < count; order++) {
    const record = {
      timestamp: Date.UTC(2026, 0, 1) + order * 1000,
      key: order % 3 === 0 ? Buffer.from(`device-${order % 7}`) : null,
      value: random.bytes(90),
      headers: order % 5 === 0 ? ([['source', Buffer.from('mqtt')]] as [string, Buffer][]) : [],
    }
    for (let tries = 0; partition.appendRecord(record) < 0; tries++) {
      if (tries > 10_000) throw new Error('the small log has no room')
      await undefined
    }
    if (order % 10 === 9) await log.durable(log.openCommit - 1)
  }
  await log.durable(log.openCommit - 1)
}
