// Rounds of kill -9 under load: of the agent, of Kafka, of both; then everything is compared.
//
//   npm run torture -- --rounds 100 [--seed S]
//   npm run torture -- --power-cuts 50           power cuts instead: power-cut.ts
//
// A round: publishers with persistent sessions send QoS 1 and QoS 2; something is killed, perhaps
// again while it recovers, connections are dropped; all comes back; publishers wait for their last
// acks and the upstream for its last record. Then must hold: nothing acked is lost, nothing of QoS 2
// is there twice, every record stands at the same offset in the gateway and in Kafka with the same
// bytes, and `tributary verify` finds the stopped store clean. A fault ends the run; the folders of
// a failed run are kept, the seed and the agent's last words are printed.

import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { waitUntil } from '../support/ports.ts'
import { Ledger } from './ledger.ts'
import { MirrorCheck } from './mirror-check.ts'
import { type PowerCutReport, powerCuts } from './power-cut.ts'
import { Publisher } from './publisher.ts'
import { Random } from './random.ts'

export interface TortureOptions {
  rounds: number
  seed: number
  log: (line: string) => void
}

export interface TortureReport {
  rounds: number
  records: number
  /** Repeats of QoS 1 messages: MQTT allows them. */
  repeats: number
  kills: { agent: number; kafka: number }
  faults: string[]
}

type Target = 'agent' | 'kafka' | 'both'

/** The agent more often: its rounds are shorter. */
const TARGETS: readonly Target[] = ['agent', 'agent', 'agent', 'kafka', 'both']
const PUBLISHERS_EACH = 5
const WINDOW = 20
const SURGE_MS_MAX = 250
const QUIET_LIMIT_MS = 30_000
const REPLICATED_LIMIT_MS = 60_000
const LOG_SHOWN = 6000

/** Runs the rounds; undefined after one line when there is no Kafka. */
export async function torture(options: TortureOptions): Promise<TortureReport | undefined> {
  const kafka = await KafkaCluster.create()
  if (kafka === undefined) return undefined
  const agent = await AgentProcess.create({
    gateway: 'torture',
    routes: [{ mqttTopic: 'torture/{client}/{qos}', topic: 'messages', key: '{client}' }],
    storage: { segmentBytes: '1MiB' },
    upstream: { bootstrapServers: [kafka.bootstrapServers] },
  })
  const run = new TortureRun(options, kafka, agent)
  try {
    await run.start()
    for (let round = 1; round <= options.rounds && run.report.faults.length === 0; round++) {
      await run.round(round)
    }
  } catch (error) {
    run.report.faults.push((error as Error).message)
    run.collectFaults()
  } finally {
    await run.end()
  }
  return run.report
}

class TortureRun {
  readonly report: TortureReport
  readonly #options: TortureOptions
  readonly #kafka: KafkaCluster
  readonly #agent: AgentProcess
  readonly #random: Random
  readonly #publishers: Publisher[] = []
  readonly #ledger: Ledger
  readonly #mirror: MirrorCheck

  constructor(options: TortureOptions, kafka: KafkaCluster, agent: AgentProcess) {
    this.#options = options
    this.#kafka = kafka
    this.#agent = agent
    this.#random = new Random(options.seed)
    for (let index = 0; index < 2 * PUBLISHERS_EACH; index++) this.#addPublisher(index)
    this.#ledger = new Ledger(this.#publishers)
    this.#mirror = new MirrorCheck(agent.kafkaAddress, kafka.bootstrapServers)
    const kills = { agent: 0, kafka: 0 }
    this.report = { rounds: 0, records: 0, repeats: 0, kills, faults: [] }
  }

  #addPublisher(index: number): void {
    const qos = index % 2 === 0 ? 1 : 2
    const clientId = `q${qos}-${index}`
    const random = new Random(this.#options.seed * 1000 + index)
    const mqttTopic = `torture/${clientId}/${qos}`
    const port = this.#agent.mqttPort
    const options = {
      port,
      clientId,
      qos,
      mqttTopic,
      window: WINDOW,
      paddingMax: 200,
      random,
    } as const
    this.#publishers.push(new Publisher(options))
  }

