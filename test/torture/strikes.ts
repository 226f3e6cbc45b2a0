// What a round of the torture does to the gateway and to Kafka while publishers are at work, and how
// both are brought back. Ten rounds have every kind, in an order that the seed gives.

import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { AgentProcess } from '../support/agent-process.ts'
import type { KafkaCluster } from '../support/kafka-cluster.ts'
import { waitUntil } from '../support/ports.ts'
import type { SmallDisk } from '../support/small-disk.ts'
import type { Random } from './random.ts'

/** stall: SIGSTOP, and SIGCONT later; full: not a byte is left on the gateway's disk. */
export type Strike =
  | 'kill agent'
  | 'kill kafka'
  | 'kill both'
  | 'stall agent'
  | 'stall kafka'
  | 'full disk'

/** Kills of the agent are the quickest and find most. */
const TEN_ROUNDS: readonly Strike[] = [
  ...(['kill agent', 'kill agent', 'kill agent', 'kill kafka', 'kill both'] as const),
  ...(['stall agent', 'stall kafka', 'full disk', 'full disk', 'full disk'] as const),
]
const ROOM_LIMIT_MS = 10_000
const LAUNCH_LIMIT_MS = 20_000

export interface Struck {
  agent: AgentProcess
  kafka: KafkaCluster
  /** Undefined: disks are never full. */
  disk: SmallDisk | undefined
  dataDir: string
  random: Random
}

export class Strikes {
  readonly counts: Record<Strike, number> = {
    ...{ 'kill agent': 0, 'kill kafka': 0, 'kill both': 0 },
    ...{ 'stall agent': 0, 'stall kafka': 0, 'full disk': 0 },
  }
  readonly faults: string[] = []
  readonly #struck: Struck
  readonly #random: Random
  #coming: Strike[] = []
  #fillers = 0

  constructor(struck: Struck) {
    this.#struck = struck
    this.#random = struck.random
  }

  next(): Strike {
    if (this.#coming.length === 0) {
      const hasDisk = this.#struck.disk !== undefined
      this.#coming = TEN_ROUNDS.filter((strike) => hasDisk || strike !== 'full disk')
    }
    const [strike] = this.#coming.splice(this.#random.upTo(this.#coming.length - 1), 1)
    return strike!
  }

  /** Strikes under load, calls `calm` in the middle of it, and brings back what was struck. */
  async strike(strike: Strike, calm: () => void): Promise<void> {
    const random = this.#random
    this.counts[strike]++
    if (strike === 'kill agent') return this.#killAgent(calm)
    if (strike === 'stall agent') return this.#stall(this.#struck.agent, 3000, calm)
    if (strike === 'stall kafka') return this.#stall(this.#struck.kafka.nodes[0]!, 8000, calm)
    if (strike === 'full disk') return this.#fillDisk(this.#struck.disk!, calm)
    const { kafka } = this.#struck
    if (strike === 'kill kafka') {
      await kafka.kill()
      calm()
      await delay(random.between(0, 1500))
      return kafka.start()
    }
    const [pause, kafkaPause] = [random.between(0, 300), random.between(0, 1000)]
    await Promise.all([
      this.#killAgent(calm, pause),
      kafka
        .kill()
        .then(() => delay(kafkaPause))
        .then(() => kafka.start()),
    ])
  }

  /** A stop and a start in order. */
  async restart(): Promise<void> {
    await this.#stop('SIGTERM')
    await this.#struck.agent.start()
  }

  /** What lies on disk holds. */
  async verify(when: string): Promise<void> {
    const { agent, dataDir } = this.#struck
    const { code, stdout, stderr } = await agent.command(['verify', dataDir])
    if (code !== 0) this.faults.push(`verify ${when} exits ${code}: ${stdout}${stderr}`)
  }

  /** kill -9, verify what lies on disk, start; one time in three killed again while it recovers. */
  async #killAgent(calm: () => void, pauseMs = 0): Promise<void> {
    const { agent } = this.#struck
    await agent.kill()
    calm()
    await this.verify('after kill -9')
    await delay(pauseMs)
    if (this.#random.chance(1 / 3)) {
      agent.spawn()
      await delay(this.#random.between(20, 500))
      await agent.kill()
      await this.verify('after kill -9 while it recovered')
    }
    await agent.start()
  }

  async #stall(
    process: { signal(signal: NodeJS.Signals): void },
    longestMs: number,
    calm: () => void,
  ): Promise<void> {
    process.signal('SIGSTOP')
    await delay(this.#random.between(200, longestMs))
    calm()
    process.signal('SIGCONT')
  }

  /**
   * Takes every byte there is, and every one that the agent frees for itself. It is left alone, or
   * killed, or stopped in order; with nothing free it has to come up again. Then there is room.
   */
  async #fillDisk(disk: SmallDisk, calm: () => void): Promise<void> {
    const { agent } = this.#struck
    const end = this.#random.pick(['none', 'SIGKILL', 'SIGTERM'] as const)
    const filling = this.#random.between(300, 1500)
    for (const start = performance.now(); performance.now() - start < filling; ) {
      this.#occupy(disk)
      await delay(50)
    }
    if (end !== 'none') {
      if (end === 'SIGKILL') await agent.kill()
      else await this.#stop('SIGTERM with a full disk')
      await this.verify(`after ${end} with a full disk`)
      this.#occupy(disk)
      await agent.launch(LAUNCH_LIMIT_MS)
      this.#occupy(disk)
    }
    calm()
    await delay(this.#random.between(0, 500))
    for (; this.#fillers > 0; this.#fillers--) rmSync(disk.path(`filler-${this.#fillers}`))
    await waitUntil('the agent goes on by itself', ROOM_LIMIT_MS, () => agent.isReady())
  }

  async #stop(when: string): Promise<void> {
    const code = await this.#struck.agent.stop()
    if (code !== 0) this.faults.push(`the agent ended with ${code} after ${when}`)
    await this.verify(`after ${when}`)
  }

  #occupy(disk: SmallDisk): void {
    occupy(disk.path(`filler-${++this.#fillers}`))
  }
}

/** Makes a file that takes every byte that is left. */
export function occupy(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (let size = 1 << 16; size >= 1; ) {
      try {
        writeSync(file, Buffer.alloc(size))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        size >>= 4
      }
    }
  } finally {
    closeSync(file)
  }
}
