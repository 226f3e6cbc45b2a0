// One seeded life of a log on a disk that lies, beside a model that remembers everything.
//
// After every crash and every restart:
//   - what was acked is there, with the same bytes at the same offset; what was visible stays visible
//   - offsets are dense, and nothing is there that was not appended
//   - the state that was put together with records is there exactly when those records are; of many
//     entries that were put together all are there or none
//   - a topic whose deletion was acked is gone; one whose deletion was not is whole or gone
//   - what segments, tails and indexes answer is the same thing
// Limits are shrunk so that rolls, checkpoints, seals and splits happen every few steps.

import { damagedStep, extraStep } from './extra-actions.ts'
import { Life, type LifeOptions } from './life.ts'
import { step } from './log-actions.ts'

const VERIFY_EVERY = 100

export class LogSimulation {
  readonly #life: Life

  constructor(seed: number, options: LifeOptions = {}) {
    this.#life = new Life(seed, options)
  }

  get counts(): Readonly<Record<string, number>> {
    return this.#life.counts
  }

  get story(): readonly string[] {
    return this.#life.story
  }

  async run(steps: number): Promise<void> {
    const life = this.#life
    await life.start()
    for (let done = 1; done <= steps; done++) {
      life.count('steps')
      await life.act(() => this.#step())
      if (done % VERIFY_EVERY === 0) await life.verifyAsIfCrashed()
    }
    await life.end()
  }

  async #step(): Promise<void> {
    await (this.#life.isDamaged ? damagedStep : extraStep)(this.#life)
    await step(this.#life)
  }
}
