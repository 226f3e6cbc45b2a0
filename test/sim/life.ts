// The life of one simulated log: its disk, its clock, crashes, restarts, and what is checked then.
//
// The verification that users have (`tributary verify`) judges every stopped store, what every crash
// leaves, and every hundred steps what a crash at that moment would have left.

import { sleep } from '../../agent/base/clock.ts'
import { AgentError, codeOf } from '../../agent/base/errors.ts'
import { Logger, Metrics } from '../../agent/base/telemetry.ts'
import { Log } from '../../agent/log/log.ts'
import { verifyStore } from '../../agent/log/verify.ts'
import { Kernel } from '../../wasm/kernel.ts'
import { BrokenPromise } from '../support/broken-promise.ts'
import { SeededRandom } from '../support/seeded-random.ts'
import { SimFileSystem } from '../support/sim-file-system.ts'
import { CrashPlan } from './crash-plan.ts'
import { damage } from './damage.ts'
import { checkCursor, checkEnds, checkLosses, collectLosses } from './log-checks.ts'
import { LogModel, type ModelPartition, type Target } from './log-model.ts'
import { isFailure, isMendingLater, isOfDisk } from './refusals.ts'
import { seedIds } from './seeded-ids.ts'
import { SimClock } from './sim-clock.ts'

export const STORE = 'store'
/** What verification notes of a store of which nothing that can be had is missing. */
const LEFT =
  /^(belongs to|a write that|leader epoch|header does not hold; nothing|a partition that the state|checkpoint does not hold; the other|torn: |does not hold; the state has it all|not 0, |journal: frames )|; below the log start$/
const DAMAGED_EVERY = 4
const STORY_LINES_MAX = 100
const MENDING_TRIES_MAX = 5
const START = Date.UTC(2026, 0, 1)
const kernel = new Kernel()
/** Verification runs beside a log, whose memory must not change under it. */
const checkingKernel = new Kernel()

export interface LifeOptions {
  /** Bytes rot and files get lost; by default in every fourth life. */
  isDamaged?: boolean | undefined
  /** Begins with appends to one partition and nothing else; by default some do. */
  isNarrow?: boolean | undefined
}

