// Rounds of everything that happens to a gateway under load; then everything is compared.
//
//   npm run torture -- --rounds 100 [--seed S]
//   npm run torture -- --power-cuts 50           power cuts instead: power-cut.ts
//
// A round: publishers with persistent sessions send QoS 1 and QoS 2; something strikes (strikes.ts:
// kill -9 of the agent, of Kafka, of both, SIGSTOP and SIGCONT, a disk without a byte left), some
// connections are dropped; all comes back; publishers wait for their last acks and the upstream for its
// last record. Then must hold: nothing acked is lost, nothing of QoS 2 is there twice, every record
// stands at the same offset in the gateway and in Kafka with the same bytes, and `tributary verify`
// finds the stopped store clean. A fault ends the run; the folders of a failed run are kept, the seed
// and the agent's last words are printed.

import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { AgentProcess } from '../support/agent-process.ts'
import { KafkaCluster } from '../support/kafka-cluster.ts'
import { SmallDisk } from '../support/small-disk.ts'
import { Crowd } from './crowd.ts'
import { Ledger } from './ledger.ts'
import { MirrorCheck } from './mirror-check.ts'
import { type PowerCutReport, powerCuts } from './power-cut.ts'
import { Random } from './random.ts'
import { type Strike, Strikes, type Struck } from './strikes.ts'

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
  strikes: Readonly<Record<Strike, number>>
  faults: string[]
}

const PUBLISHERS_EACH = 5
const WINDOW = 20
const PADDING_MAX = 200
const SURGE_MS_MAX = 250
const QUIET_LIMIT_MS = 30_000
const REPLICATED_LIMIT_MS = 60_000
const LOG_SHOWN = 6000

/** Runs the rounds; undefined after one line when there is no Kafka. */
export async function torture(options: TortureOptions): Promise<TortureReport | undefined> {
  const kafka = await KafkaCluster.create()
  if (kafka === undefined) return undefined
  const folder = mkdtempSync(join(tmpdir(), 'tributary-torture-'))
  const disk = await SmallDisk.mount(folder, { size: '192m' })
  if (disk === undefined) {
    console.log('skipped: rounds of a full disk (needs unshare and the right to mount)')
  }
  const dataDir = join(folder, 'data')
  const agent = await AgentProcess.create(
    {
      gateway: 'torture',
      dataDir,
      routes: [{ mqttTopic: 'torture/{client}/{qos}', topic: 'messages', key: '{client}' }],
      storage: { segmentBytes: '1MiB', diskBudget: '100%', keepFree: '8MiB' },
      upstream: { bootstrapServers: [kafka.bootstrapServers] },
    },
    disk === undefined ? {} : { launcher: disk.launcher },
  )
  const random = new Random(options.seed)
  const run = new TortureRun(options, { agent, kafka, disk, dataDir, random })
  try {
    await run.start()
    for (let round = 1; round <= options.rounds && run.report.faults.length === 0; round++) {
      await run.round(round)
    }
  } catch (error) {
    run.report.faults.push((error as Error).message)
    run.collectFaults()
  } finally {
    await run.end(folder)
  }
  return run.report
}

class TortureRun {
  readonly report: TortureReport
  readonly #options: TortureOptions
  readonly #struck: Struck
  readonly #random: Random
  readonly #crowd: Crowd
  readonly #ledger: Ledger
  readonly #mirror: MirrorCheck
  readonly #strikes: Strikes

  constructor(options: TortureOptions, struck: Struck) {
    this.#options = options
    this.#struck = struck
    this.#random = struck.random
    const { seed } = options
    const { mqttPort: port } = struck.agent
    const size = { each: PUBLISHERS_EACH, window: WINDOW, paddingMax: PADDING_MAX }
    this.#crowd = new Crowd({ port, prefix: 'torture', seed, ...size })
    this.#ledger = new Ledger(this.#crowd.publishers)
    this.#mirror = new MirrorCheck(struck.agent.kafkaAddress, struck.kafka.bootstrapServers)
    this.#strikes = new Strikes(struck)
    this.report = { rounds: 0, records: 0, repeats: 0, strikes: this.#strikes.counts, faults: [] }
  }

  async start(): Promise<void> {
    await Promise.all([this.#struck.kafka.start(), this.#struck.agent.start()])
    this.#crowd.start()
  }

  async round(round: number): Promise<void> {
    const before = performance.now()
    const strike = this.#strikes.next()
    await delay(this.#random.between(200, 1000))
    this.#crowd.surge()
    await delay(this.#random.between(20, SURGE_MS_MAX))
    await this.#strikes.strike(strike, () => this.#crowd.calm())
    for (const publisher of this.#crowd.publishers) if (this.#random.chance(0.2)) publisher.drop()
    await delay(this.#random.between(200, 800))
    await this.#crowd.quiet(QUIET_LIMIT_MS)
    const status = await this.#struck.agent.replicated(REPLICATED_LIMIT_MS)
    await this.#mirror.compare(status, (place, value) => this.#ledger.enter(place, value))
    this.#ledger.close()
    if (strike === 'kill kafka') await this.#strikes.restart()
    this.#crowd.resume()
    this.#take(round, strike, (performance.now() - before) / 1000)
  }

  #take(round: number, strike: Strike, seconds: number): void {
    const { report } = this
    this.collectFaults()
    report.rounds = round
    report.records = this.#ledger.records
    report.repeats = this.#ledger.repeats
    const counts = `${report.records} records, ${report.repeats} QoS 1 repeats`
    const verdict = report.faults.length === 0 ? 'ok' : 'FAILED'
    this.#options.log(
      `round ${round}  ${strike.padEnd(11)}  ${seconds.toFixed(1)} s  ${counts}  ${verdict}`,
    )
  }

  /** What strikes, publishers, ledger and comparison have found, into the report. */
  collectFaults(): void {
    this.report.faults.push(
      ...this.#strikes.faults.splice(0),
      ...this.#crowd.takeFaults(),
      ...this.#ledger.faults.splice(0),
      ...this.#mirror.faults.splice(0),
    )
  }

  async end(folder: string): Promise<void> {
    const { agent, kafka, disk } = this.#struck
    this.#crowd.close()
    kafka.nodes[0]!.signal('SIGCONT')
    if (this.report.faults.length === 0) {
      await Promise.all([agent.remove(), kafka.remove()])
      disk?.unmount()
      rmSync(folder, { recursive: true, force: true })
      return
    }
    await Promise.all([agent.kill(), kafka.kill()])
    // What is mounted would go with this process.
    if (disk !== undefined) cpSync(disk.path('data'), `${folder}-store`, { recursive: true })
    disk?.unmount()
    const { seed, log } = this.#options
    const store = disk === undefined ? folder : `${folder}-store`
    log(`seed ${seed}; kept: ${agent.folder} ${kafka.folder} ${store}`)
    log(agent.log.slice(-LOG_SHOWN))
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
  const strikes = Object.entries(report.strikes).map(([strike, count]) => `${strike} ${count}`)
  return `${counts}; ${strikes.join(', ')}`
}

if (import.meta.url === `file://${process.argv[1]}`) await main()
