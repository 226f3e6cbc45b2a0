// Asks a log for single offsets and times, in no order, so that every index is used.

import type { Log } from '../../agent/log/log.ts'
import { readBatchHeader } from '../../agent/record/record-batch.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import type { Served } from './served.ts'
import type { Region } from './store-map.ts'

const PROBES = 12

/** Answers that are wrong. */
export async function probe(log: Log, before: Served, { only }: Region): Promise<string[]> {
  const random = new SeededRandom(3)
  const faults: string[] = []
  for (const partition of [...log.topics()].flatMap((topic) => topic.partitions)) {
    const known = before.partitions.get(partition.name)
    if (known === undefined) continue
    const mayHaveLost = only.some((range) => range.partition === partition.name)
    const times = known.records.map((text) => Number.parseInt(text, 10))
    for (let order = 0; order < PROBES; order++) {
      const index = random.below(known.records.length)
      const offset = known.start + index
      if (offset >= partition.highWatermark) continue
      const read = await partition.read(offset, 1)
      const held = read.kind === 'batches' ? readBatchHeader(read.bytes) : undefined
      const isHeld =
        held !== undefined &&
        held.baseOffset <= offset &&
        offset <= held.baseOffset + held.lastOffsetDelta
      if (!isHeld) faults.push(`${partition.name}: a read at ${offset} begins elsewhere`)
      if (mayHaveLost) continue
      const time = times[index]!
      const expected = times.findIndex((candidate) => candidate >= time) + known.start
      const found = await partition.offsetForTime(time)
      if (found?.offset === expected) continue
      faults.push(`${partition.name}: time ${time} is at ${found?.offset} instead of ${expected}`)
    }
  }
  return faults
}
