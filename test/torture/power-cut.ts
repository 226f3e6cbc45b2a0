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
import { isDeepStrictEqual } from 'node:util'
import type { ConsumedRecord } from '../../agent/kafka/client/consumer.ts'
import { AgentProcess } from '../support/agent-process.ts'
import { CutDisk } from '../support/cut-disk.ts'
import { waitUntil } from '../support/ports.ts'
import { Ledger } from './ledger.ts'
import { Publisher } from './publisher.ts'
import { Random } from './random.ts'
import { TopicReader } from './topic-reader.ts'

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
    for (const publisher of run.publishers) publisher.start()
    for (let round = 1; round <= options.rounds && run.report.faults.length === 0; round++) {
      options.log(await run.round(round))
    }
    await run.compareFromStart()
  } catch (error) {
    run.report.faults.push((error as Error).message)
  } finally {
    for (const publisher of run.publishers) publisher.close()
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
  readonly publishers: Publisher[]
  readonly #disk: CutDisk
  readonly #agent: AgentProcess
  readonly #random: Random
  readonly #ledger: Ledger
  readonly #reader: TopicReader
  /** Every record of each partition, as read after the cuts so far. */
  readonly #seen: ConsumedRecord[][] = Array.from({ length: PARTITIONS }, () => [])

  constructor(disk: CutDisk, agent: AgentProcess, seed: number) {
    this.#disk = disk
    this.#agent = agent
    this.#random = new Random(seed)
    this.publishers = Array.from({ length: 2 * PUBLISHERS_EACH }, (_, index) => {
      const qos = index % 2 === 0 ? 1 : 2
      const clientId = `q${qos}-${index}`
      const random = new Random(seed * 1000 + index)
      const { mqttPort: port } = agent
      return new Publisher({
        ...{ port, clientId, qos, mqttTopic: `cut/${clientId}/${qos}`, window: WINDOW },
        ...{ paddingMax: PADDING_MAX, random },
      })
    })
    this.#ledger = new Ledger(this.publishers)
    this.#reader = new TopicReader(agent.kafkaAddress)
  }

  async round(round: number): Promise<string> {
    const random = this.#random
    const started = performance.now()
    for (const publisher of this.publishers) publisher.resume()
    await delay(random.between(50, 400))
    if (round % 2 === 0) {
      const code = await this.#agent.stop()
      if (code !== 0) this.report.faults.push(`the agent ended with ${code} after SIGTERM`)
      await this.#agent.start()
    }
    for (const publisher of this.publishers) publisher.surge()
    await delay(random.between(20, 400))
    await this.#cut()
    const acked = this.publishers.reduce((sum, publisher) => sum + publisher.acked, 0)
    this.report.ackedAtCut = acked
    await this.#verify()
    await this.#agent.start()
    await this.#quiet()
    await this.#readOn()
    this.#ledger.close()
    for (const publisher of this.publishers) this.report.faults.push(...publisher.faults.splice(0))
    this.report.faults.push(...this.#ledger.faults.splice(0))
    this.report.rounds = round
    this.report.records = this.#ledger.records
    this.report.repeats = this.#ledger.repeats
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    const verdict = this.report.faults.length === 0 ? 'ok' : 'FAILED'
    return `cut ${round}  ${seconds} s  ${acked} acked, ${this.#ledger.records} records, ${this.#ledger.repeats} repeats  ${verdict}`
  }

  async #cut(): Promise<void> {
    this.#agent.signal('SIGSTOP')
    const copy = await this.#disk.copy()
    await this.#agent.kill()
    for (const publisher of this.publishers) publisher.calm()
    await this.#disk.restore(copy)
  }

  async #verify(): Promise<void> {
    const { code, stdout, stderr } = await this.#agent.command([
      'verify',
      join(this.#disk.folder, 'data'),
    ])
    if (code !== 0)
      this.report.faults.push(`verify after the cut exits ${code}: ${stdout}${stderr}`)
  }

  /** No new messages; resolves when every ack has come. */
  async #quiet(): Promise<void> {
    for (const publisher of this.publishers) publisher.pause()
    const idle = () => this.publishers.every((publisher) => publisher.isIdle)
    await waitUntil('every message is acked', QUIET_LIMIT_MS, idle)
  }

  async #readOn(): Promise<void> {
    for (const [partition, seen] of this.#seen.entries()) {
      const records = await this.#reader.read(TOPIC, partition, seen.length)
      for (const record of records) {
        if (record.offset !== seen.length) {
          this.report.faults.push(
            `${partition}@${seen.length}: the next offset is ${record.offset}`,
          )
        }
        this.#ledger.enter(`${partition}@${record.offset}`, record.value)
        seen.push(record)
      }
    }
  }

  /** What was read after any cut is there still, the same. */
  async compareFromStart(): Promise<void> {
    for (const [partition, seen] of this.#seen.entries()) {
      const records = await this.#reader.read(TOPIC, partition, 0)
      const at = seen.findIndex((record, offset) => !isDeepStrictEqual(record, records[offset]))
      if (at >= 0) this.report.faults.push(`${partition}@${at} is not what it was`)
      if (records.length !== seen.length) {
        this.report.faults.push(`${partition}: ${records.length} records, ${seen.length} before`)
      }
    }
    this.#reader.close()
  }
}
