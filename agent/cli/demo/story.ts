// The story: flowing → link cut → kill -9 → link back → proof, each told with numbers that were
// measured: counts from the `/status` of both agents, promises from the fleet's ledger.
//
// Times are those of a demo of 45 seconds and scale with --seconds. Every wait has a limit and ends
// at once when the visitor stops or an agent dies.

import type { FleetStats } from '../../../firmware-sim/fleet.ts'
import { AckedLedger } from '../../../firmware-sim/ledger.ts'
import { Rate } from '../../admin/rate.ts'
import type { Status } from '../../admin/status.ts'
import { sleep } from '../../base/clock.ts'
import { AgentError } from '../../base/errors.ts'
import type { Terminal } from '../command.ts'
import { formatCount, trimmed } from '../table.ts'
import { auditListener, type Evidence, prove } from './proof.ts'
import type { Screen } from './screen.ts'
import { DEVICES, START_RATE, type Stage, TOPIC } from './stage.ts'

export const STORY_SECONDS = 45
const AT = { flowing: 3, cut: 10.5, kill: 19, mend: 25, end: 41 }
/** Between the cut and its line: long enough to see that acks go on. */
const CUT_SHOWN_AFTER_S = 1.5
/** Messages a second of the whole fleet, once code is compiled and connections are up. */
const RATE = 2_000
const WARM_S = 1.5
const FIRST_LOOK_S = 3.5
const NEXT_LOOK_S = 2
/** A machine that is too slow gets this part of what it can do, so that it catches up. */
const SPARE = 0.75
const RATE_MIN = 100
const SLOWER_STEPS_MAX = 3
const LIVE_EVERY_MS = 500
const STEP_MS = 50
const WAIT_LIMIT_MS = 120_000
/** The gateway is caught up when no more waits than what a moment brings. */
const CAUGHT_UP_S = 0.5

interface Counts {
  /** Records visible on the gateway. */
  readonly gateway: number
  readonly cloud: number
}

export class Story {
  readonly #stage: Stage
  readonly #screen: Screen
  readonly #terminal: Terminal
  readonly #signal: AbortSignal
  readonly #scale: number
  readonly #acks: Rate
  #chapter = 'starting'
  #startS = 0
  #rate = START_RATE
  /** When the fleet got this rate, and what was acked before. */
  #rateSince = 0
  #ackedBefore = 0
  #isOver = false

  constructor(
    stage: Stage,
    screen: Screen,
    options: { terminal: Terminal; signal: AbortSignal; seconds: number },
  ) {
    this.#stage = stage
    this.#screen = screen
    this.#terminal = options.terminal
    this.#signal = options.signal
    this.#scale = options.seconds / STORY_SECONDS
    this.#acks = new Rate({ stepMs: 1_000, leastMs: 500 }, this.#now, 0)
  }

  /** Tells all of it. An AgentError says where it went wrong. */
  async tell(): Promise<Evidence> {
    await this.#stage.open()
    this.#startS = this.#screen.elapsedS
    this.#stage.fleet.start()
    const living = this.#live()
    try {
      await this.#flow()
      await this.#cutLink()
      await this.#killGateway()
      await this.#mendLink()
      return await this.#prove()
    } finally {
      this.#isOver = true
      await living
      this.#screen.clear()
    }
  }

  async #flow(): Promise<void> {
    this.#chapter = 'flowing    '
    await this.#until(WARM_S)
    this.#flowAt(RATE)
    for (let step = 0; ; step++) {
      const least = FIRST_LOOK_S + step * NEXT_LOOK_S
      await this.#until(Math.max(AT.flowing * this.#scale, least))
      if (step === SLOWER_STEPS_MAX || !(await this.#slowDown())) break
    }
    const { ackP50Ms } = this.#fleetStats()
    const speed = `${formatCount(this.#speed())} msg/s   ack p50 ${trimmed(ackP50Ms)} ms`
    await this.#screen.milestone(`flowing      ${speed}   ${countsText(await this.#look())}`)
  }

  #flowAt(rate: number): void {
    this.#rate = rate
    this.#rateSince = this.#now
    this.#ackedBefore = this.#fleetStats().acked
    this.#stage.fleet.apply({ intervalMs: (DEVICES / rate) * 1_000 })
  }

