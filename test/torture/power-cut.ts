// Rounds of power cuts under load: what an ack promises must have reached the device.
//
//   npm run torture -- --power-cuts 50 [--seed S]
//
// The store lies on an ext4 image on a loop device. A round: publishers with persistent sessions send
// QoS 1 and QoS 2; the agent is stopped (SIGSTOP) in the middle of that, the image is copied, so that
// what sat in the page cache only is gone, the agent is killed, and the copy is mounted in its place.
// Before every second cut there was a stop and a start in order: then segments alone hold what came
// before.
// `verify` must find that store clean, and an agent started on it must hold every message that was
// acked: QoS 2 exactly once after the publishers have resumed their sessions. At the end everything
// is read again from the first offset on: what was seen after an earlier cut is still the same.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AgentProcess } from '../support/agent-process.ts'
import { CutDisk } from '../support/cut-disk.ts'
import { Crowd } from './crowd.ts'
import { KeptRecords } from './kept-records.ts'
import { Random } from './random.ts'

export interface PowerCutReport {
  rounds: number
  records: number
  /** Repeats of QoS 1 messages: MQTT allows them. */
  repeats: number
  /** Messages acked when the power went, all rounds together. */
  ackedAtCut: number
  faults: string[]
}

const TOPIC = 'cut.messages'
const PARTITIONS = 2
const PUBLISHERS_EACH = 3
const WINDOW = 20
/** Enough that journal files are left behind and segments have to hold what was in them. */
const PADDING_MAX = 3000
const QUIET_LIMIT_MS = 30_000

/** Runs the rounds; undefined after one line where no file system may be mounted. */
export async function powerCuts(options: {
  rounds: number
  seed: number
  log: (line: string) => void
}): Promise<PowerCutReport | undefined> {
  const base = mkdtempSync(join(tmpdir(), 'tributary-cut-'))
  const disk = await CutDisk.mount(base)
  if (disk === undefined) {
    console.log('skipped: power cuts (needs root, unshare, mkfs.ext4 and a loop device)')
    rmSync(base, { recursive: true })
    return undefined
  }
  const agent = await AgentProcess.create(
    {
      gateway: 'cut',
      dataDir: join(disk.folder, 'data'),
      routes: [{ mqttTopic: 'cut/{client}/{qos}', topic: 'messages', key: '{client}' }],
      topicDefaults: { partitions: PARTITIONS },
      storage: { segmentBytes: '256KiB', batchBytes: '16KiB', keepFree: '1MiB' },
    },
    { launcher: disk.launcher },
  )
  const run = new PowerCuts(disk, agent, options.seed)
  try {
    await agent.start()
    run.crowd.start()
    for (let round = 1; round <= options.rounds && run.report.faults.length === 0; round++) {
      options.log(await run.round(round))
    }
    await run.finish()
  } catch (error) {
    run.report.faults.push((error as Error).message)
  } finally {
    run.close()
    if (run.report.faults.length > 0) options.log(agent.log.slice(-4000))
    await agent.remove()
    disk.unmount()
    rmSync(base, { recursive: true, force: true })
  }
  return run.report
}

class PowerCuts {
  readonly report: PowerCutReport = {
    ...{ rounds: 0, records: 0, repeats: 0, ackedAtCut: 0, faults: [] },
  }
  readonly crowd: Crowd
  readonly #disk: CutDisk
  readonly #agent: AgentProcess
  readonly #random: Random
  readonly #kept: KeptRecords

  constructor(disk: CutDisk, agent: AgentProcess, seed: number) {
    this.#disk = disk
    this.#agent = agent
    this.#random = new Random(seed)
    const { mqttPort: port, kafkaAddress } = agent
    const size = { each: PUBLISHERS_EACH, window: WINDOW, paddingMax: PADDING_MAX }
    this.crowd = new Crowd({ port, prefix: 'cut', seed, ...size })
    this.#kept = new KeptRecords(kafkaAddress, TOPIC, PARTITIONS, this.crowd)
  }

  async round(round: number): Promise<string> {
    const random = this.#random
    const started = performance.now()
    this.crowd.resume()
    await delay(random.between(50, 400))
    if (round % 2 === 0) {
      const code = await this.#agent.stop()
      if (code !== 0) this.report.faults.push(`the agent ended with ${code} after SIGTERM`)
      await this.#agent.start()
    }
    this.crowd.surge()
    await delay(random.between(20, 400))
    await this.#cut()
    const { acked } = this.crowd
    await this.#verify()
    await this.#agent.start()
    await this.crowd.quiet(QUIET_LIMIT_MS)
    await this.#kept.readOn()
    const { ledger } = this.#kept
    ledger.close()
    this.report.faults.push(...this.crowd.takeFaults(), ...this.#kept.takeFaults())
    const { records, repeats } = ledger
    Object.assign(this.report, { rounds: round, records, repeats, ackedAtCut: acked })
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    const verdict = this.report.faults.length === 0 ? 'ok' : 'FAILED'
    return `cut ${round}  ${seconds} s  ${acked} acked, ${records} records, ${repeats} repeats  ${verdict}`
  }

  async #cut(): Promise<void> {
    this.#agent.signal('SIGSTOP')
    const copy = await this.#disk.copy()
    await this.#agent.kill()
    this.crowd.calm()
    await this.#disk.restore(copy)
  }

  async #verify(): Promise<void> {
    const dataDir = join(this.#disk.folder, 'data')
    const { code, stdout, stderr } = await this.#agent.command(['verify', dataDir])
    if (code !== 0)
      this.report.faults.push(`verify after the cut exits ${code}: ${stdout}${stderr}`)
  }

  /** What was read after any cut is there still, the same. */
  async finish(): Promise<void> {
    await this.#kept.compareFromStart()
    this.report.faults.push(...this.#kept.takeFaults())
  }

  close(): void {
    this.crowd.close()
    this.#kept.close()
  }
}
