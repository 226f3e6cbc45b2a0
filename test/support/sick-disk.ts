// A small log on a disk that refuses some operations for as long as one says so.

import type { Log } from '../../agent/log/log.ts'
import type { PartitionLog } from '../../agent/log/partition-log.ts'
import { SimClock } from '../sim/sim-clock.ts'
import { SeededRandom } from './seeded-random.ts'
import { SimFileSystem, type SimStep } from './sim-file-system.ts'
import { openSmallLog, STORE } from './small-log.ts'

export type Refusal = (step: SimStep) => boolean

export class SickDisk {
  fs = new SimFileSystem(1, {
    onStep: (step) => {
      if (this.refusal(step)) throw Object.assign(new Error(`EIO: ${step.path}`), { code: 'EIO' })
    },
  })
  refusal: Refusal = () => false
  clock = new SimClock(Date.UTC(2026, 0, 1))
  log!: Log
  /** What ended the log, if it has. */
  failure: Error | undefined
  readonly #random = new SeededRandom(1)
  #boots = 0

  /** The next process on this disk; the one before it was killed. */
  async start(): Promise<void> {
    if (this.#boots > 0) {
      this.fs = this.fs.kill()
      this.clock.forget()
    }
    const boot = String(this.#boots++)
    const { fs, clock } = this
    const lock = { pid: 1, startOf: async () => boot }
    this.failure = undefined
    const opening = openSmallLog(fs, {
      clock,
      commitIntervalMs: 0,
      lock,
      segmentBytes: 1 << 20,
      failed: (failure) => {
        this.failure = failure
      },
    })
    this.log = await this.until(opening)
  }

  partitions(): readonly PartitionLog[] {
    return this.log.topic('t')!.partitions
  }

  async create(partitions: number): Promise<readonly PartitionLog[]> {
    await this.start()
    await this.log.createTopic('t', { partitions, replicated: false })
    return this.partitions()
  }

  /** Lets time pass until it is done. */
  async until<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    const end = () => (isDone = true)
    work.then(end, end)
    for (let tries = 0; !isDone && tries < 300; tries++) await this.pass(100)
    if (!isDone) throw new Error('it hangs')
    return work
  }

  /** Some time, and everything that happens in it. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms)
    for (let turns = 0; turns < 2000; turns++) await undefined
  }

  /** Records of about 100 bytes, a few at a time, for some time: how many of them became durable. */
  async append(partition: PartitionLog, count: number, seconds = 60): Promise<number> {
    const before = partition.highWatermark
    for (let order = 0, steps = 0; steps < seconds * 10; steps++) {
      const end = Math.min(count, order + 20)
      while (order < end) {
        const record = { timestamp: 1, key: null, value: this.#random.bytes(90) }
        if (partition.appendRecord(record) < 0) break
        order++
      }
      await this.pass(100)
      if (partition.highWatermark - before === count) break
    }
    return partition.highWatermark - before
  }

  /** The newest segment file of a partition. */
  segmentOf(partition: number): string {
    return this.fs
      .paths()
      .filter((path) => path.startsWith(`${STORE}/t-${partition}/`) && path.endsWith('.log'))
      .at(-1)!
  }
}
