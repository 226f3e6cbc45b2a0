// Turns frozen, durable tails into sealed batches in segments, one after the other: the sealing
// window in kernel memory is one, and a segment write may read from it until it ends.
//
// A segment that cannot be written (full or broken disk) loses nothing: its records stay in the tail
// and the journal; the sealer goes on with the others, tries again and says so in `trouble`.

import { assert } from '../base/assert.ts'
import { type Clock, sleep } from '../base/clock.ts'
import { AgentError, isBug } from '../base/errors.ts'
import type { Logger } from '../base/telemetry.ts'
import type { PartitionLog } from './partition-log.ts'
import { isNoSpace } from './reserve.ts'

const RETRY_MS = 1000

export class Sealer {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #sealed: () => void
  readonly #queue = new Set<PartitionLog>()
  #running = false
  #closed = false
  #isEnding = false
  #idle: (() => void)[] = []
  readonly #troubles = new Map<PartitionLog, string>()

  /** `sealed` is called after each tail that a segment holds now. */
  constructor(clock: Clock, logger: Logger, sealed: () => void) {
    this.#clock = clock
    this.#logger = logger
    this.#sealed = sealed
  }

  /** Why segments cannot be written at the moment. */
  get trouble(): string | undefined {
    for (const [partition, trouble] of this.#troubles) if (!partition.isDeleted) return trouble
    return undefined
  }

  enqueue(partition: PartitionLog): void {
    if (this.#closed || !partition.isSealable) return
    this.#queue.add(partition)
    if (this.#running) return
    this.#running = true
    this.#run().catch((error) => {
      // Only a broken invariant gets here; faults of the disk are handled below.
      this.#clock.soon(() => {
        throw error
      })
    })
  }

  /** Resolves when nothing is queued, or after close. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** From now on nothing that fails is tried again: whoever waits for it is told. */
  end(): void {
    this.#isEnding = true
  }

  /** Takes `end` back. */
  goOn(): void {
    this.#isEnding = false
  }

  close(): Promise<void> {
    this.#closed = true
    this.#queue.clear()
    return this.idle()
  }

  async #run(): Promise<void> {
    let failed = 0
    while (this.#queue.size > 0) {
      const partition = this.#queue.values().next().value
      assert(partition !== undefined, 'the queue has a first element')
      this.#queue.delete(partition)
      const failure = await this.#sealAll(partition)
      partition.isStuck = failure !== undefined && !isNoSpace(failure)
      if (failure === undefined) {
        this.#troubles.delete(partition)
        failed = 0
        continue
      }
      const { message } = failure
      if (this.#troubles.size === 0)
        this.#logger.error(`${message}; its records stay in the journal`)
      this.#troubles.set(partition, message)
      if (this.#isEnding) partition.fail(failure)
      partition.onSealRefused?.()
      if (this.#isEnding || this.#closed) continue
      // The others go first: one bad place on the disk is nothing to them.
      this.#queue.add(partition)
      if (++failed < this.#queue.size) continue
      failed = 0
      await sleep(this.#clock, RETRY_MS)
    }
    this.#running = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Why not all could be sealed. */
  async #sealAll(partition: PartitionLog): Promise<AgentError | undefined> {
    while (partition.isSealable && !this.#closed) {
      try {
        await partition.sealOldest()
        this.#sealed()
      } catch (error) {
        // Faults of the disk have a code; anything else is a bug.
        if (isBug(error)) throw error
        const message = `segment of ${partition.name} cannot be written: ${String(error)}`
        return new AgentError('STORAGE_IO', message, { cause: error })
      }
    }
    return undefined
  }
}