  async start(): Promise<void> {
    await Promise.all([this.#kafka.start(), this.#agent.start()])
    for (const publisher of this.#publishers) publisher.start()
  }

  async round(round: number): Promise<void> {
    const before = performance.now()
    const target = this.#random.pick(TARGETS)
    await delay(this.#random.between(200, 1000))
    for (const publisher of this.#publishers) publisher.surge()
    await delay(this.#random.between(20, SURGE_MS_MAX))
    await this.#strike(target, () => {
      for (const publisher of this.#publishers) publisher.calm()
    })
    this.#dropSome()
    await delay(this.#random.between(200, 800))
    await this.#quiet()
    const status = await this.#agent.replicated(REPLICATED_LIMIT_MS)
    await this.#mirror.compare(status, (place, value) => this.#ledger.enter(place, value))
    this.#ledger.close()
    if (target === 'kafka') await this.#stopCleanly()
    for (const publisher of this.#publishers) publisher.resume()
    this.#take(round, target, (performance.now() - before) / 1000)
  }

  /** Kills the target under load, calls `struck`, and brings the target back. */
  async #strike(target: Target, struck: () => void): Promise<void> {
    const random = this.#random
    if (target === 'agent') return this.#killAgent(struck)
    if (target === 'kafka') {
      await this.#killKafka()
      struck()
      await delay(random.between(0, 1500))
      return this.#kafka.start()
    }
    const [pause, kafkaPause] = [random.between(0, 300), random.between(0, 1000)]
    await Promise.all([
      this.#killAgent(struck, pause),
      this.#killKafka()
        .then(() => delay(kafkaPause))
        .then(() => this.#kafka.start()),
    ])
  }

  /** kill -9, verify what lies on disk, start; one time in three killed again while it recovers. */
  async #killAgent(struck: () => void, pauseMs = 0): Promise<void> {
    await this.#agent.kill()
    struck()
    this.report.kills.agent++
    await this.#verify('after kill -9')
    await delay(pauseMs)
    if (this.#random.chance(1 / 3)) {
      this.#agent.spawn()
      await delay(this.#random.between(20, 500))
      await this.#agent.kill()
      this.report.kills.agent++
      await this.#verify('after kill -9 while it recovered')
    }
    await this.#agent.start()
  }

  async #killKafka(): Promise<void> {
    await this.#kafka.kill()
    this.report.kills.kafka++
  }

  #dropSome(): void {
    for (const publisher of this.#publishers) if (this.#random.chance(0.2)) publisher.drop()
  }

  /** No new messages; resolves when every ack has come. */
  async #quiet(): Promise<void> {
    for (const publisher of this.#publishers) publisher.pause()
    const idle = () => this.#publishers.every((publisher) => publisher.isIdle)
    try {
      await waitUntil('every message is acked', QUIET_LIMIT_MS, idle)
    } catch (error) {
      const stuck = this.#publishers.filter((publisher) => !publisher.isIdle)
      const names = stuck.map(({ clientId, unacked }) => `${clientId}: ${unacked}`)
      throw new Error(`${(error as Error).message}; unacked ${names.join(', ')}`)
    }
  }

  async #stopCleanly(): Promise<void> {
    const code = await this.#agent.stop()
    if (code !== 0) this.report.faults.push(`the agent ended with ${code} after SIGTERM`)
    await this.#verify('after SIGTERM')
    await this.#agent.start()
  }

  async #verify(when: string): Promise<void> {
    const { code, stdout, stderr } = await this.#agent.command(['verify', this.#agent.dataDir])
    if (code !== 0) this.report.faults.push(`verify ${when} exits ${code}: ${stdout}${stderr}`)
  }

  #take(round: number, target: Target, seconds: number): void {
    const { report } = this
    this.collectFaults()
    report.rounds = round
    report.records = this.#ledger.records
    report.repeats = this.#ledger.repeats
    const counts = `${report.records} records, ${report.repeats} QoS 1 repeats`
    const verdict = report.faults.length === 0 ? 'ok' : 'FAILED'
    this.#options.log(
      `round ${round}  kill ${target.padEnd(5)}  ${seconds.toFixed(1)} s  ${counts}  ${verdict}`,
    )
  }

  /** What publishers, ledger and comparison have found, into the report. */
  collectFaults(): void {
    const found = this.#publishers.flatMap((publisher) => publisher.faults.splice(0))
    this.report.faults.push(
      ...found,
      ...this.#ledger.faults.splice(0),
      ...this.#mirror.faults.splice(0),
    )
  }

  async end(): Promise<void> {
    for (const publisher of this.#publishers) publisher.close()
    if (this.report.faults.length === 0) {
      await Promise.all([this.#agent.remove(), this.#kafka.remove()])
      return
    }
    await Promise.all([this.#agent.kill(), this.#kafka.kill()])
    const { seed, log } = this.#options
    log(`seed ${seed}; kept: ${this.#agent.folder} ${this.#kafka.folder}`)
    log(this.#agent.log.slice(-LOG_SHOWN))
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '10' },
      'power-cuts': { type: 'string' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  })
  const [rounds, seed] = [Number(values['power-cuts'] ?? values.rounds), Number(values.seed)]
  console.log(`torture: ${rounds} rounds, seed ${seed}`)
  const run = values['power-cuts'] === undefined ? torture : powerCuts
  const report = await run({ rounds, seed, log: console.log })
  if (report === undefined) process.exit(1)
  for (const fault of report.faults) console.log(`FAULT ${fault}`)
  console.log(`${summaryOf(report)}: ${report.faults.length} faults`)
  process.exit(report.faults.length === 0 && report.rounds === rounds ? 0 : 1)
}

function summaryOf(report: TortureReport | PowerCutReport): string {
  const counts = `${report.rounds} rounds, ${report.records} records`
  if ('ackedAtCut' in report) return `${counts}, ${report.ackedAtCut} acked before the last cut`
  return `${counts}, ${report.kills.agent} kills of the agent, ${report.kills.kafka} of Kafka`
}

if (import.meta.url === `file://${process.argv[1]}`) await main()