  /** A machine that cannot keep up gets fewer messages, and the visitor is told. */
  async #slowDown(): Promise<boolean> {
    const { pending, acked } = this.#fleetStats()
    const speed = ((acked - this.#ackedBefore) * 1_000) / (this.#now - this.#rateSince)
    const isCatchingUp = speed > this.#rate * 0.95
    if (pending < this.#rate / 2 || isCatchingUp || this.#rate === RATE_MIN) return false
    this.#flowAt(Math.max(RATE_MIN, Math.floor((speed * SPARE) / 100) * 100))
    await this.#screen.milestone(
      `slower       this machine acks ${formatCount(speed)} msg/s now: the fleet goes down to ${formatCount(this.#rate)}`,
    )
    return true
  }

  async #cutLink(): Promise<void> {
    await this.#until(AT.cut * this.#scale)
    await this.#stage.link.cut()
    const ackedAtCut = this.#fleetStats().acked
    this.#chapter = 'LINK CUT   '
    await this.#pause(Math.max(0.7, CUT_SHOWN_AFTER_S * this.#scale) * 1_000)
    const acksGoOn = () => this.#fleetStats().acked > ackedAtCut
    await this.#wait('acks go on without the link', async () => acksGoOn())
    const acks = 'acks go on'.padEnd(31)
    await this.#screen.milestone(`LINK CUT     ${acks}${countsText(await this.#look())}`)
  }

  async #killGateway(): Promise<void> {
    const { gateway, fleet } = this.#stage
    await this.#until(AT.kill * this.#scale)
    this.#chapter = 'KILL -9    '
    const killed = this.#now
    await gateway.kill()
    await gateway.start()
    const downS = (this.#now - killed) / 1_000
    // Promised until now, by the gateway that is gone too; read what the new one has of it.
    const promised = copyOf(fleet.ledger)
    const status = await gateway.status()
    const end = { kafkaAddress: gateway.kafkaAddress, status }
    const { lost, examples } = await auditListener(end, promised, this.#terminal)
    await this.#screen.milestone(
      `KILL -9 gateway … back in ${downS.toFixed(1)} s, ${formatCount(lost)} acked lost; devices resend what was not acked`,
    )
    if (lost > 0) throw new AgentError('CORRUPT_STORE', `the gateway lost: ${examples.join(', ')}`)
  }