export class Life {
  readonly random: SeededRandom
  /** For what only lives without damage have: it changes no others. */
  readonly extra: SeededRandom
  /** In the beginning nothing but appends, so that names are durable by what they should be alone. */
  readonly #quietSteps: number
  /** Meanwhile one partition gets everything: the directories of others would make all names durable. */
  readonly #isNarrow: boolean
  readonly #commitIntervalMs: number
  readonly clock = new SimClock(START)
  readonly model: LogModel
  readonly counts: Record<string, number> = { steps: 0, crashes: 0, restarts: 0, records: 0 }
  fs: SimFileSystem
  readonly isDamaged: boolean
  readonly #sizes: {
    journalBytes: number
    batchBytes: number
    segmentBytes: number
    frameBytesMax: number
  }
  /** One of two that say the same is damaged: until the next clean stop the other has no second. */
  isFrail = false
  /** Undefined: as much as it wants. */
  readonly #budgetBytes: number | undefined
  #log: Log | undefined
  readonly #logger = new Logger({
    level: 'warn',
    format: 'text',
    now: () => START,
    write: (line) => this.tell(`  ${line.trimEnd().slice(25)}`),
  })
  #boots = 0
  #values = 0
  #faults = 0
  readonly #plan = new CrashPlan()
  #crashed: SimFileSystem | undefined
  #wasKill = false

  constructor(seed: number, options: LifeOptions = {}) {
    this.isDamaged = options.isDamaged ?? seed % DAMAGED_EVERY === 0
    this.model = new LogModel(this.isDamaged)
    this.random = new SeededRandom(seed)
    this.extra = new SeededRandom(seed ^ 0xf0f0)
    seedIds(seed)
    this.#commitIntervalMs = !this.isDamaged && this.extra.chance(0.25) ? 20 : 0
    const isQuiet = !this.isDamaged && this.extra.chance(0.2)
    this.#isNarrow = options.isNarrow ?? (isQuiet && this.extra.chance(0.5))
    this.#quietSteps = isQuiet || this.#isNarrow ? 160 : 0
    const pageBytes = this.random.chance(0.5) ? 512 : 4096
    this.fs = new SimFileSystem(seed ^ 0x5eed, {
      pageBytes,
      isStrict: true,
      onStep: ({ operation, path }) => {
        if (!this.#plan.isNow(operation, path)) return
        const { isKill } = this.#plan
        this.#crashed = isKill ? this.fs.kill() : this.fs.crash()
        this.#wasKill = isKill
        this.count(isKill ? 'kills' : 'powerCuts')
        this.tell(`${isKill ? 'killed' : 'power cut'} at ${operation} ${path}`)
      },
      onFault: (code, operation, path) => {
        this.#faults++
        this.count(`${code} ${operation}`)
        this.tell(`${code} ${operation} ${path}`)
      },
    })
    this.#sizes = {
      journalBytes: 32_768 << this.random.below(2),
      batchBytes: 512 << this.random.below(3),
      segmentBytes: 2048 << this.random.below(3),
      frameBytesMax: this.random.chance(0.5) ? 700 << this.random.below(3) : 1_000_000,
    }
    if (this.random.chance(this.isDamaged ? 0.7 : 0.4)) return
    // Two journal files, then room for a few segments.
    this.#budgetBytes = 2 * this.#sizes.journalBytes + 20_000 + this.random.below(60_000)
  }

  get log(): Log {
    if (this.#log === undefined) throw new AgentError('CLOSED', 'no log runs')
    return this.#log
  }

  /** The last things that happened, as whoever looks for a fault wants to know them. */
  readonly story: string[] = []

  tell(line: string): void {
    this.story.push(`${this.counts.steps} ${line}`)
    if (this.story.length > STORY_LINES_MAX) this.story.shift()
  }

  get quietStepsLeft(): number {
    return this.#quietSteps - (this.counts.steps ?? 0)
  }

  count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by
  }

  /** Every record says which one it is. */
  nextValue(): number {
    return this.#values++
  }

  /** By the number that the journal has for a partition. */
  readonly logIds = new Map<number, ModelPartition>()

  targets(): Target[] {
    return this.#log === undefined ? [] : this.model.targets(this.#log)
  }

  pick(): Target | undefined {
    const all = this.targets()
    const picked = all[this.random.below(all.length)]
    return this.#isNarrow && this.quietStepsLeft > 0 ? all[0] : picked
  }

  /** What is visible may never disappear, and retention takes nothing that is only here. */
  observe(): void {
    for (const target of this.targets()) {
      const { partition, model } = target
      model.durable = Math.max(model.durable, partition.highWatermark)
      this.logIds.set(partition.logId, model)
      collectLosses(target)
      const { name, logStartOffset, topic, replicatedOffset } = partition
      const mayGo = Math.max(model.start, replicatedOffset)
      if (topic.settings.replicated && logStartOffset > mayGo) {
        throw new BrokenPromise(
          `${name}: retention went to ${logStartOffset}, replicated is ${mayGo}`,
        )
      }
      model.start = Math.max(model.start, logStartOffset)
    }
  }

  /** Runs one action; when the power was cut in it, starts again and checks. */
  async act(action: () => Promise<void>): Promise<void> {
    const faults = this.#faults
    try {
      await action()
    } catch (error) {
      const isMending =
        isMendingLater(error) || (this.isDamaged && codeOf(error) === 'CORRUPT_STORE')
      const isRefused = isMending || (this.#isBad(faults) && isOfDisk(error))
      if (this.#crashed === undefined && isFailure(error)) {
        await this.act(() => this.#restartAfterFailure())
      } else if (this.#crashed === undefined && !isRefused) throw error
    }
    if (this.#crashed !== undefined) await this.#restartAfterCrash()
  }

  /** The power goes, or the process dies, within so many steps of the disk. */
  crashSoon(steps: number): void {
    const left = 1 + this.random.below(steps)
    this.#plan.soon(left, this.random.chance(0.3))
  }

  /** So many steps behind the next operation that is `target`, at the most. */
  crashBehind(target: string, steps: number, isKill: boolean): void {
    this.#plan.behind(target, 1 + this.extra.below(steps), isKill)
  }

  /** Nothing fails any more, and there is room. */
  repair(): void {
    this.fs.failNoMore()
    delete this.fs.faults.capacityBytes
  }

  /** Waits for something the log does, moving time on when it waits for a retry. */
  async progress<T>(work: Promise<T>): Promise<T> {
    let isDone = false
    const watched = work.finally(() => (isDone = true))
    watched.catch(() => {})
    for (let turns = 0; !isDone && this.#crashed === undefined; turns++) {
      for (let i = 0; i < 50; i++) await undefined
      if (turns > 20) this.clock.advance(1001)
      if (turns > 200) delete this.fs.faults.capacityBytes
      if (turns > 2000) throw new BrokenPromise('the log does not get on')
    }
    if (this.#crashed !== undefined) throw new AgentError('CLOSED', 'the power was cut')
    return watched
  }

  async start(): Promise<void> {
    this.#boots++
    if (this.random.chance(0.1)) this.clock.jump(this.random.below(4e9) - 2e9)
    for (;;) {
      const faults = this.#faults
      try {
        this.#log = await this.progress(this.#open())
        break
      } catch (error) {
        // A disk that fails keeps the log from starting; the next try finds it well.
        if (this.#crashed !== undefined || !this.#isBad(faults)) throw error
        this.repair()
      }
    }
    this.count('restarts')
    this.tell('started')
    await this.#check()
  }

  async restartCleanly(): Promise<void> {
    await this.#readAll()
    this.observe()
    const faults = this.#faults
    const isClean = await this.stop()
    if (this.#crashed !== undefined) return
    this.#log = undefined
    // What the disk refused to take of a mended store is still damaged.
    const isWhole = isClean && !this.#isBad(faults)
    if (isWhole) this.isFrail = false
    if (!this.isDamaged || isWhole) {
      await this.verify(this.fs.clone(this.random.below(2 ** 32)), isClean)
    }
    if (this.isDamaged && this.random.chance(0.5)) damage(this, true)
    await this.start()
  }

  /** True when the log closed as it should. */
  async stop(): Promise<boolean> {
    const { log } = this
    const hasFailed = this.#hasFailed
    const commit = this.model.beginCommit()
    const number = log.openCommit
    const closed = log.close()
    if (this.random.chance(0.3)) this.#putWhileClosing(log)
    const isClean = await this.progress(closed).then(
      // On a full disk it stops without its last commit, whose records nobody was told of.
      () => !hasFailed && log.durableCommit >= number,
      (error) => {
        if (!isOfDisk(error) && !(error instanceof AgentError)) throw error
        return false
      },
    )
    if (isClean) commit.ack()
    return isClean
  }

  get #hasFailed(): boolean {
    return this.log.health().reasons.some((reason) => reason.includes('acked until'))
  }

  /** The disk has refused something since then, or would. */
  #isBad(faults: number): boolean {
    return this.#faults > faults || this.fs.faults.capacityBytes !== undefined
  }

  /** Ends for good: nothing of this life runs when the next one uses the kernel. */
  async end(): Promise<void> {
    do {
      this.repair()
      await this.act(() => this.restartCleanly())
      this.#plan.never()
      // A step of the disk that nobody waited for may have been the last one.
    } while (this.#crashed !== undefined)
    await this.#readAll()
    await this.progress(this.log.close())
    await this.verify(this.fs.clone(1), true)
    await idle()
  }

  /** What is damaged is found when it is read. */
  async #readAll(): Promise<void> {
    if (!this.isDamaged) return
    for (const target of this.targets()) await this.#checkLosses(target)
  }

  async #checkLosses(target: Target): Promise<void> {
    const { random, model } = this
    // What is to be made hollow is counted before, and there until the disk takes it.
    const isMending = this.log.state.get(`hollow/${target.partition.logId}`) !== undefined
    const isOld = model.wasStateDoubtful || target.model.isCountDoubtful
    const past = { isCounted: !isOld && !isMending, isOld }
    for (let tries = 1; ; tries++) {
      try {
        return await this.progress(checkLosses(target, random, past))
      } catch (error) {
        // The disk refused to take what stands for the damage, or the checkpoint that goes before it. It
        // is tried again, after a while.
        if (codeOf(error) !== 'CORRUPT_STORE' || tries === MENDING_TRIES_MAX) throw error
        this.repair()
        await this.progress(sleep(this.clock, 2000))
        // One that acks nothing any more mends nothing: the next start does.
        if (this.#hasFailed) return
      }
    }
  }

  /** What a crash now would leave is a store that holds what was acked. */
  async verifyAsIfCrashed(): Promise<void> {
    // Damage that nobody has read yet would be found, as it should.
    if (this.isDamaged) return
    const image = this.fs.clone(this.random.below(2 ** 32))
    await this.verify(this.random.chance(0.5) ? image.kill() : image.crash(), false)
  }

  /** `isClean`: there is nothing at all to find. */
  async verify(fs: SimFileSystem, isClean: boolean): Promise<void> {
    // The power went before the store had a name; whoever asks for what was acked will miss it.
    if (fs.paths().length === 0) return
    const { findings } = await verifyStore(fs, STORE, { kernel: checkingKernel })
    this.count('verifications')
    // What a crash left lying about is in nobody's way, nor is an index that could not be written;
    // no CRC covers the leader epoch, and nobody needs it.
    const isLeft = ({ path, what }: { path: string; what: string }) =>
      LEFT.test(what) ||
      (path.endsWith('index') && (this.#faults > 0 || this.counts.crashes !== 0 || this.isDamaged))
    const bad = findings.find((finding) => finding.fatal || (isClean && !isLeft(finding)))
    if (bad !== undefined)
      throw new BrokenPromise(`verify: ${bad.path} at ${bad.position}: ${bad.what}`)
  }

  /** The disk refused too often and the log stopped acking: the operator restarts the process. */
  async #restartAfterFailure(): Promise<void> {
    this.count('failures')
    // A log may stop acking because of the disk, never because of itself.
    const bug = this.log.health().reasons.find((reason) => reason.includes('invariant'))
    if (bug !== undefined) throw new BrokenPromise(bug)
    this.repair()
    await this.restartCleanly()
  }

  async #restartAfterCrash(): Promise<void> {
    this.count('crashes')
    this.#log = undefined
    for (;;) {
      // What the dead process had begun fails on its dead disk before the next one starts: they
      // share the kernel's memory here, as no two processes do.
      this.clock.forget()
      await idle()
      this.clock.forget()
      this.fs = this.#crashed!
      this.#crashed = undefined
      if (!this.isDamaged) await this.verify(this.fs.clone(this.random.below(2 ** 32)), false)
      else if (this.random.chance(0.3)) damage(this, this.#wasKill)
      if (this.random.chance(0.2)) this.crashSoon(60)
      // What the dead process could not sync, only the power can show.
      if (!this.isDamaged && this.#wasKill && this.extra.chance(0.5)) {
        this.crashBehind(' ', 120, false)
      }
      try {
        await this.start()
        return
      } catch (error) {
        if (this.#crashed === undefined) throw error
        this.count('crashes')
      }
    }
  }

  async #check(): Promise<void> {
    const { log, model } = this
    for (const target of this.targets()) {
      if (model.isStateDoubtful) target.model.pinned = target.partition.pinnedOffset
      checkCursor(target, model.isStateDoubtful)
      const key = model.keyOf(target.partition)
      const end = Number(log.state.get(key)?.toString() ?? '0')
      checkEnds(target, model.wasStateDoubtful ? undefined : end)
      await this.#checkLosses(target)
    }
    model.checkState(log)
  }

  #open(): Promise<Log> {
    const { random } = this
    return Log.open({
      directory: STORE,
      fs: this.fs,
      kernel,
      clock: this.clock,
      logger: this.#logger,
      metrics: new Metrics(),
      gateway: 'sim',
      arenaBytes: 3 * 1024 * 1024,
      carryTailBytes: 700,
      commitIntervalMs: this.#commitIntervalMs,
      healWindowMs: 10_000,
      openFilesMax: 4,
      lock: { pid: 1, startOf: async () => String(this.#boots) },
      randomSalt: () => random.below(2 ** 32),
      ...this.#sizes,
      disk: {
        budgetBytes: this.#budgetBytes,
        budgetShare: undefined,
        keepFreeBytes: 0,
        // Its name, too, would make others durable.
        reserveBytes: this.#isNarrow ? 0 : 4096,
      },
    })
  }

  /** State may still change; whoever is told that it is durable finds it at the next start. */
  #putWhileClosing(log: Log): void {
    const { model } = this
    const turns = this.random.below(60)
    const put = async () => {
      for (let turn = 0; turn < turns; turn++) await undefined
      const number = ++model.puts
      log.state.put('closing', Buffer.from(String(number)))
      await log.durable(log.openCommit)
      model.putDurable = number
    }
    put().catch(() => {})
  }
}

async function idle(): Promise<void> {
  for (let turns = 0; turns < 500; turns++) await undefined
}