  async #mendLink(): Promise<void> {
    const { link } = this.#stage
    await this.#until(AT.mend * this.#scale)
    const before = await this.#look()
    await link.mend()
    const mended = this.#now
    this.#chapter = 'LINK BACK  '
    let [now, sending] = [before, mended]
    await this.#wait('the cloud catches up', async () => {
      const asked = this.#now
      now = await this.#look()
      // Still nothing: whatever comes has been sent after this.
      if (now.cloud === before.cloud) sending = asked
      failWhenStuck(await this.#stage.gateway.status())
      return now.cloud >= before.gateway && now.gateway - now.cloud <= this.#rate * CAUGHT_UP_S
    })
    const records = formatCount(now.cloud - before.cloud)
    const took = trimmed((this.#now - sending) / 1_000)
    const idleS = (sending - mended) / 1_000
    const idle = idleS < 1 ? '' : ` (the gateway tried again after ${trimmed(idleS)} s)`
    await this.#screen.milestone(`LINK BACK    caught up ${records} records in ${took} s${idle}`)
  }

  async #prove(): Promise<Evidence> {
    const { gateway, cloud, fleet } = this.#stage
    await this.#until(AT.end * this.#scale)
    this.#chapter = 'last acks  '
    fleet.apply({ isEnabled: false })
    // Samples that were due already are still taken.
    await this.#pause((DEVICES / this.#rate) * 1_000 + 100)
    await this.#wait('every device has its acks', async () => this.#fleetStats().pending === 0)
    await this.#stage.stopFleet()
    this.#chapter = 'draining   '
    await this.#wait('the gateway has sent everything', async () => {
      const status = await gateway.status()
      failWhenStuck(status)
      return status.mqtt.acksPending === 0 && isDrained(status)
    })
    this.#chapter = 'comparing  '
    const ends = {
      gateway: { kafkaAddress: gateway.kafkaAddress, status: await gateway.status() },
      cloud: { kafkaAddress: cloud.kafkaAddress, status: await cloud.status() },
    }
    const { published, acked, dropped } = this.#fleetStats()
    const promises = { published, acked, dropped, ledger: fleet.ledger }
    return this.#orStop(prove(ends, promises, this.#terminal))
  }

  get #now(): number {
    return this.#terminal.clock.monotonic()
  }

  #fleetStats(): FleetStats {
    return this.#stage.fleet.stats()
  }

  /** Messages a second that got their last ack. */
  #speed(): number {
    return this.#acks.perSecond(this.#now, this.#fleetStats().acked) ?? 0
  }

  /** The cloud is asked first: so it never seems to have more than the gateway. */
  async #look(): Promise<Counts> {
    const { cloud, gateway } = this.#stage
    const there = recordsOf(await cloud.status())
    return { cloud: there, gateway: recordsOf(await gateway.status()) }
  }

  /** The line that lives, and the samples of the speed, until the story is over. */
  async #live(): Promise<void> {
    while (!this.#isOver && !this.#signal.aborted) {
      await sleep(this.#terminal.clock, LIVE_EVERY_MS)
      this.#acks.sample(this.#now, this.#fleetStats().acked)
      if (!this.#screen.isLive) continue
      const counts = await this.#look().catch(() => undefined)
      const text = counts === undefined ? 'gateway is away' : countsText(counts)
      if (this.#isOver) return
      this.#screen.live(`${this.#chapter}  ${formatCount(this.#speed())} acks/s   ${text}`)
    }
  }

  /** Until so many seconds after the fleet's start. */
  async #until(seconds: number): Promise<void> {
    await this.#pause((this.#startS + seconds - this.#screen.elapsedS) * 1_000)
  }

  async #pause(ms: number): Promise<void> {
    if (ms > 0) await this.#orStop(sleep(this.#terminal.clock, ms))
    this.#signal.throwIfAborted()
  }

  async #wait(what: string, isReached: () => Promise<boolean>): Promise<void> {
    const deadline = this.#now + WAIT_LIMIT_MS
    while (!(await isReached())) {
      if (this.#now > deadline) {
        throw new AgentError('TIMEOUT', `${what}: not within ${WAIT_LIMIT_MS / 1_000} s`)
      }
      await this.#pause(STEP_MS)
    }
  }

  /** What `work` gives, unless the story is stopped before. */
  #orStop<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(this.#signal.reason)
      if (this.#signal.aborted) stop()
      this.#signal.addEventListener('abort', stop)
      work.then(resolve, reject).finally(() => this.#signal.removeEventListener('abort', stop))
    })
  }
}

function recordsOf({ topics }: Status): number {
  const partitions = topics.flatMap((topic) => topic.partitions)
  return partitions.reduce((sum, { highWatermark }) => sum + highWatermark, 0)
}

function isDrained({ topics, upstream }: Status): boolean {
  const partitions = topics.find(({ topic }) => topic === TOPIC)?.partitions ?? []
  return (
    upstream.lagRecords === 0 &&
    partitions.every(({ highWatermark, replicatedOffset }) => replicatedOffset === highWatermark)
  )
}

function failWhenStuck({ topics }: Status): void {
  for (const { partitions } of topics) {
    for (const { replication, reason } of partitions) {
      if (replication !== 'frozen' && replication !== 'parked') continue
      throw new AgentError('PARTITION_FROZEN', `${replication}: ${reason}`)
    }
  }
}

function countsText({ gateway, cloud }: Counts): string {
  const [here, there] = [formatCount(gateway), formatCount(cloud)]
  return `gateway ${here}  cloud ${there}  lag ${formatCount(gateway - cloud)}`
}

function copyOf(ledger: AckedLedger): AckedLedger {
  const copy = new AckedLedger()
  for (const [device, { runs }] of ledger.devices()) {
    for (const [from, to] of runs) {
      for (let sequence = from; sequence <= to; sequence++) copy.acked(device, sequence)
    }
  }
  return copy
}
